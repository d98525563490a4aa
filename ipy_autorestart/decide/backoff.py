"""Starts that must wait: of a target that restarts itself, and of one that ends again and again."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Seconds after a start within which a change may be the start's own work; an editor's autosave waits longer.
RIGHT_AFTER = 0.7

#: Seconds in which so many starts for the same files seem to be a loop.
WINDOW = 10.0

STARTS = 5

#: Seconds before the next start; each is twice the one before. None is dropped: it might be a person's after all.
PAUSE, PAUSE_MAX = 1.0, 600.0


@dataclass(frozen=True, slots=True)
class Loop:
    """Starts in a row that the same files asked for right after the start before."""

    paths: frozenset[str] = frozenset()
    served: tuple[float, ...] = ()  # when the last starts were
    until: float = float("-inf")  # no start for them before
    pause: float = PAUSE  # seconds of the next wait

    @property
    def is_loop(self) -> bool:
        """Whether a start has had to wait."""
        return self.pause > PAUSE


NO_LOOP = Loop()


def admit(loop: Loop, paths: frozenset[str], *, noticed: float, started: float | None, now: float) -> tuple[Loop, bool]:
    """Decide whether a start for some files may be now: by when they were noticed, and when the target started last.

    Returns
    -------
    The next loop, and whether the start is admitted; if not, ask again at its ``until``.
    """
    if paths == loop.paths and now < loop.until:
        return loop, False
    waited = paths == loop.paths and loop.served and loop.served[-1] < loop.until
    if waited:
        return replace(loop, served=(*loop.served, now)), True
    if paths != loop.paths or started is None or noticed - started >= RIGHT_AFTER:
        return Loop(paths, (now,)), True
    recent = tuple(moment for moment in loop.served if now - moment < WINDOW)
    if len(recent) < STARTS and not loop.is_loop:
        return replace(loop, served=(*recent, now)), True
    return replace(loop, until=now + loop.pause, pause=min(2 * loop.pause, PAUSE_MAX)), False


#: Seconds before the first start, doubled each time up to the most, and how long a run lasts that was worth its start:
#: what Docker's restart policy does.
RESPAWN, RESPAWN_MAX, WORTHWHILE = 0.1, 60.0, 10.0


def respawn_pause(last: float, *, lasted: float) -> float:
    """Return the seconds to wait, from those of the wait before, 0 for none, and those that the run lasted."""
    return RESPAWN if not last or lasted >= WORTHWHILE else min(2 * last, RESPAWN_MAX)
