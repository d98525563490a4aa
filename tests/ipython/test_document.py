"""The saved notebook of a kernel."""

import json

import pytest

from ipy_autorestart.ipython.document import PATH, Document, saved_document


@pytest.fixture
def save(tmp_path, monkeypatch):
    path = tmp_path / "live.ipynb"
    monkeypatch.setenv(PATH, str(path))

    def save(text):
        path.write_text(text)
        return path.stat().st_mtime_ns

    return save


def test_a_notebook_is_known_by_the_ids_of_its_cells(save):
    at = save(json.dumps({"cells": [{"id": "a", "cell_type": "code"}, {"id": "b", "cell_type": "markdown"}]}))
    assert saved_document() == Document(("a", "b"), at)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"cells": [{"cell_type": "code"}]}', "# %% [markdown]", '{"cells": 3}', "[]"]
)
def test_what_is_no_notebook_or_has_no_ids_tells_nothing(save, text):
    save(text)
    assert saved_document() is None


def test_without_a_notebook_nothing_is_told(monkeypatch):
    monkeypatch.setenv(PATH, "/nope/live.ipynb")
    assert saved_document() is None
    monkeypatch.delenv(PATH)
    assert saved_document() is None
