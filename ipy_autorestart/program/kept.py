"""What the image before has left to this one; imports nothing that a program which isn't watched has no need of."""

from __future__ import annotations

import contextlib
import os
import signal
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from ipy_autorestart.protocol.request import Request
    from ipy_autorestart.reexec.state import Carried, SupervisorState


class Kept:
    """What was handed over by an exec; nothing at the first start.

    Attributes
    ----------
    carried
        All of it; None at the first start, or when this image has nothing to do with it.
    """

    def __init__(self) -> None:
        self.carried = _read()
        self._sockets: tuple[int, ...] = ()
        self._supervisors: tuple[SupervisorState, ...] = ()
        if self.carried is not None:
            self.carried.keep_from_children()
            self._supervisors = self.carried.supervisors
            self._sockets = self.carried.own.kept  # type: ignore[union-attr]  # `_read` takes a program's only

    def claim(self) -> list[socket.socket]:
        """Return the sockets that were kept, once."""
        import socket

        fds, self._sockets = self._sockets, ()
        sockets = [socket.socket(fileno=fd) for fd in fds]
        for sock in sockets:
            sock.settimeout(None)  # a new one blocks; what it did before, the open file still remembers
        return sockets

    def take_supervisor(self, request: Request) -> SupervisorState | None:
        """Return the supervisor that came along if it was asked for the same, and leave it to the caller."""
        for state in self._supervisors:
            if state.request == request:
                self._supervisors = ()
                return state
        return None

    def drop(self) -> None:
        """Let go of what nobody has claimed: a supervisor ends with its link."""
        for fd in (*self._sockets, *(state.link for state in self._supervisors)):
            with contextlib.suppress(OSError):  # closed already, by a program that closes whatever is open
                os.close(fd)
        for state in self._supervisors:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(state.pid, 0)
        self._sockets, self._supervisors = (), ()

    def forget(self) -> None:
        """Let go of all: this image isn't to be watched. A SIGHUP that came during its start is served by it."""
        self.drop()
        if self.carried is None:
            return
        process = self.carried.process
        previous = signal.SIG_IGN if process.hangup_ignored else signal.getsignal(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which discards what is pending
        signal.signal(signal.SIGHUP, signal.SIG_DFL if previous is None else previous)
        if signal.SIGHUP not in process.blocked:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        self.carried = None


def _read() -> Carried | None:
    """Read what a program has handed over, from a file that has no name any more, unless it is another process's."""
    from ipy_autorestart.reexec import STATE

    with contextlib.suppress(KeyError, ValueError, OSError):
        fd = int(os.environ.pop(STATE))
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
            from ipy_autorestart.reexec.state import Carried, ProgramState  # as long to import as all else here

            carried = Carried.read(fd)
            if isinstance(carried.own, ProgramState) and carried.own.pid == os.getpid():
                return carried
    return None
