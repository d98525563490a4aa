"""The step, with plain values and whole-number times."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipy_autorestart.decide.change import Broken, Change, Found, Hint, Kind, Progress, Unfinished
from ipy_autorestart.decide.cycle import Cycle, Ended, Running, Starting, Stopping
from ipy_autorestart.decide.events import (
    Ask,
    Asked,
    Begin,
    Close,
    Commit,
    Exited,
    Failed,
    Finish,
    Hangup,
    Inquire,
    Kill,
    Look,
    Paused,
    Preloaded,
    Preloading,
    Push,
    Pushed,
    PushFailed,
    Reached,
    Refused,
    Reread,
    Ship,
    Signal,
    Start,
    Started,
    Stop,
    Tick,
    Waiting,
)
from ipy_autorestart.decide.facts import Cause, Reason, State
from ipy_autorestart.decide.step import step, wake_at
from ipy_autorestart.decide.timing import KERNEL, SCRIPT, Timing

TIMING = Timing(quiet=2, lone=2, quiet_many=6, max_wait=100, writing=20, scan=1000, stop_timeout=50)
HURRY = replace(TIMING, quiet=4, lone=1)
A = Change("/p/a.py", Kind.MODIFIED)
B = Change("/p/b.py", Kind.MODIFIED)


def saved(path="/p/a.py"):
    return Hint(path, Progress.DONE)


def play(cycle, *timeline):
    """Feed (time, event) pairs; return the cycle and all actions."""
    actions = []
    for now, event in timeline:
        cycle, more = step(cycle, event, now)
        actions += more
    return cycle, actions


def running(manner=SCRIPT, timing=TIMING):
    return play(Cycle(timing, manner), (0, Begin(runs=True)))[0]


def test_a_script_starts_at_once_and_a_kernel_already_runs():
    cycle, actions = play(Cycle(timing=TIMING), (0, Begin()))
    assert actions == [Start(Cause(Reason.FIRST))]
    assert isinstance(cycle.phase, Starting)
    assert play(Cycle(TIMING, KERNEL), (0, Begin(runs=True)))[1] == []


def test_a_lone_save_is_looked_at_and_signalled_at_once():
    cycle, actions = play(running(), (10, saved()))
    assert actions == [Look()]
    cycle, actions = play(cycle, (10, Found((A,))))
    assert actions == [Signal()]


def test_a_kernel_waits_for_quiet():
    cycle, actions = play(running(KERNEL), (10, saved()))
    assert actions == []
    assert wake_at(cycle) == 12
    cycle, actions = play(cycle, (12, Tick()), (12, Found((A,))))
    assert actions == [Look(), Signal()]
    cycle, _ = play(cycle, (12, Hangup()))
    assert cycle.cause.waited == 2


def hinted(*timeline):
    """A kernel's cycle after hints."""
    return play(running(KERNEL, HURRY), *timeline)[0]


def test_a_kernel_waits_less_for_a_finished_file_that_is_alone():
    cycle = hinted((10, saved()))
    assert wake_at(cycle) == 11
    assert wake_at(hinted((10, saved()), (10.5, saved()))) == 11.5
    cycle, actions = play(cycle, (11, Tick()), (11, Found((A,))))
    assert actions == [Look(), Signal()]
    assert cycle.looks.at is None, "nothing else is known of"


def test_a_kernel_waits_for_the_end_of_a_burst_that_is_more_than_a_finished_file():
    b, writing = saved("/p/b.py"), Hint("/p/a.py", Progress.WRITING)
    assert wake_at(hinted((10, saved()), (10.5, b))) == 14.5
    assert wake_at(hinted((10, writing))) == 30
    assert wake_at(hinted((10, writing), (11, saved()))) == 12
    assert wake_at(hinted((10, Hint("/p", Progress.UNKNOWN)))) == 16


def test_what_follows_a_file_that_seemed_alone_waits_for_the_end_of_their_burst():
    cycle = hinted((10, saved()), (11, Tick()), (11, Found((A,))), (11, Hangup()), (12, Exited()), (13, Started()))
    assert play(cycle, (13, saved()))[0].looks.at == 17
    assert play(cycle, (13, saved("/p/b.py")))[0].looks.at == 17
    assert play(cycle, (16, saved()))[0].looks.at == 17, "it is another burst"


def test_what_a_scan_meets_is_never_taken_to_be_alone():
    assert hinted((10, Found((A,)))).looks.at == 14


def test_hangup_stops_what_runs_and_its_end_starts_the_next():
    cycle, actions = play(running(), (10, saved()), (10, Found((A,))), (10, Hangup()))
    assert actions[-1] == Stop()
    assert isinstance(cycle.phase, Stopping)
    cycle, actions = play(cycle, (11, Exited(-15)))
    assert actions == [Commit(), Start(Cause(Reason.CHANGE, (A,)))]
    cycle, _ = play(cycle, (11, Started()))
    assert (cycle.phase, cycle.run.number, cycle.found.changes) == (Running(), 1, ())


def test_hangup_after_the_end_starts_without_a_stop():
    cycle, _ = play(running(), (5, Exited(0)))
    assert isinstance(cycle.phase, Ended)
    _, actions = play(cycle, (10, Hangup()))
    assert actions == [Commit(), Start(Cause(Reason.HANGUP))]


