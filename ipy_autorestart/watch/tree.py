"""Find the files that count below the roots, listing a folder again only after it changed.

Symlinks are followed; a folder that is reached twice is entered once, by its real path if that is below a root.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ipy_autorestart import catalogue
from ipy_autorestart.decide.filters import Filter, is_below, is_environment, is_heavy
from ipy_autorestart.watch.contents import is_settled

Identity = tuple[int, int]

# The first fields of a folder.
Place = tuple[str, str, Identity, int, bool, bool]

#: Errors that say "not there", unlike those that say "can't tell".
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Folder(NamedTuple):
    """One listed folder; there may be tens of thousands, so that names share one string.

    Attributes
    ----------
    path, real
        Path by which it was reached, and real path.
    top
        Whether it is a root or was reached through a symlink.
    files, folders, links
        Names, with slashes between them: the files that count, the folders to enter, and all symlinks, which are
        judged at each walk.
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
    files: str = ""
    folders: str = ""
    links: str = ""
    hides: bool = False
    environment: bool = False
    readable: bool = True

    def shape(self) -> tuple[object, ...]:
        """Return all that a plan depends on."""
        return (self.real, self.identity, self.top, self.folders, self.hides, self.environment, self.readable)

    def below(self, names: str) -> list[str]:
        """Return the paths of ``files``, ``folders`` or ``links``."""
        prefix = self.path if self.path.endswith("/") else self.path + "/"
        return [prefix + name for name in names.split("/")] if names else []

    def children(self) -> list[str]:
        """Return the paths of the folders to enter."""
        return self.below(self.folders)


#: Folders of the system that hold no files, for a watch of all that there is.
SYSTEM = frozenset({"/proc", "/sys", "/dev"})


