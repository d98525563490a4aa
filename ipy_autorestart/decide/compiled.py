"""Compiled code: known by its name, whole or half written, outdated in a process or not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

#: Extension modules and shared libraries.
COMPILED = ("*.so", "*.so.[0-9]*", "*.dylib")

#: Bytes at the start of a file that tell whether it is whole.
HEAD_BYTES = 64

_NAME = re.compile(r"\.(?:so(?:\.[0-9][^/]*)?|dylib)\Z")

#: elf(5): by a file's class, where the offset of its table of sections stands, and the size and number of the entries.
_ELF = {
    1: (slice(0x20, 0x24), slice(0x2E, 0x30), slice(0x30, 0x32)),
    2: (slice(0x28, 0x30), slice(0x3A, 0x3C), slice(0x3C, 0x3E)),
}


def is_compiled(path: str) -> bool:
    """Whether a path is that of an extension module or a shared library."""
    return _NAME.search(path) is not None


def is_whole(head: bytes, size_bytes: int) -> bool:
    """Whether a library is written to its end, judged by its first `HEAD_BYTES` and its size.

    A linker writes the header last; the table of sections that it points to stands at the end of the file, where a copy
    gets last. Of other kinds of files nothing is known.
    """
    if not head.strip(b"\0"):
        return False
    if not head.startswith(b"\x7fELF"):
        return not b"\x7fELF".startswith(head)
    fields = _ELF.get(head[4]) if len(head) == HEAD_BYTES else None
    if fields is None:
        return False
    order: Literal["little", "big"] = "little" if head[5] == 1 else "big"
    offset, entry, count = (int.from_bytes(head[field], order) for field in fields)
    return offset + entry * count <= size_bytes


def is_outdated(loaded: Iterable[int], *, base: int, now: int) -> bool:
    """Whether a process has loaded what a library was, not what it is now.

    Parameters
    ----------
    loaded
        Inodes that the process has mapped under the library's path.
    base, now
        Inode of the library at the baseline, and now; 0 where there is none. One that was written in place has the
        same, and nobody knows whether it was mapped before or after that.
    """
    return any(inode != now or now == base for inode in loaded)