def test_a_kernel_that_says_nothing_of_its_hangup_is_asked_again_less_and_less_often():
    cycle, actions = play(running(KERNEL), (10, Asked()))
    assert actions == [Signal()]
    moments = []
    for _ in range(8):
        now = wake_at(cycle)
        cycle, actions = play(cycle, (now, Tick()), (now, Waiting("cell 7")))
        assert actions == [Ask()]
        moments.append(now - 10)
    assert moments == pytest.approx([0.02 * 2**count for count in range(8)])
    cycle, _ = play(cycle, (20, Hangup()), (21, Tick()))
    assert wake_at(cycle) == 1000
    cycle, actions = play(cycle, (21, Exited()), (22, Hangup()), (23, Started()), (24, Tick()))
    assert actions[-2:] == [Signal(), Ask()]
    assert wake_at(play(running(KERNEL), (10, Asked()), (11, Paused(withdrawn=True)))[0]) == 1000


def test_a_script_is_signalled_in_its_own_process_and_never_asked():
    assert wake_at(play(running(), (10, Asked()))[0]) == 1000


def test_a_wish_during_a_kernels_restart_needs_no_signal_that_would_meet_no_kernel():
    stops, _ = play(running(KERNEL), (10, Hangup()))
    cycle, actions = play(stops, (11, Asked()))
    assert (actions, cycle.pending) == ([], None)
    cycle, actions = play(cycle, (12, Exited()), (13, Asked()))
    assert actions == [Commit(), Start(Cause(Reason.ASKED))]
    _, actions = play(cycle, (20, Started()), (20, Hangup()), (21, Exited()))
    assert actions == [Signal(), Stop(), Commit(), Start(Cause(Reason.ASKED))]


def test_what_ignores_the_stop_is_killed_after_the_timeout():
    cycle, _ = play(running(), (10, Hangup()), (11, Tick()))
    assert wake_at(cycle) == 60
    cycle, actions = play(cycle, (60, Tick()))
    assert actions == [Kill()]
    assert play(cycle, (61, Exited(-9)))[1][-1] == Start(Cause(Reason.HANGUP))


def test_a_stop_is_told_only_when_it_takes_its_time():
    cycle, _ = play(running(), (10, Hangup()))
    assert cycle.hidden
    assert not play(cycle, (wake_at(cycle), Tick()))[0].hidden
    assert not play(cycle, (10, Exited(-15)), (10, Started()))[0].hidden
    assert not play(cycle, (10, Close()))[0].hidden


def test_a_kernels_restart_is_told_only_when_it_takes_its_time_or_waits_for_something():
    cycle, _ = play(running(KERNEL), (10, Asked()))
    assert cycle.hidden
    assert not play(cycle, (10.01, Waiting("cell 7")))[0].hidden
    cycle, _ = play(cycle, (10.01, Hangup()), (10.01, Waiting("")))
    assert cycle.hidden
    assert not play(cycle, (10.01, Refused("no room")))[0].hidden
    cycle, _ = play(cycle, (10.02, Exited()))
    assert cycle.hidden
    assert not play(cycle, (wake_at(cycle), Tick()))[0].hidden
    assert not play(cycle, (10.03, Started()))[0].hidden


def test_a_kernel_is_never_killed():
    _, actions = play(running(KERNEL), (10, Hangup()), (999, Tick()))
    assert Kill() not in actions


def test_a_change_while_stopping_is_served_by_the_same_restart():
    cycle, _ = play(running(), (10, saved()), (10, Found((A,))), (10, Hangup()))
    cycle, actions = play(cycle, (20, saved("/p/b.py")), (20, Found((A, B))))
    assert Signal() not in actions
    _, actions = play(cycle, (30, Exited(-15)))
    assert actions == [Commit(), Start(Cause(Reason.CHANGE, (A, B)))]


@pytest.mark.parametrize(("put_back", "more"), [((A,), [Signal()]), ((), [])])
def test_a_start_may_have_read_what_was_put_back_before_its_burst_was_over(put_back, more):
    cycle, _ = play(running(), (10, saved()), (10, Found((A,))), (10, Hangup()), (11, Exited(-15)), (11, Started()))
    assert (cycle.run.number, cycle.hidden) == (1, True)
    cycle, actions = play(cycle, (11, saved()), (12, saved()), (14, Tick()), (14, Found(put_back=put_back)))
    assert actions == [Look(), *more]
    cycle, _ = play(cycle, *[(14, Hangup()), (15, Exited(-15)), (15, Started())] * bool(more))
    assert (cycle.run.number, cycle.hidden) == (1, False)
    assert play(cycle, (20, saved()), (20, Found(put_back=(A,))), (22, Tick()), (22, Found(put_back=(A,))))[1] == [
        Look(),
        Look(),
    ]


def test_a_hint_not_looked_at_before_the_start_is_committed_afresh():
    cycle, _ = play(running(), (10, saved()), (10, Found((A,))), (10, Hangup()), (11, saved("/p/b.py")))
    _, actions = play(cycle, (11, Exited(-15)))
    assert actions[0] == Commit(afresh=True)


