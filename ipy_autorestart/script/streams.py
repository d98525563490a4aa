"""What a run prints: bytes from its pipes become text in batches."""

from __future__ import annotations

import codecs
import os

#: Seconds between two batches of one stream. Measured: 50 ms carries 150 times the lines of a message per line.
BATCH = 0.05

READ_BYTES = 1 << 16

#: So much text is kept of a run that is not shown yet; beyond it the run waits in its write.
HELD_CHARACTERS_MAX = 1 << 20


class Stream:
    """The read end of a pipe, decoded incrementally; broken bytes are replaced."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._fd = fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._sent_at = float("-inf")
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        """Return the file descriptor, for selectors."""
        return self._fd

    @property
    def is_open(self) -> bool:
        """Whether the other end may still write."""
        return self._fd >= 0

    @property
    def is_full(self) -> bool:
        """Whether as much text is kept as may be."""
        return len(self._text) > HELD_CHARACTERS_MAX

    def read(self) -> bool:
        """Take what one read of the pipe gives and say whether it gave any; closes the pipe at its end."""
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        self._text += self._decoder.decode(data, final=not data)
        if not data:
            self.close()
        return bool(data)

    def drain(self) -> None:
        """Take all that the pipe holds now; its writer has ended, but a process that it left may hold it open."""
        while self.is_open and not self.is_full and self.read():
            pass

    def due_at(self) -> float | None:
        """Return when text is to be taken: the first at once, the next a batch later; None without text."""
        return self._sent_at + BATCH if self._text else None

    def take(self, now: float) -> str:
        """Return the text so far."""
        text, self._text, self._sent_at = self._text, "", now
        return text

    def close(self) -> None:
        """Close the pipe."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
