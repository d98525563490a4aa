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

from dataclasses import replace
from typing import assert_never

from ipy_autorestart.decide.cause import Cause, Reason
from ipy_autorestart.decide.change import Found, Hint, Progress
from ipy_autorestart.decide.cycle import Burst, Cycle, Phase, Timing
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
from ipy_autorestart.decide.loop import admit

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
    burst = _burst(cycle, now)
    burst = _include(burst, hint)
    cycle = replace(cycle, burst=burst, unseen=True, look_at=_burst_ends(cycle.timing, burst))
    if cycle.timing.leading and not burst.acted and not burst.writing and hint.progress is Progress.DONE:
        return replace(cycle, burst=replace(burst, acted=True), due=True), (Look(),)
    return cycle, ()


def _burst(cycle: Cycle, now: float) -> Burst:
    """Return the burst that something now belongs to: the one that goes on, or a new one."""
    gap = max(cycle.timing.quiet, cycle.timing.quiet_many)
    if cycle.burst is None or now - cycle.burst.last >= gap:
        return Burst(now, now)
    return replace(cycle.burst, last=now)


def _include(burst: Burst, hint: Hint) -> Burst:
    wide = burst.wide or hint.progress is Progress.UNKNOWN or len(burst.writing) > WRITING_MAX
    paths = burst.paths if len(burst.paths) > FEW else burst.paths | {hint.path}
    writing = burst.writing - {hint.path}
    if hint.progress is Progress.WRITING and not wide:
        writing |= {hint.path}
    return replace(burst, paths=paths, writing=writing, wide=wide)


#: How many paths are a small burst: a file, and the one that a tool writes beside it.
FEW = 2

#: So many files open for writing at once are a flood; it is no use to wait for each.
WRITING_MAX = 64

#: Seconds until what seems unfinished is served all the same: as long as a large ``git checkout`` may hold its lock.
UNFINISHED_MAX = 15.0


def _burst_ends(timing: Timing, burst: Burst) -> float:
    """Return when a burst is served if nothing more happens."""
    if burst.writing:
        return min(burst.last + timing.writing, burst.since + timing.max_wait)
    many = burst.wide or len(burst.paths) > FEW
    quiet = max(timing.quiet, timing.quiet_many) if many else timing.quiet
    return min(burst.last + quiet, burst.since + timing.max_wait)


def _found(cycle: Cycle, found: Found, now: float) -> Stepped:
    due, news = cycle.due, found.changes != cycle.changes
    cycle = replace(
        cycle,
        changes=found.changes,
        broken=found.broken,
        alike=found.alike,
        unused=found.unused or cycle.unused,  # told once, and shown until the next start
        written=found.written,
        unseen=False,
        due=False,
        scan_at=now + found.rescan,
    )
    if not (found.changes or found.unfinished):
        return _reveal(cycle) if due else cycle, ()
    burst = cycle.burst
    if not due or burst is None:
        # The slow scan met it: that is a hint like any other, or a checkout would be cut in two.
        if cycle.look_at is None or news:
            burst = _burst(cycle, now)
            burst = replace(burst, paths=burst.paths | {change.path for change in found.changes})
            cycle = replace(cycle, burst=burst, look_at=_burst_ends(cycle.timing, burst))
        return cycle, ()
    if found.unfinished and now < burst.since + UNFINISHED_MAX:
        return replace(cycle, look_at=now + cycle.timing.quiet), ()
    since = burst.since
    if cycle.look_at is None:  # the burst has been quiet, or has lasted for too long: what follows waits anew
        cycle = replace(cycle, burst=replace(burst, since=now, writing=frozenset()))
    return _serve(cycle, since, now)


def _serve(cycle: Cycle, since: float, now: float) -> Stepped:
    """Restart for what was found, unless one is on its way that will serve it too."""
    if cycle.signalled or cycle.phase not in (Phase.RUNNING, Phase.ENDED):
        return cycle, ()
    if not cycle.changes or cycle.broken:
        return _reveal(cycle), ()
    paths = frozenset(change.path for change in cycle.changes)
    loop, admitted = admit(cycle.loop, paths, noticed=since, started=cycle.started, now=now)
    cycle = replace(cycle, loop=loop)
    if not admitted:
        return replace(_reveal(cycle), look_at=loop.until), ()
    return replace(cycle, signalled=True, refusal="", noticed=since), (Signal(),)


def _reveal(cycle: Cycle) -> Cycle:
    """Show the start that was last, if its burst is over without having superseded it."""
    return cycle if cycle.look_at is not None else replace(cycle, fresh=False)


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
        cycle,
        phase=Phase.STARTING,
        cause=cause,
        changes=(),
        broken=(),
        alike=(),
        unused=(),
        written=(),
        unseen=False,
        kill_at=None,
    )
    return cycle, (Commit(afresh), Start(cause))


def _started(cycle: Cycle, now: float) -> Stepped:
    took = None if cycle.noticed is None else now - cycle.noticed
    cycle = replace(cycle, phase=Phase.RUNNING, exit_status=None, noticed=None, took=took, started=now)
    # A start that takes the place of one that was never shown is the same restart to whoever looks on.
    runs = cycle.runs if cycle.fresh else cycle.runs + 1
    cycle = replace(cycle, runs=runs, fresh=cycle.timing.leading and cycle.look_at is not None)
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
