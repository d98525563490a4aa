"""Decide what a push does: to whom the tree goes, who restarts and when, what refuses it, and when it is over; pure.

The facts are what each process of a cluster says of itself, a `Process`. Workers are those of Dask, or the engines of
ipyparallel, by any name that their cluster knows them by.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from ipy_autorestart import catalogue

K = TypeVar("K", bound=Hashable)

#: So many workers, files or keys are named in a message.
NAMED = 3

#: So many characters of a version are shown.
SHOWN = 4

#: So many workers restart at once: each of them connects anew, and imports from what may be one shared file system.
WAVE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of a cluster, as it tells about itself.

    Attributes
    ----------
    name
        As its cluster knows it: an address, the number of an engine.
    store
        Which folder of copies it sees; those of one machine see the same.
    has
        The folder has a copy of the version that was asked about, or the machine shares the project's own folder.
    version
        The version that an import would get; empty before the first.
    outdated
        Modules of the project that were imported in another version than that one, or from elsewhere.
    orphans
        Tasks that run there though nobody waits for them any more.
    python, engine
        The versions of Python and of Dask or ipyparallel.
    can_restart
        Whether somebody restarts it: a nanny.
    """

    name: str
    store: str = ""
    has: bool = False
    version: str = ""
    outdated: tuple[str, ...] = ()
    orphans: int = 0
    python: str = ""
    engine: str = ""
    can_restart: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why nothing is pushed, with the fix, in one line."""

    why: str


class CantPush(Exception):  # noqa: N818  # it is shown to the user, who made no "error"
    """Nothing can be pushed, or not all have it: the reason in one line, with the fix."""


def short(version: str) -> str:
    """Return a version as it is shown."""
    return version[:SHOWN]


# -- before anything is shipped ----------------------------------------------------------------------------------------


def refuse(workers: Sequence[Process], *, python: str, engine: str, called: str) -> Refusal | None:
    """Return why these workers can't be pushed to, if they can't.

    Parameters
    ----------
    workers
        All of the cluster.
    python, engine
        The versions here; those of the workers need the same ``major.minor`` of Python, and the same engine.
    called
        The engine's name, as users know it.
    """
    if bare := [one.name for one in workers if not one.can_restart]:
        return Refusal(catalogue.NO_NANNY(workers=listed(bare)))
    ours = _minor(python)
    if other := [one for one in workers if one.python and _minor(one.python) != ours]:
        theirs, where = sorted({_minor(one.python) for one in other}), listed(one.name for one in other)
        return Refusal(catalogue.OTHER_PYTHON(theirs=" and ".join(theirs), workers=where, ours=ours))
    if other := [one for one in workers if one.engine and one.engine != engine]:
        theirs, where = sorted({one.engine for one in other}), listed(one.name for one in other)
        told = " and ".join(theirs)
        return Refusal(catalogue.OTHER_ENGINE(engine=called, theirs=told, workers=where, ours=engine))
    return None


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def refuse_broken(broken: Mapping[str, str], sent: Collection[str]) -> Refusal | None:
    """Return why a tree with these syntax errors, messages by path, isn't sent; ``sent`` are the paths sent before.

    A file that never was whole, as a template or a test's data, is left out and stops nobody.
    """
    if worse := sorted(path for path in broken if path in sent):
        return Refusal(catalogue.BROKEN_SOURCE(path=worse[0], error=broken[worse[0]]))
    return None


def refuse_clash(tops: Collection[str], others: Mapping[str, Collection[str]]) -> Refusal | None:
    """Return why modules of these names can't be pushed: another watch on the cluster has them too, by its owner."""
    for owner, theirs in sorted(others.items()):
        if both := sorted(set(tops) & set(theirs)):
            return Refusal(catalogue.PUSHED_BY_ANOTHER(modules=listed(both), owner=owner))
    return None


def refuse_loss(keys: Sequence[str]) -> Refusal | None:
    """Return why workers can't restart whose data is published or somebody else's and has no place among the others."""
    if not keys:
        return None
    return Refusal(catalogue.DATA_AT_RISK(keys=listed(keys)))


# -- who gets what -----------------------------------------------------------------------------------------------------


def ship_to(processes: Iterable[Process]) -> tuple[str, ...]:
    """Return the processes that are sent the files: one for each folder of copies that lacks the version."""
    stores = {one.store: one.name for one in processes if not one.has}
    return tuple(stores.values())


