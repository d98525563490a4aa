"""Read a file's signature and content such that no later write can hide behind them."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass

from ipy_autorestart.decide.guard import DIFFERENT, Verdict

Signature = tuple[int, int, int, int, int]

#: Above this a file is known by its signature alone: reading it would cost more than a restart.
HUGE_BYTES = 16 << 20

# Two writes within one tick of the kernel's coarse clock (10 ms at worst) give one timestamp: a content read
# so soon after a write is read again. Whole seconds are the mark of a file system that knows nothing finer.
_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2_500_000_000
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held; ``digest`` is empty where it was not read, ``source`` None where it was not kept."""

    digest: bytes
    size_bytes: int
    source: bytes | None = None


@dataclass(slots=True)
class Tracked:
    """One file; ``base`` and ``seen`` are None where there was, and is, no file."""

    signature: Signature | None = None
    settled: bool = False
    base: Content | None = None
    seen: Content | None = None
    verdict: Verdict = DIFFERENT
    since: float = 0.0  # when it was first seen empty or gone

    @property
    def differs(self) -> bool:
        """Whether the content is another than that of the baseline; one that was never read is its own."""
        if self.seen is None or self.base is None:
            return self.seen is not self.base
        return self.seen is not self.base and (not self.base.digest or self.seen.digest != self.base.digest)


def signature(status: os.stat_result) -> Signature:
    """Everything that tells one state of a file from another without reading it; compare with ``!=``.

    Restored older files have an earlier mtime, and ctime can't be set at will.
    """
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)


def is_settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether a further write would surely show in the timestamps ("racily clean" in git's words)."""
    coarse = status.st_mtime_ns % _SECOND_NS == 0 and status.st_ctime_ns % _SECOND_NS == 0
    return abs(now_ns - status.st_ctime_ns) > (_COARSE_TICK_NS if coarse else _TICK_NS)


def read(path: str) -> tuple[os.stat_result, bytes | None]:
    """Read a regular file whole, with the status it had before; None above `HUGE_BYTES`.

    Raises
    ------
    OSError
        Also when there is something else than a regular file: a pipe would block.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(f"not a regular file: {path}")
        return status, file.read() if status.st_size <= HUGE_BYTES else None


def content(status: os.stat_result, source: bytes | None, *, keep: bool) -> Content:
    """Turn what was read into what is remembered of it."""
    if source is None:
        return Content(repr(signature(status)).encode(), status.st_size)
    digest = hashlib.blake2b(source, digest_size=20).digest()
    return Content(digest, len(source), source if keep else None)


def unread(status: os.stat_result) -> Content:
    """Stand for a content that is yet to be read."""
    return Content(b"", status.st_size)
