"""Changes of installed modules, noticed by inotify on their folders instead of a look at each file."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import struct
from collections.abc import Iterable, Mapping

from ipy_autorestart.script.pipes import state_of

#: inotify(7): events that write, make, rename or delete a file.
CHANGES = 0x2 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
NONBLOCK_CLOEXEC = 0o4000 | 0o2000000

HEAD = struct.Struct("iIII")

#: The folder in which a module's package is installed; its entries change with every package.
PACKAGES = re.compile(r".*/(?:site|dist)-packages", re.DOTALL)

#: Endings of names that count: code, and files that say where code is. Packages may write logs and caches of their own.
CODE = (b".py", b".so", b".pth", b".egg-link", b".dist-info", b".egg-info")
VERSIONED = b".so."

#: inotify(7): the name is that of a folder. Python itself makes folders of the second name.
FOLDER, CACHE = 0x40000000, b"__pycache__"

READ_BYTES = 1 << 16


class Installed:
    """The files of some modules, and the folders in which packages are installed.

    If the system allows no more watches, each file's time, size and inode are compared instead. So they are for the few
    others that imports have read, ``{path: state}``, as matplotlib reads a ``matplotlibrc``.
    """

    def __init__(self, files: Iterable[str], read: Mapping[str, str] | None = None) -> None:
        self._files: list[str] = []
        self._folders: set[str] = set()
        self._states: dict[str, str] | None = None
        self._read = dict(read or {})
        self._changed = False
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = self._libc.inotify_init1(NONBLOCK_CLOEXEC)
        self.add(files)

    def add(self, files: Iterable[str]) -> None:
        """Take more files."""
        new = list(files)
        self._files += new
        folders = {os.path.dirname(file) for file in new}
        folders |= {found[0] for found in map(PACKAGES.match, folders) if found}
        folders -= self._folders | {""}
        self._folders |= folders
        if self._fd >= 0 and not all(
            self._libc.inotify_add_watch(self._fd, os.fsencode(folder), CHANGES) >= 0 for folder in folders
        ):
            self.close()
        if self._fd < 0:
            new = self._files if self._states is None else new
            self._states = {**(self._states or {}), **{file: state_of(file) for file in new}}

    @property
    def has_changed(self) -> bool:
        """Whether any of them has changed since the last question, or one that was read since it was."""
        self.read()
        if self._states is not None:
            before, self._states = self._states, {file: state_of(file) for file in self._files}
            self._changed |= before != self._states
        before, self._read = self._read, {path: state_of(path) for path in self._read}
        changed, self._changed = self._changed or before != self._read, False
        return changed

    def fileno(self) -> int:
        """Return the descriptor to wait for; -1 if there is none."""
        return self._fd

    def read(self) -> None:
        """Take what has come."""
        with contextlib.suppress(BlockingIOError):
            while self._fd >= 0 and (data := os.read(self._fd, READ_BYTES)):
                self._changed |= _means_other_code(data)

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _means_other_code(events: bytes) -> bool:
    place = 0
    while place < len(events):
        _, mask, _, length = HEAD.unpack_from(events, place)
        place += HEAD.size + length
        name = events[place - length : place].rstrip(b"\0")
        if mask & FOLDER:
            if name != CACHE:
                return True
        # An event without a name is the folder's own, or tells of lost events.
        elif not name or name.endswith(CODE) or VERSIONED in name or name.startswith(b"python"):
            return True
    return False
