"""The script as something that the engine restarts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence

from ipy_autorestart.decide.use import Used
from ipy_autorestart.script.reports import Reports
from ipy_autorestart.script.run import Run
from ipy_autorestart.script.streams import Stream


class ScriptTarget:
    """Runs a script; at most one run at a time.

    Parameters
    ----------
    command
        What follows the interpreter.
    cwd
        The folder it runs in.
    stop_signal
        Asks a run to end.
    roots
        Of what the runs are to report.
    on_began
        Called with the number of each run that begins.
    on_output
        Called with the number of the run, the stream's name and text.
    """

    runs_at_first = False

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str,
        stop_signal: signal.Signals,
        roots: Sequence[str],
        on_began: Callable[[int], None],
        on_output: Callable[[int, str, str], None],
    ) -> None:
        self._command = command
        self._stop_signal = stop_signal
        self._cwd = cwd
        self._roots = roots
        self._on_began = on_began
        self._on_output = on_output
        self._run: Run | None = None
        self._number = 0
        self._used = Used()
        self._stopping = False
        self._announced = True
        self._held: list[tuple[str, str]] = []

    @property
    def pid(self) -> int:
        """The process group that runs, 0 for none."""
        return self._run.pid if self._run else 0

    def signal(self) -> None:
        """Send SIGHUP to the process that acts: this one."""
        # To the process, never raise_signal: the main thread must wake from its wait.
        os.kill(os.getpid(), signal.SIGHUP)

    def start(self) -> bool:
        """Begin a run; True, as it runs at once. What an earlier one has printed and `hear` has not told is dropped."""
        assert self._run is None
        self._run = Run(self._command, cwd=self._cwd, roots=self._roots)
        self._stopping = False
        self._number += 1
        self._announced = False
        self._held.clear()
        return True

    def stop(self) -> None:
        """Ask the run to end."""
        self._stopping = True
        if self._run:
            self._run.signal(self._stop_signal)

    def kill(self) -> None:
        """End the run."""
        if self._run:
            self._run.signal(signal.SIGKILL)

    def poll(self, now: float) -> int | None:
        """Return the exit status when the run has ended, once."""
        if self._run is None or (status := self._run.poll()) is None:
            return None
        for stream in self._run.streams:
            stream.drain()
            self._held.append((stream.name, stream.take(now)))
        self._run.reports.drain()
        used = self._run.reports.used
        # After a failure everything counts: what would mend it may be a file that it never got to.
        failed = status != 0 and not self._stopping
        self._used = Used(None if failed else used.read, used.written | self._used.written)
        self._run.close()
        self._run = None
        return status

    def event_of(self, record: object) -> None:
        """Return None: what the front says of a kernel is nothing to a script."""

    def used(self) -> Used:
        """Return what the run has read and written so far, or what the last one had."""
        if self._run is None:
            return self._used
        self._run.reports.drain()
        used = self._run.reports.used
        return Used(used.read, used.written | self._used.written)

    def streams(self) -> Iterable[Stream | Reports]:
        """Return the pipes to wait for."""
        pipes = (*self._run.streams, self._run.reports) if self._run else ()
        return [pipe for pipe in pipes if pipe.is_open and not pipe.is_full]

    def due_at(self) -> float | None:
        """Return when `hear` has something to tell, or `poll` is to be asked again."""
        if self._run and self._run.is_lingering:
            return time.monotonic() + 0.005  # nothing tells of the end of others' children
        if self._held or not self._announced:
            return float("-inf")
        moments = [stream.due_at() for stream in self._run.streams] if self._run else []
        return min((moment for moment in moments if moment is not None), default=None)

    def hear(self, now: float) -> None:
        """Tell that a run has begun and what it has printed, in batches."""
        if not self._announced:
            self._announced = True
            self._on_began(self._number)
        for name, text in self._held:
            if text:
                self._on_output(self._number, name, text)
        self._held.clear()
        for stream in self._run.streams if self._run else ():
            due = stream.due_at()
            if due is not None and due <= now:
                self._on_output(self._number, stream.name, stream.take(now))
