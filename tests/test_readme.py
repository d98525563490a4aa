"""The README and the notebooks say what the code does."""

import re
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


def sources(name="quickstart"):
    notebook = nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
