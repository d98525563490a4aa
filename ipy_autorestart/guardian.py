"""A small process that outlives this one by a moment: should this be killed, it kills what ran."""

from __future__ import annotations

import contextlib
import os
import signal
import socket


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
