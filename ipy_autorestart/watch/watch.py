"""Watch files for the engine: hints come at once, and a look finds the truth."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self

from ipy_autorestart import catalogue
from ipy_autorestart.decide.change import Change, Found, Hint, Kind, Progress, Unfinished
from ipy_autorestart.decide.compiled import is_compiled, is_outdated
from ipy_autorestart.decide.filters import Filter, is_below
from ipy_autorestart.decide.guard import Likeness
from ipy_autorestart.decide.use import Difference, Use, sort_out
from ipy_autorestart.watch.contents import now_ns
from ipy_autorestart.watch.filesystem import lock_of, silent_kind
from ipy_autorestart.watch.plan import Anchor, Notice, anchors
from ipy_autorestart.watch.policy import LATE_SECONDS, Suspects, interval, is_listing_told
from ipy_autorestart.watch.snapshot import Snapshot
from ipy_autorestart.watch.tree import Tree

#: A start may read files for so long; the rest is read by later looks, each for so long.
START_SECONDS = 0.1
LATER_SECONDS = 0.01

#: A look without hints scans so many files, and goes on so much later, that a save waits for milliseconds at most.
SLICE_FILES = 2000
SLICES_APART = 0.02

#: If hints name no more files than these, only those are looked at, and the scan of a small tree comes at the burst's
#: end; more are a burst, some of whose events may be lost.
FEW_FILES = 4

#: So many of the files that didn't count are remembered until somebody asks for them.
PASSED_OVER_MAX = 200

#: Starts for which a data file stays tracked that no run reads any more: of a run that has just begun nobody knows yet.
READ_LATELY = 8

#: Inodes by path.
Loaded = Mapping[str, Set[int]]


class Observing(Protocol):
    """What delivers events: ours on Linux, watchdog's elsewhere."""

    notes: list[str]

    @property
    def complete(self) -> bool:
        """Whether every folder sends events."""

    def start(self) -> bool:
        """Begin; return whether that was possible."""

    def enter(self, path: str, real: str) -> None:
        """Watch a folder, given its path and real path, that is about to be listed."""

    def keep_up(self, tree: Tree, anchors: tuple[Anchor, ...], now: float) -> bool:
        """Follow a tree after a walk; return whether a change may have come before a new watch."""

    def stop(self) -> None:
        """End."""


def observer(notice: Notice) -> Observing:
    """Return the observer of this system."""
    if sys.platform.startswith("linux"):
        from ipy_autorestart.watch.inotify import Observer
    else:
        from ipy_autorestart.watch.observer import Observer
    return Observer(notice)


