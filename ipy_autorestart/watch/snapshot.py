"""Know what the tracked files held when the target began, and what they hold now.

The baseline advances by `Snapshot.commit` alone, to exactly what the last scan saw: what is written later
differs again at the next scan.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence

from ipy_autorestart.decide.change import Change, Kind, Unfinished
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.decide.guard import DIFFERENT, compare
from ipy_autorestart.decide.use import Difference
from ipy_autorestart.watch.contents import Content, Tracked, content, is_settled, read, signature, unread
from ipy_autorestart.watch.tree import GONE, Tree

#: Old bytes are kept for the guard: up to this size a file, and in all.
KEPT_BYTES = 256 << 10
KEPT_BYTES_IN_ALL = 32 << 20

#: How long a file that lost all its content counts as being written, and one that vanished as being renamed.
EMPTIED_SECONDS = 1.0
VANISHED_SECONDS = 0.06


class Snapshot:
    """The files that count below the roots, those named, and those the target read.

    Attributes
    ----------
    tree
        The folders.
    fresh
        Paths whose content a scan saw for the first time; whoever reads it clears it.
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
        self._named = frozenset(named)
        self._extra: frozenset[str] = frozenset()
        self._strict = strict
        self._clock = clock
        self._wall_ns = wall_ns
        self._tracked: dict[str, Tracked] = {}
        self._differs: set[str] = set()
        self._shared: set[str] = set()
        self._unread: list[str] = []
        self._kept_bytes = 0
        self._committed_ns = 0
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        """What could not be read at the last scan, in sentences."""
        return [*self.tree.notes, *self._notes]

    @property
    def unread(self) -> int:
        """Files whose old content is not known yet."""
        return len(self._unread)

    @property
    def files(self) -> int:
        """Files that are tracked."""
        return len(self._tracked)

    def begin(self, *, seconds: float, since_ns: int = 0) -> None:
        """Take the baseline: all signatures, and contents while ``seconds`` allow; `fill` reads on.

        What was written after ``since_ns``, if it is given, differs from it: the target has read what was there before.
        """
        self._committed_ns = self._wall_ns()
        for known in (self._tracked, self._differs, self._shared, self._unread, self.fresh):
            known.clear()
        self._kept_bytes = 0
        for path in self._paths():
            status = self._status(path)
            if status is None:
                continue
            tracked = self._tracked[path] = self._unknown(path, status)
            if 0 < since_ns < status.st_ctime_ns:
                tracked.signature = None  # so that the next scan finds a difference
            else:
                self._unread.append(path)
        self.fill(seconds=seconds)

    def fill(self, *, seconds: float) -> None:
        """Read contents of the baseline that are yet to be read, as long as ``seconds`` allow."""
        end = self._clock() + seconds
        while self._unread and self._clock() < end:
            self._learn(self._unread.pop())

    def scan(self) -> None:
        """Look at every tracked file; contents are read only where the signature is another."""
        paths = self._paths()
        self._look_at(paths)
        for path in self._tracked.keys() - paths.keys():
            self._vanished(path)

    def scan_only(self, paths: Iterable[str]) -> None:
        """Look at some tracked files, and at all that differ already or may be one file with another."""
        self._look_at({*paths, *self._differs, *self._shared, *self.tree.aliases})

    def knows(self, path: str) -> bool:
        """Whether a file is tracked."""
        return path in self._tracked

    def commit(self) -> None:
        """Take what the last scan saw for the baseline."""
        self._committed_ns = self._wall_ns()
        self.settle(self._differs)

    def settle(self, paths: Iterable[str]) -> None:
        """Take what the last scan saw for the baseline, of these files only."""
        for path in self._differs.intersection(paths):
            tracked = self._tracked[path]
            tracked.base = tracked.seen
            if tracked.base is None:
                del self._tracked[path]
            self._differs.discard(path)
        bases = (tracked.base for tracked in self._tracked.values())
        self._kept_bytes = sum(base.size_bytes for base in bases if base is not None and base.source is not None)

    def track(self, paths: Iterable[str]) -> None:
        """Track these files, which don't count by name; what was tracked this way before no longer is.

        A file that was written since the baseline was taken differs from it: the target may have read what it
        held before.
        """
        extra = frozenset(paths)
        for path in self._extra - extra:
            self._tracked.pop(path, None)
            self._differs.discard(path)
        self._extra = extra
        for path in extra - self._tracked.keys():
            status = self._status(path)
            if status is None:
                continue
            tracked = self._tracked[path] = self._unknown(path, status)
            if status.st_ctime_ns > self._committed_ns:
                tracked.signature = None  # so that the next scan finds a difference
            else:
                self._learn(path)

    def differences(self) -> list[Difference]:
        """Say what differs from the baseline now, as the last scan saw it."""
        return [self._difference(path, self._tracked[path]) for path in sorted(self._differs)]

    def _difference(self, path: str, tracked: Tracked) -> Difference:
        base, seen = tracked.base, tracked.seen
        age = self._clock() - tracked.since
        if seen is None:
            unfinished = Unfinished.VANISHED if age < VANISHED_SECONDS else None
            return Difference(Change(path, Kind.DELETED), DIFFERENT, unfinished)
        emptied = base is not None and base.size_bytes and not seen.size_bytes and age < EMPTIED_SECONDS
        kind = Kind.ADDED if base is None else Kind.MODIFIED
        return Difference(Change(path, kind), tracked.verdict, Unfinished.EMPTIED if emptied else None)

    def _paths(self) -> dict[str, None]:
        return dict.fromkeys((*self.tree.walk(), *self._named, *self._extra))

    def _unknown(self, path: str, status: os.stat_result) -> Tracked:
        if status.st_nlink > 1:
            self._shared.add(path)
        stand_in = unread(status)
        return Tracked(signature(status), is_settled(status, self._wall_ns()), stand_in, stand_in)

    def _learn(self, path: str) -> None:
        """Read the content of the baseline, if the file still is what the last scan saw."""
        tracked = self._tracked.get(path)
        if tracked is None or tracked.base is None or tracked.base.digest or tracked.seen is not tracked.base:
            return
        try:
            status, source = read(path)
        except OSError:
            return  # the next scan says what became of it
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
        """Status of a regular file; None where there is none, or where nothing can be said about it."""
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
        else:  # it may be there: what is not known to have changed has not
            self._notes.append(f"can't read {path}: {error.strerror}")

    def _update(self, path: str) -> None:
        tracked = self._tracked.get(path)
        try:
            status, source = read(path)
        except OSError as error:
            self._failed(path, error)
            return
        if tracked is None:
            tracked = self._tracked[path] = Tracked()
        tracked.signature = signature(status)
        tracked.settled = is_settled(status, self._wall_ns())
        if status.st_nlink > 1:
            self._shared.add(path)
        old = tracked.seen
        new = self._content(path, status, source)
        if old is not None and old.digest == new.digest:
            self._release(new, None)
            return
        tracked.seen = new
        self._release(old, tracked.base)
        if not new.size_bytes:
            tracked.since = self._clock()
        base = tracked.base.source if tracked.base is not None else None
        tracked.verdict = DIFFERENT if source is None else compare(path, base, source, strict=self._strict)
        self._differed(path, tracked)

    def _vanished(self, path: str) -> None:
        tracked = self._tracked.get(path)
        if tracked is None or tracked.seen is None:
            return
        self._release(tracked.seen, tracked.base)
        tracked.signature, tracked.seen, tracked.since = None, None, self._clock()
        self._differed(path, tracked)

    def _differed(self, path: str, tracked: Tracked) -> None:
        self.fresh.add(path)
        if tracked.differs:
            self._differs.add(path)
            return
        self._differs.discard(path)
        if tracked.base is None:
            del self._tracked[path]
        elif tracked.seen is not None:
            self._release(tracked.seen, tracked.base)
            tracked.seen = tracked.base

    def _content(self, path: str, status: os.stat_result, source: bytes | None) -> Content:
        size = len(source) if source is not None else 0
        keep = path.endswith(".py") and size <= KEPT_BYTES and self._kept_bytes + size <= KEPT_BYTES_IN_ALL
        if keep:
            self._kept_bytes += size
        return content(status, source, keep=keep)

    def _release(self, old: Content | None, base: Content | None) -> None:
        if old is not None and old is not base and old.source is not None:
            self._kept_bytes -= old.size_bytes