def must_restart(workers: Iterable[Process]) -> tuple[str, ...]:
    """Return the workers that a new path is not enough for: they hold other code, or run tasks that nobody wants."""
    return tuple(one.name for one in workers if one.outdated or one.orphans)


def at_once(count: int) -> int:
    """Return how many of so many workers restart at once where the others are to keep their data: at most half."""
    return max(1, min(WAVE, count // 2))


def waves(names: Sequence[str], *, size: int = WAVE) -> Iterator[tuple[str, ...]]:
    """Yield those that restart at once, one wave after the other."""
    for start in range(0, len(names), size):
        yield tuple(names[start : start + size])


def place(sizes: Mapping[K, int | None], room: Mapping[str, int | None]) -> tuple[dict[str, list[K]], list[K]]:
    """Return which data goes to which worker, the largest first and where there is most room, and what has no place.

    Parameters
    ----------
    sizes
        Bytes by key, None for what can't be copied.
    room
        Bytes that each worker may still take, None for one without a limit.
    """
    left = {name: math.inf if free is None else free for name, free in room.items()}
    places: dict[str, list[K]] = {}
    nowhere = []
    for key, size in sorted(sizes.items(), key=lambda one: -(one[1] or 0)):
        to = max(left, key=lambda name: (left[name], -len(places.get(name, ()))), default=None)
        if size is None or to is None or size > left[to]:
            nowhere.append(key)
            continue
        left[to] -= size
        places.setdefault(to, []).append(key)
    return places, nowhere


def lacking(workers: Iterable[Process], version: str) -> tuple[str, ...]:
    """Return the workers that would not run this version alone."""
    return tuple(one.name for one in workers if one.version != version or one.outdated or one.orphans)


# -- the end of it -----------------------------------------------------------------------------------------------------


class Step(Enum):
    """The next thing to do in a push."""

    SHIP = "ship"  # files to those that lack them
    ENTER = "enter"  # put the version first on the path of the scheduler, and of workers that hold no other code
    RESTART = "restart"  # those that do, or run what nobody wants; the scheduler's path is put right with it
    WAIT = "wait"  # until workers that restart or join have said something
    DONE = "done"
    GIVE_UP = "give up"


def next_step(
    workers: Sequence[Process], scheduler: Process | None, version: str, *, silent: Collection[str], late: bool
) -> Step:
    """Return the next thing to do, from what all processes have just said.

    Parameters
    ----------
    workers
        Those that have answered.
    scheduler
        The process that unpickles graphs, if the cluster has one; it is never restarted.
    version
        What all are to run.
    silent
        Names of workers that are known and have not answered: they end, or begin.
    late
        Whether the time is over.
    """
    everyone = [*workers, *([scheduler] if scheduler else [])]
    lagging = lacking(workers, version)
    if not lagging and not silent and (scheduler is None or scheduler.version == version):
        return Step.DONE
    if late:
        return Step.GIVE_UP
    if ship_to(everyone):
        return Step.SHIP
    restarts = must_restart(workers)
    lags = scheduler is not None and scheduler.version != version
    if (lags and not restarts) or any(one.version != version and not one.outdated for one in workers):
        return Step.ENTER
    return Step.RESTART if restarts else Step.WAIT


def who_lacks(workers: Sequence[Process], version: str, *, silent: Collection[str], seconds: float) -> str:
    """Say who lacks the version when time is over."""
    names = sorted({*lacking(workers, version), *silent})
    count = len({*(one.name for one in workers), *silent})
    seconds_told, who = f"{seconds:g}", listed(names)
    return catalogue.WORKERS_LACK(
        count=len(names), all=count, version=short(version), seconds=seconds_told, workers=who
    )


def told(count: int, version: str, *, restarted: int) -> str:
    """Say how a push went: ``"40 of 40 workers on 3f2a · 12 restarted"``."""
    if not count:
        return catalogue.NO_WORKER_YET(version=short(version))
    told = catalogue.WORKERS_HAVE(count=count, all=count, version=short(version))
    return f"{told} · {catalogue.WORKERS_RESTARTED(count=restarted)}" if restarted else told


def listed(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    names = list(names)
    first, more = ", ".join(names[:NAMED]), len(names) - NAMED
    return catalogue.AND_MORE(names=first, count=more) if more > 0 else first
