"""Processes that must not outlive each other: the parent of a supervisor, and the guardian of what runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket


class Parent:
    """The parent of this process, whose end is noticed even if a process that it forked holds the link open."""

    def __init__(self) -> None:
        self.pid = os.getppid()
        self._number = -1
        with contextlib.suppress(AttributeError, OSError):  # not Linux, or older than 5.3, or the parent is gone
            self._number = os.pidfd_open(self.pid)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return os.getppid() != self.pid

    def waitable(self) -> list[int]:
        """Return what becomes readable at its end: nothing where the system has no such thing, and `is_gone` tells."""
        return [self._number] if self._number >= 0 else []

    def close(self) -> None:
        """Give back the descriptor."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1


class Guardian:
    """Knows the process group that runs; forked, so it must be made before any thread is."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._guarded = 0
        pid = os.fork()
        if pid == 0:
            try:
                self._socket.close()
                _watch_over(theirs)
            finally:
                os._exit(0)
        theirs.close()

    def fileno(self) -> int:
        """Return a descriptor that is readable when it is gone."""
        return self._socket.fileno()

    def guard(self, pid: int) -> None:
        """Guard a group, and no other; 0 for none."""
        if pid != self._guarded:
            self._guarded = pid
            with contextlib.suppress(OSError):  # it was killed
                self._socket.send(f"{pid}\n".encode())

    def close(self) -> None:
        """Let it go, with nothing to kill."""
        self.guard(0)
        self._socket.close()


def _watch_over(link: socket.socket) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    guarded, received = 0, b""
    while data := link.recv(1 << 12):
        *lines, received = (received + data).split(b"\n")
        guarded = int(lines[-1]) if lines else guarded
    if guarded:
        with contextlib.suppress(OSError):
            os.killpg(guarded, signal.SIGKILL)