def test_a_change_during_a_kernels_start_leads_to_one_more_restart():
    cycle, _ = play(running(KERNEL), (10, saved()), (12, Tick()), (12, Found((A,))), (12, Hangup()), (12, Exited()))
    assert isinstance(cycle.phase, Starting)
    cycle, actions = play(cycle, (13, saved()), (15, Tick()), (15, Found((A,))))
    assert Signal() not in actions
    cycle, _ = play(cycle, (20, Started()))
    assert cycle.looks.at == 22
    assert play(cycle, (22, Tick()), (22, Found((A,))))[1] == [Look(), Signal()]


def test_the_end_of_a_kernel_says_that_it_has_heard_its_hangup():
    """A restart may begin before the word of the signal is said."""
    cycle, actions = play(
        running(KERNEL), (10, saved()), (12, Tick()), (12, Found((A,))), (13, Exited()), (14, Started())
    )
    assert actions == [Look(), Signal(), Commit(), Start(Cause(Reason.CHANGE, (A,)))]
    assert (cycle.phase, cycle.pending, cycle.run.number, cycle.run.took) == (Running(), None, 1, 4)


def test_a_hangup_during_the_start_is_owed():
    cycle, _ = play(running(KERNEL), (10, Hangup()), (11, Exited()), (12, Hangup()), (13, Hangup()))
    _, actions = play(cycle, (20, Started()))
    assert actions == [Signal()]


def test_changes_right_behind_the_first_are_gathered():
    cycle, _ = play(running(), (10, saved()), (10, Found((A,))), (10, Hangup()), (10, Exited(-15)), (10, Started()))
    cycle, actions = play(cycle, (11, saved("/p/b.py")))
    assert actions == []
    assert cycle.looks.at == 13
    cycle, actions = play(cycle, (13, Tick()), (13, Found((B,))))
    assert actions == [Look(), Signal()]


def test_a_file_being_written_is_waited_for():
    cycle, actions = play(running(), (10, Hint("/p/a.py", Progress.WRITING)))
    assert actions == []
    assert wake_at(cycle) == 30
    cycle, _ = play(cycle, (14, saved()))
    assert wake_at(cycle) == 16


def test_what_is_unfinished_is_looked_at_again():
    cycle, actions = play(running(), (10, saved()), (10, Found((A,), unfinished=frozenset({Unfinished.EMPTIED}))))
    assert Signal() not in actions
    cycle, actions = play(cycle, (12, Tick()), (12, Found((A,))))
    assert actions == [Look(), Signal()]


def test_a_syntax_error_holds_the_restart_until_it_is_mended():
    broken = Broken("/p/a.py", "invalid syntax", 3, 1, "def (")
    cycle, actions = play(running(), (10, saved()), (10, Found((B,), broken=(broken,))))
    assert Signal() not in actions
    assert cycle.found.broken == (broken,)
    cycle, actions = play(cycle, (30, saved()), (30, Found((A, B))))
    assert actions == [Look(), Signal()]


def test_what_the_slow_scan_meets_begins_a_burst():
    cycle = running()
    assert wake_at(cycle) == 1000
    cycle, actions = play(cycle, (1000, Tick()), (1000, Found((A,), rescan=1000)))
    assert actions == [Look()]
    assert wake_at(cycle) == 1002
    assert play(cycle, (1002, Tick()), (1002, Found((A,))))[1] == [Look(), Signal()]


def test_a_refusal_leaves_what_runs_and_is_said():
    cycle, _ = play(running(KERNEL), (10, Hangup()))
    cycle, actions = play(cycle, (11, Refused("the executable is gone")))
    assert (cycle.phase, actions) == (Running("the executable is gone"), [Commit()])


def test_a_start_that_has_failed_is_tried_again_where_an_end_would_be():
    cycle, actions = play(running(timing=Timing(restart_on_exit=True, scan=1000)), (10, Refused("EAGAIN", runs=False)))
    assert (cycle.phase.refusal, actions) == ("EAGAIN", [Commit()])
    assert play(cycle, (wake_at(cycle), Tick()))[1] == [Signal()]
    cycle, _ = play(running(), (10, Refused("EAGAIN", runs=False)))
    assert cycle.phase == Ended(refusal="EAGAIN")


def test_a_refusal_is_forgotten_with_the_next_start():
    cycle, _ = play(
        running(KERNEL), (10, Hangup()), (11, Refused("busy")), (20, Asked()), (20, Hangup()), (21, Exited())
    )
    assert play(cycle, (22, Started()))[0].phase == Running()


def test_new_code_that_fails_counts_as_a_start_and_the_next_change_starts_it_again():
    cycle, _ = play(running(KERNEL), (10, Hangup()), (11, Exited()), (12, saved()), (14, Tick()), (14, Found((A,))))
    cycle, actions = play(cycle, (15, Failed("NameError: x")))
    assert (cycle.state, cycle.run.number, cycle.run.took) == (State.CRASHED, 1, None)
    assert cycle.refusal == "NameError: x"
    assert actions == []
    cycle, actions = play(cycle, (17, Tick()), (17, Found((A,))))
    assert actions == [Look(), Signal()], "what was saved while it started"
    cycle, actions = play(cycle, (17, Hangup()), (18, Exited()), (19, Started()))
    assert (cycle.state, cycle.run.number, cycle.refusal) == (State.RUNNING, 2, "")


def test_code_that_fails_when_it_has_run_for_a_while_is_no_further_start():
    cycle, _ = play(running(KERNEL), (10, Hangup()), (11, Exited()), (12, Started()), (20, Failed("NameError: x")))
    assert (cycle.state, cycle.run.number) == (State.CRASHED, 1)
    assert play(cycle, (30, Hangup()), (31, Exited()))[0].state is State.RESTARTING


