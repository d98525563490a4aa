"""The wait of a program's process for the next change, when its new code has failed; then it starts the program anew.

It is run by its path, in isolated mode, and has the program's sockets open meanwhile.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from ipy_autorestart.program.restarter import ProgramRestarter
    from ipy_autorestart.reexec.state import Carried

#: Seconds between two looks at whether there is still something to wait for.
LOOKED_AT = 1.0


def main() -> NoReturn:
    """Take over from the program, and wait until a SIGHUP ends this image."""
    packages = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if packages not in sys.path:
        sys.path.append(packages)
    from ipy_autorestart.reexec import STATE
    from ipy_autorestart.reexec.state import Carried

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    waiting = take_over(Carried.read(int(os.environ.pop(STATE))))
    while any(one.is_alive for one in waiting.supervisors):
        time.sleep(LOOKED_AT)
    sys.exit(1)


def take_over(carried: Carried) -> ProgramRestarter:
    """Return what starts the program anew when its supervisor, which is told that it has failed, sends a SIGHUP."""
    from ipy_autorestart.client.supervisor import Supervisor
    from ipy_autorestart.program.restarter import ProgramRestarter
    from ipy_autorestart.protocol.messages import Failed
    from ipy_autorestart.reexec.start import ProgramStart
    from ipy_autorestart.reexec.state import ProgramState
    from ipy_autorestart.show.terminal import StderrScreen

    own = carried.own
    assert isinstance(own, ProgramState)
    carried.keep_from_children()
    start = ProgramStart(
        executable=sys.executable,
        outputs=(1, 2),
        first=carried.process,
        file=own.file,
        inherited=own.inherited,
        since_ns=own.since_ns,
    )
    waiting = ProgramRestarter(start, asked=False, hangup_ignored=carried.process.hangup_ignored)
    waiting.can_wait = True  # which the flags of this interpreter would deny
    for fd in own.kept:
        waiting.keep(socket.socket(fileno=fd))
    waiting.ports += (socket.socket(fileno=fd) for fd in own.ports)
    with waiting.held():
        for state in carried.supervisors:
            screen = None if state.screen is None else StderrScreen(state.request.target.label, state.status)
            supervisor = Supervisor.attach(state, screen=screen, session=waiting)
            supervisor.rearm(previous=None)
            supervisor.send(Failed(own.failed))
    return waiting


if __name__ == "__main__":
    main()
