"""Output of runs on its way to the front end: in order, in batches, and no more than a page can take."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ipy_autorestart.protocol.messages import Began, Clear, Display, Output, Shown
from ipy_autorestart.script.ansi import Rows
from ipy_autorestart.script.policy import Allowance, cost, enough_at, refilled, spent
from ipy_autorestart.script.run import Run
from ipy_autorestart.script.streams import HELD_MAX, Stream

NOW = float("-inf")


@dataclass(frozen=True, slots=True)
class Held:
    """A record that waits to be sent; displays are paid for by their size when they go, text was when it was taken."""

    record: Output | Display | Clear
    size_bytes: int = 0


class Outbox:
    """Sends on what runs print and display.

    Parameters
    ----------
    lossless
        Leave out nothing of what a run prints, however much it is.
    send
        Called with the start of each run, what it prints and what it displays, in this order.
    """

    def __init__(self, *, lossless: bool, send: Callable[[Shown], None]) -> None:
        self._lossless = lossless
        self._send = send
        self._run = 0
        self._is_announced = True
        self._allowance = Allowance()
        self._held: deque[Held] = deque()
        self._streams: tuple[Stream, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether nothing should be read, as too many displays wait; not text either, or the order would be lost."""
        return sum(held.size_bytes for held in self._held) > HELD_MAX

    def begin(self, run: int) -> None:
        """Take what follows for a run's, of this number; output of the last one is dropped if its start was never sent.

        Two have one number where nobody hears of the first.
        """
        if not self._is_announced:
            self._held = deque(held for held in self._held if held.record.run != self._run)
        self._run = run
        self._is_announced = False

    def begin_again(self) -> None:
        """Drop what the run has printed, as it starts once more."""
        self._held = deque(held for held in self._held if held.record.run != self._run)
        self._is_announced = False

    def follow(self, run: Run | None) -> None:
        """Take the output of a run from now on, or none."""
        self._streams = run.streams if run else ()
        if run and run.displays:
            run.displays.on_display = self._hold

    def take_all(self, now: float, *, last: bool) -> None:
        """Take what the run has printed; ``last`` if no more of its output follows."""
        self._held += map(Held, self._take(now, self._streams, last=last))

    def _hold(self, display: Display | Clear, size_bytes: int) -> None:
        self.take_all(time.monotonic(), last=True)
        self._held.append(Held(replace(display, run=self._run), size_bytes))
        if isinstance(display, Clear):
            for stream in self._streams:
                stream.restart()

    def due_at(self) -> float | None:
        """Return when `send_due` has something to send, None if nothing waits."""
        if not self._is_announced:
            return NOW
        if self._held:
            return self._held_due_at(self._held[0])
        return min((due for stream in self._streams if (due := self._stream_due_at(stream)) is not None), default=None)

    def _held_due_at(self, held: Held) -> float:
        if held.record.run != self._run or not held.size_bytes or self._lossless:
            return NOW
        return enough_at(self._allowance, 1)

    def _stream_due_at(self, stream: Stream) -> float | None:
        due = stream.due_at()
        if due is None or self._lossless:
            return due
        return max(due, enough_at(self._allowance, stream.size_bytes))

    def send_due(self, now: float) -> None:
        """Send that a run has begun, and what is due of its output."""
        self._allowance = refilled(self._allowance, now)
        while self._held and self._held_due_at(self._held[0]) <= now:
            held = self._held.popleft()
            if held.record.run == self._run:
                self._announce()
            if held.size_bytes:
                self._allowance = spent(self._allowance, cost(held.size_bytes))
            self._send(held.record)
        self._announce()
        if not self._held:
            for record in self._take(now, self._due_streams(now), last=False):
                self._send(record)

    def _announce(self) -> None:
        if not self._is_announced:
            self._is_announced = True
            self._send(Began(self._run))

    def _due_streams(self, now: float) -> list[Stream]:
        """Return the streams that are due and those whose turn comes before, so that none overtakes the other."""
        full = sorted((stream for stream in self._streams if not stream.is_empty), key=lambda stream: stream.turn)
        due = [(at := self._stream_due_at(stream)) is not None and at <= now for stream in full]
        while due and not due[-1]:
            due.pop()
        return full[: len(due)]

    def _take(self, now: float, streams: Iterable[Stream], *, last: bool) -> Iterator[Output | Display]:
        self._allowance = refilled(self._allowance, now)
        in_turn = sorted(streams, key=lambda stream: stream.turn)
        for stream in in_turn:
            most = sys.maxsize if self._lossless else max(0, int(self._allowance.left))
            parts, size_bytes = stream.take_parts(now, most, last=last, followed=stream is not in_turn[-1])
            self._allowance = spent(self._allowance, size_bytes)
            for part in parts:
                if isinstance(part, Rows):
                    name = f"{stream.name}:{part.region}"
                    yield Display({"text/plain": part.text}, display_id=name, update=part.update, run=self._run)
                else:
                    yield Output(self._run, stream.name, part)
