"""Words for each decision, and how often it is reported that a run goes on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ipy_autorestart.decide.backoff import PAUSE_MAX
from ipy_autorestart.decide.change import Found, Kind, Unfinished
from ipy_autorestart.decide.cycle import Closed, Cycle, Ended, Running, Starting, Stopping
from ipy_autorestart.decide.events import (
    Action,
    Asked,
    Event,
    Exited,
    Failed,
    Hangup,
    Kill,
    Paused,
    Pushed,
    PushFailed,
    Reached,
    Refused,
    Signal,
    Started,
    Tick,
    Waiting,
)
from ipy_autorestart.text import duration, relative

#: So many files are named.
NAMED = 3

_UNFINISHED = {
    Unfinished.EMPTIED: "a file is empty, as during a write",
    Unfinished.VANISHED: "a file is gone, as during a rename",
    Unfinished.GIT: "git holds its lock",
    Unfinished.BUILDING: "compiled code is missing or incomplete, as during a build",
}


def explain(before: Cycle, event: Event, after: Cycle, actions: Sequence[Action], folder: str) -> Iterator[str]:
    """Yield what a `step` decided and by which rule, nothing if it decided nothing; paths as seen from ``folder``."""
    match event:
        case Found():
            yield from _found(before, event, after, actions, folder)
        case Hangup() if not before.pending:
            served = {
                Starting: "one more restart will follow the one under way",
                Stopping: "the restart under way will run the new code",
            }
            yield f"SIGHUP from elsewhere: {served.get(type(before.phase), 'restart')}"
        case Asked():
            yield "asked by hand: restart"
        case Paused(on):
            yield "paused by hand: changes wait" if on else "resumed by hand: what changed meanwhile counts now"
        case Waiting(what) if what != before.waits_for:
            yield f"waiting for {what} before it restarts"
        case Started():
            run = after.run
            took = f", {duration(run.took)} after the change was noticed" if run.took is not None else ""
            yield f"started{took}" if run.number == before.run.number else f"start {run.number}{took}"
        case Exited(status, left) if not before.left and not isinstance(before.phase, Closed):
            lasted = f" after {duration(after.run.lasted)}" if after.run.lasted is not None else ""
            what = "replaced itself" if status is None else f"ended with status {status}{lasted}"
            yield f"{what}; processes that it started keep running" if left else what
        case Refused(why):
            yield f"can't restart: {why}"
        case Failed(why):
            yield f"the new code has failed: {why}"
        case Reached(why) if why != before.unreachable:
            yield f"nothing is sent to the cluster: {why}" if why else "the cluster can be reached"
        case Pushed(_, how) if after.pushed != before.pushed:
            yield f"the cluster has the new code: {how}"
        case PushFailed(_, why) if after.phase != before.phase:
            yield f"not started: {why}"
        case Tick() if Kill() in actions:
            yield f"still running {duration(before.timing.stop_timeout)} after the stop signal: killed"
        case Tick() if Signal() in actions:
            yield f"it ended by itself {duration(before.pause)} ago: restart (--restart-on-exit)"


def _found(before: Cycle, found: Found, after: Cycle, actions: Sequence[Action], folder: str) -> Iterator[str]:
    if found.alike != before.found.alike and found.alike:
        yield f"{_listed(found.alike, folder)}: the code does the same: no restart (--strict)"
    if found.unused and found.unused != before.found.unused:
        paths = [change.path for change in found.unused]
        what = "not loaded before" if before.manner.stops_itself else "not used by the last run"
        yield f"{_listed(paths, folder)}: {what}: no restart (--all)"
    if found.written and found.written != before.found.written:
        yield f"{_listed(found.written, folder)}: written by the run itself: no restart"
    if found.broken and found.broken != before.found.broken:
        first = found.broken[0]
        yield f"{relative(first.path, folder)}:{first.line}: {first.message}: no restart until this is fixed"
    if not found.changes or not (before.looks.due or found.changes != before.found.changes):
        return
    words = {Kind.MODIFIED: "changed", Kind.ADDED: "added", Kind.DELETED: "deleted"}
    alike = {kind: [change.path for change in found.changes if change.kind is kind] for kind in words}
    what = ", ".join(f"{_listed(paths, folder)} {words[kind]}" for kind, paths in alike.items() if paths)
    if Signal() in actions:
        burst = before.looks.burst
        waited = 0.0 if burst is None else burst.last - burst.since
        together = f" (within {duration(waited)})" if len(found.changes) > 1 else ""
        yield f"{what}{together}: restart"
    elif after.paused:
        yield f"{what}: waiting, because restarts are paused"
    elif found.broken:
        yield f"{what}: waiting until the syntax error is fixed"
    elif after.pending or not isinstance(after.phase, Running | Ended):
        yield f"{what}: the restart under way will run it, or one more will follow"
    elif after.looping:
        yield f"{what}: after every start, so the next one waits up to {duration(PAUSE_MAX)}"
    elif after.held_until is not None:
        yield f"{what}: waiting until its imports are loaded ahead, which is quicker than a cold start"
    elif found.unfinished:
        yield f"{what}: looking again, because {' and '.join(sorted(_UNFINISHED[one] for one in found.unfinished))}"
    elif not before.looks.due and before.looks.at is None:
        yield f"{what}: found by a scan, without an event; restarting when no more changes come"


def _listed(paths: Sequence[str], folder: str) -> str:
    more = [f"{len(paths) - NAMED} more"] if len(paths) > NAMED else []
    return " and ".join([", ".join(relative(path, folder) for path in paths[:NAMED]), *more])


#: (from, apart), in seconds: from when on it is reported how far apart. Most runs end before the first.
PACE = ((2, 1), (10, 5), (60, 10), (600, 60))


def reported(seconds: float) -> int:
    """Return for how many seconds a run is said to have gone on; 0 before the first time."""
    apart = _apart(seconds)
    return math.floor(seconds / apart) * apart if apart else 0


def next_at(seconds: float) -> float:
    """Return the age at which that of a run which is ``seconds`` old is reported next."""
    apart = _apart(seconds)
    return reported(seconds) + apart if apart else PACE[0][0]


def _apart(seconds: float) -> int:
    return max((apart for since, apart in PACE if seconds >= since), default=0)
