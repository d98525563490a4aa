"""The loop, with a target, a front and files that are fakes, and with real signals."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from fakes import FakeLink, FakeTarget, FakeWatch

from ipy_autorestart.decide.change import Broken, Change, Found, Hint, Kind, Progress
from ipy_autorestart.decide.events import Preloading
from ipy_autorestart.decide.facts import Reason, State
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.decide.timing import KERNEL, SCRIPT, Timing
from ipy_autorestart.decide.use import Used
from ipy_autorestart.engine.engine import BACKLOG_BYTES_MAX, Engine
from ipy_autorestart.engine.loaded import Loads
from ipy_autorestart.engine.wakeups import Wakeups
from ipy_autorestart.protocol.messages import (
    Ask,
    Asked,
    Changed,
    Close,
    Decided,
    Exited,
    Forward,
    Hangup,
    Ran,
    Refused,
    Reran,
    Reread,
    Started,
    Status,
    Touched,
    Waiting,
)
from ipy_autorestart.watch.watch import Watch

A = Change("/p/src/a.py", Kind.MODIFIED)
SAVED = Hint(A.path, Progress.DONE)


@pytest.fixture
def wakeups():
    signums = (signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD)
    handlers = {signum: signal.getsignal(signum) for signum in signums}
    wakeups = Wakeups(*signums)
    yield wakeups
    wakeups.close()
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


@pytest.fixture
def link():
    link = FakeLink()
    yield link
    link.close()


@pytest.fixture
def watch():
    return FakeWatch()


@pytest.fixture
def run(wakeups, link, watch):
    """Run an engine to its end; each turn of its loop does one more thing, and the last closes the watch."""

    def run(*turns, target=None, **options):
        target = target or FakeTarget()
        target.turns += [*turns, lambda: link.say(Close())]
        given = {"timing": Timing(), "manner": SCRIPT, "folder": "/p", "watch": watch, **options}
        Engine(target=target, pid=os.getpid(), link=link, wakeups=wakeups, **given).run()
        return target.calls

    return run


def nothing():
    pass


def test_a_script_is_launched_at_once_and_ended_with_the_watch(run, link):
    assert run() == [("launch",), ("send_output", 1), ("release",), ("terminate",), ("close",)]
    assert [(status.state, status.pid) for status in link.statuses][::2] == [(State.RUNNING, 1), (State.ENDED, 0)]


def test_a_script_is_launched_before_its_files_are_looked_at_and_they_at_once(run, watch):
    target, looks = FakeTarget(), []
    watch.look = lambda: looks.append([*target.calls]) or Found(rescan=0.0)

    run(nothing, nothing, target=target)

    assert looks[0] == [("launch",)]
    assert len(looks) >= 3, "one for each turn"


def test_a_save_restarts_it_for_the_changed_file(run, link, watch, wakeups):
    def save():
        watch.found = Found((A,))
        wakeups.hint(SAVED)

    calls = run(save, nothing, nothing)
    assert [call for call in calls if call[0] != "send_output"][:3] == [("launch",), ("terminate",), ("launch", A.path)]
    assert watch.commits == 1
    (why,) = [record.why for record in link.sent if isinstance(record, Decided) and "restart" in record.why]
    assert why == "src/a.py changed: restart"
    assert [record.run for record in link.sent if isinstance(record, Ran)][-1] == 2


def test_a_hangup_from_elsewhere_restarts_it(run):
    calls = run(lambda: os.kill(os.getpid(), signal.SIGHUP), nothing, nothing)
    assert calls.count(("launch",)) == 2


def test_sigterm_closes_the_watch(run, link):
    calls = run(lambda: os.kill(os.getpid(), signal.SIGTERM), nothing)
    assert ("terminate",) in calls
    assert link.statuses[-1].state is State.ENDED


def test_a_front_that_is_gone_ends_what_runs(run, link):
    assert ("terminate",) in run(link.leave, nothing)


def test_a_signal_of_the_terminal_is_the_runs(run, link):
    assert ("send_signal", signal.SIGINT) in run(lambda: link.say(Forward(signal.SIGINT)), nothing)


def test_what_cannot_be_launched_is_said_and_waits_for_a_change(run, link):
    target = FakeTarget()
    target.error = FileNotFoundError("no python")
    assert run(nothing, target=target) == [("launch",), ("close",)]
    assert (link.statuses[0].state, link.statuses[0].error) == (State.IDLE, "can't be started: no python")


def test_a_run_is_announced_before_it_begins_where_it_prints_past_the_front(run, link):
    target, sent = FakeTarget(), []
    launch = target.launch
    target.launch = lambda changed, number: (sent.extend(link.sent), launch(changed, number))
    run(target=target, announces=True)
    (announced,) = sent
    assert (announced.state, announced.runs, announced.pid, announced.cause.reason) == (State.RUNNING, 1, 0, "first")


def test_a_front_that_reads_nothing_gets_no_output(run, link):
    link.backlog = BACKLOG_BYTES_MAX
    target = FakeTarget()

    def read():
        target.calls.append(("read",))
        link.backlog = 0

    assert run(nothing, read, target=target)[:3] == [("launch",), ("read",), ("send_output", 1)]


def test_the_watch_learns_what_the_run_used_and_settles_what_it_did_not(run, watch, wakeups):
    target = FakeTarget()

    def save():
        target.use = Used(frozenset({"/p/main.py"}), frozenset({"/p/out"}), frozenset({"a"}))
        watch.found = Found(unused=(A,))
        wakeups.hint(SAVED)

    run(save, nothing, target=target)
    assert watch.uses == [(frozenset({"/p/main.py"}), frozenset({"/p/out"}), frozenset({"a"}))]
    assert watch.settled == [A.path]


def test_what_is_read_and_saved_while_a_look_is_judged_is_for_the_next_one(run, wakeups, tmp_path):
    """The run has imported more since the look, then reads b.py, and b.py is saved: the look has not seen that."""
    a, b, c, main = (str(tmp_path / f"{name}.py") for name in ("a", "b", "c", "main"))
    for path in (a, b, c, main):
        Path(path).write_text("V = 1\n")
    files = Watch([str(tmp_path)], filter=Filter(), on_hint=wakeups.hint, poll=0.1)
    files.start()

    class Reads(FakeTarget):
        asked = 0

        def used(self):
            self.asked += bool(self.asked)
            if self.asked == 3:  # by the look after a.py was saved, for the second time
                Path(b).write_text("V = 2\n")
            return Used(frozenset([[main], [main], [main, c], [main, c, b]][max(0, min(self.asked - 1, 3))]))

    def save():
        Path(a).write_text("V = 2\n")
        target.asked = 1
        wakeups.hint(Hint(a, Progress.DONE))

    def launches():
        return [one[1:] for one in target.calls if one[0] == "launch"]

    def until_it_is_launched_again():
        if len(launches()) < 2:
            target.turns.appendleft(until_it_is_launched_again)

    target = Reads()
    run(nothing, save, until_it_is_launched_again, target=target, watch=files)
    files.stop()
    assert launches() == [(), (b,)]


def test_a_file_that_was_not_looked_at_is_a_decision(run, link, watch):
    watch.ignored = [("/p/notes.txt", "is no Python source")]
    run(nothing)
    assert "notes.txt: is no Python source" in [one.why for one in link.sent if isinstance(one, Decided)]


def test_signals_may_mean_more_to_the_front(run, link):
    seen = []

    def handle(signums):
        seen.append(signums)
        yield Asked()

    calls = run(lambda: os.kill(os.getpid(), signal.SIGHUP), nothing, nothing, handle=handle)
    assert seen[0] == {signal.SIGHUP}
    assert calls.count(("launch",)) >= 2


def test_a_syntax_error_is_held_back(run, link, watch, wakeups):
    def save():
        watch.found = Found(broken=(Broken(A.path, "invalid syntax", 3),))
        wakeups.hint(SAVED)

    assert run(save, nothing).count(("terminate",)) == 1
    assert Broken("src/a.py", "invalid syntax", 3) in [status.broken for status in link.statuses]


class Kernel(FakeLink):
    """A kernel as its supervisor hears it: it restarts when it is asked what it does."""

    def send(self, record):
        super().send(record)
        if isinstance(record, Ask):
            self.say(Hangup(), Waiting("cell 7"), Exited(), Started(), Reran("cell 1 of 2", goes_on=True))
        elif isinstance(record, Status) and record.rerun:
            self.say(Close())


def test_a_kernel_is_signalled_asked_and_never_ended(wakeups, watch):
    link = Kernel()
    link.say(Asked())
    Engine(
        target=None,
        pid=os.getpid(),
        watch=watch,
        link=link,
        wakeups=wakeups,
        timing=Timing(),
        manner=KERNEL,
        folder="/p",
    ).run()
    link.close()
    assert [record for record in link.sent if isinstance(record, Ask)][:1] == [Ask()]
    (rerun, *_) = [status for status in link.statuses if status.rerun]
    assert (rerun.state, rerun.runs, rerun.pid, rerun.rerun) == (State.RUNNING, 1, os.getpid(), "cell 1 of 2")
    assert link.statuses[-1].state is State.ENDED


def test_a_kernel_that_says_nothing_of_its_hangup_is_asked_again(wakeups, watch):
    class Sleeping(FakeLink):
        def send(self, record):
            super().send(record)
            if self.sent.count(Ask()) == 3:
                self.say(Close())

    link = Sleeping()
    link.say(Asked())
    given = {"timing": Timing(), "manner": KERNEL, "folder": "/p"}
    with subprocess.Popen(["true"]) as deaf:
        Engine(target=None, pid=deaf.pid, watch=watch, link=link, wakeups=wakeups, **given).run()
    link.close()
    assert link.sent.count(Ask()) == 3


def test_a_kernel_that_exits_is_told_what_has_differed_once_that_is_committed(wakeups, watch):
    watch.changed, watch.put_back = (A,), (Change("/p/lib.so", Kind.MODIFIED),)

    class Asking(Kernel):
        def send(self, record):
            super().send((record, watch.commits) if isinstance(record, Changed) else record)

    link = Asking()
    link.say(Asked())
    given = {"timing": Timing(), "manner": KERNEL, "folder": "/p"}
    Engine(target=None, pid=7, watch=watch, link=link, wakeups=wakeups, loads=Loads(os.getpid()), **given).run()
    link.close()
    told = (Changed(os.getpid(), Reason.ASKED, (A,), (Change("/p/lib.so", Kind.MODIFIED),)), 1)
    assert [record for record in link.sent if isinstance(record, tuple)] == [told]


@pytest.fixture
def twice_finished(wakeups, watch):
    """Return a function that runs the engine of a kernel for a file that was finished twice, and is as it was."""

    def run(link):
        for _ in range(2):
            wakeups.hint(SAVED)
        given = {"timing": Timing(quiet=0.01), "manner": KERNEL, "folder": "/p"}
        with subprocess.Popen(["true"]) as deaf:
            Engine(target=None, pid=deaf.pid, watch=watch, link=link, wakeups=wakeups, **given).run()
        link.close()
        return deaf.pid

    return run


#: As it is found: in these tests there is no such file.
GONE = Change(A.path, Kind.DELETED)


def test_a_kernel_restarts_for_what_was_put_back_if_it_says_that_it_has_used_it(twice_finished):
    class Using(FakeLink):
        def send(self, record):
            super().send(record)
            if isinstance(record, Touched):
                self.say(Reread(7, (A,)), Reread(record.number, record.changes))
            elif isinstance(record, Ask):
                self.say(Hangup(), Exited(), Started())
            elif isinstance(record, Changed):
                self.say(Close())

    link = Using()
    pid = twice_finished(link)
    [touched] = [record for record in link.sent if isinstance(record, Touched)]
    assert (touched.number, touched.changes) == (1, (GONE,))
    assert 0 < time.monotonic() - touched.since < 60
    [changed] = [record for record in link.sent if isinstance(record, Changed)]
    assert changed == Changed(pid, Reason.CHANGE, (GONE,))


class Leaving(FakeLink):
    """A kernel that exits when it is asked to; another begins then, or the watch ends."""

    then = (Close(),)

    def __init__(self, hear):
        super().__init__()
        self._hear = hear

    def send(self, record):
        super().send(record)
        if isinstance(record, Touched):
            self.say(*self._hear(record))
        elif isinstance(record, Ask):
            self.say(Hangup(), Exited())
        elif isinstance(record, Changed):
            self.say(*self.then)

    def told(self, kind):
        return [record for record in self.sent if isinstance(record, kind)]


@pytest.mark.parametrize("answers", [False, True])
def test_what_a_kernel_was_asked_for_and_has_not_answered_may_have_been_used(twice_finished, answers):
    link = Leaving(lambda question: [*[Reread(question.number, ())] * answers, Asked()])
    twice_finished(link)
    [changed] = link.told(Changed)
    assert changed.put_back == (() if answers else (GONE,))


def test_the_answer_to_one_question_is_none_to_the_next(twice_finished, wakeups):
    def hear(question):
        if question.number > 1:
            return Reread(1, ()), Reread(1, question.changes), Asked()
        for _ in range(2):
            wakeups.hint(Hint("/p/b.py", Progress.DONE))
        return ()

    link = Leaving(hear)
    twice_finished(link)
    other = Change("/p/b.py", Kind.DELETED)
    assert [question.changes for question in link.told(Touched)] == [(GONE,), (other,)]
    [changed] = link.told(Changed)
    assert changed.put_back == (other,)


@pytest.mark.parametrize("told", [False, True])
def test_what_goes_on_for_a_kernel_that_has_died_is_asked_again_and_what_was_told_is_not(twice_finished, told):
    link = Leaving(lambda _: [Close()] if len(link.told(Touched)) > 1 else [Asked()] if told else [Started()])
    link.then = Started(), Close()
    twice_finished(link)
    asked = link.told(Touched)
    assert len(asked) == 2 - told
    assert len(set(asked)) == 1


def test_what_a_refused_restart_has_committed_differs_for_the_next(wakeups, watch):
    watch.changed = (A,)
    asks = []

    class Refusing(FakeLink):
        def send(self, record):
            super().send(record)
            if isinstance(record, Ask):
                asks.append(record)
                self.say(Hangup(), *([Refused("no room"), Asked()] if len(asks) == 1 else [Exited(), Started()]))
            elif isinstance(record, Changed):
                self.say(Close())

    link = Refusing()
    link.say(Asked())
    given = {"timing": Timing(), "manner": KERNEL, "folder": "/p"}
    Engine(target=None, pid=os.getpid(), watch=watch, link=link, wakeups=wakeups, **given).run()
    link.close()
    assert [record.changes for record in link.sent if isinstance(record, Changed)] == [(A,)]
    assert watch.commits == 2


def test_what_a_kernel_was_told_that_goes_on_all_the_same_is_told_again(wakeups, watch):
    watch.changed = (A,)
    watch.put_back = (Change("/p/b.py", Kind.MODIFIED),)
    told = []

    class Staying(FakeLink):
        def send(self, record):
            super().send(record)
            if isinstance(record, Ask):
                self.say(Hangup(), Exited())
            elif isinstance(record, Changed):
                told.append(record)
                self.say(
                    *([Refused("no checkpoint"), Asked()], [Started(), Asked()], [Started(), Close()])[len(told) - 1]
                )

    link = Staying()
    link.say(Asked())
    given = {"timing": Timing(), "manner": KERNEL, "folder": "/p"}
    with subprocess.Popen(["true"]) as deaf:
        Engine(target=None, pid=deaf.pid, watch=watch, link=link, wakeups=wakeups, **given).run()
    link.close()
    assert told[0] == told[1] == Changed(deaf.pid, Reason.ASKED, (A,), (Change("/p/b.py", Kind.MODIFIED),))
    assert told[2] == Changed(deaf.pid, Reason.ASKED)


def test_a_scripts_front_hears_nothing_of_it(run, link, watch, wakeups):
    def save():
        watch.found, watch.changed = Found((A,)), (A,)
        wakeups.hint(SAVED)

    run(save, nothing, nothing)
    assert watch.changed == ()
    assert not [record for record in link.sent if isinstance(record, Changed)]


class Waited(FakeLink):
    """A front that keeps what it was told before it was waited for, and then closes the watch."""

    told = None

    def fileno(self):
        if self.told is None:
            self.told = self.statuses
            self.say(Close())
        return super().fileno()


def test_a_kernel_is_told_to_run_before_anything_is_waited_for(wakeups, watch):
    link = Waited()
    given = {"timing": Timing(), "manner": KERNEL, "folder": "/p"}
    Engine(target=None, pid=os.getpid(), watch=watch, link=link, wakeups=wakeups, **given).run()
    link.close()
    assert [(status.state, status.runs) for status in link.told] == [(State.RUNNING, 0)]


def test_a_save_waits_for_what_is_imported_ahead(run, link, watch, wakeups):
    target = FakeTarget()

    def save():
        target.ahead = Preloading(ready_at=time.monotonic() + 1, cold=100.0)
        watch.found = Found((A,))
        wakeups.hint(SAVED)

    def be_ready():
        target.calls.append(("ready",))
        target.ahead = None

    calls = [call[0] for call in run(save, nothing, nothing, be_ready, nothing, nothing, target=target)]
    assert [call for call in calls if call != "send_output"][:4] == ["launch", "ready", "terminate", "launch"]
    assert "what it imports" in [status.waits_for for status in link.statuses]
