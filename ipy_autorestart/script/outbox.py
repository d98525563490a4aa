"""What runs have shown and the front has not got yet: in order, in batches, and not more than a page can take."""

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


@dataclass(frozen=True, slots=True)
class Held:
    """What a run has shown; the size of what isn't paid for."""

    record: Output | Display | Clear
    size_bytes: int = 0


class Outbox:
    """Between runs and the front.

    Parameters
    ----------
    lossless
        Leave nothing out of what a run prints, however much it is.
    tell
        Called with each run that begins, what it prints and what it displays, in this order.
    """

    def __init__(self, *, lossless: bool, tell: Callable[[Shown], None]) -> None:
        self._lossless = lossless
        self._tell = tell
        self._number = 0
        self._announced = True
        self._allowance = Allowance()
        self._held: deque[Held] = deque()
        self._streams: tuple[Stream, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether so much was displayed that nothing is to be read: not text either, or the order would be lost."""
        return sum(held.size_bytes for held in self._held) > HELD_MAX

    def begin(self) -> None:
        """Make room for a new run; what an earlier one has shown that was never announced is dropped."""
        if not self._announced:  # it was superseded before it was shown
            self._held = deque(held for held in self._held if held.record.run != self._number)
        self._number += 1
        self._announced = False

    def follow(self, run: Run) -> None:
        """Take from a run what it shows."""
        self._streams = run.streams
        if run.displays:
            run.displays.on_display = self._hold

    def leave(self) -> None:
        """Take no more from it."""
        self._streams = ()

    def take_all(self, now: float, *, last: bool) -> None:
        """Take what the run has printed; ``last``: nothing follows that belongs to it."""
        self._held += map(Held, self._take(now, self._streams, last=last))

    def _hold(self, display: Display | Clear, size_bytes: int) -> None:
        self.take_all(time.monotonic(), last=True)
        self._held.append(Held(replace(display, run=self._number), size_bytes))
        if isinstance(display, Clear):
            for stream in self._streams:
                stream.restart()

    def due_at(self) -> float | None:
        """Return when `tell` has something to tell."""
        if not self._announced:
            return float("-inf")
        if self._held:
            return self._held_due_at(self._held[0])
        return min((due for stream in self._streams if (due := self._stream_due_at(stream)) is not None), default=None)

    def _held_due_at(self, held: Held) -> float:
        if held.record.run != self._number or not held.size_bytes or self._lossless:  # text has been paid for
            return float("-inf")
        return enough_at(self._allowance, 1)

    def _stream_due_at(self, stream: Stream) -> float | None:
        due = stream.due_at()
        if due is None or self._lossless:
            return due
        return max(due, enough_at(self._allowance, stream.size_bytes))

    def tell(self, now: float) -> None:
        """Tell that a run has begun and what is due of what it has shown."""
        self._allowance = refilled(self._allowance, now)
        while self._held and self._held_due_at(self._held[0]) <= now:
            held = self._held.popleft()
            if held.record.run == self._number:
                self._announce()
            if held.size_bytes:
                self._allowance = spent(self._allowance, cost(held.size_bytes))
            self._tell(held.record)
        self._announce()
        if not self._held:
            for record in self._take(now, self._due(now), last=False):
                self._tell(record)

    def _due(self, now: float) -> list[Stream]:
        """Return the streams that are due, and those whose turn is before theirs: none is to overtake the other."""
        full = sorted((one for one in self._streams if not one.is_empty), key=lambda one: one.turn)
        due = [(at := self._stream_due_at(one)) is not None and at <= now for one in full]
        while due and not due[-1]:
            due.pop()
        return full[: len(due)]

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            self._tell(Began(self._number))

    def _take(self, now: float, streams: Iterable[Stream], *, last: bool) -> Iterator[Output | Display]:
        self._allowance = refilled(self._allowance, now)
        in_turn = sorted(streams, key=lambda one: one.turn)
        for stream in in_turn:
            most = sys.maxsize if self._lossless else max(0, int(self._allowance.left))
            parts, size_bytes = stream.take_parts(now, most, last=last, followed=stream is not in_turn[-1])
            self._allowance = spent(self._allowance, size_bytes)
            for part in parts:
                if isinstance(part, Rows):
                    name = f"{stream.name}:{part.region}"
                    yield Display({"text/plain": part.text}, display_id=name, update=part.update, run=self._number)
                else:
                    yield Output(self._number, stream.name, part)
