"""The process that a supervisor must not outlive."""

from __future__ import annotations

import contextlib
import os


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
