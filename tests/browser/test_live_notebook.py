"""What a person sees: JupyterLab and Notebook in a real browser."""

import itertools
import json
import re

import documents
import pytest
from lab import Page
from patience import PATIENT
from waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]

WATCH = "%load_ext ipy_autorestart\n%watch_restart src/ --rerun all"
IMPORT = "import os, sys\nsys.path.insert(0, 'src')\nimport a\nprint('value', a.V)"
TABLE = "from IPython.display import HTML\nHTML(f'<table><tr><td>ten times {a.V * 10}</td></tr></table>')"
DRAW = "plt.plot([0, a.V])\nplt.title(f'picture of {a.V}')\nplt.show()"
PICTURE = f"import matplotlib.pyplot as plt\nprint('drawn', a.V)\n{DRAW}"
WIDGET = "import ipywidgets\nipywidgets.IntSlider(value=a.V, max=9)"
PID = "print('pid', os.getpid())"
FAILS_AT_0 = "1 / a.V"
LAST = "print('last', a.V)"


#: Notes each cell's height, its status line, and how the line stands to its buttons, as often as a screen is drawn; the
#: likeness that the line has of the buttons counts where they aren't drawn yet.
LOOK_ON = """() => {
    const cells = [...document.querySelectorAll(".jp-Notebook .jp-CodeCell")];
    const box = element => element.getBoundingClientRect();
    const middle = element => box(element).top + box(element).height / 2;
    const likeness = line => {
        const room = line.closest(".ipy-autorestart-room");
        const signs = ["::before", "::after"].map(name => getComputedStyle(room, name));
        const drawn = signs.filter(one => one.content !== "none" && one.visibility === "visible");
        return drawn.map(one => box(room).top + parseFloat(one.top) + parseFloat(one.height) / 2);
    };
    const look = cell => {
        const line = cell.querySelector(".ipy-autorestart-room b");
        const buttons = [...cell.querySelectorAll("button.widget-button")].filter(one => box(one).height > 0);
        const middles = line ? [...buttons.map(middle), ...likeness(line)] : [];
        const apart = middles.map(one => Math.round(one - middle(line)));
        return [box(cell).height, line && box(line).height ? line.parentElement.innerText : "", apart];
    };
    window.looks = [];
    const again = () => {
        window.looks.push(cells.map(look));
        requestAnimationFrame(again);
    };
    again();
}"""


class Looks:
    """What was seen of one cell, look by look."""

    def __init__(self, looks):
        self.heights, self.lines, self.buttons = zip(*looks, strict=True)

    @classmethod
    def of(cls, page):
        """Return what was seen of each cell."""
        looks = json.loads(page.page.evaluate("JSON.stringify(window.looks)"))  # in parts it would take a minute
        return [cls(one) for one in zip(*looks, strict=True)]

    @property
    def shrunk(self):
        """By how many pixels the cell was lower in a look than in the one before, and than in the end.

        Up to three are nothing: a widget is drawn in two steps.
        """
        last = self.heights[-1]
        return [now - before for before, now in itertools.pairwise(self.heights) if now < min(before, last) - 3]

    def assert_that_line_and_buttons_stay(self, name):
        assert [line for line in self.lines if f"● {name}" not in line] == []
        assert {len(apart) for apart in self.buttons} == {2}
        assert all(abs(pixels) <= 1 for apart in self.buttons for pixels in apart), "centred on the line"


@pytest.fixture(scope="module")
def site(request):
    """Whose page it is: JupyterLab's, or Notebook's where a test asks for it, as both are made of the same cells."""
    return getattr(request, "param", "lab/tree")


@pytest.fixture(scope="module")
def open_page(server, context, site):
    """Open a notebook that lies in a folder of its own, with these cells if they are given."""
    opened = []

    def open_page(folder, *sources):
        path = folder / "live.ipynb"
        if sources:
            documents.write(path, documents.cells(*sources))
        opened.append(context.new_page())
        reset = "&reset" if site.startswith("lab") else ""
        return Page(opened[-1], f"{server.url}{site}/{folder.name}/live.ipynb?token=t{reset}")

    yield open_page
    for page in opened:
        page.close()
    server.end_kernels()


def make_folder(server, name, site):
    folder = server.folder / f"{name}-{site.replace('/', '-')}"
    (folder / "src").mkdir(parents=True)
    (folder / "src/a.py").write_text("V = 1\n")
    return folder


class Live:
    """A notebook whose cells run again at each save; every test leaves them all with the last value."""

    def __init__(self, page, folder):
        self.page, self.folder = page, folder
        self.value, self.saves = 1, 0

    def save(self, value=None):
        """Save a value, by default a new one."""
        self.saves += 1
        self.value = self.value + 1 if value is None else value
        (self.folder / "src/a.py").write_text(f"V = {self.value}\n")

    def until_new(self):
        """Wait until the cells have run again."""
        self.page.wait(1, f"^value {self.value}$")
        self.page.wait(4, f"^last {self.value}$")


