"""Displays of a run: JSON in chunks from its pipe, checked and never executed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import NoReturn

from ipy_autorestart.protocol.messages import Clear, Display
from ipy_autorestart.script.pipes import Pipe

log = logging.getLogger(__name__)

#: As `shim/_ipy_autorestart_displays.py` writes it: a mark, the writer, its count of messages, a length, whether it is
#: the last chunk of a message.
HEAD_BYTES = 12

#: Bytes of unfinished messages that are kept; the shim sends messages of half of it at most.
BYTES_MAX = 1 << 25

#: Characters of a MIME type; no page knows a longer one.
NAME_MAX = 200


def parse(message: bytes) -> Display | Clear:
    """Return the display or clearing that a message stands for; raises ValueError if it is malformed."""
    try:
        fields = json.loads(message, parse_constant=_refuse)
        json.dumps(fields, ensure_ascii=False).encode()  # fails for half a character, which can't be sent on
    except RecursionError:
        raise ValueError("too deep") from None
    match fields:
        case {"kind": "clear", "wait": bool(wait)}:
            return Clear(wait)
        case {"kind": "display", "data": dict(data), "metadata": dict(metadata)} if all(
            "/" in mime and len(mime) <= NAME_MAX for mime in data
        ):
            display_id, update = fields.get("display_id"), fields.get("update", False)
            if display_id is None and update is False:
                return Display(data, metadata)
            if isinstance(display_id, str) and isinstance(update, bool):
                return Display(data, metadata, display_id, update)
    raise ValueError(f"neither a display nor a clearing: {message[:80]!r}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


class DisplayPipe(Pipe):
    """The read end of the pipe on which a run displays.

    Attributes
    ----------
    on_display
        Called with each display and clearing, in their order, and its size in bytes.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.on_display: Callable[[Display | Clear, int], None] = lambda *_: None
        self._rest = b""
        self._parts: dict[bytes, list[bytes]] = {}
        self._size_bytes = 0
        self._is_lost = False

    def take_bytes(self, data: bytes) -> None:
        """Put chunks together to messages."""
        if self._is_lost:
            return
        data, at = self._rest + data, 0
        while len(data) - at >= HEAD_BYTES:
            end = at + HEAD_BYTES + int.from_bytes(data[at + 9 : at + 11], "little")
            if data[at] != ord("D"):
                self._lose("no chunk of a display")
                return
            if end > len(data):
                break
            self._take(data[at + 1 : at + 9], data[at + HEAD_BYTES : end], is_last=data[at + 11] != 0)
            at = end
        self._rest = data[at:]

    def _take(self, writer: bytes, part: bytes, *, is_last: bool) -> None:
        self._parts.setdefault(writer, []).append(part)
        self._size_bytes += len(part)
        if is_last:
            message = b"".join(self._parts.pop(writer))
            self._size_bytes -= len(message)
            try:
                display = parse(message)
            except ValueError as error:
                log.warning("not shown: %s", error)
            else:
                self.on_display(display, len(message))
        elif self._size_bytes > BYTES_MAX:
            self._lose("too much that is never complete")

    def _lose(self, why: str) -> None:
        # The pipe stays open, as closing it would kill the writer.
        log.warning("displays of the run are no longer shown: %s", why)
        self._is_lost = True
        self._rest = b""
        self._parts.clear()
