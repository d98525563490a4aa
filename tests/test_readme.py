"""The README and the notebooks say what the code does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from play import play

from ipy_autorestart import Script
from ipy_autorestart.options import each

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_options_table_is_the_options():
    rows = re.findall(r"^\| `(--\S+) ?(\S*)` \| (.*?) ?\| (.*) \|$", README, re.MULTILINE)
    assert rows == [(option.flag, option.metavar, default(option), option.help) for option in (*each(), *each(Script))]


def default(option):
    return "" if option.many or option.switch or option.default == "" else str(option.default)


def test_the_readme_is_short_and_its_files_exist():
    assert len(README.splitlines()) < 150
    for path in re.findall(r"`((?:tests|notebooks|decide|kernel)/[\w./]+)", README):
        assert (ROOT / path).exists() or (ROOT / "ipy_autorestart" / path).exists(), path
    for path in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / path).exists(), path


@pytest.mark.e2e
def test_the_quick_start_notebook_shows_both_modes(start_kernel):
    with start_kernel() as player:
        cells = play(ROOT / "notebooks/quickstart.ipynb", player)
        pid = player.pid
    assert [cell.error for cell in cells if cell.error] == []
    shown = {source.id: cell.text for source, cell in zip(sources(), cells, strict=True)}
    assert "main.py says: mended" in shown["watch-script"]
    assert re.search(r"main.py +src/ +(running|finished).* 4 +src/greeting.py changed", shown["status"])
    assert shown["state"] == f"('mended', {pid})"
    assert "1 restart" in shown["watch-kernel"]
    assert shown["after"] == f"('hello from a fresh kernel', {pid}, False)"
    assert re.search(r"kernel +src/ +running +1 +src/greeting.py changed", shown["status-2"])


@pytest.mark.e2e
def test_the_live_notebook_shows_what_is_new_in_its_cells(start_kernel):
    with start_kernel() as player:
        cells = play(ROOT / "notebooks/live_notebook.ipynb", player)
    shown = {source.id: cell for source, cell in zip(sources("live_notebook"), cells, strict=True)}
    assert [name for name, cell in shown.items() if cell.error] == []
    assert shown["import"].text == "curve(3) is 27\n"
    assert "<td>5</td><td>125</td>" in shown["table"].outputs[0]["data"]["text/html"]
    assert "200,25" in shown["picture"].outputs[0]["data"]["image/svg+xml"]
    assert "3 restarts" in shown["watch"].text


@pytest.mark.e2e
def test_the_notebook_about_programs_outside_shows_both(start_kernel):
    with start_kernel() as player:
        cells = play(ROOT / "notebooks/outside.ipynb", player)
    shown = {source.id: cell for source, cell in zip(sources("outside"), cells, strict=True)}
    assert [name for name, cell in shown.items() if cell.error] == []
    everything = "".join(cell.streams() for cell in cells)
    assert re.findall("says: (.*)", everything) == ["hello", "hello, you"]
    assert re.search("running · src/greeting.py changed · new code in", everything)
    assert shown["end-1"].text.strip().splitlines()[-1] == "0"
    served = re.findall(r"process (\d+) at (\d+) serves", everything)
    assert len(served) == 2
    assert served[0] == served[1]


@pytest.mark.e2e
def test_the_program_of_the_readme_restarts_itself_and_keeps_its_socket(tmp_path, monkeypatch):
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("V = 1\n")
    example = example.replace("8000", "0")  # a port that is free
    tail = "import os, sys, time\nsys.path.insert(0, 'src')\nimport a\n"
    tail += "print(a.V, os.getpid(), server.getsockname()[1], flush=True)\ntime.sleep(60)\n"
    (tmp_path / "main.py").write_text(example + tail)
    environment = {**os.environ, "IPY_AUTORESTART": "1"}
    with subprocess.Popen(
        [sys.executable, "main.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        first = process.stdout.readline().split()
        (tmp_path / "src/a.py").write_text("V = 2\n")
        second = process.stdout.readline().split()
        process.terminate()
    assert (first[0], second[0]) == ("1", "2")
    assert first[1:] == second[1:]


def sources(name="quickstart"):
    notebook = nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
