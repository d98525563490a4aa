"""The heart: ``step(cycle, event, now) -> (cycle, actions)``, pure.

A cycle is the life of one target: it runs, ends or is stopped, and starts again. Script and kernel go through
the same phases. A kernel stops and starts by itself (exec), so the engine does nothing for its ``Stop`` and ``Start``.

::

            Found changes            Hangup             Exited             Started
    Running ─────────────▶ (Signal) ───────▶ Stopping ───────▶ Starting ────────▶ Running
    Ended   ─────────────▶ (Signal) ──────────────────────────▶ Starting

With a cluster, Pushing comes before Starting: nothing runs there until each worker has the new code.

Rules that every timeline keeps: a change is committed to the baseline only when a start serves it, so none is lost; a
start follows an end, so two never run at once; a burst of changes is one burst until it has been quiet for a while.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from ipy_autorestart.decide.backoff import NO_LOOP, admit, respawn_pause, worth_waiting
from ipy_autorestart.decide.change import Change, Found, Hint, Progress
from ipy_autorestart.decide.cycle import (
    Closed,
    Cycle,
    Ended,
    LastRun,
    Looks,
    Pending,
    Pushing,
    Running,
    Starting,
    Stopping,
)
from ipy_autorestart.decide.events import (
    Action,
    Ask,
    Asked,
    Begin,
    Close,
    Commit,
    Event,
    Exited,
    Failed,
    Finish,
    Hangup,
    Inquire,
    Kill,
    Look,
    Paused,
    Preloaded,
    Preloading,
    Push,
    Pushed,
    PushFailed,
    Reached,
    Refused,
    Reread,
    Ship,
    Signal,
    Start,
    Started,
    Stop,
    Tick,
    Waiting,
)
from ipy_autorestart.decide.facts import Cause, Reason
from ipy_autorestart.decide.timing import ends_at, include, joined

#: Seconds until changes that seem unfinished are served all the same: a large ``git checkout`` may take so long.
UNFINISHED_MAX = 15.0

#: Seconds after which it is shown that a target stops, or is to restart itself.
SHOWN_AFTER = 0.03

#: Seconds after a SIGHUP when a process that has not said that it got it is asked again, and from then on each time
#: after twice as many. A proxy may pass the signal on later than the first `Ask`, just when the loop falls asleep.
ASK_AFTER = 0.02

#: Seconds that a killed group may take to be gone; a process with much memory takes some.
LINGER = 1.0

Stepped = tuple[Cycle, tuple[Action, ...]]


def wake_at(cycle: Cycle) -> float | None:
    """Return when a `Tick` is due, on the clock that `step` is given, or None."""
    looks, phase = cycle.looks, cycle.phase
    moments = [looks.at, looks.scan_at, cycle.pending.ask_at if cycle.pending else None]
    if cycle.hidden:
        moments.append(cycle.shown_at)
    if isinstance(phase, Stopping):
        moments.append(phase.kill_at)
    elif isinstance(phase, Ended):
        moments.append(phase.respawn_at)
    elif isinstance(phase, Closed):
        moments.append(phase.kill_at)
    return min((moment for moment in moments if moment is not None), default=None)


def step(cycle: Cycle, event: Event, now: float) -> Stepped:
    """Decide what an event means: return the next cycle, and the actions to carry out in their order.

    ``now`` is in seconds on any monotonic clock.
    """
    if isinstance(cycle.phase, Closed):
        return _closed(cycle, cycle.phase, event, now)
    match event:
        case Begin(runs):
            return _begin(cycle, now, runs=runs)
        case Hint():
            return _hint(cycle, event, now)
        case Found():
            return _found(cycle, event, now)
        case Hangup():
            return _hangup(cycle, now)
        case Asked():
            return _asked(cycle, now)
        case Paused():
            return _paused(cycle, event, now)
        case Waiting(what):
            return _waiting(cycle, what), ()
        case Started():
            return _started(cycle, now)
        case Exited():
            return _exited(cycle, event, now)
        case Failed(why):
            return _failed(cycle, why, now)
        case Refused(why, runs):
            # Committed, so that the refusal is not repeated until something changes again.
            cycle = cycle._replace(pending=None, found=replace(cycle.found, changes=()), reread=())
            if runs:
                return cycle._replace(phase=Running(why)), (Commit(),)
            return _ended(cycle, Ended(refusal=why), now), (Commit(),)
        case Preloading():
            return cycle._replace(preloading=event), ()
        case Preloaded():
            return _preloaded(cycle, now)
        case Reached(why):
            return cycle._replace(unreachable=why), ()
        case Pushed(number):
            return _pushed(cycle, event, number)
        case Reread(_, changes):
            return _reread(cycle, changes, now)
        case PushFailed(number, why):
            return _push_failed(cycle, number, why), ()
        case Tick():
            return _tick(cycle, now)
        case Close(within):
            return _close(cycle, within, now)
        case _:
            assert_never(event)


def _begin(cycle: Cycle, now: float, *, runs: bool) -> Stepped:
    cycle = cycle._replace(looks=Looks(scan_at=now + cycle.timing.scan))
    cause = Cause(Reason.FIRST)
    if runs:
        cycle = cycle._replace(phase=Running())
        return (cycle._replace(push_number=1), (Push(1, cause),)) if cycle.pushes else (cycle, ())
    if cycle.pushes:
        return cycle._replace(phase=Pushing(cause, None, 1), push_number=1), (Push(1, cause),)
    return cycle._replace(phase=Starting(cause)), (Start(cause),)


def _hint(cycle: Cycle, hint: Hint, now: float) -> Stepped:
    looks = cycle.looks
    burst = include(joined(looks.burst, cycle.timing, now), hint)
    leads = cycle.manner.leading and not burst.acted and not burst.writing and hint.progress is Progress.DONE
    if leads:
        burst = burst._replace(acted=True)
    looks = looks._replace(burst=burst, unseen=True, at=ends_at(cycle.timing, burst), due=looks.due or leads)
    return cycle._replace(looks=looks), (Look(),) if leads else ()


def _found(cycle: Cycle, found: Found, now: float) -> Stepped:
    found = _with(found, cycle.reread)
    due, news = cycle.looks.due, found.changes != cycle.found.changes
    if cycle.found.unused and not found.unused:  # said once, and shown until the next start
        found = replace(found, unused=cycle.found.unused)
    looks = cycle.looks._replace(unseen=False, due=False, scan_at=now + found.rescan)
    cycle = cycle._replace(found=found, looks=looks, held_until=cycle.held_until if found.changes else None)
    if not (found.changes or found.unfinished):
        if not (due and looks.at is None and cycle.run.fresh and found.put_back):
            runs = isinstance(cycle.phase, Running) and not cycle.pending
            asks = due and looks.at is None and cycle.manner.stops_itself and runs
            return _reveal(cycle) if due else cycle, (Inquire(),) if asks else ()
        # Saved for the start, otherwise just behind it, and put back before the burst was over.
        found = replace(found, changes=found.put_back)
        cycle = cycle._replace(found=found)
    burst = looks.burst
    if not due or burst is None:
        # The slow scan met it: that is a hint like any other, or a checkout would be cut in two.
        if looks.at is None or news:
            burst = joined(burst, cycle.timing, now)
            burst = burst._replace(paths=burst.paths | {change.path for change in found.changes})
            looks = looks._replace(burst=burst, at=ends_at(cycle.timing, burst._replace(acted=True)))
        return cycle._replace(looks=looks), ()
    if found.unfinished and now < burst.since + UNFINISHED_MAX:
        return cycle._replace(looks=looks._replace(at=now + cycle.timing.quiet)), ()
    since = burst.since
    if looks.at is None:  # the burst has been quiet, or has lasted for too long: later changes begin to wait
        cycle = cycle._replace(looks=looks._replace(burst=burst._replace(since=now, writing=frozenset())))
    return _serve(cycle, since, now)


def _with(found: Found, reread: tuple[Change, ...]) -> Found:
    """Return what was found with what is no difference any more, but was one when it was read."""
    paths = {change.path for change in found.changes}
    more = tuple(change for change in reread if change.path not in paths)
    return replace(found, changes=(*found.changes, *more)) if more else found


def _reread(cycle: Cycle, changes: tuple[Change, ...], now: float) -> Stepped:
    if not changes:
        return cycle, ()
    reread = _with(Found(cycle.reread), changes).changes
    cycle = cycle._replace(reread=reread, found=_with(cycle.found, reread))
    return _serve(cycle, now, now)


def _serve(cycle: Cycle, since: float, now: float) -> Stepped:
    """Restart for the changes found, unless a restart that serves them too is on its way."""
    phase, found = cycle.phase, cycle.found
    if cycle.pending or not isinstance(phase, Running | Ended | Pushing):
        return cycle, ()
    if not found.changes or found.broken or cycle.paused:
        return _reveal(cycle), ()
    if isinstance(phase, Pushing):  # the later code is what all are to get
        cause = replace(phase.cause, changes=found.changes)
        return _start(cycle, Starting(cause, phase.noticed), phase.clients)
    paths = frozenset(change.path for change in found.changes)
    run, made = cycle.run, now - found.age
    lived = run.gone_at is None or made <= run.gone_at
    loop, admitted = admit(cycle.loop, paths, made=min(made, since), started=run.since, lived=lived, now=now)
    if not admitted:
        looks, run = cycle.looks._replace(at=loop.until), run._replace(fresh=False)
        return cycle._replace(loop=loop, looks=looks, run=run), ()
    held_until, preloading = cycle.held_until, cycle.preloading
    if preloading and held_until is None:
        held_until = worth_waiting(preloading.ready_at, cold=preloading.cold, now=now)
    if held_until is not None and now < held_until:
        looks, run = cycle.looks._replace(at=held_until), run._replace(fresh=False)
        return cycle._replace(looks=looks, run=run, held_until=held_until), ()
    if phase.refusal:
        phase = replace(phase, refusal="")
    return _signal(cycle._replace(loop=loop, phase=phase), Reason.CHANGE, now, noticed=since, waited=now - since)


def _asked(cycle: Cycle, now: float) -> Stepped:
    phase = cycle.phase
    match phase:  # a restart is under way: a signal could come to a process that is about to end
        case Stopping():
            return cycle._replace(phase=replace(phase, cause=replace(phase.cause, reason=Reason.ASKED))), ()
        case Starting():
            return cycle._replace(phase=replace(phase, again=Reason.ASKED)), ()
    return _signal(cycle, Reason.ASKED, now, noticed=cycle.pending.noticed if cycle.pending else None)


def _signal(cycle: Cycle, reason: Reason, now: float, *, noticed: float | None = None, waited: float = 0.0) -> Stepped:
    pending = Pending(reason, noticed, waited=waited)
    if cycle.manner.stops_itself:
        pending = replace(pending, sent_at=now, ask_at=now + ASK_AFTER)
        cycle = cycle._replace(shown_at=now + SHOWN_AFTER)
    return cycle._replace(pending=pending), (Signal(),)


def _reveal(cycle: Cycle) -> Cycle:
    """Show the last start if its burst is over and did not supersede it."""
    if cycle.looks.at is not None or not cycle.run.fresh:
        return cycle
    return cycle._replace(run=cycle.run._replace(fresh=False))


def _preloaded(cycle: Cycle, now: float) -> Stepped:
    burst, waits = cycle.looks.burst, cycle.held_until is not None and cycle.looks.at == cycle.held_until
    cycle = cycle._replace(preloading=None, held_until=None)
    if not waits or burst is None:  # a burst that goes on is served at its end
        return cycle, ()
    return _serve(cycle._replace(looks=cycle.looks._replace(at=None)), burst.since, now)


def _paused(cycle: Cycle, event: Paused, now: float) -> Stepped:
    cycle = cycle._replace(paused=event.on)
    if event.withdrawn:
        cycle = cycle._replace(phase=Running(), pending=None)
    if event.on:
        return cycle, ()
    looks = cycle.looks._replace(burst=joined(cycle.looks.burst, cycle.timing, now), due=True)
    return cycle._replace(looks=looks, loop=NO_LOOP), (Look(),)  # a person asks for it


def _waiting(cycle: Cycle, what: str) -> Cycle:
    if what:
        cycle = cycle._replace(shown_at=None)
    if isinstance(cycle.phase, Stopping):
        return cycle._replace(phase=replace(cycle.phase, waits_for=what))
    return cycle._replace(pending=replace(cycle.pending, waits_for=what)) if cycle.pending else cycle


def _hangup(cycle: Cycle, now: float) -> Stepped:
    pending, phase = cycle.pending or Pending(), cycle.phase
    cycle = cycle._replace(pending=None)
    if isinstance(phase, Starting):
        return cycle._replace(phase=replace(phase, again=phase.again or pending.reason)), ()
    if not isinstance(phase, Running | Ended):
        return cycle, ()
    cause = Cause(pending.reason, cycle.found.changes, waited=pending.waited)
    noticed = now if pending.noticed is None else pending.noticed
    if cycle.unreachable:  # committed as a refusal is: the next change tries again
        refused = replace(phase, refusal=cycle.unreachable)
        return cycle._replace(phase=refused, found=replace(cycle.found, changes=()), reread=()), (Commit(),)
    if isinstance(phase, Ended) and not phase.left:
        return _start(cycle, Starting(cause, noticed))
    stopping = Stopping(cause, noticed, pending.waits_for, left=cycle.left)
    if not cycle.manner.stops_itself:
        stopping = replace(stopping, kill_at=now + cycle.timing.stop_timeout)
    cycle = cycle._replace(phase=stopping, shown_at=now + SHOWN_AFTER)
    return cycle, (Ship(), Stop()) if cycle.pushes else (Stop(),)


def _start(cycle: Cycle, starting: Starting, clients: tuple[str, ...] = ()) -> Stepped:
    found, looks = cycle.found, cycle.looks
    if looks.at in (cycle.loop.until, cycle.held_until):  # what was put off is served now, and nothing is to follow
        looks = looks._replace(at=None)
    phase: Starting | Pushing = starting
    actions: tuple[Action, ...] = (Start(starting.cause),)
    if cycle.pushes:
        number = cycle.push_number + 1
        phase = Pushing(starting.cause, starting.noticed, number, clients)
        actions = (Push(number, starting.cause, clients),)
        cycle = cycle._replace(push_number=number)
    cycle = cycle._replace(
        phase=phase,
        found=Found(polling=found.polling, notes=found.notes),
        reread=(),
        looks=looks._replace(unseen=False),
        pause=cycle.pause if starting.cause == Cause(Reason.ENDED) else 0.0,
        held_until=None,
    )
    return cycle, (Commit(afresh=looks.unseen), *actions)


def _pushed(cycle: Cycle, event: Pushed, number: int) -> Stepped:
    phase = cycle.phase
    if number != cycle.push_number:  # a later one is on its way
        return cycle, ()
    if not isinstance(phase, Pushing):  # a kernel runs already
        return cycle._replace(pushed=event), ()
    return cycle._replace(phase=Starting(phase.cause, phase.noticed), pushed=event), (Start(phase.cause),)


def _push_failed(cycle: Cycle, number: int, why: str) -> Cycle:
    if number != cycle.push_number or not isinstance(cycle.phase, Pushing | Running):
        return cycle
    return cycle._replace(phase=Running(why) if cycle.manner.stops_itself else Ended(refusal=why))


def _started(cycle: Cycle, now: float) -> Stepped:
    phase, run, looks = cycle.phase, cycle.run, cycle.looks
    noticed = phase.noticed if isinstance(phase, Starting | Stopping) else None
    took = None if noticed is None else now - noticed
    cause = cycle.cause
    if isinstance(phase, Running):  # a kernel that has died; another one goes on
        is_asked = cycle.pending is not None and cycle.pending.reason is Reason.ASKED
        cause = Cause(Reason.ASKED if is_asked else Reason.ENDED)
    run = LastRun(cycle.next_number, cause, now, took, fresh=cycle.manner.leading and looks.at is not None)
    cycle = cycle._replace(phase=Running(), run=run, shown_at=None)
    if isinstance(phase, Starting) and phase.again:
        return _signal(cycle, phase.again, now)
    if not isinstance(phase, Starting):  # who was to act is gone
        cycle = cycle._replace(pending=None)
    if cycle.found.changes and looks.at is None:
        return cycle._replace(looks=looks._replace(at=now + cycle.timing.quiet)), ()
    return cycle, ()


def _failed(cycle: Cycle, why: str, now: float) -> Stepped:
    """Take it for a start that has come to nothing: the next change tries again."""
    actions: tuple[Action, ...] = ()
    if isinstance(cycle.phase, Starting):
        cycle, actions = _started(cycle, now)
    return cycle._replace(phase=Running(why), run=cycle.run._replace(took=None, exit_status=1)), actions


def _exited(cycle: Cycle, event: Exited, now: float) -> Stepped:
    if cycle.manner.stops_itself and isinstance(cycle.phase, Running):  # that began before its word of the SIGHUP
        cycle, _ = _hangup(cycle, now)
    phase, run, first = cycle.phase, cycle.run, not cycle.left
    lasted = now - run.since if first and run.since is not None else run.lasted
    gone_at = None if event.left else now
    cycle = cycle._replace(run=run._replace(exit_status=event.status, lasted=lasted, gone_at=gone_at))
    if isinstance(phase, Stopping):
        if event.left:  # they may have the rest of the timeout
            return cycle._replace(phase=replace(phase, left=True)), ()
        cause = replace(phase.cause, changes=cycle.found.changes or phase.cause.changes)
        return _start(cycle, Starting(cause, phase.noticed), event.clients)
    if not first and isinstance(phase, Ended):
        return cycle._replace(phase=replace(phase, left=event.left)), ()
    if isinstance(phase, Pushing):
        return cycle, ()
    return _ended(cycle, Ended(event.left), now, lasted=lasted or 0.0), ()


def _ended(cycle: Cycle, phase: Ended, now: float, *, lasted: float = 0.0) -> Cycle:
    """Return what follows an end, or a start that has failed."""
    if not cycle.timing.restart_on_exit:
        return cycle._replace(phase=phase)
    pause = respawn_pause(cycle.pause, lasted=lasted)
    return cycle._replace(phase=replace(phase, respawn_at=now + pause), pause=pause)


def _tick(cycle: Cycle, now: float) -> Stepped:
    phase, looks, pending = cycle.phase, cycle.looks, cycle.pending
    if cycle.shown_at is not None and now >= cycle.shown_at:
        cycle = cycle._replace(shown_at=None)
    if isinstance(phase, Stopping) and phase.kill_at is not None and now >= phase.kill_at:
        if phase.killed:  # not even SIGKILL ends what waits for a broken device: go on without it
            return _exited(cycle, Exited(cycle.run.exit_status), now)
        return cycle._replace(phase=replace(phase, killed=True, kill_at=now + LINGER)), (Kill(),)
    if looks.at is not None and now >= looks.at:
        burst = looks.burst and looks.burst._replace(acted=looks.burst.acted or not looks.burst.writing)
        return cycle._replace(looks=looks._replace(burst=burst, at=None, due=True)), (Look(),)
    if looks.scan_at is not None and now >= looks.scan_at:
        return cycle._replace(looks=looks._replace(scan_at=None)), (Look(),)
    if pending and pending.sent_at is not None and pending.ask_at is not None and now >= pending.ask_at:
        return cycle._replace(pending=replace(pending, ask_at=2 * now - pending.sent_at)), (Ask(),)
    if isinstance(phase, Ended) and phase.respawn_at is not None and now >= phase.respawn_at:
        if cycle.found.broken or cycle.paused:  # never into a syntax error
            return cycle._replace(phase=replace(phase, respawn_at=now + cycle.pause)), ()
        cycle = cycle._replace(phase=replace(phase, respawn_at=None))
        return (cycle, ()) if pending else _signal(cycle, Reason.ENDED, now)
    return cycle, ()


def _close(cycle: Cycle, within: float | None, now: float) -> Stepped:
    phase = cycle.phase
    cycle = cycle._replace(phase=Closed(), looks=Looks())
    if cycle.manner.stops_itself or isinstance(phase, Pushing) or (isinstance(phase, Ended) and not phase.left):
        return cycle, (Finish(),)
    kill_at = phase.kill_at if isinstance(phase, Stopping) else None
    if kill_at is None:
        kill_at = now + cycle.timing.stop_timeout
    if within is not None:
        kill_at = min(kill_at, now + within)
    killed = isinstance(phase, Stopping) and phase.killed
    return cycle._replace(phase=Closed(kill_at, killed)), (Stop(),)


def _closed(cycle: Cycle, phase: Closed, event: Event, now: float) -> Stepped:
    """Decide what an event means for a cycle that is about to end."""
    match event:
        case Exited(_, left):
            return (cycle, ()) if left else (cycle, (Finish(),))
        case Close(within) if within is not None and phase.kill_at is not None:
            return cycle._replace(phase=replace(phase, kill_at=min(phase.kill_at, now + within))), ()
        case Tick() if phase.kill_at is not None and now >= phase.kill_at:
            if phase.killed:
                return cycle._replace(phase=replace(phase, kill_at=None)), (Finish(),)
            return cycle._replace(phase=replace(phase, killed=True, kill_at=now + LINGER)), (Kill(),)
        case _:
            return cycle, ()
