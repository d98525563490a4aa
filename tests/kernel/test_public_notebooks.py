"""Tutorials of well-known libraries after a save: each cell is as in a fresh kernel, and what was loaded is kept."""

import importlib.util

import pytest
from patience import PATIENT
from tutorials import TUTORIALS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]  # large libraries are imported three times

#: Here each cell is worth a checkpoint.
EAGER = (
    "%load_ext ipy_autorestart\n"
    "from ipy_autorestart.kernel import checkpoint_policy\n"
    "checkpoint_policy.WORK_MIN = checkpoint_policy.WORK_PER_COST = 0\n"
) + PATIENT


def shown(cell):
    """Return all that a cell shows, with its number in the page."""
    fields = ("kind", "name", "text", "data", "execution_count", "ename", "evalue")
    return [{field: output[field] for field in fields if field in output} for output in cell.outputs]


@pytest.mark.parametrize("library", TUTORIALS)
def test_a_tutorial_is_new_after_a_save_and_what_it_loaded_is_kept(library, project, start_kernel):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    tutorial = TUTORIALS[library]
    project.save("src/helper.py", tutorial.helper.format(2))
    with start_kernel() as player:
        assert player.run(EAGER, cell_id="eager").error == ""
        watching = player.run("%watch_restart src/ --rerun all", cell_id="watch")
        player.wait(lambda: "running" in watching.text)
        cells = [player.run(code, cell_id=str(place)) for place, code in enumerate(tutorial.cells)]
        assert [cell.error for cell in cells if cell.error] == []
        before, anew = [shown(cell) for cell in cells], []
        player.on_show = lambda cell, _: anew.append(cell)
        project.save("src/helper.py", tutorial.helper.format(3))
        player.wait(lambda: "rerun in" in watching.text)
        after = [shown(cell) for cell in cells]
    with start_kernel() as fresh:
        for _ in (EAGER, watching):
            fresh.run("pass")  # for the counter
        assert after == [shown(fresh.run(code)) for code in tutorial.cells]
    assert after != before
    assert [cell.code for cell in cells[: tutorial.first_use] if cell in anew] == []
