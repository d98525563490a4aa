"""The kernel as something that the engine restarts: it gets a SIGHUP and does the rest by itself."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Never

from ipy_autorestart.decide.events import Exited
from ipy_autorestart.decide.use import Used
from ipy_autorestart.protocol.messages import Record, Reran
from ipy_autorestart.text import duration


class KernelTarget:
    """The kernel with a given process id, which exec keeps.

    Parameters
    ----------
    pid
        Its process.
    ask
        Called when it has been sent a SIGHUP, to have it say what it does.
    """

    def __init__(self, pid: int, *, ask: Callable[[], None]) -> None:
        self.pid = pid
        self._ask = ask
        self._rerun = ""
        self._rerun_since: float | None = None

    def signal(self) -> None:
        """Send SIGHUP to the process that acts: the kernel."""
        with contextlib.suppress(ProcessLookupError):  # it is gone, and the link's end will tell
            os.kill(self.pid, signal.SIGHUP)
            self._ask()

    is_warm = None

    def start(self, changed: Iterable[str]) -> bool:  # noqa: ARG002  # see the protocol
        """Do nothing: the kernel's new image says when it is up."""
        return False

    def stop(self) -> None:
        """Do nothing: the kernel leaves when it is idle."""

    def kill(self) -> None:
        """Do nothing: a kernel is never killed."""

    def poll(self, now: float) -> None:
        """Return None: the kernel's end is the link's."""

    def poll_at(self) -> float | None:
        """Return when what is said of a cell that runs again is another second old."""
        since = self._rerun_since
        return None if since is None else since + math.floor(time.monotonic() - since) + 1

    def streams(self) -> Iterable[Never]:
        """Return nothing to wait for: the kernel's output is its own."""
        return ()

    def used(self) -> Used:
        """Return that everything counts: a kernel doesn't tell what it uses."""
        return Used()

    def due_at(self) -> None:
        """Return None: there is nothing to hear."""

    def describe(self) -> str:
        """Return nothing: a kernel has no fork server."""
        return ""

    def note(self) -> str:
        """Say which cell is run again and for how long, or how that went."""
        seconds = math.floor(time.monotonic() - self._rerun_since) if self._rerun_since is not None else 0
        return f"{self._rerun}, {duration(seconds)}" if seconds else self._rerun

    def close(self) -> None:
        """Do nothing: a kernel lives on."""

    def hear(self, now: float) -> None:
        """Do nothing."""

    def receive(self, record: Record) -> None:
        """Note which cells the kernel runs again, until its next image."""
        match record:
            case Exited():
                self._rerun, self._rerun_since = "", None
            case Reran(what, goes_on):
                self._rerun, self._rerun_since = what, time.monotonic() if goes_on else None
