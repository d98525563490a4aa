"""The script as something that the engine restarts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence

from ipy_autorestart.script.run import Run
from ipy_autorestart.script.streams import Stream

HEARD_BYTES_MAX = 1 << 20
"""So much output may wait for the front; beyond it the run waits, as it would for a slow terminal."""


class ScriptTarget:
    """Runs a script; at most one run at a time.

    Parameters
    ----------
    command
        What follows the interpreter.
    stop_signal
        Asks a run to end.
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
        stop_signal: signal.Signals,
        on_began: Callable[[int], None],
        on_output: Callable[[int, str, str], None],
    ) -> None:
        self._command = command
        self._stop_signal = stop_signal
        self._on_began = on_began
        self._on_output = on_output
        self._run: Run | None = None
        self._number = 0

    @property
    def pid(self) -> int:
        """The process group that runs, 0 for none."""
        return self._run.pid if self._run else 0

    def signal(self) -> None:
        """Send SIGHUP to the process that acts: this one."""
        # To the process, never raise_signal: the main thread must wake from its wait.
        os.kill(os.getpid(), signal.SIGHUP)

    def start(self) -> bool:
        """Begin a run; True, as it runs at once."""
        assert self._run is None
        self._run = Run(self._command)
        self._number += 1
        self._on_began(self._number)
        return True

    def stop(self) -> None:
        """Ask the run to end."""
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
        self.hear(now, all_of_it=True)
        self._run.close()
        self._run = None
        return status

    def event_of(self, record: object) -> None:
        """Return None: what the front says of a kernel is nothing to a script."""

    def streams(self) -> Iterable[Stream]:
        """Return the pipes to wait for."""
        return [stream for stream in self._run.streams if stream.is_open] if self._run else []

    def due_at(self) -> float | None:
        """Return when `hear` has something to pass on."""
        moments = [stream.due_at() for stream in self._run.streams] if self._run else []
        return min((moment for moment in moments if moment is not None), default=None)

    def hear(self, now: float, *, all_of_it: bool = False) -> None:
        """Pass on what the run has printed, in batches."""
        for stream in self._run.streams if self._run else ():
            due = stream.due_at()
            if due is not None and (all_of_it or due <= now):
                self._on_output(self._number, stream.name, stream.take(now))