class Watch:
    """Comparison of the files that count below some roots with their contents at the last `commit`.

    Events are hints, the comparison is the truth: `look` finds the same whether an event came, came late or got lost.
    All methods belong to one thread; only ``on_hint`` is called in another.

    Parameters
    ----------
    roots
        Absolute folders or files, as the user named them.
    named
        Files that count wherever they lie and whatever their name.
    filter
        Decides which files below the roots count.
    on_hint
        Called in the observer's thread for each hint; must be quick and must not raise.
    on_passed_over
        Called in that thread too, when the first changes of those that don't count, as far as is known.
    strict
        Whether comments and layout count.
    every
        Whether what the target hasn't used counts, too.
    poll
        Seconds between scans, without any events.
    since_ns
        A file written after this moment, in nanoseconds since 1970, differs from the baseline; 0 for no such moment.
    beside
        Take the baseline in the first looks, not in `start`: it is what there is at the latter, and the target may
        start at once.
    observe
        Makes the observer.
    on_slow
        Called with a sentence for people while the first listing takes long.
    loaded
        Returns the inodes of the compiled code that the target has loaded, by its paths without symlinks; None where
        nothing is known. It is only asked when compiled code differs.
    """

    def __init__(
        self,
        roots: Sequence[str],
        *,
        named: Sequence[str] = (),
        filter: Filter,  # noqa: A002 - the glossary's word
        on_hint: Callable[[Hint], None],
        on_passed_over: Callable[[], object] = lambda: None,
        strict: bool = False,
        every: bool = False,
        poll: float | None = None,
        since_ns: int = 0,
        beside: bool = False,
        observe: Callable[[Notice], Observing] = observer,
        loaded: Callable[[], Loaded | None] = lambda: None,
        on_slow: Callable[[str], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if poll is not None and poll <= 0:
            raise ValueError(f"poll must be a positive number of seconds, got {poll}")
        self._roots = tuple(dict.fromkeys(os.path.abspath(root) for root in roots))
        self._named = tuple(dict.fromkeys(os.path.abspath(path) for path in named))
        self._by_path = frozenset((*self._roots, *self._named))
        self._filter = filter
        self._poll = poll
        self._since_ns = since_ns
        self._beside = beside
        self._observe = observe
        self._loaded = loaded
        self._on_slow = on_slow
        self._clock = clock
        self._snapshot = Snapshot(self._roots, which=filter, named=self._named, strict=strict, clock=clock)
        self._observer: Observing | None = None
        self._steps: Iterator[int] | None = None  # of the scan that goes on
        self._spent = 0.0  # seconds, for it
        self._first = True  # whether it is the first
        self._unlearned: dict[str, str] = {}  # what the target has read, as it is listed, until all is
        self._anchors: tuple[Anchor, ...] = ()
        self._use = Use(every=every)
        self._starts = 0
        self._tops: dict[str, str] = {}  # roots by their paths and real paths, of which a release may have many
        self._read_lately: dict[str, int] = {}  # what counts for its use alone, with the last start whose run read it
        self._learnt: dict[str, float] = {}  # when that was learnt
        self._unannounced = False
        self._differed: dict[str, Change] = {}  # what a look has found, by its path
        self._written: set[str] = set()  # what was written since the last start, as looks have found
        self._committed: dict[str, Change] = {}  # what has become the baseline
        self._hints = Hints(self._roots, self._named, filter, on_hint, on_passed_over)
        self._late: set[str] = set()  # hints that came while the last look went on
        self._silent: list[str] = []  # notes on the roots of which some changes send no events
        self._suspects = Suspects()
        self._deaf: list[str] = []  # a note, once a change has sent none
        self._slow: list[str] = []  # notes on the first listing
        self._started = 0.0
        self._cost = 0.0  # seconds that the last scan took
        self._locks: tuple[str, ...] = ()  # of git
        self._scanned = float("-inf")  # when the last scan ended
        self._stirred = clock()  # when anything changed last

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the observer and take the baseline.

        A limit of the system is no error: `polling` is true then, and a note says why.

        Raises
        ------
        FileNotFoundError
            If no root and no named file can be read.
        """
        if not any(map(os.path.exists, self._by_path)):
            raise FileNotFoundError(2, catalogue.NOTHING_THERE(), ", ".join((*self._roots, *self._named)))
        kinds = {root: silent_kind(root) for root in self._roots} if self._poll is None or self._beside else {}
        silent = {root: kind for root, kind in kinds.items() if kind is not None}
        if self._poll is None:
            self._silent = [catalogue.SILENT_FILE_SYSTEM(path=root, kind=kind) for root, kind in silent.items()]
            self._observer = self._observe(self._hints.notice)
            self._snapshot.tree.enter = self._observer.enter
            self._observer.start()
        beside = self._beside and not silent  # whose clock may be another
        self._note_tops()
        self._steps, self._first = None, True
        self._slow, self._started = [], self._clock()
        self._snapshot.restart(self._since_ns or (now_ns() if beside else 0), new=beside)
        if not beside:
            self._advance()
            self._snapshot.fill(seconds=START_SECONDS)
            self._snapshot.fresh = set()  # no event could announce what was written before there was an observer

    def stop(self) -> None:
        """End the observer, and close all that it opened."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()

    def look(self) -> Found:
        """Return all that differs from the baseline now; a look doesn't move the baseline."""
        starting, first = self._snapshot.taking, self._first
        hints = self._late | self._hints.take()
        folders, lost = self._hints.changed()
        small = not self._snapshot.is_large
        few = 0 < len(hints) <= FEW_FILES and all(map(self._snapshot.knows, hints))  # not "": anything
        few &= self._clock() - self._scanned <= self.interval
        self._mourn(hints - folders)
        if not hints and self._steps is None and not starting:
            self._snapshot.fill(seconds=LATER_SECONDS)
        if starting:
            self._learn()
        everything = lost or not self._hints.folders.isdisjoint(folders)
        if starting and not hints:
            self._advance(SLICE_FILES)
        elif everything or (not starting and (self._observer is None or (small and not few))):
            self._scan()
        elif hints:
            self._scan_only(hints - folders - {""}, folders)
        elif self._steps is not None or self._clock() - self._scanned >= self._apart:
            self._advance(SLICE_FILES)
        if first:  # no event could announce what was written before there was a watch
            self._snapshot.fresh = set()
        # A hint that comes during a look announces a change that this look finds, or only the next.
        self._late = self._hints.take()
        hints |= self._late
        if hints or self._snapshot.fresh:
            self._stirred = self._clock()
        self._unannounced = self._find_unannounced(hints)
        return self.judge()

    def judge(self) -> Found:
        """Return what the last look has found, given what is known by now of what the target has used."""
        differences = self._differences()
        loaded = self._loaded() if any(is_compiled(one.change.path) for one in differences) else None
        found = sort_out((self._known(one, loaded) for one in differences), self._use)
        found = replace(found, put_back=self._put_back(differences))
        if found.changes and any(map(os.path.exists, self._locks)):
            found = replace(found, unfinished=found.unfinished | {Unfinished.GIT})
        observer = self._observer.notes if self._observer is not None else []
        slow = self._slow[-1:] if self._first else []
        notes = tuple(dict.fromkeys((*slow, *self._silent, *observer, *self._deaf, *self._snapshot.notes)))
        return replace(found, unannounced=self._unannounced, polling=self.polling, notes=notes, rescan=self._rescan)

    def commit(self) -> None:
        """Make the baseline what the last `look` saw."""
        self._note_committed(self._differences())
        self._snapshot.commit()
        self._starts += 1
        self._tops = {}
        self._note_tops()  # by which the next run reads, though what it has read is learnt later

    def take_changed(self) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        """Return the changes of the baseline since the last call, and those that were put back before they became any.

        What was written anew with the same content is among the latter: it may have been otherwise in between. Files
        with the same code are in neither.
        """
        committed, self._committed = self._committed, {}
        put_back = [change for path, change in self._differed.items() if path not in committed]
        self._differed, self._written = {}, set()
        return tuple(committed.values()), tuple(put_back)

    def settle(self, paths: Iterable[str]) -> None:
        """Make the baseline of these files what the last `look` saw: the target doesn't use their older content."""
        paths = set(paths)
        if paths:
            self._note_committed(one for one in self._snapshot.differences() if one.change.path in paths)
        self._snapshot.settle(paths)

    def used(
        self,
        paths: Iterable[str] | None,
        *,
        written: Iterable[str] = (),
        sought: frozenset[str] = frozenset(),
        since_ns: int = 0,
    ) -> None:
        """Take the files that the target's last successful run read, and those that it wrote itself.

        A data file stays tracked for some starts after the last run that read it, for the next may have yet to come to
        it; that it doesn't count meanwhile, `Use` knows.

        Parameters
        ----------
        paths
            Files of any kind, and folders that it listed. A file below the roots that was read counts from now on,
            whatever its name. None: all files that count by name do, used or not.
        written
            Files that never count.
        sought
            Names of modules that the run looked for, whether or not they were there.
        since_ns
            A moment by the clock of `contents.now_ns`: what is new here was not read before it.
        """
        own = frozenset(_both(written))
        self._note_tops()
        read = None if paths is None else frozenset(self._as_named(_both(paths)))
        before = self._use.read or frozenset()
        self._use = replace(self._use, read=read, written=own, sought=sought)
        self._snapshot.wants_all = read is None
        if read is None:
            return
        self._track(set(filter(None, map(self._shown, read - own))), own, since_ns)
        tops = self._tops.items()
        new = read - own - before
        self._unlearned |= {path: root + path[len(top) :] for path in new for top, root in tops if is_below(path, top)}
        self._learn()

    def _note_tops(self) -> None:
        self._tops |= {top: root for root in self._roots for top in (root, os.path.realpath(root))}

    def _as_named(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield paths, also by the names that the user gave the roots: their symlinks may lead elsewhere by now."""
        turned = [(top, root) for top, root in self._tops.items() if top != root]
        for path in paths:
            yield path
            yield from (root + path[len(top) :] for top, root in turned if is_below(path, top))

    def _track(self, shown: set[str], own: frozenset[str], since_ns: int) -> None:
        """Track what the run has read that doesn't count by name, and what runs before have read."""
        self._read_lately |= dict.fromkeys(shown, self._starts)
        for path, start in [*self._read_lately.items()]:
            if path in own or self._starts - start >= READ_LATELY:
                del self._read_lately[path]
        before, extra = self._hints.wanted, self._read_lately.keys()
        self._hints.wanted = frozenset((*self._by_path, *extra))
        self._snapshot.track(extra, since_ns)
        self._learnt = dict.fromkeys(extra - before, self._clock()) or self._learnt
        self._hints.pass_on(extra - before)

    def _mourn(self, hints: set[str]) -> None:
        """Take note of what was deleted just as the run had read it: no look has seen it, so none would miss it."""
        for path in hints & self._learnt.keys():
            if self._clock() - self._learnt[path] < LATE_SECONDS:
                self._snapshot.mourn(path)

    def passed_over(self) -> Iterator[tuple[str, str]]:
        """Yield files that changed since the last call without being looked at, and the reason."""
        return self._hints.passed_over()

    @property
    def has_passed_over(self) -> bool:
        """Whether there are such files."""
        return self._hints.has_passed_over

    @property
    def polling(self) -> bool:
        """Whether some changes are found by scans alone."""
        return self._observer is None or not self._observer.complete or bool(self._silent or self._deaf)

    @property
    def interval(self) -> float:
        """Seconds until the next look is due, if no hint comes before."""
        return interval(0.0, unread=True) if self._poll is None and self._snapshot.unread else self._apart

    @property
    def _apart(self) -> float:
        """Seconds between scans."""
        if self._poll is not None:
            return max(self._poll, self._cost)
        return interval(self._cost, polling=self.polling, quiet=self._clock() - self._stirred)

    @property
    def _rescan(self) -> float:
        if self._snapshot.taking:
            return 0.0
        if self._steps is not None:
            return SLICES_APART
        due = self._apart - (self._clock() - self._scanned)
        return min(self.interval, max(due, 0.0)) if self._poll is None else self.interval

    def _differences(self) -> list[Difference]:
        differences = self._snapshot.differences()
        rewritten, self._snapshot.rewritten = self._snapshot.rewritten, set()
        self._differed |= {path: Change(path, Kind.MODIFIED) for path in rewritten}
        self._differed |= {change.path: change for change in _changes(differences)}
        self._written |= self._snapshot.anew.union(one.change.path for one in differences)
        self._snapshot.anew = set()
        return differences

    def _put_back(self, differences: Iterable[Difference]) -> tuple[Change, ...]:
        """Return what was written since the last start, and is as it was then."""
        paths = self._written.difference(one.change.path for one in differences)
        again = [Difference(Change(path, Kind.MODIFIED)) for path in sorted(paths)]
        return sort_out((self._known(one, None) for one in again), self._use).changes

    def _note_committed(self, differences: Iterable[Difference]) -> None:
        self._committed |= {change.path: change for change in _changes(differences)}

    def _scan_only(self, files: Set[str], folders: Set[str]) -> None:
        """Look at what hints have named, and watch what is new."""
        tree = self._snapshot.tree
        done = self._snapshot.scan_only(files, folders)
        if not done or ((tree.moved or tree.gone) and not self._snapshot.taking and self._follow()):
            self._scan()

    def _scan(self) -> None:
        """Look at everything."""
        if self._steps is not None:
            self._advance()  # what it has passed by may have changed since
        self._advance()

    def _advance(self, files: float = math.inf) -> None:
        """Scan so many files, or go on with the scan that has begun."""
        began, done = self._clock(), False
        if self._steps is None:
            self._steps, self._spent = self._snapshot.steps(), 0.0
            self._locks = tuple(filter(None, map(lock_of, self._roots)))
        taking = self._snapshot.taking
        while files > 0 and not done:
            step = next(self._steps, None)
            done = step is None
            files -= step or 0
            if taking and is_listing_told(self._clock() - self._started, len(self._slow)):
                self._slow.append(catalogue.LISTING(count=f"{self._snapshot.listed:,}"))
                self._on_slow(self._slow[-1])
            if taking and not self._snapshot.taking:  # all is listed
                taking = False
                self._follow()
                self._learn()
                if math.isfinite(files):
                    self._snapshot.fill(seconds=START_SECONDS / 4)
                    break
        self._spent += self._clock() - began
        if done:
            self._steps, self._first = None, False
            self._cost, self._scanned = self._spent, self._clock()
            if self._follow():
                self._snapshot.scan()  # for changes between the scan and the new watch

    def _follow(self) -> bool:
        """Have the observer follow the folders of the last walk."""
        if self._observer is None:
            return False
        tree = self._snapshot.tree
        single = anchors(tree, self._named)
        if tree.moved or single != self._anchors:
            tops = (folder.path for folder in tree.folders.values() if folder.top)
            self._hints.folders = frozenset((*self._roots, *tops, *tree.twins))
        added = self._observer.keep_up(tree, single, self._clock())
        self._anchors, tree.moved = single, False
        return added

    def _find_unannounced(self, hints: set[str]) -> bool:
        fresh, self._snapshot.fresh = self._snapshot.fresh, set()
        if self._observer is None:
            return bool(fresh)
        unannounced, late = self._suspects.judge(fresh, hints, self._clock())
        if late and not self._deaf:
            self._observer.stop()  # it may be alive and get no events; the next scan starts it again
            self._deaf = [catalogue.NO_EVENT(path=late)]
        return unannounced

    def _known(self, difference: Difference, loaded: Loaded | None) -> Difference:
        """Add what is known of a path besides its content."""
        path = difference.change.path
        real, outdated = self._real(path), None
        roots = (root for root in self._roots if is_below(path, root))
        named = path in self._by_path or any(self._filter.names(root, path) for root in roots)
        if loaded is not None and is_compiled(path):
            base, now = self._snapshot.inodes(path)
            outdated = is_outdated(loaded.get(real, ()), base=base, now=now)
        lately = path in self._read_lately and not self._use.has_read(path, real)
        return replace(difference, real=real, named=named, loaded=outdated, lately=lately)

    def _real(self, path: str) -> str:
        """Return the path without symlinks, from the last walk if that knows it."""
        tree = self._snapshot.tree
        folder = tree.folders.get(os.path.dirname(path))
        if folder is None or path in self._hints.wanted:
            return os.path.realpath(path)
        return tree.aliases.get(path) or os.path.join(folder.real, os.path.basename(path))

    def _learn(self) -> None:
        """Look at the files that the target uses before others, as soon as they are listed."""
        listed = {path: shown for path, shown in self._unlearned.items() if self._snapshot.knows(shown)}
        self._snapshot.learn(listed.values())
        left = self._unlearned.items() if self._snapshot.taking else ()
        self._unlearned = {path: shown for path, shown in left if path not in listed}

    def _shown(self, path: str) -> str | None:
        """Return the path by which to track a file that the target read; None if it counts anyway, or never does."""
        for root in self._roots:
            for top in dict.fromkeys((root, os.path.realpath(root))):
                if not is_below(path, top) or path == top:
                    continue
                shown = os.path.join(root, os.path.relpath(path, top))
                excluded = self._filter.excludes(shown, folder=False)
                counts = shown in self._by_path or self._filter.counts(root, shown)
                if self._filter.may_be_used(root, shown) and not counts and not excluded:
                    return shown
        return None


class Hints:
    """Hints waiting for the next look: of all events, those that may count.

    Attributes
    ----------
    wanted
        Files that count whatever the filter says.
    folders
        Folders with an event of their own after which anything in them may have changed.
    """

    def __init__(
        self,
        roots: Sequence[str],
        named: Sequence[str],
        filter: Filter,  # noqa: A002 - the glossary's word
        on_hint: Callable[[Hint], None],
        on_passed_over: Callable[[], object] = lambda: None,
    ) -> None:
        self.wanted = frozenset((*roots, *named))
        self.folders = frozenset(roots)
        self._roots = roots
        self._filter = filter
        self._on_hint = on_hint
        self._on_passed_over = on_passed_over
        self._hints: deque[Hint] = deque()
        self._changed: tuple[set[str], bool] = (set(), False)
        self._passed_over: deque[str] = deque(maxlen=PASSED_OVER_MAX)

    def notice(self, path: str, progress: Progress, *, folder: bool) -> None:
        """Keep and pass on what may count; this runs for every event, and so only compares strings."""
        if path and path not in self.wanted and path not in self.folders:
            counts = self._filter.enters if folder else self._filter.counts
            if not any(is_below(path, root) and counts(root, path) for root in self._roots):
                if not folder:
                    self._passed_over.append(path)
                    if len(self._passed_over) == 1:
                        self._on_passed_over()
                return
        if folder or path in self.folders:
            progress = Progress.UNKNOWN
        hint = Hint(path, progress)
        self._hints.append(hint)
        self._on_hint(hint)

    def take(self) -> set[str]:
        """Return the paths of all hints since the last call; with an empty one if anything may have changed."""
        paths = set()
        folders, lost = self._changed
        while self._hints:
            hint = self._hints.popleft()
            paths.add(hint.path)
            if hint.progress is Progress.UNKNOWN:
                paths.add("")
                folders |= {hint.path} - {""}
            lost |= not hint.path
        self._changed = folders, lost
        return paths

    def changed(self) -> tuple[set[str], bool]:
        """Return those paths of `take` below which anything may have changed, and whether anything at all may have."""
        changed, self._changed = self._changed, (set(), False)
        return changed

    def pass_on(self, paths: Set[str]) -> None:
        """Take these files of those passed over for hints: they count, as is known now."""
        for path in paths & {*self._passed_over.copy()}:
            self.notice(path, Progress.DONE, folder=False)

    @property
    def has_passed_over(self) -> bool:
        """Whether any file was passed over since that was asked for last."""
        return bool(self._passed_over)

    def passed_over(self) -> Iterator[tuple[str, str]]:
        """Yield files that changed since the last call without being looked at, and the reason."""
        paths = dict.fromkeys(self._passed_over.popleft() for _ in range(len(self._passed_over)))
        for path in paths:
            reasons = [self._filter.why_not(root, path) for root in self._roots if is_below(path, root)]
            if path not in self.wanted and all(reasons) and reasons:
                yield path, reasons[0]


def _changes(differences: Iterable[Difference]) -> Iterator[Change]:
    return (one.change for one in differences if one.verdict is not Likeness.SAME_CODE)


def _both(paths: Iterable[str]) -> Iterable[str]:
    """Yield each path as it is and without symlinks: a program may have used either."""
    for path in paths:
        path = os.path.abspath(path)
        yield path
        yield os.path.realpath(path)
