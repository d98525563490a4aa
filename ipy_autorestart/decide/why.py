"""Why each decision was taken, in words: for the log, and for "why did it (not) restart?"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ipy_autorestart.decide.change import Change, Found, Kind, Unfinished
from ipy_autorestart.decide.cycle import Cycle, Phase
from ipy_autorestart.decide.event import (
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
from ipy_autorestart.decide.words import duration, relative

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
