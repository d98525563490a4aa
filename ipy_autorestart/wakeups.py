"""Signals and hints wake the one loop of a supervisor."""

from __future__ import annotations

import collections
import contextlib
import signal
import socket

from ipy_autorestart.decide.change import Hint


class Wakeups:
    """Wakes the loop for signals and for the observer's thread.

    Signal handlers do nothing here but exist: Python's C handler writes the signal's number to the wake-up descriptor,
    and the loop reads it there.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self._read, self._write = socket.socketpair()
        self._read.settimeout(0)
        self._write.settimeout(0)
        self._hints: collections.deque[Hint] = collections.deque()
        # Full of wake-ups is awake: what doesn't fit is no loss.
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, lambda *_: None)

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
        try:
            numbers = set(self._read.recv(1 << 16)) - {0}
        except BlockingIOError:
            numbers = set()
        hints = [self._hints.popleft() for _ in range(len(self._hints))]
        return numbers, hints

    def close(self) -> None:
        """Give back the descriptors."""
        signal.set_wakeup_fd(-1)
        self._read.close()
        self._write.close()
