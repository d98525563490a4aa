"""Starts that wait: of a target that restarts itself, that ends again and again, or that is being made ready."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

#: Seconds after a start within which a change may be the start's own work; an editor's autosave waits longer.
RIGHT_AFTER = 0.7

#: So many starts in a row that the same file asked for seem to be a loop.
STARTS = 5

#: Seconds before the next start for such files; each is twice the one before. None is dropped, and none waits for long:
#: it may be a person's or a program's that saves whenever it sees the last one at work.
PAUSE, PAUSE_MAX = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Loop:
    """Starts in a row, each for changes that came right after the start before."""

    asked: Mapping[str, int] = field(default_factory=dict)  # how many of them each file was among the causes of
    until: float = float("-inf")  # no start for looping files alone before
    pause: float = PAUSE  # seconds of the next wait

    @property
    def files(self) -> Set[str]:
        """The looping files."""
        return {path for path, count in self.asked.items() if count >= STARTS}

    def waits(self, started: float | None) -> bool:
        """Whether a start has been put off, and none was since, given when the last one was."""
        return started is not None and started < self.until


NO_LOOP = Loop()


def admit(
    loop: Loop, paths: Set[str], *, made: float, started: float | None, lived: bool, now: float
) -> tuple[Loop, bool]:
    """Decide whether a start for some files may be now.

    Parameters
    ----------
    made
        When their changes were.
    started
        When the target was started last.
    lived
        Whether it, or a process that it has started, lived when they changed: else a change is none of its own.

    Returns
    -------
    The next loop, and whether the start is admitted; if not, ask again at its ``until``.
    """
    waits = loop.waits(started)
    if not lived or started is None or not (waits or made - started < RIGHT_AFTER):
        return Loop(dict.fromkeys(paths, 1)), True
    if paths <= loop.files and not (waits and loop.until <= now):
        if waits:
            return loop, False
        return replace(loop, until=now + loop.pause, pause=min(2 * loop.pause, PAUSE_MAX)), False
    return replace(loop, asked={**loop.asked, **{path: loop.asked.get(path, 0) + 1 for path in paths}}), True


#: Seconds that a wait for what is imported ahead must save.
WORTH = 0.1


def worth_waiting(ready_at: float, *, cold: float, now: float) -> float | None:
    """Return until when to wait for what is imported ahead, given how long a start without it takes; None: not at all.

    It may come later than expected: half of what a wait can save is risked, and nothing if it is long overdue.
    """
    left = max(ready_at - now, 0.0)
    return None if left > cold - WORTH or now > ready_at + cold else now + (left + cold) / 2


#: Seconds before the first start, doubled each time up to the most, and how long a run lasts that was worth its start:
#: what Docker's restart policy does.
RESPAWN, RESPAWN_MAX, WORTHWHILE = 0.1, 60.0, 10.0


def respawn_pause(last: float, *, lasted: float) -> float:
    """Return the seconds to wait, from those of the wait before, 0 for none, and those that the run lasted."""
    return RESPAWN if not last or lasted >= WORTHWHILE else min(2 * last, RESPAWN_MAX)
