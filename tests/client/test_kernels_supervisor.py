"""What the supervisor of a kernel hears that is for the kernel, and for nobody's eyes."""

import types

from screens import Screen

from ipy_autorestart.client.supervisor import Supervisor
from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.protocol.messages import Changed
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.request import Kernel, Request


class NotingRestarter:
    def __init__(self):
        self.noted = []

    def note_changes(self, owner, changed):
        self.noted.append((owner, changed))


def test_what_has_changed_is_told_to_the_restarter_and_not_shown(tmp_path):
    screen, restarter = Screen(), NotingRestarter()
    session = types.SimpleNamespace(restarter=restarter, supervisors=[], proxy=0, waits=False)
    request = Request(Kernel(), (str(tmp_path),), Options(), str(tmp_path))
    supervisor = Supervisor.of(request, screen=screen, session=session)
    changed = Changed(7, Reason.CHANGE, (Change("/p/a.py", Kind.MODIFIED),))

    supervisor._take(changed)

    assert restarter.noted == [(supervisor, changed)]
    assert screen.status is None
