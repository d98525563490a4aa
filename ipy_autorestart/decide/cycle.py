"""The heart: ``step(cycle, event, now) -> (cycle, actions)``, pure.

A cycle is the life of one target: it runs, ends or is stopped, and starts anew. Script and kernel go the same way
round; a kernel stops and starts by itself (exec), so for it the engine's ``Stop`` and ``Start`` have nothing to do.

::

            Found changes            Hangup             Exited             Started
    RUNNING ─────────────▶ (Signal) ───────▶ STOPPING ───────▶ STARTING ────────▶ RUNNING
    ENDED   ─────────────▶ (Signal) ──────────────────────────▶ STARTING

Rules that every timeline keeps: a change is committed to the baseline only when a start serves it, so none is lost; a
start follows an end, so two never run at once; a burst of changes is one burst until it has been quiet for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from ipy_autorestart.decide.cause import Cause, Reason
from ipy_autorestart.decide.change import Broken, Change, Found, Hint, Progress
from ipy_autorestart.decide.event import (
    Action,
    Asked,
    Begin,
    Close,
    Commit,
    Event,
    Exited,
    Finish,
    Hangup,
    Kill,
    Look,
    Refused,
    Signal,
    Start,
    Started,
    Stop,
    Tick,
)


class Phase(Enum):
    """Where the target stands."""

    RUNNING = "running"
    ENDED = "ended"
    STOPPING = "stopping"
    STARTING = "starting"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When to act; all in seconds.

    Attributes
    ----------
    leading
        Act on the first finished change of a quiet time at once and let later ones supersede the start (a script's
        start is cheap), or wait until the burst is over (a kernel's is not).
    quiet
        Quiet that ends a burst of one or two paths. Editors write a file in one go and formatters follow within 20 ms.
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
        From the stop signal to SIGKILL; None where the target stops by itself.
    """

    leading: bool = True
    quiet: float = 0.05
    quiet_many: float = 0.15
    max_wait: float = 2.0
    writing: float = 1.0
    scan: float = 1.0
    stop_timeout: float | None = 5.0


@dataclass(frozen=True, slots=True)
class Burst:
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


@dataclass(frozen=True, slots=True)
class Cycle:
    """All that the next decision depends on.

    Attributes
    ----------
    changes
        Seen and not yet served.
    cause
        Of the start that is under way or was the last.
    signalled
        A SIGHUP is on its way.
    asked
        It was a person who asked for it.
    again
        A hangup came while the target was starting: one more restart is owed.
    unseen
        A hint came after the last look.
    due
        The look that was asked for last is to be acted on; a slow scan's is not, it only begins a burst.
    look_at, scan_at, kill_at
        Moments at which something is due.
    noticed, took
        When what is being served was noticed, and the seconds from there to the start that served it last.
    """

    timing: Timing = Timing()
    phase: Phase = Phase.ENDED
    changes: tuple[Change, ...] = ()
    broken: tuple[Broken, ...] = ()
    alike: tuple[str, ...] = ()
    cause: Cause | None = None
    refusal: str = ""
    signalled: bool = False
    asked: bool = False
    again: bool = False
    unseen: bool = False
    due: bool = False
    burst: Burst | None = None
    look_at: float | None = None
    scan_at: float | None = None
    kill_at: float | None = None
    runs: int = 0
    exit_status: int | None = None
    noticed: float | None = None
    took: float | None = None


Stepped = tuple[Cycle, tuple[Action, ...]]


def wake_at(cycle: Cycle) -> float | None:
    """Return when a `Tick` is due, on the clock that `step` is given, or None."""
    moments = [moment for moment in (cycle.look_at, cycle.scan_at, cycle.kill_at) if moment is not None]
    return min(moments, default=None)


def step(cycle: Cycle, event: Event, now: float) -> Stepped:
    """Decide what an event means.

    Parameters
    ----------
    cycle
        What was decided so far.
    event
        One raw fact.
    now
        Seconds on any monotonic clock.

    Returns
    -------
    The next cycle, and the actions to carry out in their order.
    """
    if cycle.phase is Phase.CLOSED:
        return _closed(cycle, event, now)
    match event:
        case Begin():
            return _begin(cycle, event, now)
        case Hint():
            return _hint(cycle, event, now)
        case Found():
            return _found(cycle, event, now)
        case Hangup():
            return _hangup(cycle, now)
        case Asked():
            return replace(cycle, signalled=True, asked=True), (Signal(),)
        case Started():
            return _started(cycle, now)
        case Exited():
            return _exited(cycle, event.status)
        case Refused():
            return _refused(cycle, event)
        case Tick():
            return _tick(cycle, now)
        case Close():
            return _close(cycle, event, now)
        case _:
            assert_never(event)


