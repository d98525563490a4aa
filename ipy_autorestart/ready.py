"""Wait for file descriptors: `select` ends at number 1023, and `selectors` costs several times as much."""

from __future__ import annotations

import math
import select
from collections.abc import Iterable
from typing import Protocol


class HasFileno(Protocol):
    """Something to wait for."""

    def fileno(self) -> int:
        """Return its file descriptor."""


def ready(readers: Iterable[HasFileno | int], writers: Iterable[HasFileno], timeout: float) -> set[int]:
    """Return the descriptors that can be read or written, at the latest after so many seconds."""
    events: dict[int, int] = {}
    for reader in readers:
        events[reader if isinstance(reader, int) else reader.fileno()] = select.POLLIN
    for writer in writers:
        number = writer.fileno()
        events[number] = events.get(number, 0) | select.POLLOUT
    waiting = select.poll()
    for number, mask in events.items():
        waiting.register(number, mask)
    return {number for number, _ in waiting.poll(math.ceil(timeout * 1000))}
