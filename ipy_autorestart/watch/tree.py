"""Find the files that count below the roots, listing a folder again only after it changed.

Symlinks are followed; a folder that is reached twice is entered once, by its real path if that is below a root.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ipy_autorestart.decide.filters import Filter, is_below, is_environment, is_heavy
from ipy_autorestart.watch.contents import is_settled

Identity = tuple[int, int]

#: Errors that say "not there", unlike those that say "can't tell".
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class Folder:
    """One listed folder.

    Attributes
    ----------
    path, real
        Path by which it was reached, and real path.
    top
        Whether it is a root or was reached through a symlink.
    files, folders, links
        Paths of the files that count, the folders to enter, and all symlinks, which are judged at each walk.
    hides
        Whether it holds folders that are not entered and are worth planning around.
    environment
        Whether it is a virtual environment, and so as good as ignored.
    """

    path: str
    real: str
    identity: Identity
    modified_ns: int
    top: bool = False
    settled: bool = True
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    hides: bool = False
    environment: bool = False
    readable: bool = True

    def shape(self) -> tuple[object, ...]:
        """Return all that a plan depends on."""
        return (self.real, self.identity, self.top, self.folders, self.hides, self.environment, self.readable)


class Tree:
    """The folders below the roots as they were at the last walk.

    Attributes
    ----------
    folders
        By path, parents before children.
    aliases
        Symlinked files that count, and the real file of each.
    moved
        Whether a walk found other folders or symlinks than the one before; the reader clears it.
    notes
        Sentences on what could not be read.
    """

    def __init__(self, roots: Sequence[str], which: Filter, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self.roots = tuple(dict.fromkeys(roots))
        self.folders: dict[str, Folder] = {}
        self.aliases: dict[str, str] = {}
        self.moved = False
        self.notes: list[str] = []
        self._filter = which
        self._wall_ns = wall_ns
        self._before: dict[str, Folder] = {}
        self._entered: set[Identity] = set()
        self._files: list[str] = []
        self._links: list[tuple[str, str]] = []
        self._real_roots: list[str] = []

    def walk(self) -> list[str]:
        """Return the paths of all files that count now."""
        self._before, self.folders = self.folders, {}
        aliases, self.aliases = self.aliases, {}
        self._entered, self._files, self._links, self.notes = set(), [], [], []
        self._real_roots = [os.path.realpath(root) for root in self.roots]
        for root, real in zip(self.roots, self._real_roots, strict=True):
            status = self._status(root)
            if status is None:
                self.notes.append(f"{root} is not there; it is watched for")
            elif stat.S_ISDIR(status.st_mode):
                self._enter(root, real, root)
            else:
                self._files.append(root)
        while self._links:  # level by level, so that the shortest way to a folder is the one that is kept
            links, self._links = self._links, []
            for link, root in links:
                self._follow(link, root)
        self.moved |= len(self.folders) != len(self._before) or self.aliases != aliases
        return self._files

    def _follow(self, link: str, root: str) -> None:
        status = self._status(link)
        if status is None:
            return
        if not stat.S_ISDIR(status.st_mode):
            if self._filter.counts(root, link) and not self._filter.excludes(link, folder=False):
                self._files.append(link)
                self.aliases[link] = os.path.realpath(link)
            return
        real = os.path.realpath(link)
        # The folder that it leads to must not be ignored either: src/lib -> ../.venv/lib/site-packages.
        above = next((top for top in self._real_roots if is_below(real, top)), os.path.dirname(real))
        if self._enters(root, link) and self._filter.enters(above, real):
            self._enter(link, real, root)

    def _enter(self, top: str, top_real: str, root: str) -> None:
        """List a folder and those below it, without following symlinks."""
        cut = len(top)
        stack = [top]
        while stack:
            path = stack.pop()
            folder = self._listed(path, top_real + path[cut:], root, top=path == top)
            if folder is None or folder.identity in self._entered:
                continue
            self._entered.add(folder.identity)
            self.folders[path] = folder
            self._files += folder.files
            stack += reversed(folder.folders)
            self._links += ((link, root) for link in folder.links)

    def _listed(self, path: str, real: str, root: str, *, top: bool) -> Folder | None:
        """Return a folder as it is now, as it was if it can't be read, None if it is gone."""
        old = self._before.get(path)
        try:
            status = os.stat(path)
        except OSError as error:
            return old if self._failed(path, error) else None
        identity = (status.st_dev, status.st_ino)
        if (
            old is not None
            and old.settled
            and old.readable
            and old.modified_ns == status.st_mtime_ns
            and old.identity == identity
            and (old.real, old.top) == (real, top)
        ):
            return old
        new = Folder(path, real, identity, status.st_mtime_ns, top, is_settled(status, self._wall_ns()))
        new = self._list(new, root, old if old is not None and old.identity == identity else None)
        self.moved |= old is None or old.shape() != new.shape()
        return new

    def _list(self, folder: Folder, root: str, old: Folder | None) -> Folder:
        prefix = folder.path if folder.path.endswith("/") else folder.path + "/"
        files, folders, links, names = [], [], [], []
        hides = False
        try:
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    names.append(entry.name)
                    path = prefix + entry.name
                    if entry.is_symlink():
                        links.append(path)
                    elif not entry.is_dir(follow_symlinks=False):
                        if self._filter.picks(root, path) and not self._filter.excludes(path, folder=False):
                            files.append(path)
                    elif self._enters(root, path):
                        folders.append(path)
                    else:
                        hides |= is_heavy(entry.name)
        except OSError as error:
            self._failed(folder.path, error)
            if old is None:
                return replace(folder, readable=False)
            return replace(old, modified_ns=folder.modified_ns, settled=folder.settled, readable=False)
        if is_environment(names) and not (folder.path in self.roots or self._filter.spells(root, folder.path)):
            return replace(folder, environment=True)
        return replace(
            folder,
            files=tuple(sorted(files)),
            folders=tuple(sorted(folders)),
            links=tuple(sorted(links)),
            hides=hides,
        )

    def _enters(self, root: str, path: str) -> bool:
        return path in self.roots or (self._filter.enters(root, path) and not self._filter.excludes(path, folder=True))

    def _status(self, path: str) -> os.stat_result | None:
        try:
            return os.stat(path)
        except OSError as error:
            self._failed(path, error)
            return None

    def _failed(self, path: str, error: OSError) -> bool:
        """Note why a path can't be read, unless it is gone; return whether it was noted."""
        if error.errno in GONE:
            return False
        self.notes.append(f"can't read {path}: {error.strerror}")
        return True
