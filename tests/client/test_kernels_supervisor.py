"""A kernel's supervisor tells the kernel's restarter what is for that, and asks it for what it alone knows."""

import os
import types

import pytest
from screens import Screen
from waiting import eventually

from ipy_autorestart.client.supervisor import Supervisor
from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.protocol.checkpoint import Checkpoint
from ipy_autorestart.protocol.messages import Changed, Exited, Hangup, Started
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.request import Kernel, Request
from ipy_autorestart.reexec.restarter import Restarter


class Restarting(Restarter):
    """Restarts in words, when it is asked what it was told."""

    def __init__(self):
        super().__init__([])
        self.noted = []

    def describe(self):
        return ""

    def _hang_up(self, _):
        self._pending = 1.0

    def note_changes(self, owner, changed):
        self.noted.append(changed)

    def told(self):
        if self.withdraw():
            for record in (Hangup(), Exited(), Started(os.getpid())):
                self._report(record)
        return self.noted


class NotingRestarter:
    def __init__(self):
        self.noted = []
        self.parked = []

    def note_changes(self, owner, changed):
        self.noted.append((owner, changed))

    def checkpoints(self):
        return self.parked


@pytest.fixture
def screen():
    return Screen()


@pytest.fixture
def restarter():
    return NotingRestarter()


def supervisor_of(folder, screen, restarter):
    session = types.SimpleNamespace(restarter=restarter, supervisors=[], proxy=0, waits=False)
    return Supervisor.of(Request(Kernel(), (str(folder),), Options(), str(folder)), screen=screen, session=session)


@pytest.fixture
def supervisor(tmp_path, screen, restarter):
    return supervisor_of(tmp_path, screen, restarter)


def test_what_has_changed_is_told_to_the_restarter_and_not_shown(supervisor, screen, restarter):
    changed = Changed(7, Reason.CHANGE, (Change("/p/a.py", Kind.MODIFIED),))

    supervisor._take(changed)

    assert restarter.noted == [(supervisor, changed)]
    assert screen.status is None


def test_its_statistics_have_the_kernels_checkpoints(supervisor, restarter):
    restarter.parked = [Checkpoint(3, seconds=1.5), Checkpoint(4, why="1 thread")]
    assert supervisor.statistics().checkpoints == tuple(restarter.parked)


@pytest.mark.e2e
def test_whoever_restarts_is_told_what_has_changed_and_whether_a_person_wanted_it(tmp_path, screen):
    (tmp_path / "a.py").write_text("V = 1")
    restarter = Restarting()
    with supervisor_of(tmp_path, screen, restarter) as supervisor:
        eventually(lambda: supervisor.status.state == "running")
        (tmp_path / "a.py").write_text("V = 2")
        eventually(restarter.told)
        changes = (Change(str(tmp_path / "a.py"), Kind.MODIFIED),)
        assert restarter.noted == [Changed(os.getpid(), Reason.CHANGE, changes)]
        eventually(lambda: supervisor.status.runs == 1)
        supervisor.restart()
        eventually(lambda: len(restarter.told()) == 2)
    assert restarter.noted[1] == Changed(os.getpid(), Reason.ASKED)
