"""What a kernel is at work on, in memory that it shares with its proxy, which looks there when the kernel has died.

Clients are told what begins, too, but by a thread, which may not have come to it by then. A word on the link would wake
the proxy for each cell, just as the cell begins.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from typing import Any, NamedTuple

from ipy_autorestart.pristine import Lock, os

#: So many requests that have ended are told: the answers to the last ones may be lost with the kernel.
ENDED_MAX = 16


class Work(NamedTuple):
    """A kernel's requests: what has begun, each with whether that is a cell again, and the last that have ended."""

    begun: dict[str, bool]
    ended: tuple[str, ...] = ()


class AtWork:
    """The kernel's side; its methods are for any thread.

    Attributes
    ----------
    fd
        The file, for the proxy.
    """

    def __init__(self) -> None:
        self.fd = os.memfd_create("ipy_autorestart")
        self._begun: dict[str, bool] = {}
        self._ended = deque[str](maxlen=ENDED_MAX)
        self._lock = Lock()  # or a thread might write what another one has outdated

    def begin(self, key: str, *, again: bool) -> None:
        """Note that a request begins, or a cell again."""
        with self._lock:
            self._begun[key] = again
            self._write([self._begun, *self._ended])

    def end(self, key: str) -> None:
        """Note that it has ended."""
        with self._lock:
            self._begun.pop(key, None)
            self._ended.append(key)
            self._write([self._begun, *self._ended])

    def tell_no_more(self) -> None:
        """Note that nothing is noted from now on, until something begins."""
        with self._lock:
            self._begun.clear()
            self._ended.clear()
            self._write(None)

    def _write(self, work: list[object] | None) -> None:
        with contextlib.suppress(OSError):  # the user's code has closed it
            os.pwrite(self.fd, json.dumps(work).encode() + b"\n", 0)  # what is left of longer ones stands behind that

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            os.close(self.fd)
        self.fd = -1


def read(fd: int) -> Work | None:
    """Return what is told there; None if nothing is."""
    line = os.pread(fd, os.fstat(fd).st_size, 0).partition(b"\n")[0]
    try:
        work: list[Any] | None = json.loads(line or b"null")
    except ValueError:  # it was killed as it wrote
        return None
    return Work(work[0], tuple(work[1:])) if work else None
