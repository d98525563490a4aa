"""What a front is sent, and how often."""

import time

import pytest
from fakes import FakeLink, FakeTarget

from ipy_autorestart.decide.change import Broken, Change, Found, Hint, Kind, Progress
from ipy_autorestart.decide.cycle import Cycle, Ended, LastRun, Running, Starting, Stopping
from ipy_autorestart.decide.events import Exited, Failed, Hangup, Started
from ipy_autorestart.decide.facts import Cause, Reason, State
from ipy_autorestart.decide.timing import KERNEL
from ipy_autorestart.engine.reporter import RERUN_TOLD, UPDATES, WITHIN, Reporter
from ipy_autorestart.protocol.messages import Decided, Files, Ran, Reran, Status

CHANGES = tuple(Change(f"/p/src/{name}.py", Kind.MODIFIED) for name in "abcde")
CHANGED = Cause(Reason.CHANGE, CHANGES)
NAMED = Files(("src/a.py", "src/b.py", "src/c.py"), more=2)


@pytest.fixture
def link():
    link = FakeLink()
    yield link
    link.close()


def ran(link):
    return [record for record in link.sent if isinstance(record, Ran)]


@pytest.fixture
def reporter(link):
    return Reporter(link, FakeTarget(), 0, "/p")


@pytest.fixture
def reported(link, reporter):
    """The status that a cycle is reported by."""

    def reported(cycle, now=0.0):
        reporter.report(cycle, now)
        return link.statuses[-1]

    return reported


def test_the_first_files_are_named_as_seen_from_the_folder_and_the_others_counted(reported):
    status = reported(Cycle(phase=Running(), run=LastRun(1, CHANGED, 0.0), found=Found(unused=CHANGES)))
    assert status.cause == Cause(Reason.CHANGE, tuple(Change(path, Kind.MODIFIED) for path in NAMED.paths), more=2)
    assert status.unused == NAMED


@pytest.mark.parametrize(
    ("cycle", "facts"),
    [
        (Cycle(phase=Running(), found=Found(CHANGES), paused=True), {"held": NAMED, "paused": True}),
        (Cycle(phase=Running(), found=Found(CHANGES)), {"held": None}),
        (Cycle(found=Found(alike=("/q/a.py",))), {"alike": Files(("/q/a.py",))}),
        (Cycle(found=Found(CHANGES, alike=("/q/a.py",))), {"alike": None}),
        (Cycle(found=Found(written=("/p/log",))), {"written": Files(("log",))}),
        (
            Cycle(phase=Running(), found=Found(broken=(Broken("/p/a.py", "invalid syntax", 3),))),
            {"broken": Broken("a.py", "invalid syntax", 3), "state": State.BROKEN},
        ),
        (Cycle(phase=Ended(refusal="no python")), {"error": "no python", "state": State.IDLE}),
        (Cycle(phase=Ended(left=True), run=LastRun(1, exit_status=0)), {"left": True, "state": State.FINISHED}),
        (Cycle(phase=Ended(respawn_at=9.0), pause=0.2), {"runs_again_in": 0.2}),
        (Cycle(found=Found(notes=("a limit",), polling=True)), {"notes": ("a limit",), "polling": True}),
    ],
)
def test_each_fact_of_a_cycle_is_reported(reported, cycle, facts):
    status = reported(cycle)
    assert {name: getattr(status, name) for name in facts} == facts


def test_nothing_is_sent_twice(link, reporter):
    cycle = Cycle(phase=Running(), run=LastRun(1, since=0.0))
    for now in (0.0, 0.5, 0.9):
        reporter.report(cycle, now)
    assert len(link.sent) == 1


def test_that_a_run_goes_on_is_reported_less_and_less_often(link, reporter):
    cycle, now = Cycle(phase=Running(), run=LastRun(1, since=0.0)), 0.0
    while now < 100:
        reporter.report(cycle, now)
        now = reporter.due_at(cycle, now)
    seconds = [status.running_for for status in link.statuses]
    assert seconds[:5] == [0, 1, 2, 3, 4]
    assert seconds[-3:] == [70, 80, 90]


