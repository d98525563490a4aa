"""Nothing that changes between a look and its commit is lost: real files, and a kernel that is busy meanwhile."""

import os
import signal
import subprocess

import pytest
from fakes import FakeLink

from ipy_autorestart.decide.change import Hint, Progress
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.decide.timing import KERNEL, Timing
from ipy_autorestart.engine.engine import Engine
from ipy_autorestart.engine.wakeups import Wakeups
from ipy_autorestart.protocol.messages import Ask, Changed, Close, Exited, Hangup, Started, Status
from ipy_autorestart.watch.watch import Watch


@pytest.fixture
def wakeups():
    handler = signal.getsignal(signal.SIGHUP)
    wakeups = Wakeups(signal.SIGHUP)
    yield wakeups
    wakeups.close()
    signal.signal(signal.SIGHUP, handler)


class Busy(FakeLink):
    """A kernel that is busy at its first restart, while a function saves; it ends its watch after some restarts."""

    def __init__(self, save, *, restarts):
        super().__init__()
        self.save = save
        self.restarts = restarts
        self.later = []

    @property
    def changed(self):
        return [record for record in self.sent if isinstance(record, Changed)]

    def send(self, record):
        super().send(record)
        match record:
            case Ask():
                self.say(Hangup(), *([Exited()] if self.changed else []))
            case Status(state="waiting") if save := self.save:
                self.save = None
                save(self)
            case Changed():
                self.say(Started(), *([Close()] if len(self.changed) == self.restarts else []))

    def receive(self):
        """Return what was said; what is to be heard a turn later is said now."""
        said, later, self.later = super().receive(), self.later, []
        if later:
            self.say(*later)
        return said


def names(changed):
    assert changed.reason is Reason.CHANGE
    return [os.path.basename(change.path) for change in changed.changes]


@pytest.fixture
def played(tmp_path, wakeups):
    """Save a file, and two more while the kernel is busy; return what it was told at each restart."""
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_text("V = 1")

    def play(exits, *, restarts):
        def save(link):
            (tmp_path / "a.py").write_text("V = 3")
            (tmp_path / "b.py").write_text("V = 3")
            exits(link, Hint(str(tmp_path / "b.py"), Progress.DONE))

        link = Busy(save, restarts=restarts)
        with Watch([str(tmp_path)], filter=Filter(), on_hint=wakeups.hint, poll=0.02) as watch:
            (tmp_path / "a.py").write_text("V = 2")
            given = {"timing": Timing(scan=0.02), "manner": KERNEL, "folder": str(tmp_path)}
            with subprocess.Popen(["true"]) as deaf:  # it is waited for at the end, and takes signals until then
                Engine(target=None, pid=deaf.pid, watch=watch, link=link, wakeups=wakeups, **given).run()
            assert watch.look().changes == ()
        link.close()
        return list(map(names, link.changed))

    return play


def test_what_is_saved_between_a_look_and_its_commit_is_served_by_one_more_restart(played):
    assert played(lambda link, _: link.say(Exited()), restarts=2) == [["a.py"], ["a.py", "b.py"]]


def test_what_is_announced_between_a_look_and_its_commit_is_looked_at_before_that(played, wakeups):
    def exits(link, hint):
        wakeups.hint(hint)
        link.later = [Exited()]
        link.say()

    assert played(exits, restarts=1) == [["a.py", "b.py"]]
