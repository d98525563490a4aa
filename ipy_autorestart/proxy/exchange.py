"""Reads messages that pass a proxy, as far as it must know which requests are done."""

from __future__ import annotations

from collections.abc import Sequence

import zmq

from ipy_autorestart.proxy.book import Book
from ipy_autorestart.proxy.forward import plain
from ipy_autorestart.wire.messages import HEADER, PARENT, Key, parse


def may_answer(channel: str, frames: Sequence[zmq.Frame]) -> bool:
    """Return whether `Exchange.note_answer` has something to note of what a kernel has sent."""
    return channel != "stdin" and (channel != "iopub" or frames[0].bytes.endswith(b"status"))


class Exchange:
    """Notes in a book what clients ask for, and what a kernel answers; the key is that of the connection."""

    def __init__(self, book: Book, key: Key) -> None:
        self._book = book
        self._key = key

    def note_request(self, channel: str, frames: Sequence[bytes]) -> None:
        """Note a request, if it is one that a kernel answers to."""
        message = parse(frames)
        if message is None or not self._key.has_signed(message.parts):
            return
        header = message.part(HEADER)
        if key := str(header.get("msg_id", "")):
            self._book.note(key, channel, str(header.get("msg_type", "")), frames)

    def note_answer(self, channel: str, frames: Sequence[zmq.Frame]) -> bool:
        """Note what a kernel has sent; return whether it ends now: whatever it dies of then, it was to end."""
        message = parse(plain(frames))
        if message is None:
            return False
        key = str(message.part(PARENT).get("msg_id", ""))
        if channel != "iopub":
            self._book.replied(key)
            return b'"shutdown_reply"' in message.parts[1]
        if b'"busy"' in message.parts[4]:
            self._book.busy(key)
        elif b'"idle"' in message.parts[4]:
            self._book.idle(key)
        return False
