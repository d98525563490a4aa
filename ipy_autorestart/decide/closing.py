"""The end of a cycle: what runs is stopped, and nothing is started any more."""

from __future__ import annotations

from ipy_autorestart.decide.cycle import Cycle, Phase
from ipy_autorestart.decide.event import Action, Close, Event, Exited, Finish, Kill, Stop, Tick

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
