"""What a run prints: bytes from its pipes become text in batches."""

from __future__ import annotations

import codecs

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
    """

    def __init__(self, name: str, fd: int, *, whole: bool = False) -> None:
        super().__init__(fd)
        self.name = name
        self.whole = whole
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._excerpt = Excerpt(bounded=not whole)
        self._ended = False
        self._sent_at = float("-inf")

    @property
    def is_full(self) -> bool:
        """Whether as much is held as may be."""
        return self.whole and self.size_bytes > HELD_MAX

    @property
    def size_bytes(self) -> int:
        """What is held."""
        return self._excerpt.size_bytes

    def take_bytes(self, data: bytes) -> None:
        """Hold what was read."""
        self._excerpt.add(data)
        self._ended = not data

    def due_at(self) -> float | None:
        """Return when text is to be taken: the first at once, the next a batch later; None without any."""
        if not self.size_bytes:
            return None
        if self._excerpt.is_flooded:
            return self._sent_at + FLOOD_BATCH
        return self._sent_at if self.size_bytes >= FULL_BATCH else self._sent_at + BATCH

    def take(self, now: float, most: int, *, last: bool = False) -> tuple[str, int]:
        """Return the text so far and the bytes it was: at most so many, or, the ``last`` time, what is told of all."""
        data = self._excerpt.take(most, last=last)
        self._sent_at = now
        return self._decoder.decode(data, final=self._ended and not self.size_bytes), len(data)
