"""Each decision in words."""

import pytest

from ipy_autorestart.decide.change import Broken, Change, Found, Hint, Kind, Progress, Unfinished
from ipy_autorestart.decide.cycle import Cycle
from ipy_autorestart.decide.describe import explain
from ipy_autorestart.decide.events import Asked, Begin, Exited, Hangup, Paused, Refused, Reread, Started, Tick, Waiting
from ipy_autorestart.decide.step import step
from ipy_autorestart.decide.timing import KERNEL, SCRIPT, Timing

TIMING = Timing(quiet=2, quiet_many=6, stop_timeout=50)
A, B, C, D = (Change(f"/p/src/{name}.py", Kind.MODIFIED) for name in "abcd")
SAVED = Hint(A.path, Progress.DONE)


def said(*timeline, manner=SCRIPT, timing=TIMING):
    """Return what the last event of a timeline was explained by."""
    cycle, words = Cycle(timing, manner), []
    for now, event in timeline:
        before = cycle
        cycle, actions = step(before, event, now)
        words = list(explain(before, event, cycle, actions, "/p"))
    return words


def test_a_change_and_what_it_leads_to_are_named():
    begun = ((0, Begin(runs=True)), (10, SAVED))
    assert said(*begun) == []
    assert said(*begun, (10, Found((A,)))) == ["src/a.py changed: restart"]
    burst = (A, B, C, D, Change("/q/e.py", Kind.ADDED), Change("/p/f.py", Kind.DELETED))
    assert said(*begun, (10, Found(burst))) == [
        "src/a.py, src/b.py, src/c.py and 1 more changed, /q/e.py added, f.py deleted (within 0 ms): restart"
    ]
    served = (*begun, (10, Found((A,))), (10, Hangup()), (10.5, Exited(-15)))
    assert said(*served) == ["ended with status -15"]
    assert said(*served, (11, Started())) == ["start 1, 1.0 s after its cause was noticed"]


def test_what_was_used_and_put_back_is_named():
    restart = "src/a.py was put back, but used while it was otherwise: restart"
    assert said((0, Begin(runs=True)), (10, Reread(7, (A,))), manner=KERNEL) == [restart]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Found(alike=(A.path,)), "src/a.py: the code does the same: no restart (--strict)"),
        (Found(unused=(A,)), "src/a.py: not used by the last run: no restart (--all)"),
        (Found(written=("/p/out.txt",)), "out.txt: written by the run itself: no restart"),
        (
            Found(broken=(Broken(A.path, "invalid syntax", 3),)),
            "src/a.py:3: invalid syntax: no restart until this is fixed",
        ),
        (
            Found((A,), unfinished=frozenset({Unfinished.BUILDING})),
            "src/a.py changed: looking again, because compiled code is missing or incomplete, as during a build",
        ),
        (
            Found((A,), unfinished=frozenset({Unfinished.GIT})),
            "src/a.py changed: looking again, because git holds its lock",
        ),
    ],
)
def test_what_is_no_reason_to_restart_is_said_once(found, words):
    begun = ((0, Begin(runs=True)), (10, SAVED), (10, found))
    assert said(*begun) == [words]
    if not found.changes:
        assert said(*begun, (20, SAVED), (20, found)) == []


def test_what_a_person_asks_for_is_said():
    begun = (0, Begin(runs=True))
    assert said(begun, (1, Asked())) == ["asked by hand: restart"]
    assert said(begun, (1, Asked()), (1, Hangup())) == []
    assert said(begun, (1, Hangup())) == ["SIGHUP from elsewhere: restart"]
    assert said((1, Hangup()), (1, Hangup())) == [
        "SIGHUP from elsewhere: one more restart will follow the one under way"
    ]
    paused = (begun, (1, Paused()), (10, SAVED))
    assert said(*paused[:2]) == ["paused by hand: changes wait"]
    assert said(*paused, (10, Found((A,)))) == ["src/a.py changed: waiting, because restarts are paused"]
    assert said(*paused, (20, Paused(on=False)), (20, Found((A,)))) == ["src/a.py changed: restart"]


def test_ends_and_refusals_are_said():
    begun = (0, Begin()), (0, Started())
    assert said(*begun, (3, Exited(1))) == ["ended with status 1 after 3.0 s"]
    left = (3, Exited(0, left=True))
    assert said(*begun, left) == ["ended with status 0 after 3.0 s; processes that it started keep running"]
    assert said(*begun, left, (4, Exited(0))) == []
    assert said(*begun, (1, Hangup()), (51, Tick())) == ["still running 50.0 s after the stop signal: killed"]
    assert said((0, Begin()), (1, Refused("no python", runs=False))) == ["can't restart: no python"]
    kernel = ((0, Begin(runs=True)), (1, Hangup()), (2, Waiting("cell 7")))
    assert said(*kernel, manner=KERNEL) == ["waiting for cell 7 before it restarts"]
    assert said(*kernel, (3, Waiting("cell 7")), manner=KERNEL) == []
    assert said(*kernel, (3, Exited()), manner=KERNEL) == ["replaced itself"]


def test_a_program_that_ends_is_said_to_run_again():
    timing = Timing(restart_on_exit=True)
    assert said((0, Begin()), (0, Started()), (3, Exited(0)), (4, Tick()), (4, Tick()), timing=timing)[-1:] == [
        "it ended by itself 100 ms ago: restart (--restart-on-exit)"
    ]
