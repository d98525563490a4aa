"""Compare the tracked files with their contents at the target's start.

The baseline advances by `Snapshot.commit` and `Snapshot.settle` alone, to exactly what the last scan saw: a later
write differs again at the next scan.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass

from ipy_autorestart.decide.change import Change, Kind, Unfinished
from ipy_autorestart.decide.compiled import HEAD_BYTES, is_compiled, is_whole
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.decide.guard import Likeness, Verdict, compare, is_source
from ipy_autorestart.decide.use import Difference
from ipy_autorestart.watch.contents import Content, Signature, is_settled, read, read_head, signature
from ipy_autorestart.watch.tree import GONE, Tree

#: Old bytes are kept for the guard: so many per file, and in all.
KEPT_BYTES = 256 << 10
KEPT_BYTES_IN_ALL = 32 << 20

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


class Snapshot:
    """The files that count below the roots, those named, and those that the target read.

    Attributes
    ----------
    tree
        The folders.
    fresh
        Paths that a scan found with another content than the scan before; the reader clears it.
    rewritten
        Paths that a scan found with the same content as the scan before, but written since; the reader clears it.
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
        self._named = frozenset(named)
        self._extra: frozenset[str] = frozenset()
        self._strict = strict
        self._clock = clock
        self._wall_ns = wall_ns
        self._tracked: dict[str, _Tracked] = {}
        self._differs: set[str] = set()  # paths of those that differ from the baseline
        self._shared: set[str] = set()  # of those with another hard link, by which they change without an event
        self._unread: list[str] = []  # of those whose old content is yet to be read
        self._kept_bytes = 0
        self._committed_ns = 0  # when the baseline was taken
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        """Sentences on what could not be read at the last scan."""
        return [*self.tree.notes, *self._notes]

    @property
    def unread(self) -> int:
        """Number of files whose old content is yet to be read."""
        return len(self._unread)

    @property
    def files(self) -> Set[str]:
        """Paths of the tracked files."""
        return self._tracked.keys()

    def begin(self, *, seconds: float, since_ns: int = 0) -> None:
        """Take the baseline: all signatures, and contents for up to ``seconds``; `fill` reads the rest.

        A file written after ``since_ns``, unless that is 0, differs from it: the target has read an older content.
        """
        self._committed_ns = self._wall_ns()
        for known in (self._tracked, self._differs, self._shared, self._unread, self.fresh, self.rewritten):
            known.clear()
        self._kept_bytes = 0
        self._unread += [path for path in self._paths() if self._add(path, since_ns or math.inf)]
        self.fill(seconds=seconds)

    def fill(self, *, seconds: float) -> None:
        """Read contents of the baseline that are yet to be read, for up to ``seconds``."""
        end = self._clock() + seconds
        while self._unread and self._clock() < end:
            self._learn(self._unread.pop())

    def scan(self) -> None:
        """Look at every tracked file, and read those whose signature changed."""
        paths = self._paths()
        self._look_at(paths)
        for path in self.files - paths.keys():
            self._vanished(path)

    def scan_only(self, paths: Iterable[str]) -> None:
        """Look at some tracked files, at all that differ already, and at all that have another name."""
        self._look_at({*paths, *self._differs, *self._shared, *self.tree.aliases})

    def commit(self) -> None:
        """Make the baseline what the last scan saw."""
        self._committed_ns = self._wall_ns()
        self.settle(self._differs)

    def settle(self, paths: Iterable[str]) -> None:
        """Make the baseline of these files what the last scan saw of them."""
        for path in self._differs.intersection(paths):
            tracked = self._tracked[path]
            tracked.base, tracked.inode = tracked.seen, _inode(tracked)
            if tracked.base is None:
                del self._tracked[path]
            self._differs.discard(path)
        bases = (tracked.base for tracked in self._tracked.values())
        self._kept_bytes = sum(base.size_bytes for base in bases if base is not None and base.source is not None)

    def track(self, paths: Iterable[str]) -> None:
        """Track these files, which don't count by name, instead of those of the last call.

        A file that was written after the baseline was taken differs from it: the target may have read its older
        content.
        """
        extra = frozenset(paths)
        for path in self._extra - extra:
            self._tracked.pop(path, None)
            self._differs.discard(path)
            self._shared.discard(path)
        self._extra = extra
        for path in extra - self._tracked.keys():
            if self._add(path, self._committed_ns):
                self._learn(path)

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
        return found

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

    def _paths(self) -> dict[str, None]:
        return dict.fromkeys((*self.tree.walk(), *self._named, *self._extra))

    def _add(self, path: str, since_ns: float) -> bool:
        """Add a file to the baseline; return whether it holds what the target has read, and so is to be read here."""
        status = self._status(path)
        if status is None:
            return False
        if status.st_nlink > 1:
            self._shared.add(path)
        content = Content.unread(status)
        settled = is_settled(status, self._wall_ns())
        tracked = _Tracked(signature(status), settled, content, content, inode=status.st_ino)
        self._tracked[path] = tracked
        if status.st_ctime_ns > since_ns:
            tracked.signature = None  # so that the next scan finds a difference
        return tracked.signature is not None

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

    def _look_at(self, paths: Iterable[str]) -> None:
        self._notes = []
        for path in paths:
            status = self._status(path)
            if status is None:
                continue
            known = self._tracked.get(path)
            if known is None or known.signature != signature(status):
                self._update(path)
            elif not known.settled:
                self._learn(path)
                self._update(path)

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
            self._notes.append(f"can't read {path}: {error.strerror}")

    def _update(self, path: str) -> None:
        tracked = self._tracked.get(path)
        try:
            status, source = read(path)
        except OSError as error:
            self._failed(path, error)
            return
        if tracked is None:
            tracked = self._tracked[path] = _Tracked()
        was_written = tracked.signature not in (None, signature(status))
        tracked.signature = signature(status)
        tracked.settled = is_settled(status, self._wall_ns())
        if status.st_nlink > 1:
            self._shared.add(path)
        if is_compiled(path):
            head = read_head(path) if source is None else source[:HEAD_BYTES]
            tracked.whole = is_whole(head, status.st_size)
        old = tracked.seen
        new = self._content(path, status, source)
        if old is not None and old.digest == new.digest:
            self._release(new, None)
            if old is tracked.base:
                tracked.inode = status.st_ino
            if was_written:
                self.rewritten.add(path)
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


def _inode(tracked: _Tracked) -> int:
    return tracked.signature[3] if tracked.signature else 0