def test_what_a_busy_kernel_waits_for_is_known_before_and_after_it_takes_the_signal():
    cycle, _ = play(running(KERNEL), (10, Asked()), (11, Waiting("cell 7")))
    assert cycle.waits_for == "cell 7"
    cycle, _ = play(cycle, (12, Hangup()))
    assert cycle.waits_for == "cell 7"
    assert play(cycle, (13, Exited()), (14, Started()))[0].waits_for == ""


def test_asking_by_hand_is_a_cause_of_its_own():
    _, actions = play(running(), (5, Exited(0)), (10, Asked()), (10, Hangup()))
    assert actions == [Signal(), Commit(), Start(Cause(Reason.ASKED))]


def test_what_is_asked_for_by_hand_stays_so_whatever_has_changed_besides():
    asked = Start(Cause(Reason.ASKED, (A,)))
    waits, _ = play(running(KERNEL), (5, Paused()), (10, saved()), (12, Tick()), (12, Found((A,))))
    assert play(waits, (20, Asked()), (20, Hangup()), (20, Exited()))[1][-1] == asked
    busy, _ = play(running(KERNEL), (10, saved()), (12, Tick()), (12, Found((A,))), (12, Hangup()))
    assert play(busy, (20, Asked()), (20, Hangup()), (30, Exited()))[1][-1] == asked
    starts, _ = play(running(KERNEL), (10, Hangup()), (11, Exited()), (12, Asked()), (12, Hangup()), (20, Started()))
    assert play(starts, (21, Hangup()), (22, Exited()))[1][-1] == Start(Cause(Reason.ASKED))


def test_a_hangup_from_elsewhere_is_known_from_one_for_a_change():
    busy, _ = play(running(KERNEL), (10, Hangup()), (12, saved()), (14, Tick()), (14, Found((A,))))
    assert play(busy, (20, Exited()))[1][-1] == Start(Cause(Reason.HANGUP, (A,)))
    changed, _ = play(running(KERNEL), (10, saved()), (12, Tick()), (12, Found((A,))), (12, Hangup()), (13, Hangup()))
    assert play(changed, (20, Exited()))[1][-1] == Start(Cause(Reason.CHANGE, (A,)))


def test_close_stops_kills_and_finishes():
    cycle, actions = play(running(), (10, Close()))
    assert actions == [Stop()]
    cycle, actions = play(cycle, (20, saved()), (30, Hangup()), (60, Tick()))
    assert actions == [Kill()]
    assert play(cycle, (61, Exited(-9)))[1] == [Finish()]
    assert play(running(KERNEL), (10, Close()))[1] == [Finish()]
    assert play(running(), (5, Exited(0)), (10, Close()))[1] == [Finish()]


class World:
    """Files, a target and a clock of whole numbers, played against the step."""

    def __init__(self, manner, *, start_time, deaf_time=1, timing=TIMING):
        self.cycle, _ = step(Cycle(timing, manner), Begin(runs=True), 0)
        self.start_time = start_time
        self.deaf_time = deaf_time  # until a signal is noticed
        self.content = self.seen = self.baseline = self.loaded = 0
        self.now = 0
        self.alive = 1
        self.due = []  # (time, event) that the world owes
        self.starts = []

    def do(self, event):
        queue = [event]
        while queue:
            self.cycle, actions = step(self.cycle, queue.pop(0), self.now)
            for action in actions:
                queue += self.perform(action)

    def perform(self, action):
        match action:
            case Look():
                self.seen = self.content
                return [Found((A,) if self.seen != self.baseline else (), rescan=1000)]
            case Commit(afresh):
                self.seen = self.content if afresh else self.seen
                self.baseline = self.seen
            case Signal():
                self.due.append((self.now + self.deaf_time, Hangup()))
            case Stop():
                self.due.append((self.now + 1, Exited(0)))
            case Start():
                assert self.alive == 0, "two at once"
                self.alive = 1
                self.loaded = self.content
                self.starts.append(self.now)
                self.due.append((self.now + self.start_time, Started()))
        return []

    def crash(self):
        """Have the kernel die with all that it would have said, and another one go on as it was at its start."""
        self.due = []
        self.do(Started())

    def until(self, end):
        while True:
            wake = wake_at(self.cycle)
            moments = [t for t, _ in self.due] + ([max(wake, self.now)] if wake is not None else [])
            if not moments or min(moments) > end:
                self.now = end
                return
            self.now = min(moments)
            ready = [pair for pair in self.due if pair[0] <= self.now]
            self.due = [pair for pair in self.due if pair[0] > self.now]
            for _, event in ready:
                if isinstance(event, Exited):
                    self.alive = 0
                self.do(event)
            if not ready:
                self.do(Tick())


events = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["save", "silent save", "hangup", "write", "exit", "crash"])),
    max_size=40,
)


