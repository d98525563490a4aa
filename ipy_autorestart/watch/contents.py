"""Read a file's signature and content such that no later write can hide behind them."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from dataclasses import dataclass
from typing import Self

from ipy_autorestart.decide.compiled import HEAD_BYTES

Signature = tuple[int, int, int, int, int]

#: A larger file is known by its signature alone: reading it would cost more than a restart.
HUGE_BYTES = 16 << 20

# Two writes within one tick of the kernel's coarse clock (10 ms at worst) get the same timestamp: a content read
# so soon after a write is read again. Whole seconds are the mark of a file system with no finer clock.
_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2_500_000_000
_SECOND_NS = 1_000_000_000

# Of clock_gettime(2); the ``time`` module doesn't name it. Linux takes timestamps by it, up to a tick behind.
_CLOCK_REALTIME_COARSE = 5

#: Of a content's digest: two that differ are taken for the same once in 10**19 pairs.
DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Content:
    """Content of a file; ``digest`` is empty if it is yet to be read, ``source`` None if the bytes were not kept."""

    digest: bytes
    size_bytes: int
    source: bytes | None = None

    @classmethod
    def unread(cls, status: os.stat_result) -> Self:
        """Return the stand-in for a content that is yet to be read."""
        return cls(b"", status.st_size)

    @classmethod
    def of(cls, status: os.stat_result, source: bytes | None, *, keep: bool) -> Self:
        """Return what is remembered of a result of `read`; ``keep`` the bytes too, if asked to."""
        if source is None:
            source, keep, size = repr(signature(status)).encode(), False, status.st_size
        else:
            size = len(source)
        digest = hashlib.blake2b(source, digest_size=DIGEST_BYTES).digest()
        return cls(digest, size, source if keep else None)


def signature(status: os.stat_result) -> Signature:
    """Return all that tells one state of a file from another without reading it; compare with ``!=``.

    A restored older file has an earlier mtime, and ctime can't be set at will.
    """
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


def is_newer(status: os.stat_result, since_ns: float) -> bool:
    """Whether a file may have been written, moved or linked since a moment by the clock of `now_ns`."""
    return status.st_ctime_ns >= (since_ns - _COARSE_TICK_NS if _is_coarse(status) else since_ns)


def now_ns() -> int:
    """Return the time that a file which is written now gets at the earliest, in nanoseconds since 1970."""
    if sys.platform.startswith("linux"):
        return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
    return time.time_ns() - _TICK_NS


def is_settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether a further write would surely show in the timestamps ("racily clean" in git's words)."""
    return abs(now_ns - status.st_ctime_ns) > (_COARSE_TICK_NS if _is_coarse(status) else _TICK_NS)


def _is_coarse(status: os.stat_result) -> bool:
    return status.st_mtime_ns % _SECOND_NS == 0 and status.st_ctime_ns % _SECOND_NS == 0


def read_head(path: str) -> bytes:
    """Return a file's first `HEAD_BYTES`; none if it can't be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""


def read(path: str) -> tuple[os.stat_result, bytes | None]:
    """Read a regular file, and return the status it had before with its bytes; None above `HUGE_BYTES`.

    Raises
    ------
    OSError
        Also if it is no regular file: a pipe would block.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb", buffering=0) as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(f"not a regular file: {path}")
        return status, file.read() if status.st_size <= HUGE_BYTES else None