def test_of_many_updates_the_newest_is_sent_when_there_is_room_again(link, reporter):
    for number in range(2 * UPDATES):
        reporter.report(Cycle(run=LastRun(number, exit_status=0)), number / 1000)
    assert len(link.statuses) == UPDATES
    last = Cycle(run=LastRun(2 * UPDATES - 1, exit_status=0))
    assert reporter.due_at(last, 0.1) == WITHIN
    reporter.report(last, WITHIN)
    assert link.statuses[-1].runs == 2 * UPDATES - 1
    assert reporter.due_at(last, WITHIN) is None


def test_at_the_end_all_is_sent(link, reporter):
    for number in range(2 * UPDATES):
        reporter.report(Cycle(run=LastRun(number, exit_status=0)), 0.0)
    reporter.report(Cycle(), 0.0, last=True)
    assert link.statuses[-1].state is State.IDLE


def test_a_run_is_reported_when_it_starts_and_when_it_has_ended(link, reporter):
    starting = Cycle(phase=Starting(CHANGED, 1.0))
    running = Cycle(phase=Running(), run=LastRun(1, CHANGED, 2.0, took=1.0))
    ended = Cycle(run=LastRun(1, CHANGED, 2.0, took=1.0, exit_status=3, lasted=4.0))
    reporter._target.begun_at = 2.0
    reporter.note(starting, Started(), running, ())
    reporter.report(running, 2.0)
    reporter.note(running, Exited(3), ended, ())
    reporter.report(ended, 6.0)
    first, last = [record for record in link.sent if isinstance(record, Ran)]
    assert (first.run, first.took, first.lasted, first.exit_status) == (1, 1.0, None, None)
    assert (last.run, last.took, last.lasted, last.exit_status, last.stopped) == (1, 1.0, 4.0, 3, False)


@pytest.mark.parametrize(("status", "stopped"), [(-15, True), (0, False)])
def test_a_run_that_a_restart_has_ended_is_reported_as_stopped(link, reporter, status, stopped):
    running = Cycle(phase=Running(), run=LastRun(1, CHANGED, 2.0, took=1.0))
    reporter.note(Cycle(phase=Starting(CHANGED, 1.0)), Started(), running, ())
    stopping = running._replace(phase=Stopping(CHANGED, 3.0))
    reporter.note(stopping, Exited(status), running._replace(phase=Starting(CHANGED, 3.0)), ())
    reporter.report(running, 3.0)
    assert [record.stopped for record in link.sent if isinstance(record, Ran)] == [stopped]


def test_a_kernel_that_has_died_has_lasted_until_another_goes_on(link):
    reporter = Reporter(link, None, 7, "/p")
    running = Cycle(manner=KERNEL, phase=Running(), run=LastRun(1, CHANGED, 2.0))
    reporter.note(Cycle(manner=KERNEL, phase=Starting(CHANGED)), Started(), running, ())
    after = running._replace(run=LastRun(2, Cause(Reason.ENDED), 6.0))
    reporter.note(running, Started(), after, ())
    reporter.report(after, 6.0)
    assert [(record.run, record.lasted, record.cause.reason) for record in ran(link)] == [
        (1, 4.0, Reason.CHANGE),
        (2, None, Reason.ENDED),
    ]
    assert [record.why for record in link.sent if isinstance(record, Decided)][-1] == "the kernel had died: start 2"


def test_decisions_are_reported_each_once_and_hints_are_none(link, reporter):
    cycle = Cycle(phase=Running())
    for _ in range(2):
        reporter.note(cycle, Hangup(), cycle, ())
        reporter.note(cycle, Hint("/p/a.py", Progress.DONE), cycle, ())
    reporter.note_ignored("/p/a.txt", "is no Python source")
    reporter.report(cycle, 0.0)
    why = [record.why for record in link.sent if isinstance(record, Decided)]
    assert sorted(why) == ["SIGHUP from elsewhere: restart", "a.txt: is no Python source"]


