"""Compare the tracked files with their contents at the target's start.

The baseline advances by `Snapshot.commit` and `Snapshot.settle` alone, to exactly what the last scan saw: a later
write differs again at the next scan.

In a large tree most files never change, and few are used. Of such files there are no more than their names and a few
bytes for each, on the page of their folder; those that are used or have differed are tracked one by one.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import stat
import time
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ipy_autorestart import catalogue
from ipy_autorestart.decide.change import Change, Kind, Unfinished
from ipy_autorestart.decide.compiled import HEAD_BYTES, is_compiled, is_whole
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.decide.guard import Likeness, Verdict, compare, is_source
from ipy_autorestart.decide.use import Difference
from ipy_autorestart.watch.contents import (
    DIGEST_BYTES,
    Content,
    Signature,
    is_newer,
    is_settled,
    now_ns,
    read,
    read_head,
    signature,
)
from ipy_autorestart.watch.tree import GONE, Folder, Tree

#: Old bytes are kept for the guard: so many per file, and in all.
KEPT_BYTES = 256 << 10
KEPT_BYTES_IN_ALL = 32 << 20

#: In a tree of no more files each is tracked; a larger one has pages.
SMALL_FILES = 1000

#: Where every file counts, so many are tracked, with their bytes, and of the rest there are digests.
TRACKED_MAX = 10_000

#: If more files than these are to be looked at in one folder, all of it is.
MANY_FILES = 8

#: If more files than these have another hard link, not all of them are looked at with each file that is saved.
SHARED_MAX = 256

#: So many sentences are told of what could not be read.
NOTES_MAX = 3

#: A file that lost all its content counts as being written so long, one that vanished as being renamed, and compiled
#: code that is gone or not whole as being built.
EMPTIED_SECONDS = 1.0
VANISHED_SECONDS = 0.06
BUILDING_SECONDS = 15.0


@dataclass(slots=True)
class _Tracked:
    """One file; its contents in the baseline and at the last scan are None if there was no file."""

    signature: Signature | None = None
    settled: bool = False
    base: Content | None = None
    seen: Content | None = None
    verdict: Verdict = Likeness.DIFFERENT
    since: float = 0.0  # the moment at which it was first seen empty or gone, or was not whole
    whole: bool = True  # if it is compiled code: nothing seems to be missing at its end
    inode: int = 0  # of the file in the baseline

    @property
    def differs(self) -> bool:
        """Whether its content is not that of the baseline; content that was never read equals only itself."""
        if self.seen is None or self.base is None:
            return self.seen is not self.base
        return self.seen is not self.base and (not self.base.digest or self.seen.digest != self.base.digest)


class _Page:
    """The files of one folder in the baseline.

    Attributes
    ----------
    files
        Their names, with slashes between them.
    signs
        For each what `_sign` returned of its signature, 0 if it was not looked at yet.
    digests
        For each the digest of its content, zeros if it was not read; empty while none was.
    """

    __slots__ = ("digests", "files", "signs")

    def __init__(self, files: str) -> None:
        self.files = files
        self.signs = array("q", bytes(8 * (files.count("/") + 1)))
        self.digests = b""

    def find(self, name: str) -> int:
        """Return the place of a file, -1 if it isn't here."""
        names = self.files.split("/")
        return names.index(name) if name in names else -1

    def digest(self, place: int) -> bytes:
        """Return the digest of the file in a place, nothing if it is not known."""
        digest = self.digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES]
        return digest if any(digest) else b""

    def drop(self, names: Collection[str]) -> None:
        """Forget some files."""
        kept = [(place, name) for place, name in enumerate(self.files.split("/")) if name not in names]
        if self.digests:
            size = DIGEST_BYTES
            self.digests = b"".join(self.digests[place * size : (place + 1) * size] for place, _ in kept)
        self.signs = array("q", [self.signs[place] for place, _ in kept])
        self.files = "/".join(name for _, name in kept)


def _is_later(after: Signature, before: Signature) -> bool:
    """Whether a file has a later mtime, or has come in the place of another."""
    return after[0] > before[0] or after[3:] != before[3:]


def _sign(status: os.stat_result) -> int:
    """Return eight bytes that stand for a signature, never 0: two of a kind are as rare as two of a digest."""
    return hash((status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev)) or 1