def _begin(cycle: Cycle, event: Begin, now: float) -> Stepped:
    cycle = replace(cycle, scan_at=now + cycle.timing.scan)
    if event.runs:
        return replace(cycle, phase=Phase.RUNNING), ()
    cause = Cause(Reason.FIRST)
    return replace(cycle, phase=Phase.STARTING, cause=cause), (Start(cause),)


def _hint(cycle: Cycle, hint: Hint, now: float) -> Stepped:
    gap = max(cycle.timing.quiet, cycle.timing.quiet_many)
    burst = cycle.burst
    first = burst is None or now - burst.last >= gap
    burst = Burst(now, now) if burst is None or first else replace(burst, last=now)
    burst = _include(burst, hint)
    cycle = replace(cycle, burst=burst, unseen=True, look_at=_burst_ends(cycle.timing, burst))
    if cycle.timing.leading and not burst.acted and not burst.writing and hint.progress is Progress.DONE:
        return replace(cycle, burst=replace(burst, acted=True), due=True), (Look(),)
    return cycle, ()


def _include(burst: Burst, hint: Hint) -> Burst:
    wide = burst.wide or hint.progress is Progress.UNKNOWN or len(burst.writing) > WRITING_MAX
    paths = burst.paths if len(burst.paths) > FEW else burst.paths | {hint.path}
    writing = burst.writing - {hint.path}
    if hint.progress is Progress.WRITING and not wide:
        writing |= {hint.path}
    return replace(burst, paths=paths, writing=writing, wide=wide)


FEW = 2
"""How many paths are a small burst: a file, and the one that a tool writes beside it."""

WRITING_MAX = 64
"""So many files open for writing at once are a flood; it is no use to wait for each."""

UNFINISHED_MAX = 15.0
"""Seconds until what seems unfinished is served all the same: as long as a large ``git checkout`` may hold its lock."""


def _burst_ends(timing: Timing, burst: Burst) -> float:
    """Return when a burst is served if nothing more happens."""
    if burst.writing:
        return min(burst.last + timing.writing, burst.since + timing.max_wait)
    many = burst.wide or len(burst.paths) > FEW
    quiet = max(timing.quiet, timing.quiet_many) if many else timing.quiet
    return min(burst.last + quiet, burst.since + timing.max_wait)


def _found(cycle: Cycle, found: Found, now: float) -> Stepped:
    due = cycle.due
    cycle = replace(
        cycle, changes=found.changes, broken=found.broken, alike=found.alike, unseen=False, due=False,
        scan_at=now + found.rescan,
    )  # fmt: skip
    if not (found.changes or found.unfinished):
        return cycle, ()
    burst = cycle.burst
    if not due or burst is None:
        # The slow scan met it: that is a hint like any other, or a checkout would be cut in two.
        if cycle.look_at is None:
            burst = Burst(now, now, wide=len(found.changes) > FEW)
            cycle = replace(cycle, burst=burst, look_at=_burst_ends(cycle.timing, burst))
        return cycle, ()
    if found.unfinished and now < burst.since + UNFINISHED_MAX:
        return replace(cycle, look_at=now + cycle.timing.quiet), ()
    since = burst.since
    if cycle.look_at is None:  # the burst has been quiet, or has lasted for too long: what follows waits anew
        cycle = replace(cycle, burst=replace(burst, since=now, writing=frozenset()))
    return _serve(cycle, since)


def _serve(cycle: Cycle, since: float) -> Stepped:
    """Restart for what was found, unless one is on its way that will serve it too."""
    owed = bool(cycle.changes) and not cycle.broken
    if not owed or cycle.signalled or cycle.phase not in (Phase.RUNNING, Phase.ENDED):
        return cycle, ()
    return replace(cycle, signalled=True, refusal="", noticed=since), (Signal(),)


