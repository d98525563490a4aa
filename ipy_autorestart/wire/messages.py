"""Jupyter's messages as frames: enough to forward them, to know what they answer, and to publish a few of one's own.

The form is that of "The wire protocol" in "Messaging in Jupyter" (jupyter_client): identities, a delimiter, the
signature, then header, parent header, metadata and content as JSON, and buffers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ipy_autorestart.pristine import os

DELIMITER = b"<IDS|MSG>"
HEADER, PARENT, METADATA, CONTENT = range(2, 6)  # places after the delimiter

VERSION = "5.4"

#: All of the last message that a kernel behind a proxy sends on a channel; no client sends anything like it.
END = b"ipy_autorestart end"

#: The identity of a kernel's requests to itself: no client has it, and nobody waits for their replies.
OWN = b"ipy_autorestart"


class Key:
    """The key of a connection, by which messages are signed; without one, they aren't."""

    def __init__(self, key: bytes, scheme: str = "hmac-sha256") -> None:
        self._key = key
        self._digest = getattr(hashlib, scheme.removeprefix("hmac-"))

    def sign(self, parts: Sequence[bytes]) -> bytes:
        """Return the signature of header, parent header, metadata and content."""
        if not self._key:
            return b""
        found = hmac.new(self._key, digestmod=self._digest)
        for part in parts:
            found.update(part)
        return found.hexdigest().encode()

    def has_signed(self, parts: Sequence[bytes]) -> bool:
        """Return whether a message, of which these are the parts, is of somebody who has the key."""
        return not self._key or (len(parts) > 4 and hmac.compare_digest(self.sign(parts[1:5]), parts[0]))


class Message(NamedTuple):
    """The parts of a message that a forwarder looks at."""

    identities: Sequence[bytes]
    parts: Sequence[bytes]  # signature, header, parent header, metadata, content, buffers

    def part(self, place: int) -> dict[str, Any]:
        """Return one of its dictionaries, empty if it is none."""
        try:
            found = json.loads(self.parts[place - 1])
        except (IndexError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def parse(frames: Sequence[bytes]) -> Message | None:
    """Split a message; None if it has no delimiter."""
    try:
        place = frames.index(DELIMITER)
    except ValueError:
        return None
    return Message(frames[:place], frames[place + 1 :])


def build(
    key: Key,
    kind: str,
    content: Mapping[str, Any],
    *,
    parent: Mapping[str, Any],
    identities: Sequence[bytes] = (),
    session: str = "",
) -> list[bytes]:
    """Return the frames of a message of one's own, an answer to the request with the header ``parent``."""
    header = {
        "msg_id": os.urandom(16).hex(),
        "session": session,
        "username": str(parent.get("username", "")),
        "date": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "msg_type": kind,
        "version": VERSION,
    }
    parts = [json.dumps(part).encode() for part in (header, parent, {}, content)]
    return [*identities, DELIMITER, key.sign(parts), *parts]