@given(events, st.sampled_from([TIMING, HURRY]), st.booleans(), st.integers(0, 9), st.integers(1, 9))
@settings(max_examples=400)
def test_the_last_content_always_runs_last(timeline, timing, leading, start_time, deaf_time):
    manner, deaf_time = (SCRIPT, 1) if leading else (KERNEL, deaf_time)
    world = World(manner, start_time=start_time, deaf_time=deaf_time, timing=timing)
    for gap, what in timeline:
        world.until(world.now + gap)
        match what:
            case "save" | "write":
                world.content += 1
                world.do(Hint("/p/a.py", Progress.DONE if what == "save" else Progress.WRITING))
            case "silent save":
                world.content += 1
            case "hangup":
                world.do(Hangup())
            case "exit" if leading and world.alive and isinstance(world.cycle.phase, Running):
                world.alive = 0
                world.do(Exited(0))
            case "crash" if not leading and not isinstance(world.cycle.phase, Starting):
                world.crash()
    world.until(world.now + 5000)
    assert world.loaded == world.content == world.baseline
    assert wake_at(world.cycle) is not None, "the slow scan goes on"


@given(st.lists(st.integers(0, 1), min_size=1, max_size=60), st.integers(0, 9))
@settings(max_examples=100)
def test_a_burst_restarts_a_kernel_once(gaps, start_time):
    world = World(KERNEL, start_time=start_time)
    for gap in gaps:
        world.until(world.now + gap)
        world.content += 1
        world.do(saved())
    world.until(world.now + 500)
    assert len(world.starts) == 1


@pytest.mark.parametrize("said", [(), (Hangup(),)])
def test_a_change_outlives_the_kernel_that_was_to_serve_it(said):
    cycle, _ = play(running(KERNEL), (10, saved()), (12, Tick()), (12, Found((A,))), *((13, event) for event in said))
    cycle, actions = play(cycle, (14, Started()))  # of another one: no Exited, and so nothing is committed
    assert (actions, cycle.phase, cycle.pending, cycle.found.changes) == ([], Running(), None, (A,))
    assert cycle.looks.at == 16
    cycle, actions = play(cycle, (16, Tick()), (16, Found((A,))), (17, Hangup()), (18, Exited()))
    assert actions == [Look(), Signal(), Stop(), Commit(), Start(Cause(Reason.CHANGE, (A,)))]


def test_a_wish_is_served_by_the_kernel_that_follows_one_that_has_died_of_it():
    cycle, actions = play(running(KERNEL), (10, Asked()), (12, Started()), (999, Tick()), (999, Found()))
    assert (cycle.phase, cycle.pending, actions.count(Signal())) == (Running(), None, 1)


@pytest.mark.parametrize(("said", "why"), [((), Reason.ENDED), ((Asked(),), Reason.ASKED)])
def test_a_kernel_that_goes_on_for_one_that_has_died_has_that_for_its_cause(said, why):
    cycle, _ = play(running(KERNEL), (10, saved()), (12, Tick()), (12, Found((A,))), (13, Hangup()), (13, Exited()))
    cycle, _ = play(cycle, (14, Started()), *((20, event) for event in said), (30, Started()))
    assert (cycle.run.number, cycle.run.cause, cycle.run.since, cycle.run.took) == (2, Cause(why), 30, None)


def test_a_kernel_is_asked_whether_it_has_used_what_was_put_back_and_a_script_is_not():
    for manner, asked in ((KERNEL, [Inquire()]), (SCRIPT, [])):
        _, actions = play(running(manner), (10, saved()), (11, saved()), (13, Tick()), (13, Found()))
        assert [action for action in actions if not isinstance(action, Look)] == asked
    _, actions = play(running(KERNEL), (10, saved()), (11, Asked()), (12, Tick()), (12, Found()))
    assert not any(isinstance(action, Inquire) for action in actions), "it restarts anyway"
    cycle = running(KERNEL)
    assert play(cycle, (10, Reread(7, ()))) == (cycle, [])


def test_what_was_used_and_put_back_restarts_a_kernel_whatever_is_found_by_then():
    cycle, actions = play(running(KERNEL), (10, saved()), (12, Tick()), (12, Found()), (12, Reread(7, (A,))))
    assert actions[-1] == Signal()
    cycle, _ = play(cycle, (13, saved("/p/b.py")), (15, Tick()), (15, Found((B,))), (16, Hangup()))
    assert cycle.cause == Cause(Reason.CHANGE, (B, A))
    cycle, actions = play(cycle, (17, Exited()), (18, Started()), (30, Tick()), (30, Found()))
    assert (cycle.reread, cycle.found.changes, Signal() in actions) == ((), (), False)


def test_what_was_used_and_put_back_waits_while_changes_are_held():
    cycle, actions = play(running(KERNEL), (9, Paused()), (10, saved()), (12, Tick()), (12, Found()))
    cycle, actions = play(cycle, (12, Reread(7, (A,))), (20, Tick()), (20, Found()))
    assert (cycle.state, Signal() in actions) == (State.PAUSED, False)
    _, actions = play(cycle, (30, Paused(on=False)), (30, Found()))
    assert Signal() in actions


def test_ten_files_saved_in_a_slow_row_restart_at_most_three_times():
    world = World(SCRIPT, start_time=0)
    for number in range(10):
        world.until(4 * number)
        world.content += 1
        world.do(saved(f"/p/{number}.py"))
    world.until(500)
    assert len(world.starts) <= 3
    assert world.loaded == world.content


def test_a_save_that_is_announced_in_steps_is_looked_at_when_it_is_whole():
    _, actions = play(running(), (10, Hint("/p/a.py", Progress.WRITING)), (10, saved()), (11, saved()))
    assert actions == [Look()]


