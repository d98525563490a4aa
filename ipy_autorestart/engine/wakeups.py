"""Signals and hints wake the one loop of a supervisor."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from types import FrameType

from ipy_autorestart.decide.change import Hint


class Wakeups:
    """Wakes the loop for signals and for the observer's thread.

    What has come is kept in sets and queues; the socket only wakes. It holds few bytes, so nothing may depend on one
    more fitting in, and one is enough for all the hints that wait.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self._read, self._write = socket.socketpair()
        self._read.settimeout(0)
        self._write.settimeout(0)
        self._hints: list[Hint] = []
        self._lock = threading.Lock()
        self._noted: set[int] = set()
        # For the signal that comes between a look at what was noted and the wait.
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._noted.add(number)  # between two bytecodes of the main thread, where it is safe

    def hint(self, hint: Hint) -> None:
        """Take a hint, in any thread."""
        with self._lock:
            first = not self._hints
            self._hints.append(hint)
        if first:
            with contextlib.suppress(OSError):  # full, which wakes as well, or closed
                self._write.send(b"\0")

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._read.fileno()

    @property
    def waits(self) -> bool:
        """Whether something has come that nobody has taken yet."""
        return bool(self._hints or self._noted)

    def take(self) -> tuple[set[int], list[Hint]]:
        """Return the signals and hints that have come."""
        numbers = self.signals()
        with self._lock:
            hints, self._hints = self._hints, []
        return numbers, hints

    def signals(self) -> set[int]:
        """Return the signals that have come since the last time they were asked for.

        What woke is forgotten, for hints as well: `waits` tells of those before the next wait.
        """
        with contextlib.suppress(BlockingIOError):
            self._read.recv(1 << 16)
        noted = set(self._noted)
        self._noted -= noted
        return noted

    def close(self) -> None:
        """Give back the descriptors."""
        signal.set_wakeup_fd(-1)
        self._read.close()
        self._write.close()
