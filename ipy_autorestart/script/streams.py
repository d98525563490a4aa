"""What a run prints: bytes from its pipes become text in batches."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable

from ipy_autorestart.decide.live import Live, Rows
from ipy_autorestart.script.excerpt import HELD_MAX, Excerpt
from ipy_autorestart.script.pipe import Pipe

#: Seconds between two batches of one stream. Measured: 50 ms carries 150 times the lines of a message per line.
BATCH = 0.05

#: The same in a flood, of which head and tail are shown.
FLOOD_BATCH = 0.5

#: So many bytes don't wait for the end of a batch.
FULL_BATCH = 1 << 16


class Stream(Pipe):
    """The read end of a pipe, decoded incrementally; broken bytes are replaced.

    Parameters
    ----------
    name
        "stdout" or "stderr".
    fd
        To be read.
    whole
        Hold back the run when more comes than is taken, and leave nothing out.
    live
        Show rows where a terminal would show them, instead of moving its cursor.
    before
        Called before each read, and after what found that there is something to read. Who displays waits until what
        it has printed is read, so that what is found displayed by then was displayed before what is read now.
    """

    def __init__(
        self, name: str, fd: int, *, whole: bool = False, live: bool = False, before: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(fd)
        self._before = before
        self._live = Live() if live else None
        self.name = name
        self.whole = whole
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._excerpt = Excerpt(bounded=not whole)
        self._ended = False
        self._sent_at = self._held_since = float("-inf")
        self._is_within_line = False

    @property
    def is_full(self) -> bool:
        """Whether as much is held as may be."""
        return self.whole and self.size_bytes > HELD_MAX

    @property
    def size_bytes(self) -> int:
        """What is held."""
        return self._excerpt.size_bytes

    def read(self) -> bool:
        """Take what one read gives, behind what was displayed before it was printed."""
        self._before()
        return super().read()

    @property
    def turn(self) -> tuple[bool, float]:
        """By which streams that hold something are told: first who ends a line, as a bar, then who has held it longer.

        What came to two pipes at once tells no more of its order.
        """
        return not self._is_within_line, self._held_since

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self.size_bytes and not (self._live and self._live.waits)

    def take_bytes(self, data: bytes) -> None:
        """Hold what was read."""
        if not self.size_bytes:
            self._held_since = time.monotonic()
        self._excerpt.add(data)
        self._ended = not data

    def due_at(self) -> float | None:
        """Return when text is to be taken: the first at once, the next a batch later; None without any."""
        if not self.size_bytes:
            return self._sent_at + BATCH if self._live and self._live.waits else None
        if self._excerpt.is_flooded:
            return self._sent_at + FLOOD_BATCH
        return self._sent_at if self.size_bytes >= FULL_BATCH else self._sent_at + BATCH

    def take(self, now: float, most: int, *, last: bool = False) -> tuple[str, int]:
        """Return the text so far and the bytes it was: at most so many, or, the ``last`` time, what is told of all."""
        data = self._excerpt.take(most, last=last)
        self._sent_at = now
        return self._decoder.decode(data, final=self._ended and not self.size_bytes), len(data)

    def take_parts(
        self, now: float, most: int, *, last: bool = False, followed: bool = False
    ) -> tuple[list[str | Rows], int]:
        """Return the same, as what is to be shown; ``followed`` by something of another stream."""
        text, size_bytes = self.take(now, most, last=last)
        if self._live is None:
            return [text] if text else [], size_bytes
        last = last or (self._ended and not self.size_bytes)
        parts = list(self._live.feed(text, last=last, followed=followed))
        for part in parts:
            self._is_within_line = isinstance(part, str) and not part.endswith("\n")
        return parts, size_bytes

    def restart(self) -> None:
        """Begin anew where what was shown is cleared."""
        self._is_within_line = False
        if self._live:
            self._live.restart()