def ended(timing=TIMING, status=0, *, left=False):
    return play(Cycle(timing=timing), (0, Begin()), (0, Started()), (5, Exited(status, left=left)))[0]


def test_a_restart_waits_for_what_the_script_has_left_behind():
    cycle, actions = play(running(), (10, Hangup()), (11, Exited(-15, left=True)), (11, Tick()))
    assert actions == [Stop()]
    assert isinstance(cycle.phase, Stopping)
    assert wake_at(cycle) == 60
    assert play(cycle, (20, Exited(-15)))[1] == [Commit(), Start(Cause(Reason.HANGUP))]
    assert play(cycle, (60, Tick()), (60, Exited(-15)))[1] == [Kill(), Commit(), Start(Cause(Reason.HANGUP))]


def test_what_a_finished_script_has_left_behind_lives_until_the_next_start():
    cycle = ended(left=True)
    assert (cycle.phase, wake_at(cycle)) == (Ended(left=True), 1000)
    cycle, actions = play(cycle, (10, Hangup()))
    assert isinstance(cycle.phase, Stopping)
    assert actions == [Stop()]
    assert play(cycle, (11, Exited(0)))[1][-1] == Start(Cause(Reason.HANGUP))
    assert play(ended(left=True), (7, Exited(0)), (10, Hangup()))[1][-1] == Start(Cause(Reason.HANGUP))
    assert play(ended(left=True), (7, Close()), (8, Exited(0)))[1] == [Stop(), Finish()]


def test_what_not_even_sigkill_ends_is_given_up_after_a_second():
    _, actions = play(running(), (10, Hangup()), (60, Tick()), (61, Tick()))
    assert actions == [Stop(), Kill(), Commit(), Start(Cause(Reason.HANGUP))]
    _, actions = play(running(), (10, Close()), (60, Tick()), (61, Tick()))
    assert actions == [Stop(), Kill(), Finish()]


def test_how_long_a_run_has_lasted_is_known():
    assert ended().run.lasted == 5
    assert play(ended(left=True), (9, Exited(0)))[0].run.lasted == 5


RESPAWN = Timing(restart_on_exit=True, scan=1000)


def test_nothing_starts_again_by_itself_unless_asked_for():
    assert wake_at(ended()) == 1000
    cycle = ended(RESPAWN)
    assert wake_at(cycle) == 5.1
    _, actions = play(cycle, (5.1, Tick()), (5.1, Hangup()))
    assert actions == [Signal(), Commit(), Start(Cause(Reason.ENDED))]


def test_what_ends_again_and_again_is_started_more_and_more_slowly():
    cycle, now, pauses = ended(RESPAWN), 5, []
    for _ in range(12):
        pauses.append(wake_at(cycle) - now)
        now = wake_at(cycle)
        cycle, _ = play(cycle, (now, Tick()), (now, Hangup()), (now, Started()), (now, Exited(1)))
    assert [round(pause, 6) for pause in pauses] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60]
    cycle, _ = play(cycle, (now + 60, Tick()), (now + 60, Hangup()), (now + 60, Started()), (now + 70, Exited(1)))
    assert cycle.pause == 0.1


def test_a_change_is_served_at_once_though_a_start_is_waited_for():
    cycle, actions = play(ended(RESPAWN), (5.01, saved()), (5.01, Found((A,))), (5.01, Hangup()), (5.01, Started()))
    assert actions[-1] == Start(Cause(Reason.CHANGE, (A,)))
    assert Signal() not in play(cycle, (5.1, Tick()), (6, Tick()))[1]


def test_nothing_starts_again_into_a_syntax_error():
    broken = Found((A,), broken=(Broken("/p/a.py", "invalid syntax", 3),))
    cycle, actions = play(ended(RESPAWN), (5.01, saved()), (5.01, broken), (5.1, Tick()))
    assert Signal() not in actions
    _, actions = play(cycle, (6, saved()), (6, Found(())), *[(7, Tick())] * 3)
    assert Signal() in actions


def test_what_changes_in_a_pause_is_served_when_it_ends():
    cycle, actions = play(running(), (5, Paused()), (10, saved()), (10, Found((A,))), (999, Tick()), (999, Found((A,))))
    assert Signal() not in actions
    cycle, actions = play(cycle, (2000, Paused(on=False)), (2000, Found((A,))))
    assert actions == [Look(), Signal()]
    cycle, _ = play(cycle, (2000, Hangup()), (2000, Exited(-15)), (2000, Started()))
    assert (cycle.found.changes, cycle.run.took) == ((), 0)


def test_a_pause_without_a_change_ends_without_a_restart():
    _, actions = play(running(), (5, Paused()), (9, Paused(on=False)), (9, Found()), (99, Tick()), (99, Found()))
    assert Signal() not in actions


def test_in_a_pause_a_person_may_still_restart():
    _, actions = play(running(), (5, Paused()), (9, Asked()))
    assert actions == [Signal()]


def test_a_pause_takes_back_what_a_kernel_waits_with():
    owed = (10, saved()), (12, Tick()), (12, Found((A,))), (12, Hangup())
    cycle, _ = play(running(KERNEL), *owed, (13, Paused(withdrawn=True)))
    assert (cycle.phase, cycle.found.changes) == (Running(), (A,))
    _, actions = play(cycle, (20, Paused(on=False)), (20, Found((A,))))
    assert actions == [Look(), Signal()]


