"""In the kernel's new image: load the extension again and take up the supervisors where the old image left them."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ipy_autorestart.display import CellScreen
from ipy_autorestart.kernel.host import host_of
from ipy_autorestart.link import Resumed
from ipy_autorestart.request import Kernel
from ipy_autorestart.supervisor import Supervisor

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Seconds until clients have connected again: libzmq retries every 100 to 200 ms.
SETTLE = 0.3


class Hangups(Protocol):
    """What the bootstrap has noted."""

    noted: bool
    previous: Any


def resume(shell: InteractiveShell, guests: Sequence[Mapping[str, Any]], hangups: Hangups) -> None:
    """Go on with what the old image watched, once the event loop runs."""
    from tornado.ioloop import IOLoop

    assert shell.extension_manager is not None
    shell.extension_manager.load_extension("ipy_autorestart")
    host_of(shell)  # before the first request, so that it sees each cell begin
    IOLoop.current().call_later(SETTLE, _resume, shell, guests, hangups)


def _resume(shell: InteractiveShell, guests: Sequence[Mapping[str, Any]], hangups: Hangups) -> None:
    kernel: Any = shell.kernel  # type: ignore[attr-defined]  # ipykernel's shell has it
    # The server takes "starting" literally until a parentless "idle" says otherwise.
    kernel.session.send(kernel.iopub_socket, "status", {"execution_state": "idle"}, parent={}, ident=b"status")
    supervisors = [supervisor for guest in guests if (supervisor := _attach(kernel, guest))]
    restarter = host_of(shell).restarter
    assert restarter is not None
    for supervisor in supervisors:
        if isinstance(supervisor.request.target, Kernel):
            restarter.arm(supervisor, previous=hangups.previous)
        supervisor.send(Resumed())
    if hangups.noted:
        os.kill(os.getpid(), signal.SIGHUP)


def _attach(kernel: Any, guest: Mapping[str, Any]) -> Supervisor | None:  # noqa: ANN401
    """Take up a supervisor; one that can't be is let go, which ends it."""
    try:
        screen = CellScreen(kernel, guest["name"], **guest["screen"]) if guest["screen"] else None
        return Supervisor.attach(guest, screen=screen)
    except Exception:  # the border: the others go on
        log.exception("can't go on with %s", guest.get("name"))
        os.close(guest["link"])
        return None
