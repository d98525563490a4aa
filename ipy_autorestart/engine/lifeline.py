"""The process that a supervisor must not outlive."""

from __future__ import annotations

import contextlib
import os


class Parent:
    """The parent of this process, whose end is noticed even if a process that it forked holds the link open."""

    def __init__(self) -> None:
        self.pid = os.getppid()
        self._pidfd = -1
        with contextlib.suppress(AttributeError, OSError):  # not Linux, or older than 5.3, or the parent is gone
            self._pidfd = os.pidfd_open(self.pid)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return os.getppid() != self.pid

    def fileno(self) -> int:
        """Return the descriptor that becomes readable at its end, -1 if only `is_gone` tells."""
        return self._pidfd

    def close(self) -> None:
        """Close the descriptor."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
