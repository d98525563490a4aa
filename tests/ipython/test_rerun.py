"""Which cells are run again, in which order, where that stops, and what is told of it."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ipy_autorestart.ipython.ledger import (
    INTERRUPTED,
    STEPS,
    Cell,
    Choice,
    Course,
    Ledger,
    Left,
    Rerun,
    attributed,
    chosen,
    from_plain,
    gone_back,
    in_order,
    is_own,
    mark,
    marked_old,
    outcome,
    position,
    ran,
    ran_again,
    step_between,
    stopped,
    to_plain,
    went,
    went_back,
    went_on,
    without,
    without_deleted,
    without_unsaved,
)


def cell(key, number, code="x", seconds=0.1, error="", made=()):
    return Cell(key, number, code, {"msg_id": f"m{number}"}, {"cellId": key}, seconds, error, frozenset(made))


def ledger(*cells):
    made = Ledger()
    for one in cells:
        made = ran(made, one)
    return made


def numbers(cells):
    return [one.number for one in cells]


def played(*steps):
    """Return the ledger of executions ``"key: names it binds = names it uses"``; ``!`` behind the key: it fails."""
    made = Ledger()
    for number, step in enumerate(steps, 1):
        key, _, rest = step.partition(": ")
        bound, _, used = rest.partition("=")
        error = "NameError" if key.endswith("!") else ""
        one = cell(key.strip("!"), number, code=step.replace("!", ""), error=error, made=bound.split())
        made = ran(made, one, used=used.split())
    return made


def order(*steps):
    return "".join(one.key for one in in_order(played(*steps).cells))


@pytest.fixture(scope="module")
def shell():
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    for name in ("watch_restart", "unwatch", "watch_status"):
        shell.register_magic_function(lambda line: None, magic_name=name)
    return shell


def test_each_cell_runs_in_its_last_version():
    made = ledger(cell("a", 1), cell("b", 2), cell("a", 3, "y"))
    assert [(one.key, one.number, one.code) for one in chosen(gone_back(made), Rerun.ALL).cells] == [
        ("a", 3, "y"),
        ("b", 2, "x"),
    ]


def test_without_an_id_of_its_own_each_execution_is_a_cell():
    made = ledger(cell("", 1, "i += 1"), cell("", 2, "i += 1"), cell("", 3, "print(i)"))
    assert numbers(chosen(gone_back(made), Rerun.ALL).cells) == [1, 2, 3]


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (["A: a", "B: = a", "A: a"], "AB"),
        (["A: a", "B: = a", "C: y", "A: a = y"], "CAB"),  # a cell is put in above, and used
        (["B!: = a", "A: a", "B: = a"], "AB"),
        (["B!: ", "A: ", "B: "], "AB"),  # whatever it is that A does for B
        (["A: x", "B: = x", "C: x", "B: = x"], "ACB"),  # it used the later one
        (["A: x", "B: x = x", "C: x = x", "B: x = x"], "ABC"),
        (["A: df", "B: = df", "C: df = df", "B: = df"], "ACB"),
        (["A: ", "B: ", "A!: ", "A: "], "AB"),
        (["A!: math", "B: = math", "A!: math"], "AB"),
        (["A: x", "B: y = x", "A: x = y"], "AB"),  # each needs the other: no order is right
        (["D: d", "A: x", "B: y = x", "A: x = y", "C: = y d"], "DABC"),
        (["C: ", "A: x", "B: y = x", "A: x = y", "C: = y"], "ABC"),
        (["A: x", "B: = x", "A: = "], "AB"),  # what it made is gone
    ],
)
def test_what_a_cell_used_is_made_before_it(steps, found):
    assert order(*steps) == found


@pytest.mark.parametrize(
    ("steps", "page", "found"),
    [
        (["B: ", "C: ", "A: ", "B: "], "ABC", "ABC"),  # a setting is put in above
        (["B: x", "A: = x"], "AB", "BA"),
        (["A: x", "B: x = x", "C: x = x", "B: x = x"], "ABC", "ABC"),
        (["B: x = x", "A: x = x", "B: x = x"], "AB", "AB"),
        (["A: ", "C: ", "B: ", "D: "], "ABC", "ABDC"),  # D isn't saved yet: it stands behind B
        (["D: ", "B: ", "A: "], "ABC", "DAB"),
        (["B: ", "A: "], "XY", "BA"),
    ],
)
def test_cells_run_as_they_stand_on_the_page_if_that_can_be(steps, page, found):
    assert "".join(one.key for one in in_order(played(*steps).cells, page)) == found


def test_names_that_are_bound_to_the_same_objects_again_are_still_the_cells():
    made = ledger(cell("a", 1, "from os import *", made={"path"}), cell("a", 2, "from os import *"))
    assert made.cells[0].made == {"path"}
    assert ran(made, cell("b", 3), used={"path"}).cells[1].after == {"a"}


KEYS, NAMES = st.sampled_from("ABCDE"), st.frozensets(st.sampled_from("xyz"), max_size=2)


@given(st.lists(st.tuples(KEYS, st.booleans(), NAMES, NAMES), max_size=12))
def test_every_cell_runs_once_and_behind_those_it_waits_for_unless_these_wait_for_it(steps):
    made = Ledger()
    for number, (key, failed, bound, used) in enumerate(steps, 1):
        made = ran(made, cell(key, number, code=str(bound), error="E" * failed, made=bound), used=used)
    found = [one.key for one in in_order(made.cells)]
    by_place = [one.key for one in sorted(made.cells, key=lambda one: one.place)]
    assert sorted(found) == sorted(by_place)
    after = {one.key: one.after for one in made.cells}
    if not too_early(by_place, after):
        assert found == by_place
    for one, other in too_early(found, after):
        assert one in waits_for(other, after)


def too_early(keys, after):
    """Return the cells that come before one that they wait for, with that."""
    return [(one, other) for one, other in itertools.combinations(keys, 2) if other in after[one]]


def waits_for(key, after):
    found, new = set(), {key}
    while new := {other for each in new for other in after[each]} - found:
        found |= new
    return found


def test_what_failed_runs_again_in_its_place():
    made = ran(ledger(cell("a", 1), cell("b", 2, error="NameError"), cell("c", 3)), cell("a", 4, error="ValueError"))
    assert numbers(chosen(gone_back(made), Rerun.ALL).cells) == [4, 2, 3]
    assert made.last_number == 4


def test_what_was_deleted_is_forgotten():
    made = ledger(cell("a", 1), cell("b", 2), cell("c", 3, error="NameError"))
    assert [one.key for one in without(made, {"a", "c"}).cells] == ["b"]


def test_what_was_interrupted_is_left_out_for_it_may_have_no_end():
    choice = chosen(gone_back(ledger(cell("a", 1), cell("b", 2, error="KeyboardInterrupt"))), Rerun.ALL)
    assert (numbers(choice.cells), choice.left[0][0].number, choice.left[0][1]) == ([1], 2, "interrupted")


def test_marks():
    made = ledger(cell("a", 1, "#| rerun: true\nx"), cell("b", 2, "x\n#|rerun:False"), cell("c", 3))
    assert numbers(chosen(gone_back(made), Rerun.ALL).cells) == [1, 3]
    assert [(one.number, why) for one, why in chosen(gone_back(made), Rerun.ALL).left] == [(2, "rerun: false")]
    assert numbers(chosen(gone_back(made), Rerun.MARKED).cells) == [1]
    assert {why for _, why in chosen(gone_back(made), Rerun.MARKED).left} == {"not marked"}
    assert chosen(gone_back(made), Rerun.NONE) == Choice(())
    assert mark("# rerun: true\n'#| rerun: false'", default=False) is False


@pytest.mark.parametrize(
    ("code", "own"),
    [
        ("%load_ext ipy_autorestart\n%watch_restart src/ --rerun all", True),
        ("watch_restart src/ --rerun all", True),
        ("load_ext ipy_autorestart", True),
        ("get_ipython().run_line_magic('unwatch', '')", True),
        ("%unwatch\n# done", True),
        ("%watch_restart 'a b/' \"it's\".py", True),
        ("%watch_status", True),
        ("%load_ext autoreload", False),
        ("%load_ext ipy_autorestart_other", False),
        ("unwatch = 3", False),
        ("get_ipython().run_line_magic('unwatch', ''); print('')", False),
        ("import app\n%watch_restart src/", False),
        ("if x:\n    %watch_restart src/ main.py", False),
    ],
)
def test_a_cell_that_only_watches_is_told_from_one_that_does_more(shell, code, own):
    assert is_own(shell.transform_cell(code)) == own


def test_a_cell_that_only_watches_and_one_without_code_are_not_run_again():
    made = ledger(cell("a", 1)._replace(own=True), cell("b", 2, "# a note"), cell("c", 3))
    assert chosen(gone_back(made), Rerun.ALL) == Choice((gone_back(made).cells[2],))
    assert made.last_number == 3


def test_there_and_back_as_plain_data():
    made = marked_old(played("A: a b", "B: = a", "C!: "), [cell("B", 0)])
    assert from_plain(to_plain(made)) == made
    assert from_plain(json.loads(json.dumps(to_plain(made), default=sorted))) == made
    assert from_plain(to_plain(Ledger(unknown=3))) == Ledger(unknown=3)


@pytest.mark.parametrize(
    "later",
    [
        played("A: a", "B: b", "C: c", "D: d"),
        played("A: a", "B: b", "C: c", "B: b"),
        played("A: a", "B: b", "C: c")._replace(executions=7, unknown=1),
        played("A: a", "C: c"),
        played("C: c", "B: b", "A: a"),
        ran_again(played("A: a", "B: b", "C: c"), "B", 5.0, failed=False),
        marked_old(played("A: a", "B: b", "C: c"), [cell("A", 0)]),
        Ledger(),
    ],
)
def test_a_step_makes_a_later_ledger_of_one(later):
    before = played("A: a", "B: b", "C: c")
    step = step_between(before, later)
    assert went(before, step) == later
    steps = json.loads(json.dumps([to_plain(step), to_plain(step_between(later, later))], default=sorted))
    assert from_plain({**to_plain(before), STEPS: steps}) == later


def test_a_step_has_the_cells_that_have_run():
    before = played("A: a", "B: b", "C: c")
    after = ran(before, before.cells[1])
    assert [cell.key for cell in step_between(before, after).cells] == ["B"]


def test_how_a_cell_ran_again_is_known():
    made = marked_old(ledger(cell("a", 1), cell("b", 2, error="NameError")), [cell("b", 2)])
    assert made.cells[1].old
    failed = ran_again(made, "b", 5.0, failed=True).cells[1]
    assert (failed.seconds, failed.error, failed.settled, failed.old) == (5.0, "NameError", False, False)
    mended = ran_again(made, "b", 5.0, failed=False).cells[1]
    assert (mended.error, mended.settled) == ("", True)
    assert ran_again(made, "a", 5.0, failed=True).cells[0].error == ""  # it is to stop there the next time, too


# -- how it goes -------------------------------------------------------------------------------------------------------


def run(choice, *errors, interrupted=False):
    course = Course(choice)
    for error in errors:
        assert course.next
        course = went_on(course, error)
    return course._replace(interrupted=interrupted)


FIRST, SECOND, THIRD = cell("a", 1), cell("b", 2, error="AttributeError"), cell("c", 3)
CHOICE = Choice((FIRST, SECOND, THIRD))


def test_it_goes_on_over_an_error_that_a_cell_had_before():
    course = run(CHOICE, None, AttributeError())
    assert course.next == THIRD
    course = went_on(course, None)
    assert (course.next, course.failed, course.stale) == (None, None, [])


def test_what_is_deleted_meanwhile_does_not_run_again():
    choice = Choice((FIRST, SECOND, THIRD), (Left(cell("d", 4), INTERRUPTED), Left(cell("e", 5), INTERRUPTED)))
    course = without_deleted(run(choice, None), ledger(THIRD, cell("e", 5)))
    assert (course.done, course.behind) == ((FIRST,), (THIRD,))
    assert course.stale == [cell("e", 5), THIRD]


@pytest.mark.parametrize("errors", [[ValueError()], [None, ValueError()], [None, AttributeError(), ValueError()]])
def test_it_stops_where_a_cell_fails_that_did_not_or_not_so(errors):
    course = run(CHOICE, *errors)
    assert course.failed == CHOICE.cells[len(errors) - 1]
    assert course.next is None
    assert course.stale == list(CHOICE.cells[len(errors) :])


def test_it_stops_between_two_cells():
    course = run(CHOICE, None, interrupted=True)
    assert (course.next, course.failed, course.stale) == (None, None, [SECOND, THIRD])


def test_what_stays_old_against_the_persons_will_is_marked_once():
    left = Left(cell("d", 4), "interrupted"), Left(cell("e", 5), "rerun: false"), Left(cell("f", 6), "not marked")
    choice = Choice((FIRST, THIRD._replace(old=True)), left)
    assert run(choice, ValueError()).stale == [left[0].cell]


def told(course, seconds=0.1, known=None):
    return outcome(course, known or ledger(*course.choice.cells), seconds=seconds)


PAIR = Choice((cell("a", 7, seconds=2.1), cell("b", 9)))
HUNDRED = Choice(tuple(cell(f"c{number}", number) for number in range(10, 110)))


def test_words():
    first, second = cell("a", 7, seconds=2.1), cell("b", 9)
    both = Choice((first, second))
    assert position(run(both, None)) == "rerunning cell 9 (2 of 2)"
    assert position(run(Choice((first,)))) == "rerunning cell 7"
    assert told(Course(Choice(()))) == "no cell to rerun"
    assert told(run(Choice((second,)), None)) == "1 cell rerun in 100 ms"
    assert told(run(both, None, None), 2.2) == "2 cells rerun in 2.2 s (cell 7: 2.1 s)"
    slow = Choice(tuple(cell(f"c{number}", number, seconds=number) for number in (2, 5, 3, 4)))
    assert told(run(slow, *[None] * 4), 14) == "4 cells rerun in 14.0 s (cell 5: 5.0 s, cell 4: 4.0 s)"


@pytest.mark.parametrize(
    ("course", "why", "what"),
    [
        (run(PAIR, NameError()), "stopped at cell 7: NameError", "cell 9 shows old output"),
        (run(PAIR, KeyboardInterrupt()), "stopped at cell 7: interrupted", "cell 9 shows old output"),
        (run(PAIR, None, interrupted=True), "stopped before cell 9: interrupted", "cell 9 shows old output"),
        (run(PAIR, None, NameError()), "stopped at cell 9: NameError", ""),
        (run(HUNDRED, NameError()), "stopped at cell 10: NameError", "cells 11–109 show old output"),
        (run(PAIR, None, None), "", "2 cells rerun in 100 ms (cell 7: 2.1 s)"),
    ],
)
def test_a_rerun_that_stops_says_where_and_what_is_old(course, why, what):
    assert (stopped(course), told(course)) == (why, what)


def cells(*numbers, seconds=1.0):
    return [cell(f"c{number}", number, seconds=seconds) for number in numbers]


def test_words_for_what_is_kept():
    assert went_back(3, cells(1, 2, 3, seconds=10.4), 0.004) == "back to cell 3 in 4 ms, saved 31.2 s"
    assert went_back(3, cells(3), 0.004, died="was ended by SIGSEGV", left=cells(7, 4, 5, 9)) == (
        "the kernel was ended by SIGSEGV; back to cell 3 in 4 ms, saved 1.0 s · cells 4–5, 7, 9 are to be run again"
    )
    assert went_back(3, (), 0.004, left=cells(4)) == "back to cell 3 in 4 ms · cell 4 is to be run again"
    assert went_back(3, cells(1, 3), 1, asked=True, left=cells(*range(4, 8))) == (
        "back to cell 3 in 1.0 s, as asked; cells 4–7 are undone"
    )
    assert went_back(3, cells(3), 1, asked=True, left=cells(4)) == "back to cell 3 in 1.0 s, as asked; cell 4 is undone"


def test_many_cells_that_are_left_are_counted():
    assert "· cells 1, 3, 5, 7, 9 are" in went_back(0, (), 0.1, left=cells(*range(1, 10, 2)))
    assert "· 6 cells are" in went_back(0, (), 0.1, left=cells(*range(1, 12, 2)))


def test_what_does_nothing_is_not_worth_keeping_nor_running_again_nor_undoing():
    idle = [cell("a", 4)._replace(own=True), cell("b", 5, code="# later")]
    assert went_back(3, (), 0.004, left=idle) == went_back(3, idle, 0.004) == "back to cell 3 in 4 ms"
    assert went_back(3, (), 0.004, asked=True, left=idle) == "back to cell 3 in 4 ms, as asked"


def test_words_for_what_failed_before_and_what_is_left_out():
    left = Left(cell("d", 4), "interrupted"), Left(cell("e", 5), "rerun: false"), Left(cell("f", 6), "rerun: false")
    message = told(run(Choice((SECOND,), left), AttributeError()), known=Ledger(unknown=1))
    assert message == (
        "1 cell rerun in 100 ms · failed as before: cell 2 · left out: cell 4 (interrupted), what ran before %load_ext"
    )
    many = Choice((), tuple(Left(cell(str(number), number), "interrupted") for number in range(1, 13)))
    assert told(Course(many)).endswith("left out: cells 1–12 (interrupted)")


def test_a_cell_that_writes_what_is_watched_is_left_out_and_told():
    made = ledger(cell("a", 1), cell("b", 2), cell("c", 3)._replace(error="KeyboardInterrupt"))
    choice = chosen(gone_back(made), Rerun.ALL, {"b": "src/tool.py", "c": "src/other.py"})
    assert numbers(choice.cells) == [1]
    assert [(one.cell.number, one.why) for one in choice.left] == [(2, "writes src/tool.py"), (3, "interrupted")]
    assert "left out: cell 2 (writes src/tool.py)" in outcome(Course(choice, ("",)), made, seconds=0.1)


def test_what_changed_unheard_while_a_cell_ran_is_put_down_to_it():
    made = ledger(cell("a", 1)._replace(span=(10, 20), wrote=("/x",)), cell("b", 2)._replace(wrote=("/y",)))
    made = attributed(made, {"/early": 9, "/first": 10, "/x": 15, "/last": 20, "/late": 21})
    assert [one.wrote for one in made.cells] == [("/x", "/first", "/last"), ("/y",)]
    assert made.cells[0].span is None


def test_a_cell_that_wrote_when_it_ran_again_is_known_from_then_on():
    made = ran_again(ledger(cell("a", 1)), "a", 1.0, failed=False, wrote=("/x",), span=(1, 2)).cells[0]
    assert (made.wrote, made.span) == (("/x",), (1, 2))


def test_what_a_notebook_saved_later_does_not_have_was_deleted():
    made = ledger(*(cell(key, number)._replace(began_ns=number * 10**10) for number, key in enumerate("abc", 1)))
    assert [one.key for one in without_unsaved(made, {"b"}, 31 * 10**9).cells] == ["b", "c"]  # `c` ran afterwards
    assert without_unsaved(made, {"x"}, 10**12) == made  # another notebook
    unnamed = ledger(cell("", 1)._replace(metadata={}), cell("a", 2))
    assert without_unsaved(unnamed, {"a"}, 10**12) == unnamed


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_what_has_run_since_a_state_runs_again_when_that_state_is_back():
    then = ledger(cell("a", 1), cell("b", 2))
    now = ran(ran(then, cell("a", 3)), cell("c", 4))
    back = gone_back(now, then)
    assert [(one.key, one.last) for one in back.cells] == [("b", 2), ("a", 0), ("c", 0)]
    assert numbers(back.kept) == [2]
    assert numbers(chosen(back, Rerun.ALL).cells) == [3, 4]
    assert numbers(chosen(gone_back(now), Rerun.ALL).cells) == [3, 2, 4]


def test_a_cell_that_runs_again_is_kept_from_then_on_and_what_waits_is_not():
    then = ledger(cell("a", 1))
    back = gone_back(ran(ran(then, cell("b", 2)), cell("c", 3)), then)
    halfway = ran_again(back, "b", 0.1, failed=False)  # a checkpoint is made here
    assert [(one.key, one.last) for one in halfway.cells] == [("a", 1), ("b", 4), ("c", 0)]
    done = ran_again(halfway, "c", 0.1, failed=False)
    assert numbers(chosen(gone_back(done, halfway), Rerun.ALL).cells) == [3]
    assert numbers(chosen(gone_back(halfway, halfway), Rerun.ALL).cells) == [3]


def test_a_state_that_is_newer_than_what_was_told_of_it_counts():
    told = ledger(cell("a", 1))
    newer = ran(told, cell("b", 2))
    assert gone_back(told, newer) is newer