class Snapshot:
    """The files that count below the roots, those named, and those that the target read.

    Attributes
    ----------
    tree
        The folders.
    fresh
        Paths that a scan found with another content than the scan before; the reader clears it.
    rewritten
        Paths that a scan found with the same content as the scan before, but touched since; the reader clears it.
    anew
        Those of them that seem to be written: a change of rights or of the mtime alone is none.
    taking
        Whether everything is yet to be listed for the baseline.
    listed
        Files and folders that have been listed for the baseline.
    wants_all
        Whether `fill` reads all files, not only those that are tracked.
    """

    def __init__(
        self,
        roots: Sequence[str],
        *,
        which: Filter,
        named: Iterable[str] = (),
        strict: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.tree = Tree(roots, which, wall_ns=wall_ns)
        self.fresh: set[str] = set()
        self.rewritten: set[str] = set()
        self.anew: set[str] = set()
        self.taking = True
        self.listed = 0
        self.wants_all = True
        self._named = frozenset(named)
        self._extra: frozenset[str] = frozenset()
        self._strict = strict
        self._clock = clock
        self._wall_ns = wall_ns
        self._pages: dict[str, _Page] = {}  # by path of the folder
        self._tracked: dict[str, _Tracked] = {}
        self._differs: set[str] = set()  # paths of those that differ from the baseline
        self._shared: set[str] = set()  # of those with another hard link, by which they change without an event
        self._unread: list[str] = []  # of those whose old content is yet to be read
        self._undigested: list[str] = []  # of the folders whose files are yet to be read
        self._met: set[str] = set()  # tracked files that the scan has looked at
        self._kept_bytes = 0
        self._since_ns: float = math.inf  # what was written later, and not looked at before, differs
        self._new_since_ns: float = math.inf
        self._unsigned = True  # until the first scan has ended
        self._twins: dict[str, str] = {}  # those of the tree, in the baseline
        self._committed_ns = 0  # when the baseline was taken
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        """Sentences on what could not be read at the last scan, a few."""
        notes = [*self.tree.notes, *self._notes]
        more = len(notes) - NOTES_MAX
        return [*notes[:NOTES_MAX], catalogue.MORE_UNREAD(count=f"{more:,}")] if more > 0 else notes

    @property
    def unread(self) -> int:
        """Number of files whose old content is yet to be read; of folders, where it is all files of each."""
        return len(self._unread) + (len(self._undigested) if self.wants_all else 0)

    @property
    def is_large(self) -> bool:
        """Whether there are so many files that not each is tracked."""
        return bool(self._pages)

    def knows(self, path: str) -> bool:
        """Whether a file was there, now or in the baseline."""
        if path in self._tracked:
            return True
        folder, _, name = path.rpartition("/")
        page = self._pages.get(folder or "/")
        return page is not None and page.find(name) >= 0

    def restart(self, since_ns: int = 0, *, new: bool = False) -> None:
        """Forget everything: the next scan takes the baseline.

        A file written after ``since_ns``, unless that is 0, differs from it: the target has read an older content, or
        none, if ``new`` is true and the folder has changed since as well.
        """
        self._committed_ns, self._since_ns = now_ns(), since_ns or math.inf
        self._new_since_ns = self._since_ns if new else math.inf
        for known in (self._pages, self._tracked, self._differs, self._shared, self._unread, self._undigested):
            known.clear()
        for found in (self.fresh, self.rewritten, self.anew, self._met):
            found.clear()
        self._kept_bytes = 0
        self.taking = self._unsigned = True
        self.listed = 0
        self._unread += [path for path in self._named if self._add(path, self._since_ns)]

    def begin(self, *, seconds: float, since_ns: int = 0) -> None:
        """Take the baseline: all signatures, and contents for up to ``seconds``; `fill` reads the rest."""
        self.restart(since_ns)
        self.scan()
        self.fill(seconds=seconds)

    def fill(self, *, seconds: float) -> None:
        """Read contents of the baseline that are yet to be read, for up to ``seconds``."""
        end = self._clock() + seconds
        while self._unread and self._clock() < end:
            self._learn(self._unread.pop())
        while self.wants_all and self._undigested and self._clock() < end:
            self._digest(self._undigested.pop())

    def learn(self, paths: Iterable[str]) -> None:
        """Have the contents of these files read first, if they count: the target uses them."""
        for path in paths:
            folder, _, name = path.rpartition("/")
            page = self._pages.get(folder or "/")
            if path in self._tracked or page is None or (place := page.find(name)) < 0:
                continue
            status = self._status(path)
            if status is None or not (page.signs[place] == _sign(status) or self._is_as_before(status, page, place)):
                self._look(path)
            else:
                self._start_tracking(path, status)
                self._unread.append(path)

    def scan(self) -> None:
        """Look at every file, and read those whose signature changed."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[int]:
        """Do a scan in steps, and yield how many files each has looked at; the first takes the baseline."""
        if self.taking:
            yield from self._take()
        self._notes, self._met = [], set()
        for folder in self.tree.steps():
            self._visit(folder)
            yield folder.files.count("/") + 2
        for path in {*self.tree.single, *self.tree.aliases, *self._named, *self._extra}:
            self._look(path)
        self._miss()
        for path in self._tracked.keys() - self._met:
            self._vanished(path)
        if self._unsigned:
            self._unsigned, self._undigested = False, [*self._pages]

    def _take(self) -> Iterator[int]:
        """List everything, and take the baseline of a small tree."""
        count, compiled = 0, []
        for folder in self.tree.steps():
            if folder.files:
                page = self._pages[folder.path] = _Page(folder.files)
                count += len(page.signs)
                self.listed += len(page.signs)
                if _MAYBE_COMPILED.search(folder.files):
                    compiled += [path for path in folder.below(folder.files) if is_compiled(path)]
            self.listed += 1
            yield folder.files.count("/") + 2
        for path in (*self.tree.single, *self.tree.aliases, *self._named, *self._extra):
            if path not in self._tracked and self._add(path, self._since_ns):
                self._unread.append(path)
        self.taking = False
        self._twins = {**self.tree.twins}
        if count > SMALL_FILES:
            for path in compiled:  # whose inode counts, too
                self._add(path, self._since_ns)
            return
        since_ns, tracked = self._since_ns, self._tracked
        self._unread += [path for path in self._paged() if path not in tracked and self._add(path, since_ns)]
        self._pages.clear()

    def _paged(self) -> Iterator[str]:
        for folder, page in self._pages.items():
            prefix = folder.rstrip("/") + "/"
            for name in page.files.split("/"):
                yield prefix + name

    def scan_only(self, files: Iterable[str], folders: Iterable[str] = ()) -> bool:
        """Look at some files, at all below some folders, at all that differ already or have another name.

        Returns whether that was possible: only a scan can tell what has become of symlinks.
        """
        files, places = {*files}, {*folders}
        above = [(folder, True) for folder in places]
        above += [(os.path.dirname(path), False) for path in places]
        here: dict[str, list[str]] = defaultdict(list)
        for path in files:
            here[os.path.dirname(path)].append(path)
        for place, paths in here.items():
            if len(paths) > MANY_FILES or not all(map(self.knows, paths)):
                above.append((place, False))
                if place in self.tree.folders:  # which lists what counts by name
                    kept = self._tracked.keys() | self._extra | self._named
                    files.difference_update(path for path in paths if path not in kept)
        for path, deep in dict.fromkeys(above):
            while path not in self.tree.folders and path not in self.tree.roots and len(path) > 1:
                path, deep = os.path.dirname(path), False  # the nearest that is known
            if path not in self.tree.folders:
                continue
            found = self.tree.revisit(path, deep=deep)
            if found is None:
                return False
            for folder in found:
                self._visit(folder)
        if above:
            self._miss()
        shared = self._shared if len(self._shared) <= SHARED_MAX else ()
        for path in {*files, *self._differs, *shared, *self.tree.aliases}:
            self._look(path)
        return True

    def _visit(self, folder: Folder) -> None:
        """Look at the files of a folder."""
        page, paths = self._pages.get(folder.path), folder.below(folder.files)
        if page is None:
            for path in paths:
                if not self.taking or self._is_newer(path):  # by a hint: it is yet to be listed for the baseline
                    self._look(path)
            return
        if page.files == folder.files:
            places: Iterable[int] = range(len(paths))
        else:
            known = {name: place for place, name in enumerate(page.files.split("/"))}
            names = folder.files.split("/") if folder.files else []
            places = [known.pop(name, -1) for name in names]
            paths += folder.below("/".join(known))
            places = [*places, *known.values()]
        for place, path in zip(places, paths, strict=True):
            if place < 0 or path in self._tracked:
                self._look(path)
            else:
                self._compare(path, page, place)

    def _miss(self) -> None:
        """Notice that folders are gone."""
        for path in self._pages.keys() - self.tree.folders.keys():
            page, prefix = self._pages[path], path.rstrip("/") + "/"
            for place, name in enumerate(page.files.split("/")):
                if prefix + name in self._tracked:
                    self._vanished(prefix + name)
                else:
                    self._compare(prefix + name, page, place)

    def _compare(self, path: str, page: _Page, place: int) -> None:
        """Look at a file that is not tracked, and track it if it is not what it was."""
        try:
            status = os.stat(path)
        except OSError as error:
            if error.errno not in GONE and error.errno is not None:
                self._failed(path, error)
                return
            status = None
        if status is not None and stat.S_ISREG(status.st_mode):
            if page.signs[place] == _sign(status) or self._is_as_before(status, page, place):
                if status.st_nlink > 1:
                    self._shared.add(path)
                return
            if not page.signs[place] and not is_newer(status, self._since_ns):
                self._start_tracking(path, status)  # just written: what is written next may look the same
                self._unread.append(path)
                return
        sign, digest = page.signs[place], page.digest(place)
        base = None if not sign and status is not None and self._may_be_new(path) else Content(digest, 1)
        self._tracked[path] = _Tracked(_OTHER if sign else None, settled=True, base=base, seen=base)
        if status is None:
            self._vanished(path)
        else:
            self._look(path)

    def _is_newer(self, path: str) -> bool:
        status = self._status(path)
        return status is not None and is_newer(status, self._since_ns)

    def _may_be_new(self, path: str) -> bool:
        """Whether a file that was written after the baseline may have come after it, as its folder has changed, too."""
        folder = self.tree.folders.get(os.path.dirname(path))
        return folder is not None and folder.modified_ns >= self._new_since_ns

    def _is_as_before(self, status: os.stat_result, page: _Page, place: int) -> bool:
        """Whether a file that was not looked at yet is what the target has read, if that is sure."""
        if page.signs[place] or is_newer(status, self._since_ns) or not is_settled(status, self._wall_ns()):
            return False
        page.signs[place] = _sign(status)
        return True

    def commit(self) -> None:
        """Make the baseline what the last scan saw."""
        self._committed_ns = now_ns()
        self._twins = {**self.tree.twins}
        self.settle(self._differs)

    def settle(self, paths: Iterable[str]) -> None:
        """Make the baseline of these files what the last scan saw of them."""
        gone: dict[str, set[str]] = defaultdict(set)
        paths = set(paths)
        self._twins |= {link: real for link, real in self.tree.twins.items() if link in paths}
        for path in self._differs.intersection(paths):
            tracked = self._tracked[path]
            tracked.base, tracked.inode = tracked.seen, _inode(tracked)
            if tracked.base is None:
                del self._tracked[path]
                folder, _, name = path.rpartition("/")
                gone[folder or "/"].add(name)
            self._differs.discard(path)
        for folder, names in gone.items():
            if (page := self._pages.get(folder)) is not None:
                page.drop(names)
                if not page.files:
                    del self._pages[folder]
        bases = (tracked.base for tracked in self._tracked.values())
        self._kept_bytes = sum(base.size_bytes for base in bases if base is not None and base.source is not None)

    def track(self, paths: Iterable[str], since_ns: int = 0) -> None:
        """Track these files, which don't count by name, instead of those of the last call.

        A file that was written after the baseline was taken, and after ``since_ns``, differs from it: the target may
        have read its older content.
        """
        extra = frozenset(paths)
        for path in self._extra - extra - self._named:
            self._tracked.pop(path, None)
            self._differs.discard(path)
            self._shared.discard(path)
        self._extra = extra
        for path in extra - self._tracked.keys():
            if self._add(path, max(since_ns, self._committed_ns)):
                self._learn(path)
            elif path in self._tracked:
                self._look(path)
                self.fresh.discard(path)  # no event could announce it: it didn't count

    def mourn(self, path: str) -> None:
        """Take a file for deleted that was there in the baseline, though no scan has seen it; if it isn't there."""
        if path not in self._tracked and not os.path.exists(path):
            self._tracked[path] = _Tracked(base=_UNSEEN, seen=_UNSEEN)
            self._vanished(path)

    def differences(self) -> list[Difference]:
        """Return what differs from the baseline, as the last scan saw it."""
        found = []
        now_ns = self._wall_ns()
        for path in sorted(self._differs):
            tracked = self._tracked[path]
            base, seen = tracked.base, tracked.seen
            kind, verdict = Kind.MODIFIED, tracked.verdict
            if seen is None:
                kind, verdict = Kind.DELETED, Likeness.DIFFERENT
            elif base is None:
                kind = Kind.ADDED
            # ctime, which no program can set; the clock of a file server may be ahead.
            written_ns = tracked.signature[1] if tracked.signature else None
            age = self._clock() - tracked.since if written_ns is None else max(0, now_ns - written_ns) / 1e9
            found.append(Difference(Change(path, kind), verdict, self._unfinished(path), age=age))
        turned = [link for link, real in self.tree.twins.items() if self._twins.get(link, real) != real]
        return found + [Difference(Change(link, Kind.MODIFIED), leads=True) for link in turned]

    def _unfinished(self, path: str) -> Unfinished | None:
        """Return why a path that differs may be about to change again."""
        tracked = self._tracked[path]
        base, seen, shown_for = tracked.base, tracked.seen, self._clock() - tracked.since
        if is_compiled(path) and not (seen and tracked.whole):
            return Unfinished.BUILDING if shown_for < BUILDING_SECONDS else None
        if seen is None:
            return Unfinished.VANISHED if shown_for < VANISHED_SECONDS else None
        emptied = base is not None and base.size_bytes and not seen.size_bytes
        return Unfinished.EMPTIED if emptied and shown_for < EMPTIED_SECONDS else None

    def inodes(self, path: str) -> tuple[int, int]:
        """Return the inodes of a tracked file in the baseline and at the last scan, 0 where there was none."""
        tracked = self._tracked[path]
        return tracked.inode, _inode(tracked)

    def _add(self, path: str, since_ns: float) -> bool:
        """Add a file to the baseline; return whether it holds what the target has read, and so is to be read here."""
        status = self._status(path)
        if status is None:
            return False
        tracked = self._start_tracking(path, status)
        if is_newer(status, since_ns):
            tracked.signature = None  # so that the next scan finds a difference
            if self._may_be_new(path):
                tracked.base = tracked.seen = None
        return tracked.signature is not None

    def _start_tracking(self, path: str, status: os.stat_result) -> _Tracked:
        if status.st_nlink > 1:
            self._shared.add(path)
        content = Content.unread(status)
        settled = is_settled(status, self._wall_ns())
        tracked = _Tracked(signature(status), settled, content, content, inode=status.st_ino)
        self._tracked[path] = tracked
        self._met.add(path)
        return tracked

    def _digest(self, folder: str) -> None:
        """Read the files on a page, which are as the last scan saw them; as long as few are, they are tracked."""
        page = self._pages.get(folder)
        if page is None:
            return
        digests = []
        for place, name in enumerate(page.files.split("/")):
            digest, path = page.digest(place), f"{folder.rstrip('/')}/{name}"
            if not digest and page.signs[place] and path not in self._tracked:
                with contextlib.suppress(OSError):  # the next scan finds out why
                    status, source = read(path)
                    if _sign(status) == page.signs[place] and len(self._tracked) < TRACKED_MAX:
                        tracked = self._start_tracking(path, status)
                        tracked.base = tracked.seen = self._content(path, status, source)
                    elif _sign(status) == page.signs[place]:
                        digest = Content.of(status, source, keep=False).digest
            digests.append(digest)
        page.digests = b"".join(digest or bytes(DIGEST_BYTES) for digest in digests) if any(digests) else b""

    def _learn(self, path: str) -> None:
        """Read the baseline's content of a file that is still as the last scan saw it."""
        tracked = self._tracked.get(path)
        if tracked is None or tracked.base is None or tracked.base.digest or tracked.seen is not tracked.base:
            return
        try:
            status, source = read(path)
        except OSError:
            return  # the next scan finds out why
        if signature(status) == tracked.signature:
            tracked.settled = is_settled(status, self._wall_ns())
            tracked.base = tracked.seen = self._content(path, status, source)

    def _look(self, path: str) -> None:
        """Look at a file, tracked or not."""
        known = self._tracked.get(path)
        if known is None:
            folder, _, name = path.rpartition("/")
            page = self._pages.get(folder or "/")
            if page is not None and (place := page.find(name)) >= 0:
                self._compare(path, page, place)
                return
            if self.taking and folder not in self.tree.folders:
                return  # it is yet to be listed
        status = self._status(path)
        if status is None:
            return
        if known is None or known.signature != signature(status):
            self._update(path)
        elif not known.settled:
            self._learn(path)
            self._update(path)
        self._met.add(path)

    def _status(self, path: str) -> os.stat_result | None:
        """Return the status of a regular file; None if there is none, or if nothing can be said about it."""
        try:
            status = os.stat(path)
        except OSError as error:
            self._failed(path, error)
            return None
        if not stat.S_ISREG(status.st_mode):
            self._vanished(path)
            return None
        return status

    def _failed(self, path: str, error: OSError) -> None:
        if error.errno in GONE or error.errno is None:
            self._vanished(path)
        else:  # it may be there: without evidence of a change there is none
            self._met.add(path)
            self._notes.append(catalogue.CANT_READ(path=path, why=error.strerror))

    def _update(self, path: str) -> None:
        tracked = self._tracked.get(path)
        try:
            status, source = read(path)
        except OSError as error:
            self._failed(path, error)
            return
        if tracked is None:
            tracked = self._tracked[path] = _Tracked()
        before, tracked.signature = tracked.signature, signature(status)
        tracked.settled = is_settled(status, self._wall_ns())
        if status.st_nlink > 1:
            self._shared.add(path)
        if is_compiled(path):
            head = read_head(path) if source is None else source[:HEAD_BYTES]
            tracked.whole = is_whole(head, status.st_size)
        old = tracked.seen
        new = self._content(path, status, source)
        if old is not None and old.digest == new.digest:
            if old is tracked.base and old.source is None:
                tracked.base = tracked.seen = new  # with its bytes, for the next comparison
            else:
                self._release(new, None)
            if tracked.seen is tracked.base:
                tracked.inode = status.st_ino
            if before not in (None, tracked.signature):
                self.rewritten.add(path)
                if before is not None and _is_later(tracked.signature, before):
                    self.anew.add(path)
            return
        tracked.seen = new
        self._release(old, tracked.base)
        if not new.size_bytes or not tracked.whole:
            tracked.since = self._clock()
        base = tracked.base.source if tracked.base is not None else None
        tracked.verdict = Likeness.DIFFERENT if source is None else compare(path, base, source, strict=self._strict)
        self._differed(path, tracked)

    def _vanished(self, path: str) -> None:
        tracked = self._tracked.get(path)
        if tracked is None or tracked.seen is None:
            return
        self._release(tracked.seen, tracked.base)
        tracked.signature, tracked.seen, tracked.since = None, None, self._clock()
        self._differed(path, tracked)

    def _differed(self, path: str, tracked: _Tracked) -> None:
        self.fresh.add(path)
        if tracked.differs:
            self._differs.add(path)
            return
        self._differs.discard(path)
        if tracked.base is None:
            del self._tracked[path]
        elif tracked.seen is not None:
            self._release(tracked.seen, tracked.base)
            tracked.seen, tracked.inode = tracked.base, _inode(tracked)

    def _content(self, path: str, status: os.stat_result, source: bytes | None) -> Content:
        size = len(source) if source is not None else 0
        keep = size <= KEPT_BYTES and self._kept_bytes + size <= KEPT_BYTES_IN_ALL and is_source(path, source or b"")
        if keep:
            self._kept_bytes += size
        return Content.of(status, source, keep=keep)

    def _release(self, old: Content | None, base: Content | None) -> None:
        if old is not None and old is not base and old.source is not None:
            self._kept_bytes -= old.size_bytes


# A sign that some of many names may be those of compiled code.
_MAYBE_COMPILED = re.compile(r"\.(?:so|dylib)")

#: A signature that no file has, and a content.
_OTHER: Signature = (0, 0, 0, 0, 0)
_UNSEEN = Content(b"", 0)


def _inode(tracked: _Tracked) -> int:
    return tracked.signature[3] if tracked.signature else 0
