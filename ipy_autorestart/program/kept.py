"""What the image before has left to this one; imports nothing that a program which isn't watched has no need of."""

from __future__ import annotations

import contextlib
import os
import signal
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from typing import Any

STATE = "IPY_AUTORESTART_STATE"  # kernel.start.STATE, whose module takes longer to import than all of this


class Carried:
    """What was carried over exec; nothing at the first start.

    Attributes
    ----------
    state
        As `restarter.ProcessRestarter` has put it together; None at the first start.
    """

    def __init__(self) -> None:
        self.state = _read()
        self._kept: list[int] = []
        self._links: list[int] = []
        if self.state is not None:
            self._kept = self.state["kept"]
            self._links = [guest["link"] for guest in self.state["guests"]]
            for number in (*self._kept, *self._links):
                os.set_inheritable(number, False)  # noqa: FBT003  # the name says it

    def claim(self) -> list[socket.socket]:
        """Return the sockets that were kept, once."""
        import socket

        numbers, self._kept = self._kept, []
        sockets = [socket.socket(fileno=number) for number in numbers]
        for sock in sockets:
            sock.settimeout(None)  # a new one blocks; what it did before, the open file still remembers
        return sockets

    @property
    def guest(self) -> Mapping[str, Any] | None:
        """The supervisor that came along, until it is taken up or dropped."""
        return self.state["guests"][0] if self.state is not None and self._links else None

    def take_guest(self) -> None:
        """Leave the supervisor to whoever takes it up."""
        self._links = []

    def drop(self) -> None:
        """Let go of what nobody has claimed: a supervisor ends with its link."""
        for number in (*self._kept, *self._links):
            with contextlib.suppress(OSError):  # closed already, by a program that closes whatever is open
                os.close(number)
        if self._links and self.state is not None:
            for guest in self.state["guests"]:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(guest["pid"], 0)
        self._kept, self._links = [], []

    def forget(self) -> None:
        """Let go of all: this image isn't to be watched. A SIGHUP that came during its start is served by it."""
        self.drop()
        if self.state is None:
            return
        previous = signal.SIG_IGN if self.state["hangup_ignored"] else signal.getsignal(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which discards what is pending
        signal.signal(signal.SIGHUP, signal.SIG_DFL if previous is None else previous)
        if signal.SIGHUP not in self.state["blocked"]:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        self.state = None


def _read() -> dict[str, Any] | None:
    """Read the state, from a file that has no name any more, unless it is another process's."""
    with contextlib.suppress(KeyError, ValueError, OSError):
        number = int(os.environ.pop(STATE))
        status = os.fstat(number)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
            import json  # as long to import as all else that a switched off program needs

            state: dict[str, Any] = json.loads(os.pread(number, status.st_size, 0))
            os.close(number)
            return state if state.get("pid") == os.getpid() else None
    return None
