"""Cells that write watched files, known by what they do when they run: run again, they would overwrite an edit."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ipy_autorestart.decide.compiled import is_compiled
from ipy_autorestart.decide.filters import Filter, is_below
from ipy_autorestart.ipython.audit import listen
from ipy_autorestart.pristine import os, time, wall_ns
from ipy_autorestart.protocol.request import Request

#: Events of programs and children that are started; what these write, no event tells.
PROGRAMS = frozenset(
    {"subprocess.Popen", "os.system", "os.spawn", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn"}
)

#: Events of what changes files, with the places of the paths and of their folders' descriptors in the arguments.
CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "open": ((0, None),),
    "os.rename": ((0, 2), (1, 3)),  # os.replace too
    "os.remove": ((0, 1),),
    "os.truncate": ((0, None),),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
}

EVENTS = PROGRAMS | CHANGES.keys()
TO_WRITE = os.O_WRONLY | os.O_RDWR

#: So many paths are kept for each cell.
PATHS_MAX = 500

#: The clock of files on Linux, for which Python has no name: CLOCK_REALTIME_COARSE. It ticks each 1 to 10 ms.
FILES_CLOCK, TICK_NS = 5, 10_000_000

#: Seconds that may be spent on finding what a program has changed.
SEARCH_MAX = 0.3


def files_now_ns() -> int:
    """Return the nanoseconds since 1970 that no file has which is changed from now on, but later ones or these.

    A clock of finer ticks would be ahead of the files'.
    """
    return time.clock_gettime_ns(FILES_CLOCK) if sys.platform == "linux" else wall_ns() - TICK_NS


class Audit:
    """The files that this process changes while a cell runs, by its audit events (PEP 578)."""

    def __init__(self) -> None:
        self._paths: dict[str, None] | None = None
        self._is_all = True
        listen(EVENTS, self._hear)

    def begin(self) -> None:
        """Begin to collect."""
        self._paths, self._is_all = {}, True

    def end(self) -> tuple[tuple[str, ...], bool]:
        """Return the absolute paths since then, and whether these are all.

        They are not if there were too many, or if programs or forked children may have changed others.
        """
        paths, self._paths = self._paths, None
        return tuple(paths or ()), paths is not None and self._is_all

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        paths = self._paths
        if paths is None or (len(paths) >= PATHS_MAX and not self._is_all):
            return
        try:
            if event in PROGRAMS:
                self._is_all = False
            elif event != "open" or args[2] & TO_WRITE:
                for path in _changed(event, args):
                    if len(paths) >= PATHS_MAX and path not in paths:
                        self._is_all = False
                        break
                    paths[path] = None
        except Exception:  # noqa: BLE001  # the border: the user's own call must go on
            pass


def _changed(event: str, args: tuple[Any, ...]) -> Iterator[str]:
    """Return the absolute paths of an event; those of the files of a folder too, whose own times its rename leaves."""
    paths = [_absolute(args[place], -1 if folder is None else args[folder]) for place, folder in CHANGES[event]]
    yield from filter(None, paths)
    if event == "os.rename" and os.path.isdir(paths[0]):
        before, after = paths
        for folder, _, files in os.walk(before):
            for name in files:
                path = os.path.join(folder, name)
                yield from (path, after + path.removeprefix(before))


def _absolute(path: Any, folder_fd: int) -> str:
    """Return an absolute path; nothing for a descriptor, or what Python keeps for itself."""
    if isinstance(path, int):
        return ""
    name = os.fsdecode(path)
    if not os.path.isabs(name):
        name = os.path.join(os.getcwd() if folder_fd < 0 else os.readlink(f"/proc/self/fd/{folder_fd}"), name)
    return "" if "/__pycache__/" in name else os.path.normpath(name)


def is_code(path: str) -> bool:
    """Return whether a file is a Python source or compiled, which libraries that read data don't open."""
    return path.endswith(".py") or is_compiled(path)


class WatchedFiles:
    """The files that watches count by their names.

    Attributes
    ----------
    only_code
        Whether all of them are code.
    """

    def __init__(self, requests: Iterable[Request]) -> None:
        self._files: set[str] = set()
        self._roots: list[tuple[str, Filter]] = []
        self.only_code = True
        for request in requests:
            self.only_code = self.only_code and not request.options.pattern and all(map(is_code, request.files))
            chosen = Filter(request.options.pattern, request.options.ignore)
            self._files.update(request.files)
            self._roots += [(top, chosen) for root in request.roots for top in {root: 0, os.path.realpath(root): 0}]

    def counts(self, path: str) -> bool:
        """Whether a file, by an absolute path, is one of them."""
        return self.counts_by_name(path) or self.counts_by_name(os.path.realpath(path))

    def counts_by_name(self, path: str) -> bool:
        """Whether a file is one of them by this very path, whatever its real one is."""
        return path in self._files or any(is_below(path, top) and one.counts(top, path) for top, one in self._roots)

    def changed_since(self, moment_ns: int) -> dict[str, int]:
        """Return those that have changed since then, as far as they can be found in time, each with its time."""
        deadline = time.monotonic() + SEARCH_MAX
        found = {}
        for path in self._all():
            try:
                changed_ns = os.stat(path).st_ctime_ns
            except OSError:  # gone meanwhile
                continue
            if changed_ns >= moment_ns:
                found[path] = changed_ns
            if time.monotonic() > deadline:
                break
        return found

    def _all(self) -> Iterator[str]:
        yield from self._files
        for top, one in self._roots:
            for folder, names, files in os.walk(top):
                names[:] = [name for name in names if one.enters(top, os.path.join(folder, name))]
                yield from (path for name in files if one.picks(top, path := os.path.join(folder, name)))
