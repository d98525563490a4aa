"""Signals and hints wake the one loop of a supervisor."""

from __future__ import annotations

import collections
import contextlib
import signal
import socket
from types import FrameType

from ipy_autorestart.decide.change import Hint


class Wakeups:
    """Wakes the loop for signals and for the observer's thread.

    What has come is kept in sets and queues; the socket only wakes. It holds few bytes, so nothing may depend on one
    more fitting in.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self._read, self._write = socket.socketpair()
        self._read.settimeout(0)
        self._write.settimeout(0)
        self._hints: collections.deque[Hint] = collections.deque()
        self._noted: set[int] = set()
        # For the signal that comes between a look at what was noted and the wait.
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._noted.add(number)  # between two bytecodes of the main thread, where it is safe

    def hint(self, hint: Hint) -> None:
        """Take a hint, in any thread."""
        self._hints.append(hint)
        with contextlib.suppress(OSError):  # full, which wakes as well, or closed
            self._write.send(b"\0")

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._read.fileno()

    def take(self) -> tuple[set[int], list[Hint]]:
        """Return the signals and hints that have come."""
        with contextlib.suppress(BlockingIOError):
            self._read.recv(1 << 16)
        hints = [self._hints.popleft() for _ in range(len(self._hints))]
        return self.signals(), hints

    def signals(self) -> set[int]:
        """Return the signals that have come since the last time they were asked for."""
        noted = set(self._noted)
        self._noted -= noted
        return noted

    def close(self) -> None:
        """Give back the descriptors."""
        signal.set_wakeup_fd(-1)
        self._read.close()
        self._write.close()