@pytest.fixture(scope="module")
def live(open_page, server, site):
    folder = make_folder(server, "live", site)
    page = open_page(folder, WATCH, IMPORT, PID, FAILS_AT_0, LAST)
    page.run_all()
    page.wait(4, "last 1")
    page.wait(0, "running")
    return Live(page, folder)


def picture(page, place):
    """Return the one picture that a cell shows, as soon as there is one."""
    image = page.cell(place).locator("img")
    eventually(lambda: image.count() == 1, timeout=30, what=lambda: f"a picture; {place} shows {page.text(place)!r}")
    return image.get_attribute("src")


@pytest.mark.parametrize("site", ["lab/tree", "notebooks"], indirect=True)
def test_one_save_and_every_cell_is_new_where_it_stands(open_page, server, site):
    folder = make_folder(server, "rich", site)
    page = open_page(folder, WATCH, IMPORT, TABLE, PICTURE, WIDGET, PID)
    live = Live(page, folder)
    page.run_all()
    page.wait(5, "pid")
    page.wait(0, "running")
    page.wait(1, "^value 1$")
    page.wait(2, "ten times 10")
    page.wait(4, "(?m)^1$")
    before, shown = page.text(5), picture(page, 3)
    prompts = [f"[{number}]:" for number in range(1, 7)]
    eventually(lambda: page.prompts() == prompts, what=page.prompts)  # a reply comes behind what its cell shows
    pid = server.pid(f"{live.folder.name}/live.ipynb")
    page.page.evaluate(LOOK_ON)
    for _ in range(2):
        live.save()
        page.wait(0, f"5 cells rerun .* {live.saves} restart")
        page.wait(1, f"^value {live.value}$")
        page.wait(2, f"ten times {live.value * 10}")
        page.wait(4, f"(?m)^{live.value}$")
        eventually(lambda shown=shown: picture(page, 3) != shown)
        shown = picture(page, 3)
        page.wait(5, r"^pid \d+\s*$")
        assert page.text(5) != before  # another kernel, behind the process that the server knows
        page.until_idle()
        eventually(lambda: page.prompts() == prompts, what=page.prompts)
        assert page.dialogs == []
    assert server.pid(f"{live.folder.name}/live.ipynb") == pid
    first, *others = Looks.of(page)
    first.assert_that_line_and_buttons_stay("kernel")
    assert [one.shrunk for one in (first, *others)] == [[]] * 6
    assert any("· 1 restart" in line for line in first.lines)  # it was looked at between
    page.page.close()


CRASHES = """
import sys, time
sys.path.insert(0, 'src')
import a
print('value', a.V, flush=True)
time.sleep(0.1)
1 / 0
"""


def test_a_script_that_crashes_while_the_kernel_restarts_for_the_same_save_keeps_its_place(open_page, server, site):
    folder = make_folder(server, "both", site)
    (folder / "main.py").write_text(CRASHES)
    page = open_page(folder, "%load_ext ipy_autorestart\n%watch_restart src/", "%watch_restart src/ main.py")
    live = Live(page, folder)
    page.run_all()
    page.wait(1, "crashed")
    page.wait(0, "running")
    page.until_idle()
    page.page.evaluate(LOOK_ON)
    for _ in range(3):
        live.save()
        page.wait(0, f"running · {live.saves} restart")
        page.wait(1, rf"crashed after .* run {live.value}\b[\s\S]*value {live.value}\b[\s\S]*ZeroDivisionError")
    kernel, script = Looks.of(page)
    kernel.assert_that_line_and_buttons_stay("kernel")
    script.assert_that_line_and_buttons_stay("main.py")
    assert (kernel.shrunk, script.shrunk) == ([], [])
    page.page.get_by_role("button", name="Restart main.py now", exact=True).click()
    page.wait(1, "asked by hand")
    page.page.close()


#: A checkpoint is worth its price after this cell, whatever the machine takes for it.
LOAD = f"""\
import time
from ipy_autorestart.kernel import checkpoint_policy
checkpoint_policy.is_worth = lambda work, cost: work >= 0.3
{PATIENT}
time.sleep(0.31)
print('loaded at', time.time())"""


