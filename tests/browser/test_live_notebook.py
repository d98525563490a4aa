"""What a person sees: JupyterLab and Notebook in a real browser."""

import documents
import pytest
from lab import Page

pytestmark = pytest.mark.e2e

WATCH = "%load_ext ipy_autorestart\n%watch_restart src/ --rerun all"
IMPORT = "import os, sys\nsys.path.insert(0, 'src')\nimport a\nprint('value', a.V)"
TABLE = "from IPython.display import HTML\nHTML(f'<table><tr><td>ten times {a.V * 10}</td></tr></table>')"
PICTURE = "import matplotlib.pyplot as plt\nplt.plot([0, a.V])\nplt.title(f'picture of {a.V}')\nplt.show()"
WIDGET = "import ipywidgets\nipywidgets.IntSlider(value=a.V, max=9)"
PID = "print('pid', os.getpid())"


#: Collects what the first cell shows, as often as a screen is drawn.
SAMPLE = """() => {
    const output = document.querySelector(".jp-Notebook .jp-CodeCell .jp-Cell-outputArea");
    window.seen = new Set();
    const look = () => { window.seen.add(output.innerText.trim()); requestAnimationFrame(look); };
    look();
}"""


@pytest.fixture(params=["lab/tree", "notebooks"])
def site(request):
    return request.param


@pytest.fixture
def folder(server, request):
    folder = server.folder / request.node.name.replace("[", "-").replace("/", "-").strip("]")
    (folder / "src").mkdir(parents=True)
    save(folder, 1)
    yield folder
    server.end_kernels()


def save(folder, value):
    (folder / "src/a.py").write_text(f"V = {value}\n")


@pytest.fixture
def open_page(server, context, folder):
    opened = []

    def open_page(site, *sources):
        path = folder / "live.ipynb"
        if sources:
            documents.write(path, documents.cells(*sources))
        opened.append(context.new_page())
        reset = "&reset" if site.startswith("lab") else ""
        return Page(opened[-1], f"{server.url}{site}/{folder.name}/live.ipynb?token=t{reset}")

    yield open_page
    for page in opened:
        page.close()


def picture(page, place):
    return page.cell(place).locator("img").get_attribute("src")


def test_one_save_and_every_cell_is_new_where_it_stands(site, open_page, folder, server):
    page = open_page(site, WATCH, IMPORT, TABLE, PICTURE, WIDGET, PID)
    page.run_all()
    page.wait(5, "pid")
    page.wait(0, "running")
    page.wait(4, "(?m)^1$")
    before, shown = page.text(5), picture(page, 3)
    prompts = page.prompts()
    pid = server.pid(f"{folder.name}/live.ipynb")
    page.page.evaluate(SAMPLE)
    for value in (2, 3):
        save(folder, value)
        page.wait(0, "5 cells run again")
        page.wait(1, f"^value {value}$")
        page.wait(2, f"ten times {value * 10}")
        page.wait(4, f"(?m)^{value}$")
        assert picture(page, 3) != shown
        assert page.cell(3).locator("img").count() == 1
        shown = picture(page, 3)
        assert page.text(5) == before
        page.until_idle()
        assert page.prompts() == prompts == [f"[{number}]:" for number in range(1, 7)]
        assert page.dialogs == []
    assert f"pid {pid}" in before
    assert server.pid(f"{folder.name}/live.ipynb") == pid
    seen = page.page.evaluate("[...window.seen]")
    assert [text for text in seen if "kernel" not in text] == []  # the line stays, though its buttons come and go
    assert any("restarting" in text for text in seen)


def test_an_error_is_shown_in_its_cell_and_mended(site, open_page, folder):
    page = open_page(site, WATCH, IMPORT, "1 / a.V", "print('third', a.V)")
    page.run_all()
    page.wait(3, "third 1")
    page.wait(0, "running")
    for restarts, zero in enumerate((0, 0.0), 1):
        save(folder, zero)
        page.wait(0, f"{restarts} restarts? .*ZeroDivisionError in cell 3; not run again: cell 4")
        page.wait(2, "ZeroDivisionError")
        page.wait(3, "^third 1\\s+old: this cell has not run again since files have changed$")
    save(folder, 2)
    page.wait(3, "^third 2\\s*$")
    page.wait(3, "third 2")
    assert page.text(2).strip().endswith("0.5")
    assert "Error" not in page.text(2)
    assert page.dialogs == []