def test_what_ended_by_itself_stays_ended_in_a_pause():
    timing = Timing(restart_on_exit=True, scan=1000)
    cycle, _ = play(running(timing=timing), (5, Paused()), (6, Exited(0)))
    for now in range(7, 20):
        cycle, actions = play(cycle, (now, Tick()))
        assert Signal() not in actions
    assert Signal() in play(cycle, (20, Paused(on=False)), (20, Found(rescan=999)), (21, Tick()))[1]


def saved_again(cycle, now, *, age=0.0, found=(A,)):
    """Find a change ``age`` seconds after it was made; return the cycle and whether that restarts at once."""
    cycle, actions = play(cycle, (now, saved()), (now, Found(found, age=age)))
    return cycle, Signal() in actions


def restarted(cycle, now):
    if isinstance(cycle.phase, Ended):
        return play(cycle, (now, Hangup()), (now, Started()))[0]
    return play(cycle, (now, Hangup()), (now, Exited(-15)), (now, Started()))[0]


QUICK = Timing(quiet=0.05, quiet_many=0.15, scan=1000)


def eight_saves(*, age=0.0, ends_after=None, gap=0.3):
    """Save eight times, each a moment after the last start; return which were served at once, and the cycle."""
    cycle, now, at_once = running(timing=QUICK), 1.0, []
    cycle = restarted(cycle, now)
    for _ in range(8):
        if ends_after is not None:
            cycle, _ = play(cycle, (now + ends_after, Exited(0)))
        now += gap
        made = now - age
        cycle, served = saved_again(cycle, now, age=age)
        at_once.append(served)
        if not served:
            assert cycle.looping == (A.path,)
            now = cycle.loop.until
            cycle, actions = play(cycle, (now, Tick()), (now, Found((A,), age=now - made)))
            assert actions == [Look(), Signal()]
        cycle = restarted(cycle, now)
    return at_once, cycle, now


def test_saves_after_the_end_are_served_at_once_however_many():
    assert eight_saves(ends_after=0.1)[0] == [True] * 8


def test_a_change_that_was_made_before_the_end_and_noticed_after_it_may_be_the_runs_own():
    assert eight_saves(ends_after=0.1, age=0.25)[0] == [True] * 5 + [False] * 3


def test_what_it_leaves_behind_may_make_changes_too():
    cycle, now = restarted(running(timing=QUICK), 1.0), 1.0
    for number in range(6):
        cycle, _ = play(cycle, (now + 0.1, Exited(0, left=True)))
        now += 0.3
        cycle, served = saved_again(cycle, now)
        assert served == (number < 5)
        cycle = play(cycle, (now, Hangup()), (now, Exited(0)), (now, Started()))[0] if served else cycle
    assert saved_again(play(cycle, (now + 0.1, Exited(0)))[0], now + 0.2)[1]


def test_a_wish_and_another_file_are_served_at_once_while_a_loop_waits():
    at_once, cycle, now = eight_saves()
    assert at_once == [True] * 5 + [False] * 3
    cycle, served = saved_again(cycle, now + 0.3)
    assert not served
    asked, actions = play(cycle, (now + 0.4, Asked()))
    assert actions == [Signal()]
    assert not restarted(asked, now + 0.4).hidden
    assert saved_again(cycle, now + 0.5, found=(A, B))[1]
    held = play(cycle, (now + 0.5, Paused()), (now + 0.6, Paused(on=False)), (now + 0.6, Found((A,))))
    assert Signal() in held[1]


AHEAD = Preloading(ready_at=10.0, cold=1.0)


def making(now):
    """A script that has ended while what it imports is imported ahead, and has been saved then."""
    cycle, actions = play(ended(QUICK), (8.0, AHEAD), (now, saved()), (now, Found((A,))))
    return cycle, Signal() in actions


def test_a_save_waits_for_what_is_imported_ahead_if_that_is_sooner_and_for_nothing_else():
    assert making(8.5)[1]
    cycle, served = making(9.6)
    assert not served
    assert cycle.waits_for
    for event in (Preloaded(), Asked(), Hangup()):
        assert {Signal(), Start(Cause(Reason.HANGUP, (A,)))}.intersection(play(cycle, (9.9, event))[1])
    assert Finish() in play(cycle, (9.9, Close()))[1]


def test_what_is_not_imported_in_time_is_waited_for_no_longer():
    cycle, _ = making(9.6)
    late = wake_at(cycle)
    assert 10.0 < late < 10.6
    cycle, actions = play(cycle, (late, Tick()), (late, Found((A,))))
    assert actions == [Look(), Signal()]
    cycle = restarted(cycle, late)
    assert cycle.held_until is None


def test_what_changes_meanwhile_is_served_with_it():
    cycle, _ = making(9.6)
    cycle, actions = play(cycle, (9.7, saved("/p/b.py")), (9.75, Tick()), (9.75, Found((A, B))))
    assert actions == [Look()]
    cycle, actions = play(cycle, (9.9, Preloaded()), (9.9, Hangup()))
    assert actions == [Signal(), Commit(), Start(Cause(Reason.CHANGE, (A, B)))]


