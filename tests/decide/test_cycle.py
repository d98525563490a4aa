"""Where a target stands, as it is reported."""

import pytest

from ipy_autorestart.decide.backoff import STARTS, Loop
from ipy_autorestart.decide.change import Broken, Change, Found, Kind
from ipy_autorestart.decide.cycle import Closed, Cycle, Ended, LastRun, Pending, Running, Starting, Stopping
from ipy_autorestart.decide.facts import Cause, Reason, State
from ipy_autorestart.decide.timing import KERNEL

FIRST, ASKED = Cause(Reason.FIRST), Cause(Reason.ASKED)
STOPPING, STARTING = Stopping(ASKED, 1.0), Starting(ASKED)
BROKEN = Found(broken=(Broken("/p/a.py", "invalid syntax", 3),))


@pytest.mark.parametrize(
    ("cycle", "state"),
    [
        (Cycle(phase=Running()), State.RUNNING),
        (Cycle(phase=Running(), pending=Pending()), State.RUNNING),
        (Cycle(phase=Running(), pending=Pending(), manner=KERNEL), State.WAITING),
        (Cycle(phase=STOPPING), State.STOPPING),
        (Cycle(phase=STOPPING, manner=KERNEL), State.WAITING),
        (Cycle(phase=STARTING), State.STARTING),
        (Cycle(phase=STARTING, run=LastRun(1)), State.RESTARTING),
        (Cycle(phase=STARTING, manner=KERNEL), State.RESTARTING),
        (Cycle(), State.IDLE),
        (Cycle(run=LastRun(1, exit_status=0)), State.FINISHED),
        (Cycle(run=LastRun(1, exit_status=-11)), State.CRASHED),
        (Cycle(phase=Running(), paused=True), State.PAUSED),
        (Cycle(phase=Ended(), paused=True, found=BROKEN), State.PAUSED),
        (Cycle(phase=Running(), found=BROKEN), State.BROKEN),
        (Cycle(phase=Ended(refusal="no python"), found=BROKEN), State.IDLE),
        (Cycle(phase=Closed(), paused=True), State.ENDED),
    ],
)
def test_each_cycle_has_a_state(cycle, state):
    assert cycle.state is state


def test_the_cause_is_that_of_the_start_under_way_else_of_the_last_one():
    run = LastRun(1, FIRST)
    assert Cycle(phase=STOPPING, run=run).cause is ASKED
    assert Cycle(phase=STARTING, run=run).cause is ASKED
    assert Cycle(phase=Running(), run=run).cause is FIRST


def test_a_fresh_start_is_hidden_and_so_is_a_stop_that_has_just_begun():
    assert Cycle(phase=Ended(), run=LastRun(fresh=True)).hidden
    assert Cycle(phase=STOPPING, shown_at=2.0).hidden
    assert not Cycle(phase=STOPPING).hidden
    assert not Cycle(phase=Running(), shown_at=2.0).hidden
    assert not Cycle(phase=Closed(), run=LastRun(fresh=True)).hidden


def test_files_loop_only_while_their_start_is_put_off():
    loop = Loop({"/p/b": STARTS, "/p/a": STARTS, "/p/c": STARTS - 1}, until=9.0)
    found = Found((Change("/p/a", Kind.MODIFIED),))
    assert Cycle(loop=loop, run=LastRun(since=8.0), found=found).looping == ("/p/a", "/p/b")
    assert Cycle(loop=loop, run=LastRun(since=9.0), found=found).looping == ()
    assert Cycle(loop=loop, run=LastRun(since=8.0)).looping == ()


def test_what_is_left_and_what_is_waited_for_are_known_in_their_phases_only():
    assert Cycle(phase=Ended(left=True)).left
    assert Cycle(phase=Stopping(ASKED, 1.0, left=True)).left
    assert not Cycle(phase=Running()).left
    assert Cycle(phase=Stopping(ASKED, 1.0, "cell 7")).waits_for == "cell 7"
    assert Cycle(phase=Running(), pending=Pending(waits_for="cell 7")).waits_for == "cell 7"
    assert Cycle(phase=Running(), found=Found((Change("/p/a", Kind.ADDED),))).waits_for == ""
