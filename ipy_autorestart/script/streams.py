"""Output of a run: bytes from its pipes become text in batches; of too much, head and tail are kept."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable

from ipy_autorestart import catalogue
from ipy_autorestart.script.ansi import Live, Rows
from ipy_autorestart.script.pipes import Pipe

#: Bytes that are held.
HELD_MAX = 1 << 20

#: Bytes that remain at each end if there were more.
HEAD, TAIL = 1 << 14, 1 << 14


class Excerpt:
    """Bytes that wait to be taken, of too many only head and tail.

    If it isn't ``bounded``, all are kept, and the caller holds back when `size_bytes` is too large.
    """

    def __init__(self, *, bounded: bool = True) -> None:
        self._bounded = bounded
        self._held = bytearray()
        self._tail = bytearray()
        self.is_flooded = False  # now or the last time
        self._bytes_out = self._lines_out = 0

    @property
    def size_bytes(self) -> int:
        """Bytes that are held."""
        return len(self._held) + min(len(self._tail), TAIL)

    def add(self, data: bytes) -> None:
        """Hold more bytes."""
        if self._tail or self._bytes_out:
            self._tail += data
        else:
            self._held += data
            # In a flood the output shown should be fresh: it does not wait for the rest of the head.
            if self._bounded and len(self._held) > (HEAD + TAIL if self.is_flooded else HELD_MAX):
                self._overflow()
        if len(self._tail) > HELD_MAX:  # not each time: cutting moves the bytes that are kept
            self._cut()

    def take(self, most: int, *, last: bool = False) -> bytes:
        """Take ``most`` bytes; if more are held and it is the ``last`` time, take their head and tail."""
        if last and self._bounded and len(self._held) > max(most, HEAD + TAIL):
            self._overflow()
        if self._tail or self._bytes_out:
            self._cut()
            # Without a last character that is cut, and without a first line, or at least a first character.
            head = re.sub(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z", b"", bytes(self._held))
            line = self._tail.find(b"\n") + 1
            is_cut = 0 < line < len(self._tail)
            tail = bytes(self._tail[line:] if is_cut else self._tail.lstrip(bytes(range(0x80, 0xC0))))
            gap = ""
            if self._bytes_out:
                what = size(self._bytes_out)
                if self._lines_out:
                    what = catalogue.LINES_OUT(count=f"{self._lines_out:,}", size=what)
                # A colour that was switched on before would go on for ever.
                gap = f"\x1b[0m\n{catalogue.OUTPUT_LEFT_OUT(what=what)}\n"
            self._held.clear()
            self._tail.clear()
            self._bytes_out = self._lines_out = 0
            return head + gap.encode() + tail
        taken = bytes(self._held if last else self._held[:most])
        del self._held[: len(taken)]
        self.is_flooded = False
        return taken

    def _overflow(self) -> None:
        self.is_flooded = True
        self._tail = self._held[HEAD:]
        del self._held[HEAD:]

    def _cut(self) -> None:
        out = len(self._tail) - TAIL
        if out > 0:
            self._bytes_out += out
            self._lines_out += self._tail.count(b"\n", 0, out)
            del self._tail[:out]


def size(size_bytes: int) -> str:
    """Return a number of bytes as text."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= one:
            return f"{size_bytes / one:.1f} {unit}"
    return f"{size_bytes} bytes"


#: Seconds between two batches of a stream. Measured: 50 ms carry 150 times as many lines as a message per line.
BATCH = 0.05

#: The same in a flood, of which only head and tail are shown.
FLOOD_BATCH = 0.5

#: Bytes that are sent before the end of a batch.
FULL_BATCH = 1 << 16


class Stream(Pipe):
    """The read end of an output pipe, decoded incrementally; broken bytes are replaced.

    Parameters
    ----------
    name
        "stdout" or "stderr".
    lossless
        Leave nothing out: make the run wait while more comes than is taken.
    live
        Turn text that moves a terminal's cursor into rows.
    before
        Called before each read, to read displays first. A run waits with a display until its text is read, so that a
        display found by then came before the text that is read next.
    """

    def __init__(
        self,
        name: str,
        fd: int,
        *,
        lossless: bool = False,
        live: bool = False,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(fd)
        self._before = before
        self._live = Live() if live else None
        self.name = name
        self.lossless = lossless
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._excerpt = Excerpt(bounded=not lossless)
        self._ended = False
        self._sent_at = self._held_since = float("-inf")
        self._is_within_line = False

    @property
    def is_full(self) -> bool:
        """Whether as many bytes are held as may be."""
        return self.lossless and self.size_bytes > HELD_MAX

    @property
    def size_bytes(self) -> int:
        """Bytes that are held."""
        return self._excerpt.size_bytes

    def read(self) -> bool:
        """Read once, after the displays that came before."""
        self._before()
        return super().read()

    @property
    def turn(self) -> tuple[bool, float]:
        """The order in which streams are sent: first those within a line, as a bar is, then those that waited longer.

        Nothing more is known about the order of what came through two pipes.
        """
        return not self._is_within_line, self._held_since

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be taken."""
        return not self.size_bytes and not (self._live and self._live.waits)

    def take_bytes(self, data: bytes) -> None:
        """Hold the bytes."""
        if not self.size_bytes:
            self._held_since = time.monotonic()
        self._excerpt.add(data)
        self._ended = not data

    def due_at(self) -> float | None:
        """Return when to take text: the first at once, the next a batch later, None if there is none."""
        if not self.size_bytes:
            return self._sent_at + BATCH if self._live and self._live.waits else None
        if self._excerpt.is_flooded:
            return self._sent_at + FLOOD_BATCH
        return self._sent_at if self.size_bytes >= FULL_BATCH else self._sent_at + BATCH

    def take(self, now: float, most: int, *, last: bool = False) -> tuple[str, int]:
        """Return text and its size: at most ``most`` bytes or, the ``last`` time, head and tail of all."""
        data = self._excerpt.take(most, last=last)
        self._sent_at = now
        return self._decoder.decode(data, final=self._ended and not self.size_bytes), len(data)

    def take_parts(
        self, now: float, most: int, *, last: bool = False, followed: bool = False
    ) -> tuple[list[str | Rows], int]:
        """Return the same as text and rows; with ``followed``, something of another stream is shown next."""
        text, size_bytes = self.take(now, most, last=last)
        if self._live is None:
            return [text] if text else [], size_bytes
        last = last or (self._ended and not self.size_bytes)
        parts = list(self._live.feed(text, last=last, followed=followed))
        for part in parts:
            self._is_within_line = isinstance(part, str) and not part.endswith("\n")
        return parts, size_bytes

    def restart(self) -> None:
        """Start again: what was shown has been cleared."""
        self._is_within_line = False
        if self._live:
            self._live.restart()
