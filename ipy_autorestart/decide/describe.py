"""Words for each decision, and how often it is reported that a run goes on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ipy_autorestart import catalogue
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
    Reread,
    Signal,
    Started,
    Tick,
    Waiting,
)
from ipy_autorestart.decide.facts import Cause, Reason
from ipy_autorestart.text import duration, relative

#: So many files are named.
NAMED = 3

_UNFINISHED = {
    Unfinished.EMPTIED: catalogue.EMPTIED,
    Unfinished.VANISHED: catalogue.VANISHED,
    Unfinished.GIT: catalogue.GIT_LOCK,
    Unfinished.BUILDING: catalogue.BUILDING,
}


def explain(before: Cycle, event: Event, after: Cycle, actions: Sequence[Action], folder: str) -> Iterator[str]:
    """Yield what a `step` decided and by which rule, nothing if it decided nothing; paths as seen from ``folder``."""
    match event:
        case Found():
            yield from _found(before, event, after, actions, folder)
        case Hangup() if not before.pending:
            served = {
                Starting: catalogue.ONE_MORE,
                Stopping: catalogue.WILL_RUN_IT,
            }
            yield catalogue.WHY_HANGUP(then=served.get(type(before.phase), catalogue.JUST_RESTART)())
        case Reread(_, changes) if changes:
            yield catalogue.WHY_REREAD(files=_listed([change.path for change in changes], folder))
        case Asked():
            yield catalogue.WHY_ASKED()
        case Paused(on):
            yield catalogue.WHY_PAUSE() if on else catalogue.WHY_RESUME()
        case Waiting(what) if what != before.waits_for:
            yield catalogue.WHY_WAITS(what=what)
        case Started() if after.run.cause == Cause(Reason.ENDED) and isinstance(before.phase, Running):
            yield catalogue.WHY_GOES_ON(number=after.run.number)
        case Started():
            run = after.run
            took = catalogue.AFTER_NOTICED(time=duration(run.took)) if run.took is not None else ""
            is_new = run.number != before.run.number
            yield (
                catalogue.WHY_STARTED(number=run.number, took=took)
                if is_new
                else catalogue.WHY_STARTED_AGAIN(took=took)
            )
        case Exited(status, left) if not before.left and not isinstance(before.phase, Closed):
            lasted = catalogue.AFTER_TIME(time=duration(after.run.lasted)) if after.run.lasted is not None else ""
            more = catalogue.KEEP_RUNNING() if left else ""
            if status is None:
                yield catalogue.WHY_REPLACED(left=more)
            else:
                yield catalogue.WHY_ENDED(status=status, lasted=lasted, left=more)
        case Refused(why):
            yield catalogue.WHY_REFUSED(why=why)
        case Failed(why):
            yield catalogue.WHY_FAILED(why=why)
        case Reached(why) if why != before.unreachable:
            yield catalogue.WHY_UNREACHED(why=why) if why else catalogue.WHY_REACHED()
        case Pushed(_, how) if after.pushed != before.pushed:
            yield catalogue.WHY_PUSHED(how=how)
        case PushFailed(_, why) if after.phase != before.phase:
            yield catalogue.WHY_NOT_STARTED(why=why)
        case Tick() if Kill() in actions:
            yield catalogue.WHY_KILLED(time=duration(before.timing.stop_timeout))
        case Tick() if Signal() in actions:
            yield catalogue.WHY_ENDED_BY_ITSELF(time=duration(before.pause))


def _found(before: Cycle, found: Found, after: Cycle, actions: Sequence[Action], folder: str) -> Iterator[str]:
    if found.alike != before.found.alike and found.alike:
        yield catalogue.WHY_ALIKE(files=_listed(found.alike, folder))
    if found.unused and found.unused != before.found.unused:
        paths = [change.path for change in found.unused]
        why = catalogue.WHY_NOT_LOADED if before.manner.stops_itself else catalogue.WHY_UNUSED
        yield why(files=_listed(paths, folder))
    if found.written and found.written != before.found.written:
        yield catalogue.WHY_WRITTEN(files=_listed(found.written, folder))
    if found.broken and found.broken != before.found.broken:
        first = found.broken[0]
        yield catalogue.WHY_BROKEN(place=f"{relative(first.path, folder)}:{first.line}", error=first.message)
    if not found.changes or not (before.looks.due or found.changes != before.found.changes):
        return
    words = {Kind.MODIFIED: "changed", Kind.ADDED: "added", Kind.DELETED: "deleted"}
    alike = {kind: [change.path for change in found.changes if change.kind is kind] for kind in words}
    what = ", ".join(f"{_listed(paths, folder)} {words[kind]}" for kind, paths in alike.items() if paths)
    if Signal() in actions:
        burst = before.looks.burst
        waited = 0.0 if burst is None else burst.last - burst.since
        together = catalogue.WITHIN(time=duration(waited)) if len(found.changes) > 1 else ""
        yield catalogue.WHY_RESTART(files=what, within=together)
    elif after.paused:
        yield catalogue.WHY_PAUSED(files=what)
    elif found.broken:
        yield catalogue.WHY_WAITS_FOR_FIX(files=what)
    elif after.pending or not isinstance(after.phase, Running | Ended):
        yield catalogue.WHY_UNDER_WAY(files=what)
    elif after.looping:
        yield catalogue.WHY_LOOPING(files=what, most=duration(PAUSE_MAX))
    elif after.held_until is not None:
        yield catalogue.WHY_HELD(files=what)
    elif found.unfinished:
        reasons = " and ".join(sorted(_UNFINISHED[one]() for one in found.unfinished))
        yield catalogue.WHY_UNFINISHED(files=what, reasons=reasons)
    elif not before.looks.due and before.looks.at is None:
        yield catalogue.WHY_SCANNED(files=what)


def _listed(paths: Sequence[str], folder: str) -> str:
    first, more = ", ".join(relative(path, folder) for path in paths[:NAMED]), len(paths) - NAMED
    return catalogue.FILES_AND(files=first, count=more) if more > 0 else first


#: (from, apart), in seconds: from when on it is reported how far apart. Most runs end before the first.
PACE = ((1, 1), (10, 5), (60, 10), (600, 60))


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
