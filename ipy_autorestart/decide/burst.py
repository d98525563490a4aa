"""Changes that come together are one burst."""

from __future__ import annotations

from typing import NamedTuple

from ipy_autorestart.decide.change import Hint, Progress
from ipy_autorestart.decide.timing import Timing

#: How many paths are a small burst: a file, and the one that a tool writes beside it.
FEW = 2

#: So many files open for writing at once are a flood; it is no use to wait for each.
WRITING_MAX = 64


class Burst(NamedTuple):
    """Changes that belong together, from the first hint until it has been quiet for long enough.

    ``since`` is the first one that has not been served; of the paths only as many are kept as tell few from many;
    ``acted`` says that the first has been looked at without waiting.
    """

    since: float
    last: float
    paths: frozenset[str] = frozenset()
    writing: frozenset[str] = frozenset()
    wide: bool = False
    acted: bool = False


def joined(burst: Burst | None, timing: Timing, now: float) -> Burst:
    """Return the burst that something now belongs to: the one that goes on, or a new one."""
    gap = max(timing.quiet, timing.quiet_many)
    if burst is None or now - burst.last >= gap:
        return Burst(now, now)
    return burst._replace(last=now)


def include(burst: Burst, hint: Hint) -> Burst:
    """Return the burst with what a hint tells."""
    wide = burst.wide or hint.progress is Progress.UNKNOWN or len(burst.writing) > WRITING_MAX
    paths = burst.paths if len(burst.paths) > FEW else burst.paths | {hint.path}
    writing = burst.writing - {hint.path}
    if hint.progress is Progress.WRITING and not wide:
        writing |= {hint.path}
    return burst._replace(paths=paths, writing=writing, wide=wide)


def ends_at(timing: Timing, burst: Burst) -> float:
    """Return when a burst is served if nothing more happens."""
    if burst.writing:
        return min(burst.last + timing.writing, burst.since + timing.max_wait)
    many = burst.wide or len(burst.paths) > FEW
    quiet = max(timing.quiet, timing.quiet_many) if many else timing.quiet
    return min(burst.last + quiet, burst.since + timing.max_wait)
