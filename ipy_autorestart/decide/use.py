"""Decide what a difference asks for, given what the target read and wrote."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ipy_autorestart.decide.change import Broken, Change, Found, Kind, Unfinished
from ipy_autorestart.decide.guard import Likeness, Verdict


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
    """

    change: Change
    verdict: Verdict = Likeness.DIFFERENT
    unfinished: Unfinished | None = None
    real: str = ""
    named: bool = False
    loaded: bool | None = None
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Used:
    """The files that a target has read, as far as it reports; None if it doesn't, and those that it has written."""

    read: frozenset[str] | None = None
    written: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Use:
    """The files that matter to the target.

    A folder in ``read`` was listed: what is deleted from it counts. Acting on what is ``written`` would have the target
    run for ever.
    """

    read: frozenset[str] | None = None  # real paths that its last successful run read; None where everything counts
    written: frozenset[str] = frozenset()  # real paths that it wrote itself

    def wrote(self, difference: Difference) -> bool:
        """Whether the target made the difference itself."""
        return not self.written.isdisjoint(_paths(difference))

    def counts(self, difference: Difference) -> bool:
        """Whether the difference may matter to the last run.

        What the user has named always counts, for no report is complete: code in C reads unheard. What is new counts,
        for it may be the module that an import looked for in vain, or found elsewhere. A kernel reports nothing, but
        which compiled code it has loaded is known all the same.
        """
        change = difference.change
        if difference.named or difference.loaded:
            return True
        if self.read is None:
            return difference.loaded is None
        if change.kind is Kind.ADDED:
            return True
        paths = _paths(difference)
        if change.kind is Kind.DELETED:
            paths += tuple(path.rpartition("/")[0] or "/" for path in paths)
        return not self.read.isdisjoint(paths)


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


def _paths(difference: Difference) -> tuple[str, ...]:
    path = difference.change.path
    return (path, difference.real) if difference.real else (path,)
