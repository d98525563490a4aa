"""Decide what a difference asks for, given what the target read and wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ipy_autorestart.decide.change import Broken, Change, Found, Kind, Unfinished
from ipy_autorestart.decide.filters import is_below
from ipy_autorestart.decide.guard import Likeness, Verdict

#: Packages in packages, at most, that a module is looked for in.
DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs from what the target runs with.

    Attributes
    ----------
    real
        The path without symlinks, where that is another.
    named
        The user has named the file, by its path or a pattern.
    loaded
        The target has loaded what the file held before, as the system tells it of compiled code; None where it doesn't.
    age
        Seconds since the change was made.
    lately
        The file counts for its use alone, and the run hasn't read it, but one before has.
    leads
        It is a symlink that leads to another folder now.
    """

    change: Change
    verdict: Verdict = Likeness.DIFFERENT
    unfinished: Unfinished | None = None
    real: str = ""
    named: bool = False
    loaded: bool | None = None
    age: float = 0.0
    lately: bool = False
    leads: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """The files that a target has read, as far as it reports; None if it doesn't, and those that it has written.

    A folder that it has renamed is among the latter, under both names, and stands for all that is in it.
    ``sought`` are the names of modules that it has looked for, whether or not they were there.
    """

    read: frozenset[str] | None = None
    written: frozenset[str] = frozenset()
    sought: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Use:
    """The files that matter to the target.

    A folder in ``read`` was listed: what is deleted from it counts. Acting on what is ``written`` would have the target
    run for ever.
    """

    read: frozenset[str] | None = None  # real paths that its last successful run read; None where everything counts
    written: frozenset[str] = frozenset()  # real paths that it wrote itself, and folders that it renamed
    sought: frozenset[str] = frozenset()  # names of modules that its last run looked for
    every: bool = False  # others than the target use files, too

    def wrote(self, difference: Difference) -> bool:
        """Whether the target made the difference itself: wrote the file, or has renamed a folder above it."""
        return any(not self.written.isdisjoint(_with_folders(path)) for path in _paths(difference))

    def has_read(self, *paths: str) -> bool:
        """Whether the last run is known to have read a file, given its paths."""
        return self.read is not None and not self.read.isdisjoint(paths)

    def counts(self, difference: Difference) -> bool:
        """Whether the difference may matter to the last run.

        What the user has named always counts, for no report is complete: code in C reads unheard. What is new counts,
        for it may be the module that an import looked for in vain, or found elsewhere; and so may one that was gone
        just then. A kernel reports nothing, but which compiled code it has loaded is known all the same.
        """
        change = difference.change
        if difference.named or difference.loaded or self.every:
            return True
        if self.read is None:
            return difference.loaded is None
        if difference.leads:
            return any(is_below(path, change.path) for path in self.read)
        if change.kind is Kind.ADDED and not difference.lately:
            return True
        paths = _paths(difference)
        if change.kind is Kind.DELETED:
            paths += tuple(path.rpartition("/")[0] or "/" for path in paths)
        return not self.read.isdisjoint(paths) or self._sought_in_vain(change.path, self.read)

    def _sought_in_vain(self, path: str, read: frozenset[str]) -> bool:
        """Whether an import may have looked for this file, and found none of that name."""
        sought = self.sought.intersection(_module_names(path))
        return bool(sought) and not any(sought.intersection(_module_names(one)) for one in read)


def sort_out(differences: Iterable[Difference], use: Use) -> Found:
    """Put every difference under what it asks for."""
    changes: list[Change] = []
    alike: list[str] = []
    broken: list[Broken] = []
    unused: list[Change] = []
    written: list[str] = []
    unfinished: set[Unfinished] = set()
    ages: list[float] = []
    for difference in differences:
        change = difference.change
        if use.wrote(difference):
            written.append(change.path)
        elif not use.counts(difference):
            if difference.unfinished is None:  # else it may yet turn out to be no change, or another one
                unused.append(change)
        elif isinstance(difference.verdict, Broken):
            broken.append(difference.verdict)
        elif difference.verdict is Likeness.SAME_CODE:
            alike.append(change.path)
        else:
            changes.append(change)
            ages.append(difference.age)
            if difference.unfinished is not None:
                unfinished.add(difference.unfinished)
    return Found(
        changes=tuple(changes),
        alike=tuple(alike),
        broken=tuple(broken),
        unused=tuple(unused),
        written=tuple(written),
        unfinished=frozenset(unfinished),
        age=min(ages, default=0.0),
    )


def _module_names(path: str) -> Iterator[str]:
    """Yield the names under which a file can be imported: ``m``, ``pkg.m`` … of ``/src/pkg/m.py``."""
    *folders, name = path.split("/")
    stem = name.partition(".")[0]
    names = folders if stem == "__init__" else [*folders, stem]
    for count in range(1, min(len(names), DEEPEST) + 1):
        yield ".".join(names[-count:])


def _with_folders(path: str) -> Iterator[str]:
    while len(path) > 1:
        yield path
        path = path.rpartition("/")[0]


def _paths(difference: Difference) -> tuple[str, ...]:
    path = difference.change.path
    return (path, difference.real) if difference.real else (path,)
