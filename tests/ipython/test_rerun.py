"""Which cells are run again."""

import pytest

from ipy_autorestart.ipython.policy import (
    Cell,
    Ledger,
    Rerun,
    chosen,
    from_plain,
    has_content,
    inert,
    lasted,
    mark,
    outcome,
    progress,
    ran,
    stopped,
    to_plain,
    without,
)


def cell(key, number, code="x", seconds=0.1):
    return Cell(key, number, code, {"msg_id": f"m{number}"}, {"cellId": key}, seconds)


def ledger(*cells):
    made = Ledger()
    for one in cells:
        made = ran(made, one, failed=False)
    return made


def numbers(cells):
    return [one.number for one in cells]


def test_each_cell_in_its_last_version_in_the_order_of_last_runs():
    made = ledger(cell("a", 1), cell("b", 2), cell("a", 3, "y"))
    assert [(one.key, one.number, one.code) for one in chosen(made, Rerun.ALL)] == [("b", 2, "x"), ("a", 3, "y")]


def test_what_failed_is_run_again_only_while_nothing_followed():
    made = ran(ledger(cell("a", 1), cell("b", 2)), cell("a", 3, "wrong"), failed=True)
    assert numbers(chosen(made, Rerun.ALL)) == [2, 3]
    made = ran(made, cell("c", 4), failed=False)
    assert numbers(chosen(made, Rerun.ALL)) == [1, 2, 4]  # `a` in the version that came to its end
    assert made.last_number == 4


def test_what_was_deleted_is_forgotten():
    made = ran(ledger(cell("a", 1), cell("b", 2)), cell("c", 3), failed=True)
    assert without(made, {"a", "c"}) == ledger(cell("b", 2))


def test_marks():
    made = ledger(cell("a", 1, "#| rerun: true\nx"), cell("b", 2, "x\n#|rerun:False"), cell("c", 3))
    assert numbers(chosen(made, Rerun.ALL)) == [1, 3]
    assert numbers(chosen(made, Rerun.MARKED)) == [1]
    assert numbers(chosen(made, Rerun.NONE)) == []
    assert mark("# rerun: true\n'#| rerun: false'", default=False) is False


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("%load_ext ipy_autorestart\n%watch_restart src/ --rerun all", False),
        ("load_ext ipy_autorestart  # here", False),
        ("%unwatch\n# done", False),
        ("%watch_status", False),
        ("%load_ext autoreload", True),
        ("%load_ext ipy_autorestart_other", True),
        ("unwatch = 3", True),
        ("import app\n%watch_restart src/", True),
    ],
)
def test_own_magics_are_not_run_again(code, left):
    made = ledger(cell("a", 1, code))
    assert bool(chosen(made, Rerun.ALL)) == left
    assert has_content(inert(code)) == left
    assert "watch_restart" not in inert(code)


def test_lines_stay_where_they_are_and_blocks_stay_whole():
    code = "if x:\n    %watch_restart src/ main.py\nprint(x)"
    assert inert(code) == "if x:\n    pass\nprint(x)"


def test_there_and_back_as_plain_data():
    made = ran(ledger(cell("a", 1), cell("b", 2)), cell("c", 3), failed=True)
    assert from_plain(to_plain(made)) == made
    assert from_plain(to_plain(Ledger())) == Ledger()


def test_how_long_it_took_again_is_known():
    assert lasted(ledger(cell("a", 1), cell("b", 2)), "b", 5.0).cells[1].seconds == 5.0


def test_words():
    first, second = cell("a", 7, seconds=2.1), cell("b", 9)
    assert progress(3, 12) == "running again: cell 3 of 12"
    assert outcome([], Ledger(), seconds=0) == "no cell to run again"
    assert outcome([second], ledger(second), seconds=0.1) == "1 cell run again in 100 ms"
    assert (
        outcome([first, second], ledger(first, second), seconds=2.2) == "2 cells run again in 2.2 s, of it cell 7 2.1 s"
    )
    slow = [cell(f"c{number}", number, seconds=number) for number in (2, 5, 3, 4)]
    assert (
        outcome(slow, ledger(*slow), seconds=14)
        == "4 cells run again in 14.0 s, of it cell 5 5.0 s, cell 4 4.0 s, cell 3 3.0 s"
    )
    assert stopped(first, NameError(), [second]) == "NameError in cell 7; not run again: cell 9"
    assert stopped(first, NameError(), [second, first]) == "NameError in cell 7; not run again: cells 9, 7"
    assert stopped(None, KeyboardInterrupt(), []) == "interrupted"