def test_what_was_loaded_stays_as_it_is_when_what_uses_it_is_new(open_page, server, site):
    folder = make_folder(server, "kept", site)
    page = open_page(folder, WATCH, LOAD, IMPORT, LAST)
    live = Live(page, folder)
    page.run_all()
    page.wait(3, "last 1")
    page.wait(0, "running")
    live.save()  # by which the kernel is behind its proxy, if it hasn't been yet
    page.wait(0, "rerun .* 1 restart")
    loaded, prompts = "", []

    def is_kept():  # not before there is a checkpoint: it is made when there is time
        nonlocal loaded, prompts
        page.wait(3, f"^last {live.value}$")
        page.until_idle()
        loaded, prompts = page.text(1), page.prompts()
        assert "loaded at" in loaded
        live.save()
        page.wait(0, f"rerun .* {live.saves} restarts")
        return re.search("back to cell 2 in .*, saved .*2 cells rerun", page.text(0))

    eventually(is_kept)
    page.wait(2, f"^value {live.value}$")
    page.wait(3, f"^last {live.value}$")
    page.until_idle()
    assert (page.text(1), page.prompts()) == (loaded, prompts)
    assert prompts == ["[1]:", "[2]:", "[3]:", "[4]:"]
    assert page.dialogs == []
    page.page.close()


def test_an_error_is_shown_in_its_cell_and_mended(live):
    page, last = live.page, live.value
    for zero in (0, 0.0):
        live.save(zero)
        page.wait(0, f"stopped at cell 4: ZeroDivisionError · cell 5 shows old output · {live.saves} restart")
        page.wait(3, "ZeroDivisionError")
        page.wait(4, f"^last {last}\\s+out of date: this cell has not run since the files changed$")
    live.save(4)
    page.wait(4, "^last 4\\s*$")
    assert page.text(3).strip().endswith("0.25")
    assert "Error" not in page.text(3)
    assert page.dialogs == []


def test_an_edit_that_is_under_way_stays(live):
    page = live.page
    editor = page.cell(2).locator(".cm-content")
    editor.click()
    page.page.keyboard.press("Control+End")
    page.page.keyboard.type(" # half", delay=5)
    live.save()
    page.wait(1, f"value {live.value}")
    page.page.keyboard.type(" typed", delay=5)
    eventually(lambda: editor.inner_text().endswith("# half typed"), what=editor.inner_text)
    live.until_new()
    page.wait(0, "4 cells rerun")
    assert page.dialogs == []


def test_two_tabs_on_one_kernel(live, open_page):
    first = live.page
    first.save_document(live.folder / "live.ipynb", f"value {live.value}")
    second = open_page(live.folder)
    live.save()
    live.until_new()
    for page in (first, second):
        page.until_idle()
        assert page.dialogs == []
    second.cell(2).click()
    second.execute("notebook:run-cell")
    second.wait(2, "pid")
    live.save()
    live.until_new()
    second.until_idle()
    assert second.dialogs == []
    second.page.close()


def test_what_was_last_shown_is_saved_and_a_reloaded_page_goes_on(live):
    page = live.page
    live.save()
    live.until_new()
    page.save_document(live.folder / "live.ipynb", f"value {live.value}")
    page.page.reload()
    page.settle()
    assert page.text(1).strip() == f"value {live.value}"
    page.run_all()
    page.wait(0, "running")
    page.wait(1, f"value {live.value}")
    live.save()
    page.wait(1, f"value {live.value}")
    assert page.dialogs == []


STREAMS = """
import sys, time
sys.path.insert(0, 'src')
import a
for number in range(4):
    print('script', a.V, number, flush=True)
    time.sleep(0.3)
"""

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


@pytest.fixture(scope="module")
def scripts(open_page, server, site):
    """A notebook with two scripts, and between them a cell that runs until there is a file, ``enough``."""
    folder = make_folder(server, "scripts", site)
    (folder / "main.py").write_text(STREAMS)
    (folder / "bars.py").write_text(BARS)
    page = open_page(
        folder,
        "%load_ext ipy_autorestart\n%watch_restart src/ main.py",
        "import itertools, os, time\nfor number in itertools.count():\n    print('cell', number)\n    time.sleep(0.2)\n"
        "    if os.path.exists('enough'): break\nprint('end')",
        "%watch_restart bars.py",
    )
    page.run_all()
    return Live(page, folder)


def test_a_scripts_output_streams_into_its_cell_while_another_runs(scripts):
    page = scripts.page
    page.wait(1, "cell 1")
    page.wait(0, "script 1 3")
    assert "end" not in page.text(1)
    scripts.save()
    page.wait(0, "script 2 3")
    assert "script 1" not in page.text(0)
    assert "end" not in page.text(1)
    (scripts.folder / "enough").touch()
    page.wait(1, "end")
    assert "script" not in page.text(1)
    assert page.dialogs == []


def test_a_script_shows_pictures_and_bars_below_each_other(scripts):
    page = scripts.page
    (scripts.folder / "enough").touch()
    page.wait(2, "finished")
    page.wait(2, "done")
    picture(page, 2)
    below = page.text(2).partition("Pause bars.py")[2].splitlines()
    lines = [line.split()[0] for line in below if line.strip()]
    assert lines == ["left", "right", "done"]
    assert page.text(2).count("100%") == 2
