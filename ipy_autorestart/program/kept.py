"""The legacy of a program's image before; it imports nothing that a program that is not watched doesn't need."""

from __future__ import annotations

import contextlib
import stat
import sys

from ipy_autorestart.pristine import os, signal
from ipy_autorestart.program.failed import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from ipy_autorestart.program.ports import Offers
    from ipy_autorestart.protocol.request import Request
    from ipy_autorestart.reexec.state import Carried, SupervisorState


class Kept:
    """Sockets and a supervisor that the image before has handed over; none at the first start."""

    def __init__(self) -> None:
        self.carried = _read()  # None at the first start, and in an image that is not watched
        self._sockets: tuple[int, ...] = ()
        self._claimed: list[int] = []  # duplicates, in case that the program fails before it is watched
        self._unoffered: tuple[int, ...] = ()
        self._supervisors: tuple[SupervisorState, ...] = ()
        self._offers: Offers | None = None
        self.handed: frozenset[int] = frozenset()  # inodes of sockets
        if self.carried is not None:
            self.carried.keep_from_children()
            self._supervisors = self.carried.supervisors
            own = self.carried.own
            self._sockets = own.kept  # type: ignore[union-attr]  # `_read` takes a program's only
            self.handed = _inodes((*own.kept, *own.ports))  # type: ignore[union-attr]
            if failure():  # too late to offer anything
                self._unoffered = own.ports  # type: ignore[union-attr]
            elif own.ports:  # type: ignore[union-attr]
                from ipy_autorestart.program.ports import Offers

                self._offers = Offers(own.ports)  # type: ignore[union-attr]

    def claim(self) -> list[socket.socket]:
        """Return the sockets that were kept, once."""
        import socket

        fds, self._sockets = self._sockets, ()
        if fds:
            os.register_at_fork(after_in_child=self._close_claimed)
            with contextlib.suppress(OSError):  # no more descriptors are to be had
                self._claimed += map(os.dup, fds)
        sockets = [socket.socket(fileno=fd) for fd in fds]
        for sock in sockets:
            sock.settimeout(None)  # a new one blocks; what it did before, the open file still remembers
        return sockets

    @property
    def supervisors(self) -> tuple[SupervisorState, ...]:
        """Those that nobody has taken."""
        return self._supervisors

    def hold(self) -> list[socket.socket]:
        """Return the sockets that were kept, claimed or not, as they are to be kept on."""
        import socket

        fds = [*self._sockets, *self._claimed]
        self._sockets, self._claimed = (), []
        return [socket.socket(fileno=fd) for fd in fds]

    def take_offers(self) -> list[int]:
        """Return the descriptors of sockets whose addresses the program hasn't bound; they are the caller's then."""
        return self._offers.take_all() if self._offers else list(self._unoffered)

    def take_supervisor(self, request: Request) -> SupervisorState | None:
        """Return the supervisor if its request is this one; it is the caller's then."""
        for state in self._supervisors:
            if state.request == request:
                self._supervisors = ()
                return state
        return None

    def _close_claimed(self) -> None:
        for fd in self._claimed:
            with contextlib.suppress(OSError):  # as below
                os.close(fd)
        self._claimed = []

    def drop(self) -> None:
        """Close what nobody has claimed; a supervisor ends with its link."""
        self._close_claimed()
        for fd in (*self._sockets, *(fd for state in self._supervisors for fd in state.fds)):
            with contextlib.suppress(OSError):  # closed already, by a program that closes whatever is open
                os.close(fd)
        for state in self._supervisors:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(state.pid, 0)
        self._sockets, self._supervisors = (), ()

    def forget(self) -> None:
        """Close all, for this image is not watched; it is itself the answer to a SIGHUP that came during its start."""
        self.drop()
        if self._offers:
            self._offers.close()
        if self.carried is None:
            return
        process = self.carried.process
        previous = signal.SIG_IGN if process.hangup_ignored else signal.getsignal(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which discards what is pending
        signal.signal(signal.SIGHUP, signal.SIG_DFL if previous is None else previous)
        if signal.SIGHUP not in process.blocked:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        self.carried = None


def open_sockets() -> frozenset[int]:
    """Return the inodes of the sockets that this process has now; on Linux."""
    fds = map(int, os.listdir("/proc/self/fd")) if sys.platform == "linux" else ()
    return _inodes(fds)


def _inodes(fds: Iterable[int]) -> frozenset[int]:
    found = set()
    for fd in fds:
        with contextlib.suppress(OSError):  # the listing's own
            status = os.fstat(fd)
            if stat.S_ISSOCK(status.st_mode):
                found.add(status.st_ino)
    return frozenset(found)


def _read() -> Carried | None:
    """Read the state from a file without a name, unless it is another process's."""
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
