"""A cycle in words: where the target stands, why each decision was taken, how often it is told."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Iterator, Sequence

from ipy_autorestart.decide.change import Broken, Change, Found, Kind, Unfinished
from ipy_autorestart.decide.cycle import Cycle, Phase
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
            return f"syntax error at {_place(cycle.broken[0], folder)}"
        case "paused":
            last = going if cycle.phase is Phase.RUNNING else _ended(cycle)
            return f"paused, {last}" if cycle.timing.stop_timeout is not None and last else "paused"
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
    stops_itself = cycle.timing.stop_timeout is None
    match cycle.phase:
        case Phase.STOPPING:
            return "waiting" if stops_itself else "stopping"
        case Phase.STARTING:
            return "restarting" if cycle.runs or stops_itself else "starting"
        case Phase.CLOSED:
            return "ended"
        case Phase.RUNNING if cycle.signalled and stops_itself:
            return "waiting"
    if cycle.paused:
        return "paused"
    if cycle.broken and not cycle.refusal:
        return "broken"
    if cycle.phase is Phase.RUNNING:
        return "running"
    if cycle.exit_status is None:
        return "idle"
    return "crashed" if cycle.exit_status else "finished"


def excerpt(cycle: Cycle) -> str:
    """Return the line of a syntax error with a caret below the place, or nothing."""
    if not cycle.broken or cycle.refusal or not cycle.broken[0].text.strip():
        return ""
    text, column = cycle.broken[0].text, cycle.broken[0].column
    before = "".join("\t" if sign == "\t" else " " for sign in text[: max(column - 1, 0)])
    return f"{text}\n{before}^" if column else text


def _place(broken: Broken, folder: str) -> str:
    where = relative(broken.path, folder)
    return f"{where}:{broken.line}" if broken.line else where


def _ended(cycle: Cycle) -> str:
    if cycle.exit_status is None:
        return ""
    status = cycle.exit_status
    after = f" after {duration(cycle.lasted)}" if cycle.lasted is not None else ""
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
    if cycle.respawn_at is not None and not cycle.broken:
        return f"runs again in {duration(cycle.pause)}"
    return "waiting for a change"


def message(cycle: Cycle, folder: str) -> str:
    """Return what else is worth a sentence, or nothing; paths as seen from ``folder``."""
    if cycle.refusal:
        return cycle.refusal
    if cycle.broken:
        return f"{cycle.broken[0].message}; {_held(cycle)}"
    if cycle.paused and cycle.changes:
        return f"{_names([change.path for change in cycle.changes], folder)} changed meanwhile"
    if cycle.looping:
        return f"{_names(cycle.looping, folder)} changes right after every start: restarted more and more slowly"
    if cycle.alike and not cycle.changes:
        return f"only comments or layout changed in {_names(cycle.alike, folder)}: not restarted"
    if cycle.written:
        return f"{_names(cycle.written, folder)} is written by the run itself: not restarted"
    if cycle.unused:
        return (
            f"{_names([change.path for change in cycle.unused], folder)} changed, of no use to this run: not restarted"
        )
    if cycle.left and cycle.phase is Phase.ENDED:
        return "processes that it started go on until the next restart"
    return ""


def _held(cycle: Cycle) -> str:
    if cycle.phase is Phase.RUNNING:
        return "what runs goes on"
    return "it runs again when this is mended"


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
        case Hangup() if not before.signalled:
            yield f"SIGHUP from elsewhere: {_hangup(before)}"
        case Asked():
            yield "asked by hand: restart"
        case Paused(on):
            yield "paused by hand: changes wait" if on else "resumed by hand: what changed meanwhile counts now"
        case Waiting(what) if what != before.waits_for:
            yield f"waits for {what}: it restarts when that is over"
        case Started():
            took = f", {duration(after.took)} after the change was noticed" if after.took is not None else ""
            yield f"started{took}" if after.runs == before.runs else f"start {after.runs}{took}"
        case Exited(status, left) if before.phase is not Phase.CLOSED:
            yield from _exited(before, status, after, left=left)
        case Refused(why):
            yield f"can't restart: {why}"
        case Tick() if Kill() in actions:
            yield f"not ended {duration(before.timing.stop_timeout or 0)} after the stop signal: SIGKILL"
        case Tick() if Signal() in actions:
            yield f"it ended by itself {duration(before.pause)} ago: restart (--restart-on-exit)"


def _hangup(cycle: Cycle) -> str:
    match cycle.phase:
        case Phase.STARTING:
            return "one more restart follows the one that is under way"
        case Phase.STOPPING:
            return "the restart that is under way serves it"
        case _:
            return "restart"


def _exited(before: Cycle, status: int | None, after: Cycle, *, left: bool) -> Iterator[str]:
    if before.left:
        return
    lasted = f" after {duration(after.lasted)}" if after.lasted is not None else ""
    what = "the old image has left" if status is None else f"ended with status {status}{lasted}"
    yield f"{what}; processes that it started go on" if left else what


def _found(before: Cycle, found: Found, after: Cycle, actions: Sequence[Action], folder: str) -> Iterator[str]:
    if found.alike != before.alike and found.alike:
        yield f"{_listed(found.alike, folder)}: only comments or layout differ: no restart (but with --strict)"
    if found.unused and found.unused != before.unused:
        paths = [change.path for change in found.unused]
        yield f"{_listed(paths, folder)}: not used by the last run: no restart (but with --all)"
    if found.written and found.written != before.written:
        yield f"{_listed(found.written, folder)}: written by the run itself: no restart"
    if found.broken and found.broken != before.broken:
        first = found.broken[0]
        yield f"{relative(first.path, folder)}:{first.line}: {first.message}: no restart until this is mended"
    if found.changes and (before.due or found.changes != before.changes):
        yield from _changes(before, found, after, actions, folder)


def _changes(before: Cycle, found: Found, after: Cycle, actions: Sequence[Action], folder: str) -> Iterator[str]:
    what = _changed(found.changes, folder)
    if Signal() in actions:
        waited = 0.0 if before.burst is None else before.burst.last - before.burst.since
        together = f" (within {duration(waited)})" if len(found.changes) > 1 else ""
        yield f"{what}{together}: restart"
    elif after.paused:
        yield f"{what}: waits, as restarts are paused"
    elif found.broken:
        yield f"{what}: waits until the syntax error is mended"
    elif after.signalled or after.phase not in (Phase.RUNNING, Phase.ENDED):
        yield f"{what}: the restart that is under way serves it, or one more"
    elif after.looping:
        yield f"{what}: right after every start, so it restarts more and more slowly"
    elif found.unfinished:
        yield f"{what}: looked at again, as {' and '.join(sorted(_UNFINISHED[one] for one in found.unfinished))}"
    elif not before.due and before.look_at is None:
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
