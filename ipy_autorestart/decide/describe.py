"""A cycle in words: where the target stands, why each decision was taken, how often it is told."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from ipy_autorestart.decide.change import Broken, Change, Found, Kind, Unfinished
from ipy_autorestart.decide.cycle import Closed, Cycle, Ended, Running, Starting, Stopping
from ipy_autorestart.decide.events import (
    Action,
    Asked,
    Event,
    Exited,
    Hangup,
    Kill,
    Paused,
    Refused,
    Signal,
    Started,
    Tick,
    Waiting,
)
from ipy_autorestart.text import duration, relative


def state(cycle: Cycle, folder: str = "", seconds: float = 0.0) -> str:
    """Return where the target stands, in a few words.

    Parameters
    ----------
    folder
        Paths below it are told as seen from it.
    seconds
        For which it has run, as far as they are told.
    """
    going = f"running for {duration(seconds)}" if seconds else "running"
    match kind(cycle):
        case "waiting":
            return f"waiting for {cycle.waits_for or 'the kernel to be idle'}"
        case "broken":
            return f"syntax error at {_place(cycle.found.broken[0], folder)}"
        case "paused":
            last = going if isinstance(cycle.phase, Running) else _ended(cycle)
            return f"paused, {last}" if last and not cycle.manner.stops_itself else "paused"
        case "running":
            return going
        case "finished" | "crashed":
            return f"{_ended(cycle)}, {_next(cycle)}"
        case "idle":
            return "not running"
        case word:
            return word


def kind(cycle: Cycle) -> str:
    """Return where the target stands, in one word, as `Status.kind` has it."""
    stops_itself = cycle.manner.stops_itself
    match cycle.phase:
        case Stopping():
            return "waiting" if stops_itself else "stopping"
        case Starting():
            return "restarting" if cycle.run.number or stops_itself else "starting"
        case Closed():
            return "ended"
        case Running(refusal) | Ended(refusal=refusal):
            runs = isinstance(cycle.phase, Running)
            if runs and cycle.pending and stops_itself:
                return "waiting"
            if cycle.paused:
                return "paused"
            if cycle.found.broken and not refusal:
                return "broken"
            if runs:
                return "running"
            if cycle.run.exit_status is None:
                return "idle"
            return "crashed" if cycle.run.exit_status else "finished"
        case _:
            assert_never(cycle.phase)


def excerpt(cycle: Cycle) -> str:
    """Return the line of a syntax error with a caret below the place, or nothing."""
    if not cycle.found.broken or _refusal(cycle) or not cycle.found.broken[0].text.strip():
        return ""
    text, column = cycle.found.broken[0].text, cycle.found.broken[0].column
    before = "".join("\t" if sign == "\t" else " " for sign in text[: max(column - 1, 0)])
    return f"{text}\n{before}^" if column else text


def _place(broken: Broken, folder: str) -> str:
    where = relative(broken.path, folder)
    return f"{where}:{broken.line}" if broken.line else where


def _ended(cycle: Cycle) -> str:
    if cycle.run.exit_status is None:
        return ""
    status = cycle.run.exit_status
    after = f" after {duration(cycle.run.lasted)}" if cycle.run.lasted is not None else ""
    if status == 0:
        return f"finished{after}"
    if status > 0:
        return f"crashed with status {status}{after}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    words = f" ({SIGNALS[-status]})" if -status in SIGNALS else ""
    return f"killed by {name}{words}{after}"


#: What the signals of crashes mean, as shells tell them.
SIGNALS: dict[int, str] = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGILL: "illegal instruction",
}


def _next(cycle: Cycle) -> str:
    if isinstance(cycle.phase, Ended) and cycle.phase.respawn_at is not None and not cycle.found.broken:
        return f"runs again in {duration(cycle.pause)}"
    return "waiting for a change"


def _refusal(cycle: Cycle) -> str:
    return cycle.phase.refusal if isinstance(cycle.phase, Running | Ended) else ""


def message(cycle: Cycle, folder: str) -> str:
    """Return what else is worth a sentence, or nothing; paths as seen from ``folder``."""
    found = cycle.found
    if refusal := _refusal(cycle):
        return refusal
    if found.broken:
        held = "what runs goes on" if isinstance(cycle.phase, Running) else "it runs again when this is mended"
        return f"{found.broken[0].message}; {held}"
    if cycle.paused and found.changes:
        return f"{_names([change.path for change in found.changes], folder)} changed meanwhile"
    if cycle.looping:
        return f"{_names(cycle.looping, folder)} changes right after every start: restarted more and more slowly"
    if found.alike and not found.changes:
        return f"only comments or layout changed in {_names(found.alike, folder)}: not restarted"
    if found.written:
        return f"{_names(found.written, folder)} is written by the run itself: not restarted"
    if found.unused:
        names = _names([change.path for change in found.unused], folder)
        return f"{names} changed, of no use to this run: not restarted"
    if cycle.left and isinstance(cycle.phase, Ended):
        return "processes that it started go on until the next restart"
    return ""


def _names(paths: Sequence[str], folder: str) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return relative(paths[0], folder) + more


#: So many files are named.
NAMED = 3

_UNFINISHED = {
    Unfinished.EMPTIED: "a file is empty, which a write in progress leaves it",
    Unfinished.VANISHED: "a file is gone, which a rename in progress leaves behind",
    Unfinished.GIT: "git holds its lock",
}


def explain(before: Cycle, event: Event, after: Cycle, actions: Sequence[Action], folder: str) -> Iterator[str]:
    """Yield what a step decided and by which rule, nothing if it decided nothing.

    Parameters
    ----------
    before, event, after, actions
        What `step` was given and has returned.
    folder
        Paths below it are told as seen from it.
    """
    match event:
        case Found():
            yield from _found(before, event, after, actions, folder)
        case Hangup() if not before.pending:
            yield f"SIGHUP from elsewhere: {_hangup(before)}"
        case Asked():
            yield "asked by hand: restart"
        case Paused(on):
            yield "paused by hand: changes wait" if on else "resumed by hand: what changed meanwhile counts now"
        case Waiting(what) if what != before.waits_for:
            yield f"waits for {what}: it restarts when that is over"
        case Started():
            run = after.run
            took = f", {duration(run.took)} after the change was noticed" if run.took is not None else ""
            yield f"started{took}" if run.number == before.run.number else f"start {run.number}{took}"
        case Exited(status, left) if not isinstance(before.phase, Closed):
            yield from _exited(before, status, after, left=left)
        case Refused(why):
            yield f"can't restart: {why}"
        case Tick() if Kill() in actions:
            yield f"not ended {duration(before.timing.stop_timeout)} after the stop signal: SIGKILL"
        case Tick() if Signal() in actions:
            yield f"it ended by itself {duration(before.pause)} ago: restart (--restart-on-exit)"


def _hangup(cycle: Cycle) -> str:
    match cycle.phase:
        case Starting():
            return "one more restart follows the one that is under way"
        case Stopping():
            return "the restart that is under way serves it"
        case _:
            return "restart"


def _exited(before: Cycle, status: int | None, after: Cycle, *, left: bool) -> Iterator[str]:
    if before.left:
        return
    lasted = f" after {duration(after.run.lasted)}" if after.run.lasted is not None else ""
    what = "the old image has left" if status is None else f"ended with status {status}{lasted}"
    yield f"{what}; processes that it started go on" if left else what


def _found(before: Cycle, found: Found, after: Cycle, actions: Sequence[Action], folder: str) -> Iterator[str]:
    if found.alike != before.found.alike and found.alike:
        yield f"{_listed(found.alike, folder)}: only comments or layout differ: no restart (but with --strict)"
    if found.unused and found.unused != before.found.unused:
        paths = [change.path for change in found.unused]
        yield f"{_listed(paths, folder)}: not used by the last run: no restart (but with --all)"
    if found.written and found.written != before.found.written:
        yield f"{_listed(found.written, folder)}: written by the run itself: no restart"
    if found.broken and found.broken != before.found.broken:
        first = found.broken[0]
        yield f"{relative(first.path, folder)}:{first.line}: {first.message}: no restart until this is mended"
    if found.changes and (before.looks.due or found.changes != before.found.changes):
        yield from _changes(before, found, after, actions, folder)


def _changes(before: Cycle, found: Found, after: Cycle, actions: Sequence[Action], folder: str) -> Iterator[str]:
    what = _changed(found.changes, folder)
    if Signal() in actions:
        burst = before.looks.burst
        waited = 0.0 if burst is None else burst.last - burst.since
        together = f" (within {duration(waited)})" if len(found.changes) > 1 else ""
        yield f"{what}{together}: restart"
    elif after.paused:
        yield f"{what}: waits, as restarts are paused"
    elif found.broken:
        yield f"{what}: waits until the syntax error is mended"
    elif after.pending or not isinstance(after.phase, Running | Ended):
        yield f"{what}: the restart that is under way serves it, or one more"
    elif after.looping:
        yield f"{what}: right after every start, so it restarts more and more slowly"
    elif found.unfinished:
        yield f"{what}: looked at again, as {' and '.join(sorted(_UNFINISHED[one] for one in found.unfinished))}"
    elif not before.looks.due and before.looks.at is None:
        yield f"{what}: found by a scan, no event told of it; restarts when it has been quiet"


def _changed(changes: Iterable[Change], folder: str) -> str:
    """Say what happened to which files, a word for those to which the same did."""
    words = {Kind.MODIFIED: "changed", Kind.ADDED: "added", Kind.DELETED: "deleted"}
    found = {kind: [change.path for change in changes if change.kind is kind] for kind in words}
    return ", ".join(f"{_listed(paths, folder)} {words[kind]}" for kind, paths in found.items() if paths)


def _listed(paths: Sequence[str], folder: str) -> str:
    more = [f"{len(paths) - NAMED} more"] if len(paths) > NAMED else []
    return " and ".join([", ".join(relative(path, folder) for path in paths[:NAMED]), *more])


#: (from, apart), in seconds: from when on it is told how far apart. Most runs end before the first.
PACE = ((2, 1), (10, 5), (60, 10), (600, 60))


def told(seconds: float) -> int:
    """Return for how many seconds a run has gone on, as far as they are told; 0 before the first time."""
    apart = _apart(seconds)
    return math.floor(seconds / apart) * apart if apart else 0


def next_at(seconds: float) -> float:
    """Return the age at which a run that is ``seconds`` old is told of next."""
    apart = _apart(seconds)
    return told(seconds) + apart if apart else PACE[0][0]


def _apart(seconds: float) -> int:
    return max((apart for since, apart in PACE if seconds >= since), default=0)
