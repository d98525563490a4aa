"""Runs that finish what they answer while the next one has begun (``--overlap``)."""

from __future__ import annotations

import contextlib
import os
import signal

#: Seconds between two signals to kill a group.
KILLED_APART = 1.0


class Leaving:
    """Process groups that have been asked to end, each with the time when it is killed."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def add(self, group: int, *, until: float) -> None:
        """Let a group go on until then."""
        self._until[group] = until

    @property
    def groups(self) -> tuple[int, ...]:
        """Those of which a process is there."""
        return tuple(self._until)

    def keep_up(self, now: float) -> None:
        """Kill those whose time is over, and forget those that are gone; their processes are reaped elsewhere."""
        for group, until in list(self._until.items()):
            if not _send(group, signal.SIGKILL if now >= until else 0):
                del self._until[group]
            elif now >= until:  # what waits for a broken device takes its time
                self._until[group] = now + KILLED_APART

    def due_at(self) -> list[float]:
        """Return when they are to be killed."""
        return list(self._until.values())

    def kill(self) -> None:
        """Kill all of them."""
        for group in self._until:
            _send(group, signal.SIGKILL)
        self._until.clear()


def _send(group: int, signum: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter of a group of zombies on macOS
        os.killpg(group, signum)
        return True
    return False
