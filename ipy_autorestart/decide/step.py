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

from typing import assert_never

from ipy_autorestart.decide.backoff import admit, respawn_pause
from ipy_autorestart.decide.change import Found, Hint, Progress
from ipy_autorestart.decide.cycle import Cause, Cycle, Phase, Reason
from ipy_autorestart.decide.events import (
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
    Paused,
    Refused,
    Signal,
    Start,
    Started,
    Stop,
    Tick,
    Waiting,
)
from ipy_autorestart.decide.timing import ends_at, include, joined

#: Seconds until what seems unfinished is served all the same: as long as a large ``git checkout`` may hold its lock.
UNFINISHED_MAX = 15.0

#: Seconds after which a stop is told of.
TOLD_AFTER = 0.03


def wake_at(cycle: Cycle) -> float | None:
    """Return when a `Tick` is due, on the clock that `step` is given, or None."""
    moments = (cycle.look_at, cycle.scan_at, cycle.kill_at, cycle.respawn_at, cycle.tell_at)
    return min((moment for moment in moments if moment is not None), default=None)


def step(cycle: Cycle, event: Event, now: float) -> Stepped:
    """Decide what an event means.

    Parameters
    ----------
    cycle, event
        What was decided so far, and one raw fact.
    now
        Seconds on any monotonic clock.

    Returns
    -------
    The next cycle, and the actions to carry out in their order.
    """
    if cycle.phase is Phase.CLOSED:
        return closed(cycle, event, now)
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
            return cycle._replace(signalled=True, reason=Reason.ASKED), (Signal(),)
        case Paused():
            return _paused(cycle, event, now)
        case Waiting(what):
            return cycle._replace(waits_for=what), ()
        case Started():
            return _started(cycle, now)
        case Exited():
            return _exited(cycle, event, now)
        case Refused():
            return _refused(cycle, event)
        case Tick():
            return _tick(cycle, now)
        case Close():
            return close(cycle, event, now)
        case _:
            assert_never(event)


def _begin(cycle: Cycle, event: Begin, now: float) -> Stepped:
    cycle = cycle._replace(scan_at=now + cycle.timing.scan)
    if event.runs:
        return cycle._replace(phase=Phase.RUNNING), ()
    cause = Cause(Reason.FIRST)
    return cycle._replace(phase=Phase.STARTING, cause=cause), (Start(cause),)


def _hint(cycle: Cycle, hint: Hint, now: float) -> Stepped:
    burst = include(joined(cycle.burst, cycle.timing, now), hint)
    cycle = cycle._replace(burst=burst, unseen=True, look_at=ends_at(cycle.timing, burst))
    if cycle.timing.leading and not burst.acted and not burst.writing and hint.progress is Progress.DONE:
        return cycle._replace(burst=burst._replace(acted=True), due=True), (Look(),)
    return cycle, ()


