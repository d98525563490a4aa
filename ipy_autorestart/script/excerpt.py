"""What is held of a stream until it can be shown: all of it or, when that is too much, its head and its tail."""

from __future__ import annotations

import re

#: So many bytes are held.
HELD_MAX = 1 << 20

#: What remains of them at each end when it was more.
HEAD, TAIL = 1 << 14, 1 << 14


class Excerpt:
    """Bytes in, text out.

    Parameters
    ----------
    bounded
        Whether too much is cut in the middle; if not, whoever adds looks at `size_bytes` and holds back.
    """

    def __init__(self, *, bounded: bool = True) -> None:
        self._bounded = bounded
        self._held = bytearray()
        self._tail = bytearray()
        self._flooded = False
        self._bytes_out = self._lines_out = 0

    @property
    def size_bytes(self) -> int:
        """What is held."""
        return len(self._held) + min(len(self._tail), TAIL)

    @property
    def is_flooded(self) -> bool:
        """Whether something was left out, now or the last time."""
        return self._flooded

    def add(self, data: bytes) -> None:
        """Hold some more."""
        if self._tail or self._bytes_out:
            self._tail += data
        else:
            self._held += data
            # In a flood what is shown is to be fresh: nothing waits for the rest of the head.
            if self._bounded and len(self._held) > (HEAD + TAIL if self._flooded else HELD_MAX):
                self._overflow()
        if len(self._tail) > HELD_MAX:  # not each time: it moves what is kept
            self._cut()

    def take(self, most: int, *, last: bool = False) -> bytes:
        """Take at most so many bytes; of more than that, head and tail if it is the ``last`` time."""
        if last and self._bounded and len(self._held) > max(most, HEAD + TAIL):
            self._overflow()
        if self._tail or self._bytes_out:
            self._cut()
            taken = b"".join((_whole_head(self._held), self._gap(), _whole_tail(self._tail)))
            self._held.clear()
            self._tail.clear()
            self._bytes_out = self._lines_out = 0
            return taken
        taken = bytes(self._held if last else self._held[:most])
        del self._held[: len(taken)]
        self._flooded = False
        return taken

    def _overflow(self) -> None:
        self._flooded = True
        self._tail = self._held[HEAD:]
        del self._held[HEAD:]

    def _cut(self) -> None:
        out = len(self._tail) - TAIL
        if out > 0:
            self._bytes_out += out
            self._lines_out += self._tail.count(b"\n", 0, out)
            del self._tail[:out]

    def _gap(self) -> bytes:
        if not self._bytes_out:
            return b""
        lines = f"{self._lines_out:,} lines, " if self._lines_out else ""
        # Colours that were switched on in what is missing, or before, would go on for ever.
        return f"\x1b[0m\n… {lines}{size(self._bytes_out)} left out …\n".encode()


def size(size_bytes: int) -> str:
    """Say how much it is."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= one:
            return f"{size_bytes / one:.1f} {unit}"
    return f"{size_bytes} bytes"


def _whole_head(head: bytearray) -> bytes:
    """Leave out what is cut of the last character."""
    return re.sub(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z", b"", bytes(head))


def _whole_tail(tail: bytearray) -> bytes:
    """Leave out what is cut of the first line, or at least of the first character."""
    line = tail.find(b"\n") + 1
    return bytes(tail[line:]) if 0 < line < len(tail) else bytes(tail).lstrip(bytes(range(0x80, 0xC0)))
