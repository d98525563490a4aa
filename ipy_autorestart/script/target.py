"""The script as something that the engine restarts."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from ipy_autorestart.decide.allowance import Allowance, enough_at, refilled, spent
from ipy_autorestart.decide.event import Exited
from ipy_autorestart.decide.use import Used
from ipy_autorestart.script import cold
from ipy_autorestart.script.program import Program
from ipy_autorestart.script.reports import Reports
from ipy_autorestart.script.run import LOOKED_AT, Run, reap_orphans
from ipy_autorestart.script.streams import Stream


class ScriptTarget:
    """Runs a script; at most one run at a time.

    Parameters
    ----------
    program
        What is run.
    stop_signal
        Asks a run to end.
    whole
        Leave nothing out of what a run prints, however much it is.
    on_began
        Called with the number of each run that begins.
    on_output
        Called with the number of the run, the stream's name and text.
    """

    runs_at_first = False

    def __init__(
        self,
        program: Program,
        *,
        stop_signal: signal.Signals,
        whole: bool = False,
        on_began: Callable[[int], None],
        on_output: Callable[[int, str, str], None],
    ) -> None:
        self._program = program
        self._stop_signal = stop_signal
        self._whole = whole
        self._on_began = on_began
        self._on_output = on_output
        self._run: Run | None = None
        self._number = 0
        self._used = Used()
        self._stopping = False
        self._announced = True
        self._allowance = Allowance()
        self._last_words: list[tuple[str, str]] = []

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
        if self._run:  # even SIGKILL has not ended it
            self._run.close()
        self._run = cold.start(self._program, whole=self._whole)
        self._stopping = False
        self._number += 1
        self._announced = False
        self._last_words.clear()
        return True

    def stop(self) -> None:
        """Ask the run, and what it has started, to end."""
        self._stopping = True
        if self._run:
            self._run.signal(self._stop_signal)

    def kill(self) -> None:
        """End the run, and what it has started."""
        if self._run:
            self._run.signal(signal.SIGKILL)

    def poll(self, now: float) -> Exited | None:
        """Return what is new about the end of the run."""
        ended = self._run.poll() if self._run else None
        reap_orphans(besides=self.pid)
        if self._run is None or ended is None:
            return None
        self._run.drain()
        # After a failure everything counts: what would mend it may be a file that it never got to.
        failed = ended.status != 0 and not self._stopping
        used = self._run.reports.used
        self._used = Used(None if failed else used.read, used.written | self._used.written)
        self._last_words += self._texts(now, self._run.streams, last=not ended.left)
        if not ended.left:
            self._run.close()
            self._run = None
        return Exited(ended.status, left=ended.left)

    def event_of(self, record: object) -> None:
        """Return None: what the front says of a kernel is nothing to a script."""

    def used(self) -> Used:
        """Return what the run has read and written so far, or what the last one had."""
        if self._run is None or self._run.has_ended:
            return self._used
        self._run.reports.drain()
        used = self._run.reports.used
        return Used(used.read, used.written | self._used.written)

    def streams(self) -> Iterable[Stream | Reports]:
        """Return the pipes to wait for."""
        pipes = (*self._run.streams, self._run.reports) if self._run else ()
        return [pipe for pipe in pipes if pipe.is_open and not pipe.is_full]

    def poll_at(self) -> float | None:
        """Return when `poll` is to be asked again though no signal tells."""
        return time.monotonic() + LOOKED_AT if self._run and self._run.is_to_be_looked_at else None

    def due_at(self) -> float | None:
        """Return when `hear` has something to tell."""
        if self._last_words or not self._announced:
            return float("-inf")
        streams = self._run.streams if self._run else ()
        return min((due for stream in streams if (due := self._stream_due_at(stream)) is not None), default=None)

    def _stream_due_at(self, stream: Stream) -> float | None:
        due = stream.due_at()
        if due is None or self._whole:
            return due
        return max(due, enough_at(self._allowance, stream.size_bytes))

    def hear(self, now: float) -> None:
        """Tell that a run has begun and what it has printed, in batches."""
        if not self._announced:
            self._announced = True
            self._on_began(self._number)
        for name, text in self._last_words:
            self._on_output(self._number, name, text)
        self._last_words.clear()
        streams = self._run.streams if self._run else ()
        due = [stream for stream in streams if (at := self._stream_due_at(stream)) is not None and at <= now]
        for name, text in self._texts(now, due):
            self._on_output(self._number, name, text)

    def _texts(self, now: float, streams: Iterable[Stream], *, last: bool = False) -> Iterator[tuple[str, str]]:
        self._allowance = refilled(self._allowance, now)
        for stream in streams:
            most = sys.maxsize if self._whole else max(0, int(self._allowance.left))
            text, size_bytes = stream.take(now, most, last=last)
            self._allowance = spent(self._allowance, size_bytes)
            if text:
                yield stream.name, text