def _hangup(cycle: Cycle, now: float) -> Stepped:
    cause = Cause(Reason.ASKED if cycle.asked else Reason.HANGUP)
    if cycle.changes:
        cause = Cause(Reason.CHANGE, cycle.changes)
    noticed = now if cycle.noticed is None else cycle.noticed
    cycle = replace(cycle, signalled=False, asked=False, noticed=noticed)
    match cycle.phase:
        case Phase.RUNNING:
            timeout = cycle.timing.stop_timeout
            kill_at = None if timeout is None else now + timeout
            return replace(cycle, phase=Phase.STOPPING, cause=cause, kill_at=kill_at), (Stop(),)
        case Phase.ENDED:
            return _start(cycle, cause)
        case Phase.STARTING:
            return replace(cycle, again=True), ()
        case Phase.STOPPING | Phase.CLOSED:
            return cycle, ()
        case _:
            assert_never(cycle.phase)


def _start(cycle: Cycle, cause: Cause) -> Stepped:
    afresh = cycle.unseen
    cycle = replace(
        cycle, phase=Phase.STARTING, cause=cause, changes=(), broken=(), alike=(), unseen=False, kill_at=None
    )
    return cycle, (Commit(afresh), Start(cause))


def _started(cycle: Cycle, now: float) -> Stepped:
    took = None if cycle.noticed is None else now - cycle.noticed
    runs = cycle.runs + 1
    cycle = replace(cycle, phase=Phase.RUNNING, runs=runs, exit_status=None, noticed=None, took=took)
    if cycle.again:
        return replace(cycle, again=False, signalled=True), (Signal(),)
    if cycle.changes and cycle.look_at is None:
        return replace(cycle, look_at=now + cycle.timing.quiet), ()
    return cycle, ()


def _exited(cycle: Cycle, status: int | None) -> Stepped:
    cycle = replace(cycle, exit_status=status, kill_at=None)
    if cycle.phase is Phase.STOPPING:
        cause = Cause(Reason.CHANGE, cycle.changes) if cycle.changes else cycle.cause
        return _start(cycle, cause or Cause(Reason.HANGUP))
    return replace(cycle, phase=Phase.ENDED), ()


def _refused(cycle: Cycle, event: Refused) -> Stepped:
    # Committed, so that the refusal is not repeated until something changes again.
    phase = Phase.RUNNING if event.runs else Phase.ENDED
    cycle = replace(cycle, phase=phase, refusal=event.why, signalled=False, again=False, changes=())
    cycle = replace(cycle, kill_at=None, noticed=None)
    return cycle, (Commit(),)


def _tick(cycle: Cycle, now: float) -> Stepped:
    actions: list[Action] = []
    if cycle.kill_at is not None and now >= cycle.kill_at:
        cycle = replace(cycle, kill_at=None)
        actions.append(Kill())
    if cycle.look_at is not None and now >= cycle.look_at:
        cycle = replace(cycle, look_at=None, due=True)
        actions.append(Look())
    elif cycle.scan_at is not None and now >= cycle.scan_at:
        cycle = replace(cycle, scan_at=None)
        actions.append(Look())
    return cycle, tuple(actions)


def _close(cycle: Cycle, event: Close, now: float) -> Stepped:
    alive = cycle.phase in (Phase.RUNNING, Phase.STOPPING, Phase.STARTING)
    timeout = cycle.timing.stop_timeout
    closed = replace(cycle, phase=Phase.CLOSED, look_at=None, scan_at=None, kill_at=None)
    if not alive or timeout is None:
        return closed, (Finish(),)
    kill_at = cycle.kill_at if cycle.kill_at is not None else now + timeout
    if event.within is not None:
        kill_at = min(kill_at, now + event.within)
    return replace(closed, kill_at=kill_at), (Stop(),)


def _closed(cycle: Cycle, event: Event, now: float) -> Stepped:
    match event:
        case Exited():
            return cycle, (Finish(),)
        case Close(within) if within is not None and cycle.kill_at is not None:
            return replace(cycle, kill_at=min(cycle.kill_at, now + within)), ()
        case Tick() if cycle.kill_at is not None and now >= cycle.kill_at:
            return replace(cycle, kill_at=None), (Kill(),)
        case _:
            return cycle, ()