def test_what_is_put_back_meanwhile_is_no_change():
    cycle, _ = making(9.6)
    cycle, actions = play(cycle, (9.7, saved()), (9.75, Tick()), (9.75, Found()), (9.9, Preloaded()))
    assert actions == [Look()]
    assert cycle.waits_for == ""


# -- with a cluster ----------------------------------------------------------------------------------------------------


def with_cluster(*timeline):
    """Play a script's life with a cluster: its first run has begun at 2."""
    return play(Cycle(TIMING, pushes=True), (0, Begin()), (1, Pushed(1, "ok")), (2, Started()), *timeline)


def test_a_script_begins_when_each_worker_has_its_code():
    cycle, actions = play(Cycle(TIMING, pushes=True), (0, Begin()))
    assert actions == [Push(1, Cause(Reason.FIRST))]
    cycle, actions = play(cycle, (3, Pushed(1, "2 of 2 workers on 3f2a")))
    assert actions == [Start(Cause(Reason.FIRST))]
    assert cycle.cluster == "2 of 2 workers on 3f2a"


def test_files_go_ahead_while_the_run_ends_and_the_push_follows_its_end():
    cycle, actions = with_cluster((10, saved()), (10, Found((A,))), (10, Hangup()))
    assert actions[-3:] == [Signal(), Ship(), Stop()]
    cycle, actions = play(cycle, (12, Exited(-15)))
    cause = Cause(Reason.CHANGE, (A,))
    assert actions == [Commit(), Push(2, cause)]
    assert cycle.state is State.RESTARTING
    cycle, actions = play(cycle, (15, Pushed(2, "")), (16, Started()))
    assert actions == [Start(cause)]
    assert cycle.run.took == 6


def test_nothing_starts_where_a_worker_lacks_the_code_until_the_next_change():
    cycle, _ = with_cluster((10, Hangup()), (12, Exited(-15)))
    cycle, actions = play(cycle, (20, PushFailed(2, "1 of 2 workers lack 3f2a")))
    assert actions == []
    assert cycle.refusal == "1 of 2 workers lack 3f2a"
    cycle, actions = play(cycle, (30, saved()), (30, Found((A,))), (30, Hangup()))
    assert actions == [Look(), Signal(), Commit(), Push(3, Cause(Reason.CHANGE, (A,)))]
    assert cycle.refusal == ""


def test_a_save_during_a_push_is_pushed_in_its_place():
    cycle, _ = with_cluster((10, Hangup()), (12, Exited(-15)))
    cycle, actions = play(cycle, (13, saved()), (13, Found((A,))))
    cause = Cause(Reason.HANGUP, (A,))
    assert actions == [Look(), Commit(), Push(3, cause)]
    assert play(cycle, (14, Pushed(2, "late")), (14, PushFailed(2, "late")))[1] == []
    assert play(cycle, (15, Pushed(3, "")))[1] == [Start(cause)]


def test_a_syntax_error_saved_during_a_push_is_not_pushed():
    cycle, _ = with_cluster((10, Hangup()), (12, Exited(-15)))
    cycle, actions = play(cycle, (13, saved()), (13, Found((A,), broken=(Broken("/p/b.py", "no"),))))
    assert actions == [Look()]
    assert play(cycle, (14, Pushed(2, "")))[1] == [Start(Cause(Reason.HANGUP))]


def test_what_runs_goes_on_while_the_cluster_is_out_of_reach():
    cycle, actions = with_cluster((5, Reached("it is gone")), (10, saved()), (10, Found((A,))), (10, Hangup()))
    assert actions[-2:] == [Signal(), Commit()]
    assert cycle.phase == Running("it is gone")
    cycle, actions = play(cycle, (20, Reached()), (30, saved()), (30, Found((B,))), (30, Hangup()))
    assert actions[-2:] == [Ship(), Stop()]


def test_a_watch_can_end_during_a_push_and_what_a_run_left_behind_too():
    cycle, _ = with_cluster((10, Hangup()), (12, Exited(-15)))
    assert play(cycle, (13, Exited(-15)))[0].phase == cycle.phase
    assert play(cycle, (13, Close()))[1] == [Finish()]


def test_a_kernel_restarts_when_each_worker_has_its_code():
    cycle, actions = play(Cycle(TIMING, KERNEL, pushes=True), (0, Begin(runs=True)))
    assert actions == [Push(1, Cause(Reason.FIRST))]
    cycle, actions = play(cycle, (1, Pushed(1, "2 of 2")), (10, Hangup()), (12, Exited(clients=("c",))))
    cause = Cause(Reason.HANGUP)
    assert cycle.pushed == Pushed(1, "2 of 2")
    assert actions == [Ship(), Stop(), Commit(), Push(2, cause, ("c",))]
    cycle, actions = play(cycle, (13, Pushed(2, "")), (14, Started()))
    assert actions == [Start(cause)]


def test_a_kernel_goes_on_where_a_worker_lacks_the_code():
    cycle, _ = play(Cycle(TIMING, KERNEL, pushes=True), (0, Begin(runs=True)), (1, PushFailed(1, "no nanny")))
    assert cycle.phase == Running("no nanny")
    cycle, actions = play(cycle, (10, Hangup()), (12, Exited()), (13, PushFailed(2, "late")), (14, Refused("late")))
    assert actions[-1] == Commit()
    assert cycle.phase == Running("late")
