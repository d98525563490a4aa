"""The notebook that shows a cluster, run as a person would."""

import json
from pathlib import Path

import pytest
from play import play

NOTEBOOK = Path(__file__).parents[2] / "notebooks/cluster.ipynb"


@pytest.mark.e2e
def test_the_notebook_shows_new_code_here_and_there(start_kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    said = []
    with start_kernel() as player:
        player.on_show = lambda _, text: said.append(text)
        cells = play(NOTEBOOK, player)
    ids = [cell["id"] for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    shown = dict(zip(ids, cells, strict=True))
    assert [name for name, cell in shown.items() if cell.error] == []
    assert "here 50, there [50, 50]" in shown["watch"].text
    assert any("2 of 2 workers on " in text for text in said)
    assert "main.py" in shown["status"].text