def _found(cycle: Cycle, found: Found, now: float) -> Stepped:
    due, news = cycle.due, found.changes != cycle.changes
    cycle = cycle._replace(
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
            burst = joined(cycle.burst, cycle.timing, now)
            burst = burst._replace(paths=burst.paths | {change.path for change in found.changes})
            cycle = cycle._replace(burst=burst, look_at=ends_at(cycle.timing, burst))
        return cycle, ()
    if found.unfinished and now < burst.since + UNFINISHED_MAX:
        return cycle._replace(look_at=now + cycle.timing.quiet), ()
    since = burst.since
    if cycle.look_at is None:  # the burst has been quiet, or has lasted for too long: what follows waits anew
        cycle = cycle._replace(burst=burst._replace(since=now, writing=frozenset()))
    return _serve(cycle, since, now)


def _serve(cycle: Cycle, since: float, now: float) -> Stepped:
    """Restart for what was found, unless one is on its way that will serve it too."""
    if cycle.signalled or cycle.phase not in (Phase.RUNNING, Phase.ENDED):
        return cycle, ()
    if not cycle.changes or cycle.broken or cycle.paused:
        return _reveal(cycle), ()
    paths = frozenset(change.path for change in cycle.changes)
    loop, admitted = admit(cycle.loop, paths, noticed=since, started=cycle.started, now=now)
    cycle = cycle._replace(loop=loop)
    if not admitted:
        return cycle._replace(fresh=False, look_at=loop.until), ()
    return cycle._replace(signalled=True, refusal="", noticed=since), (Signal(),)


def _paused(cycle: Cycle, event: Paused, now: float) -> Stepped:
    cycle = cycle._replace(paused=event.on)
    if event.withdrawn:
        cycle = cycle._replace(phase=Phase.RUNNING, signalled=False, noticed=None, waits_for="")
    if event.on:
        return cycle, ()
    return cycle._replace(burst=joined(cycle.burst, cycle.timing, now), due=True), (Look(),)


def _reveal(cycle: Cycle) -> Cycle:
    """Show the start that was last, if its burst is over without having superseded it."""
    return cycle if cycle.look_at is not None else cycle._replace(fresh=False)


def _hangup(cycle: Cycle, now: float) -> Stepped:
    cause = Cause(Reason.CHANGE, cycle.changes) if cycle.changes else Cause(cycle.reason)
    noticed = now if cycle.noticed is None else cycle.noticed
    cycle = cycle._replace(signalled=False, reason=Reason.HANGUP, noticed=noticed)
    match cycle.phase:
        case Phase.RUNNING:
            return _stop(cycle, cause, now)
        case Phase.ENDED:
            return _stop(cycle, cause, now) if cycle.left else _start(cycle, cause)
        case Phase.STARTING:
            return cycle._replace(again=True), ()
        case Phase.STOPPING | Phase.CLOSED:
            return cycle, ()
        case _:
            assert_never(cycle.phase)


def _stop(cycle: Cycle, cause: Cause, now: float) -> Stepped:
    timeout = cycle.timing.stop_timeout
    cycle = cycle._replace(phase=Phase.STOPPING, cause=cause, respawn_at=None)
    if timeout is not None:
        cycle = cycle._replace(kill_at=now + timeout, tell_at=now + TOLD_AFTER)
    return cycle, (Stop(),)


def _start(cycle: Cycle, cause: Cause) -> Stepped:
    afresh = cycle.unseen
    cycle = cycle._replace(
        pause=cycle.pause if cause.reason is Reason.ENDED else 0.0,
        phase=Phase.STARTING,
        cause=cause,
        changes=(),
        broken=(),
        alike=(),
        unused=(),
        written=(),
        unseen=False,
        left=False,
        kill_at=None,
        killed=False,
        respawn_at=None,
        tell_at=None,
        waits_for="",
    )
    return cycle, (Commit(afresh), Start(cause))


def _started(cycle: Cycle, now: float) -> Stepped:
    took = None if cycle.noticed is None else now - cycle.noticed
    cycle = cycle._replace(phase=Phase.RUNNING, exit_status=None, noticed=None, took=took, started=now)
    # A start that takes the place of one that was never shown is the same restart to whoever looks on.
    runs = cycle.runs if cycle.fresh else cycle.runs + 1
    cycle = cycle._replace(runs=runs, fresh=cycle.timing.leading and cycle.look_at is not None)
    if cycle.again:
        return cycle._replace(again=False, signalled=True), (Signal(),)
    if cycle.changes and cycle.look_at is None:
        return cycle._replace(look_at=now + cycle.timing.quiet), ()
    return cycle, ()


def _exited(cycle: Cycle, event: Exited, now: float) -> Stepped:
    if not cycle.left and cycle.started is not None:
        cycle = cycle._replace(lasted=now - cycle.started)
    first, cycle = not cycle.left, cycle._replace(exit_status=event.status, left=event.left)
    if cycle.phase is Phase.STOPPING:
        if event.left:  # they may have the rest of the timeout
            return cycle, ()
        cause = Cause(Reason.CHANGE, cycle.changes) if cycle.changes else cycle.cause
        return _start(cycle, cause or Cause(Reason.HANGUP))
    cycle = cycle._replace(phase=Phase.ENDED, kill_at=None)
    if first and cycle.timing.restart_on_exit:
        pause = respawn_pause(cycle.pause, lasted=cycle.lasted or 0.0)
        cycle = cycle._replace(pause=pause, respawn_at=now + pause)
    return cycle, ()


def _refused(cycle: Cycle, event: Refused) -> Stepped:
    # Committed, so that the refusal is not repeated until something changes again.
    phase = Phase.RUNNING if event.runs else Phase.ENDED
    cycle = cycle._replace(phase=phase, refusal=event.why, signalled=False, again=False, changes=(), waits_for="")
    cycle = cycle._replace(kill_at=None, noticed=None)
    return cycle, (Commit(),)


def _tick(cycle: Cycle, now: float) -> Stepped:
    if cycle.tell_at is not None and now >= cycle.tell_at:
        cycle = cycle._replace(tell_at=None)
    if cycle.kill_at is not None and now >= cycle.kill_at:
        if cycle.killed:  # what even SIGKILL doesn't end waits for a broken device: go on without it
            return _exited(cycle._replace(kill_at=None), Exited(cycle.exit_status), now)
        return cycle._replace(killed=True, kill_at=now + LINGER), (Kill(),)
    if cycle.look_at is not None and now >= cycle.look_at:
        return cycle._replace(look_at=None, due=True), (Look(),)
    if cycle.scan_at is not None and now >= cycle.scan_at:
        return cycle._replace(scan_at=None), (Look(),)
    if cycle.respawn_at is not None and now >= cycle.respawn_at:
        return _respawn(cycle, now)
    return cycle, ()


def _respawn(cycle: Cycle, now: float) -> Stepped:
    if cycle.broken or cycle.paused:  # never into a syntax error
        return cycle._replace(respawn_at=now + cycle.pause), ()
    cycle = cycle._replace(respawn_at=None)
    if cycle.signalled:
        return cycle, ()
    return cycle._replace(signalled=True, reason=Reason.ENDED), (Signal(),)


Stepped = tuple[Cycle, tuple[Action, ...]]

#: Seconds that a killed group may take to be gone; a process with much memory takes some.
LINGER = 1.0


def close(cycle: Cycle, event: Close, now: float) -> Stepped:
    """Decide how to end for good."""
    alive = cycle.left or cycle.phase in (Phase.RUNNING, Phase.STOPPING, Phase.STARTING)
    timeout = cycle.timing.stop_timeout
    closed = cycle._replace(phase=Phase.CLOSED, look_at=None, scan_at=None, kill_at=None, respawn_at=None, tell_at=None)
    if not alive or timeout is None:
        return closed, (Finish(),)
    kill_at = cycle.kill_at if cycle.kill_at is not None else now + timeout
    if event.within is not None:
        kill_at = min(kill_at, now + event.within)
    return closed._replace(kill_at=kill_at), (Stop(),)


def closed(cycle: Cycle, event: Event, now: float) -> Stepped:
    """Decide what an event means for a cycle that is about to end."""
    match event:
        case Exited(_, left):
            return (cycle, ()) if left else (cycle, (Finish(),))
        case Close(within) if within is not None and cycle.kill_at is not None:
            return cycle._replace(kill_at=min(cycle.kill_at, now + within)), ()
        case Tick() if cycle.kill_at is not None and now >= cycle.kill_at:
            if cycle.killed:
                return cycle._replace(kill_at=None), (Finish(),)
            return cycle._replace(killed=True, kill_at=now + LINGER), (Kill(),)
        case _:
            return cycle, ()
