"""Timing of restarts: the moment to act, and the changes that belong together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from ipy_autorestart.decide.change import Hint, Progress


class OnBusy(Enum):
    """The fate of a restart while the kernel is busy."""

    WAIT = "wait"
    INTERRUPT = "interrupt"


class Rerun(Enum):
    """Which cells are run again."""

    NONE = "none"
    MARKED = "marked"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Durations that decide when to act, in seconds.

    Attributes
    ----------
    quiet
        Quiet that ends a burst of one or two paths. Editors write a file in one go and formatters follow within 20 ms.
    lone
        Quiet after which a kernel is restarted for one finished file that is alone so far; what follows waits for the
        end of the burst. Whatever writes several files (git, sed, cp, vim, emacs, ``Promise.all``, ruff, isort) touches
        the second within 6 ms of the first, 14 on a loaded machine. Only what parses each file first takes longer, and
        no quiet of use would hold that together: black 55 to 205 ms, autoflake 11 to 80.
    quiet_many
        Quiet that ends a larger burst, and the time after a change in which the next belongs to the same burst. The
        largest gap inside a ``git checkout`` or a formatter's round was 18 ms on an idle machine, more on a loaded one.
    max_wait
        A burst is served after this long even if it goes on.
    writing
        A file that was modified and is not closed yet is waited for this long.
    scan
        Until the first slow scan for what no hint announced; each look says when the next is due.
    stop_timeout
        From the stop signal to SIGKILL.
    restart_on_exit
        Start again, after a pause, what ended by itself.
    """

    quiet: float = 0.05
    lone: float = 0.015
    quiet_many: float = 0.15
    max_wait: float = 2.0
    writing: float = 1.0
    scan: float = 1.0
    stop_timeout: float = 5.0
    restart_on_exit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """The way in which one kind of target is restarted.

    A ``leading`` one restarts for the first finished change of a quiet time at once, and once more for what follows:
    that is cheap for a script. Otherwise it restarts when the burst is over, or when a finished file has been alone
    for a moment.

    One that ``stops_itself`` gets a SIGHUP, and ends and starts by itself when it can. It is never killed, and it runs
    before the watch begins.
    """

    leading: bool
    stops_itself: bool


SCRIPT = Manner(leading=True, stops_itself=False)
KERNEL = Manner(leading=False, stops_itself=True)


def polled(timing: Timing, poll: float) -> Timing:
    """Return the timing where only scans, ``poll`` seconds apart, find changes.

    A burst ends later than the next scan, which may find more of it, or it would depend on the moment of a scan whether
    it is one. Where scans are far apart, the look that ends a burst finds the rest of it.
    """
    quiet, many = max(timing.quiet, min(1.5 * poll, 0.2)), max(timing.quiet_many, min(2.5 * poll, 0.5))
    return replace(timing, scan=poll, quiet=quiet, lone=quiet, quiet_many=many)


#: How many paths are a small burst: a file, and the one that a tool writes beside it.
FEW = 2

#: So many files open for writing at once are a flood; it is no use to wait for each.
WRITING_MAX = 64


class Burst(NamedTuple):
    """Changes that belong together, from the first hint until it has been quiet for long enough.

    ``since`` is the moment of the first one that has not been served. No more paths are kept than are needed to know
    few from many. ``acted`` says that its beginning has been looked at.
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
    """Return the burst with one more hint."""
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
    if burst.wide or len(burst.paths) > FEW:
        quiet = max(timing.quiet, timing.quiet_many)
    else:
        quiet = timing.lone if len(burst.paths) == 1 and not burst.acted else timing.quiet
    return min(burst.last + quiet, burst.since + timing.max_wait)