def test_a_run_is_announced_by_the_number_that_it_will_have(link, reporter):
    reporter.announce(Cycle(phase=Starting(CHANGED), run=LastRun(3)))
    reporter.announce(Cycle(phase=Starting(CHANGED), run=LastRun(3, fresh=True)))
    assert [(status.state, status.runs) for status in link.statuses] == [(State.RUNNING, 4), (State.RUNNING, 3)]


def test_a_kernel_is_reported_with_its_process_and_the_cells_it_runs_again(link):
    reporter = Reporter(link, None, 77, "/p")
    cycle = Cycle(phase=Running(), manner=KERNEL, run=LastRun(1, since=0.0))
    reporter.report(cycle, 9.0)
    assert link.statuses[-1] == Status(State.RUNNING, runs=1, pid=77)
    assert reporter.due_at(cycle, 9.0) is None
    reporter.note_rerun(Reran("cell 1 of 2", goes_on=True))
    now = time.monotonic() + RERUN_TOLD
    reporter.report(cycle, now)
    assert (link.statuses[-1].rerun, link.statuses[-1].rerun_for) == ("cell 1 of 2", 0)
    assert reporter.due_at(cycle, now) is not None
    reporter.note(cycle, Exited(), cycle, ())
    reporter.report(cycle, now)
    assert link.statuses[-1].rerun == ""


def test_cells_that_run_again_quickly_are_told_of_once(link):
    reporter = Reporter(link, None, 77, "/p")
    cycle = Cycle(phase=Running(), manner=KERNEL, run=LastRun(1, since=0.0))
    began = time.monotonic()
    for place in ("", "cell 1 of 2", "cell 2 of 2"):
        reporter.note_rerun(Reran(place, goes_on=True))
        reporter.report(cycle, time.monotonic())
    assert link.statuses == []
    assert began + RERUN_TOLD <= reporter.due_at(cycle, began) <= time.monotonic() + RERUN_TOLD
    reporter.note_rerun(Reran("2 cells rerun in 3 ms"))
    reporter.report(cycle, time.monotonic())
    assert [status.rerun for status in link.statuses] == ["2 cells rerun in 3 ms"]


def test_how_soon_the_new_code_ran_is_told_when_its_first_line_is_known(link, reporter):
    cycle = Cycle(phase=Running(), run=LastRun(2, CHANGED, since=10.0, took=0.5))
    reporter.note(Cycle(phase=Starting(CHANGED)), Started(), cycle, ())
    reporter.report(cycle, 10.0)
    assert (link.statuses[-1].took, ran(link)[-1].took) == (None, None)
    reporter._target.begun_at = 10.25
    reporter.report(cycle, 10.3)
    assert (link.statuses[-1].took, ran(link)[-1].took) == (0.75, 0.75)
    reporter._target.begun_at = 9.0
    reporter.report(cycle, 10.4)
    assert link.statuses[-1].took == 0.0, "the clocks of two processes may differ"


def test_code_that_fails_is_a_run_that_has_crashed(link):
    reporter = Reporter(link, None, 7, "/p")
    cycle = Cycle(manner=KERNEL, phase=Running("NameError"), run=LastRun(1, CHANGED, since=10.0, exit_status=1))
    reporter.note(Cycle(manner=KERNEL, phase=Starting(CHANGED)), Failed("NameError"), cycle, ())
    reporter.report(cycle, 10.0)
    assert (link.statuses[-1].state, link.statuses[-1].error) == (State.CRASHED, "NameError")
    assert (ran(link)[-1].run, ran(link)[-1].exit_status) == (1, 1)


def test_what_a_restart_does_is_told_until_the_first(link):
    reporter = Reporter(link, None, 7, "/p", first="a restart empties the memory")
    told = []
    for cycle in (
        Cycle(manner=KERNEL, phase=Running()),
        Cycle(manner=KERNEL, phase=Running(), run=LastRun(1, since=1.0)),
    ):
        reporter.report(cycle, 0.0)
        told.append(link.statuses[-1].notes)
    assert told == [("a restart empties the memory",), ()]
