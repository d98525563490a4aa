"""What a run prints: bytes from its pipes become text in batches."""

from __future__ import annotations

import codecs

from ipy_autorestart.script.pipe import Pipe

#: Seconds between two batches of one stream. Measured: 50 ms carries 150 times the lines of a message per line.
BATCH = 0.05

#: So much text is kept of a run that is not shown yet; beyond it the run waits in its write.
HELD_CHARACTERS_MAX = 1 << 20


class Stream(Pipe):
    """The read end of a pipe, decoded incrementally; broken bytes are replaced."""

    def __init__(self, name: str, fd: int) -> None:
        super().__init__(fd)
        self.name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._sent_at = float("-inf")

    @property
    def is_full(self) -> bool:
        """Whether as much text is kept as may be."""
        return len(self._text) > HELD_CHARACTERS_MAX

    def take_bytes(self, data: bytes) -> None:
        """Decode what was read."""
        self._text += self._decoder.decode(data, final=not data)

    def due_at(self) -> float | None:
        """Return when text is to be taken: the first at once, the next a batch later; None without text."""
        return self._sent_at + BATCH if self._text else None

    def take(self, now: float) -> str:
        """Return the text so far."""
        text, self._text, self._sent_at = self._text, "", now
        return text