def test_what_was_last_shown_is_saved_and_a_reloaded_page_goes_on(site, open_page, folder):
    page = open_page(site, WATCH, IMPORT)
    page.run_all()
    page.wait(1, "value 1")
    page.wait(0, "running")
    save(folder, 2)
    page.wait(1, "value 2")
    page.save_document(folder / "live.ipynb", "value 2")
    page.page.reload()
    page.settle()
    assert page.text(1).strip() == "value 2"
    page.run_all()
    page.wait(0, "running")
    page.wait(1, "value 2")
    save(folder, 3)
    page.wait(1, "value 3")
    assert page.dialogs == []


def test_two_tabs_on_one_kernel(site, open_page, folder):
    first = open_page(site, WATCH, IMPORT, PID)
    first.run_all()
    first.wait(2, "pid")
    first.wait(0, "running")
    first.save_document(folder / "live.ipynb", "value 1")
    second = open_page(site)
    save(folder, 2)
    first.wait(1, "value 2")
    for page in (first, second):
        page.until_idle()
        assert page.dialogs == []
    second.cell(2).click()
    second.execute("notebook:run-cell")
    second.wait(2, "pid")
    save(folder, 3)
    first.wait(1, "value 3")
    second.until_idle()
    assert second.dialogs == []


def test_an_edit_that_is_under_way_stays(site, open_page, folder):
    page = open_page(site, WATCH, IMPORT, PID)
    page.run_all()
    page.wait(2, "pid")
    page.wait(0, "running")
    editor = page.cell(2).locator(".cm-content")
    editor.click()
    page.page.keyboard.press("Control+End")
    page.page.keyboard.type(" # half", delay=5)
    save(folder, 2)
    page.wait(1, "value 2")
    page.page.keyboard.type(" typed", delay=5)
    assert editor.inner_text().endswith("# half typed")
    page.wait(0, "2 cells run again")
    assert page.dialogs == []


def test_a_scripts_output_streams_into_its_cell_while_another_runs(site, open_page, folder):
    (folder / "main.py").write_text(
        "import sys, time\nsys.path.insert(0, 'src')\nimport a\n"
        "for number in range(4):\n    print('script', a.V, number, flush=True)\n    time.sleep(0.3)\n"
    )
    page = open_page(
        site,
        "%load_ext ipy_autorestart\n%watch_restart src/ main.py",
        "import itertools, os, time\nfor number in itertools.count():\n    print('cell', number)\n    time.sleep(0.2)\n"
        "    if os.path.exists('enough'): break\nprint('end')",
    )
    page.run_all()
    page.wait(1, "cell 1")
    page.wait(0, "script 1 3")
    assert "end" not in page.text(1)
    save(folder, 2)
    page.wait(0, "script 2 3")
    assert "script 1" not in page.text(0)
    assert "end" not in page.text(1)
    (folder / "enough").touch()
    page.wait(1, "end")
    assert "script" not in page.text(1)
    assert page.dialogs == []


BARS = """
import sys, time
import matplotlib.pyplot as plt
from rich.progress import Progress
plt.figure(figsize=(2, 1))
plt.plot([1, 2])
plt.show()
with Progress() as progress:
    for name in ("left", "right"): progress.add_task(name, total=4)
    for step in range(4):
        for task in progress.task_ids: progress.advance(task)
        time.sleep(0.1)
print("done")
"""


def test_a_script_shows_pictures_and_bars_below_each_other(site, open_page, folder):
    (folder / "main.py").write_text(BARS)
    page = open_page(site, "%load_ext ipy_autorestart\n%watch_restart main.py")
    page.run_all()
    page.wait(0, "finished")
    page.wait(0, "done")
    assert page.cell(0).locator("img").count() == 1
    lines = [line.split()[0] for line in page.text(0).splitlines()[1:] if line.strip()]
    assert lines == ["left", "right", "done"]
    assert page.text(0).count("100%") == 2
