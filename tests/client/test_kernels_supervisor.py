"""A kernel's supervisor tells the kernel's restarter what is for that, and asks it for what it alone knows."""

import types

import pytest
from screens import Screen

from ipy_autorestart.client.supervisor import Supervisor
from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.protocol.checkpoint import Checkpoint
from ipy_autorestart.protocol.messages import Changed
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.request import Kernel, Request


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


@pytest.fixture
def supervisor(tmp_path, screen, restarter):
    session = types.SimpleNamespace(restarter=restarter, supervisors=[], proxy=0, waits=False)
    request = Request(Kernel(), (str(tmp_path),), Options(), str(tmp_path))
    return Supervisor.of(request, screen=screen, session=session)


def test_what_has_changed_is_told_to_the_restarter_and_not_shown(supervisor, screen, restarter):
    changed = Changed(7, Reason.CHANGE, (Change("/p/a.py", Kind.MODIFIED),))

    supervisor._take(changed)

    assert restarter.noted == [(supervisor, changed)]
    assert screen.status is None


def test_its_statistics_have_the_kernels_checkpoints(supervisor, restarter):
    restarter.parked = [Checkpoint(3, seconds=1.5), Checkpoint(4, why="1 thread")]
    assert supervisor.statistics().checkpoints == tuple(restarter.parked)
