"""Decide which checkpoints of a kernel are made and kept, and to which of them it goes back.

A checkpoint is a copy of the kernel as it was between two cells, and knows how many uses of files there were until then
(``ipython.uses``). A file whose first use came later is none that it has seen. So it is right for a change if, and only
if, it has no more uses than the place of the first use of each file that has changed. The later of two that are right
is the better one: it has all that the other has.

Places are numbers as `Uses.place_of` returns them: None for a file that nobody used, 0 for one that may have been used
at the beginning, for which no checkpoint is right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

#: Seconds of work that are worth a checkpoint, and so many times what it costs: it is made for each such stretch, and
#: its cost is felt by whoever waits for the next cell, while its use is a save that may not come.
WORK_MIN = 0.3
WORK_PER_COST = 20

#: Seconds of work for which the next cell waits while the kernel goes behind a proxy, without which there are no
#: checkpoints; that takes about half as long. If it is refused, it is tried again when there is so many times the work.
ARMING_MIN = 1.0
TRIED_AGAIN = 2

#: Of the memory that is available, the part that checkpoints may have.
PART = 4


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A copy of a kernel that waits.

    Attributes
    ----------
    number
        The later of two has the higher one.
    uses
        Uses of files that there were at its making.
    seconds
        Spent on all cells until then, as far as what they have done is in it.
    cost
        Seconds that it took to make.
    after
        The execution count of the last cell in it.
    memory_bytes
        Memory that is there for it and not for the live kernel, when it was last looked at.
    """

    number: int
    uses: int
    seconds: float
    cost: float
    pid: int
    after: int
    memory_bytes: int = 0


def is_worth(work: float, cost: float) -> bool:
    """Return whether so many seconds of work since the last checkpoint are worth one that costs so many seconds."""
    return work >= max(WORK_MIN, WORK_PER_COST * cost)


def is_worth_arming(work: float, tried: float) -> bool:
    """Return whether a cell is to wait for that after so many seconds of work, having waited after `tried` last."""
    return work >= max(ARMING_MIN, TRIED_AGAIN * tried)


def right_for(checkpoints: Iterable[Checkpoint], places: Iterable[int | None]) -> tuple[int, ...]:
    """Return the numbers of those that are right for changes of files with these first uses, the best one first.

    Without places nothing is known of what has changed, and none is right.
    """
    places = tuple(places)
    if not places:
        return ()
    first = min((place for place in places if place is not None), default=math.inf)
    return tuple(sorted((one.number for one in checkpoints if one.uses <= first), reverse=True))


def kept(checkpoints: Iterable[Checkpoint], places: Iterable[int | None]) -> tuple[int, ...]:
    """Return the numbers of those that may be the best one, given the first uses of all files that are watched.

    Which files a change may have, their earliest use is one of these, or is yet to come, or there is none. So it is the
    newest before each of them, and the newest of all. The others are in vain, unless one of these fails; then an older
    one of these is right, too.
    """
    checkpoints = tuple(checkpoints)
    best = (right_for(checkpoints, [place])[:1] for place in {*places, None})
    return tuple(sorted({number for numbers in best for number in numbers}))


def likely(checkpoints: Iterable[Checkpoint], places: Iterable[int | None]) -> int:
    """Return the number of the one that the next save probably goes back to; 0 for a fresh start.

    That is the newest before the latest first use of a watched file, as people edit what they have used last. If none
    was used, a save changes nothing that a checkpoint has seen, and the newest is right.
    """
    last = max((place for place in places if place is not None), default=None)
    return next(iter(right_for(checkpoints, [last])), 0)


def over_budget(checkpoints: Iterable[Checkpoint], budget_bytes: int) -> tuple[int, ...]:
    """Return the numbers of those to drop, in this order, so that the memory of the others is within a budget.

    The first to go are those that save the fewest seconds per byte: the seconds since the next older one, to which one
    would go back instead. If a single one is too large, none is left.
    """
    left = sorted(checkpoints, key=lambda one: one.number)
    dropped = []
    while sum(one.memory_bytes for one in left) > budget_bytes:
        older = [0.0, *(one.seconds for one in left)]
        worst = min(
            (place for place, one in enumerate(left) if one.memory_bytes),
            key=lambda place: (left[place].seconds - older[place]) / left[place].memory_bytes,
        )
        dropped.append(left.pop(worst).number)
    return tuple(dropped)


def by_worth(checkpoints: Iterable[Checkpoint]) -> tuple[int, ...]:
    """Return their numbers, the one first that would be missed most, and last the one that is to go first."""
    checkpoints = tuple(checkpoints)
    dropped = over_budget(checkpoints, 0)
    newest = sorted((one.number for one in checkpoints if one.number not in dropped), reverse=True)  # they cost nothing
    return (*newest, *reversed(dropped))


def budget(available_bytes: int) -> int:
    """Return how much memory checkpoints may have while so much is available."""
    return max(available_bytes, 0) // PART