class Tree:
    """The folders below the roots as they were when they were looked at last.

    Attributes
    ----------
    folders
        By path, parents before children.
    aliases
        Symlinked files that count, and the real file of each.
    twins
        Symlinks to folders that have another path here, too, and the real path of each.
    single
        Roots that are files.
    gone
        Folders that are not there any more; the reader clears it.
    moved
        Whether other folders or symlinks were found than before; the reader clears it.
    notes
        Sentences on what could not be read at the last walk.

    Parameters
    ----------
    enter
        Called with the path and real path of each folder before it is listed.
    """

    def __init__(
        self,
        roots: Sequence[str],
        which: Filter,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        enter: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.roots = tuple(dict.fromkeys(roots))
        self.folders: dict[str, Folder] = {}
        self.aliases: dict[str, str] = {}
        self.twins: dict[str, str] = {}
        self.single: list[str] = []
        self.gone: list[Folder] = []
        self.moved = False
        self.notes: list[str] = []
        self.enter = enter
        self._filter = which
        self._wall_ns = wall_ns
        self._met: dict[Identity, str] = {}  # folders of the walk that goes on
        self._added: set[str] = set()  # and those that were entered beside it
        self._failures = self.notes
        self._links: list[tuple[str, str]] = []
        self._real_roots: list[str] = []
        self._devices: dict[int, int] = {}

    def walk(self) -> list[str]:
        """Look at everything; return the paths of all files that count now."""
        found = [path for folder in self.steps() for path in folder.below(folder.files)]
        return [*found, *self.single, *self.aliases]

    def steps(self) -> Iterator[Folder]:
        """Look at everything, and yield each folder, so that others may do something in between."""
        single: list[str] = []
        aliases: dict[str, str] = {}
        twins: dict[str, str] = {}
        self._met, self._added, self._links, self._failures = {}, set(), [], []
        self._real_roots = [os.path.realpath(root) for root in self.roots]
        for root, real in zip(self.roots, self._real_roots, strict=True):
            status = self._status(root)
            if status is None:
                self._failures.append(catalogue.NOT_THERE_YET(path=root))
            elif stat.S_ISDIR(status.st_mode):
                yield from self._enter(root, real, root)
            else:
                single.append(root)
        while self._links:  # level by level, so that the shortest way to a folder is the one that is kept
            links, self._links = self._links, []
            for link, root in links:
                yield from self._follow(link, root, aliases, twins)
        met = {*self._met.values(), *self._added}
        for path in [path for path in self.folders if path not in met]:
            self._drop(path)
        self.moved |= self.aliases != aliases or self.twins != twins
        self.aliases, self.twins, self.single, self.notes = aliases, twins, single, self._failures
        self._met, self._added = {}, set()

    def revisit(self, path: str, *, deep: bool) -> list[Folder] | None:
        """Look at one folder again, and enter those that are new in it; if ``deep``, at all that is below it.

        Returns the folders that were looked at; None where symlinks are, of which only a walk can tell all.
        """
        old = self.folders.get(path)
        root = next((root for root in self.roots if is_below(path, root)), None)
        if old is None or root is None:
            return None
        found, stack = [], [path]
        while stack:
            path = stack.pop()
            before = self.folders.get(path)
            real = before.real if before else f"{self.folders[os.path.dirname(path)].real}/{os.path.basename(path)}"
            folder = self._listed(path, real, root, top=before is not None and before.top)
            if folder is None:
                self._drop_all(path)
                continue
            if folder.links or (before and before.links):
                return None
            if before and before.identity != folder.identity:
                self._drop_all(path)
                before = None
            self.folders[path] = folder
            self._added.add(path)
            found.append(folder)
            children = folder.children()
            if before and before.folders != folder.folders:
                for child in {*before.children()}.difference(children):
                    self._drop_all(child)
            stack += reversed(children if deep else [child for child in children if child not in self.folders])
        return found

    def _drop(self, path: str) -> Folder | None:
        folder = self.folders.pop(path, None)
        if folder is not None:
            self.moved = True
            self.gone.append(folder)
            self._added.discard(path)
            if self._met.get(folder.identity) == path:
                del self._met[folder.identity]
        return folder

    def _drop_all(self, path: str) -> None:
        stack = [path]
        while stack:
            folder = self._drop(stack.pop())
            stack += folder.children() if folder else ()

    def _follow(self, link: str, root: str, aliases: dict[str, str], twins: dict[str, str]) -> Iterator[Folder]:
        status = self._status(link)
        if status is None:
            return
        if not stat.S_ISDIR(status.st_mode):
            if self._filter.counts(root, link) and not self._filter.excludes(link, folder=False):
                aliases[link] = os.path.realpath(link)
            return
        real = os.path.realpath(link)
        # The folder that it leads to must not be ignored either: src/lib -> ../.venv/lib/site-packages.
        above = next((top for top in self._real_roots if is_below(real, top)), os.path.dirname(real))
        if self._enters(root, link) and self._filter.enters(above, real):
            if (status.st_dev, status.st_ino) in self._met:
                twins[link] = real
            yield from self._enter(link, real, root)

    def _enter(self, top: str, top_real: str, root: str) -> Iterator[Folder]:
        """List a folder and those below it, without following symlinks."""
        cut, same = len(top), top == top_real
        stack = [top]
        while stack:
            path = stack.pop()
            folder = self._listed(path, path if same else top_real + path[cut:], root, top=path == top)
            if folder is None or folder.identity in self._met:
                continue
            self._met[folder.identity] = path
            self.folders[path] = folder
            stack += reversed(folder.children())
            if folder.links:
                self._links += ((link, root) for link in folder.below(folder.links))
            yield folder

    def _listed(self, path: str, real: str, root: str, *, top: bool) -> Folder | None:
        """Return a folder as it is now, as it was if it can't be read, None if it is gone."""
        old = self.folders.get(path)
        try:
            status = os.stat(path)
        except OSError as error:
            return old if self._failed(path, error) else None
        identity = (self._devices.setdefault(status.st_dev, status.st_dev), status.st_ino)
        if (
            old is not None
            and old.settled
            and old.readable
            and old.modified_ns == status.st_mtime_ns
            and old.identity == identity
            and (old.real, old.top) == (real, top)
        ):
            return old
        self.enter(path, real)
        if old is not None and old.identity != identity:
            self.gone.append(old)
        place = (path, real, identity, status.st_mtime_ns, top, is_settled(status, self._wall_ns()))
        new = self._list(place, root, old if old is not None and old.identity == identity else None)
        self.moved |= old is None or old.shape() != new.shape()
        return new

    def _list(self, place: Place, root: str, old: Folder | None) -> Folder:
        path = place[0]
        prefix = path if path.endswith("/") else path + "/"
        names, places, links = [], [], []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        names.append(entry.name)
                    elif entry.is_symlink():
                        links.append(entry.name)
                    elif entry.is_dir(follow_symlinks=False):
                        places.append(entry.name)
        except OSError as error:
            self._failed(path, error)
            if old is None:
                return Folder(*place, readable=False)
            return old._replace(modified_ns=place[3], settled=place[5], readable=False)
        if is_environment([*names, *places, *links]) and not (path in self.roots or self._filter.spells(root, path)):
            return Folder(*place, environment=True)
        verdicts, picks = self._filter.verdicts, self._filter.picks
        files = [name for name in names if (verdicts[name] if name in verdicts else picks(root, prefix + name))]
        if self._filter.excluded is not None:
            files = [name for name in files if not self._filter.excludes(prefix + name, folder=False)]
        folders = [name for name in places if self._enters_next(root, prefix + name)]
        hides = len(folders) < len(places) and any(map(is_heavy, {*places}.difference(folders)))
        files.sort()
        folders.sort()
        links.sort()
        listed = "/".join(files)
        if old is not None and old.files == listed:
            listed = old.files  # the very string that others hold
        return Folder(*place, listed, "/".join(folders), "/".join(links), hides)

    def _enters_next(self, root: str, path: str) -> bool:
        if path in self.roots:
            return True
        if path in SYSTEM:
            return False
        return self._filter.enters_next(root, path) and not self._filter.excludes(path, folder=True)

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
        self._failures.append(catalogue.CANT_READ(path=path, why=error.strerror))
        return True
