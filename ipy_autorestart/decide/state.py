"""What a cycle looks like to a person, in words."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from ipy_autorestart.decide.change import Broken
from ipy_autorestart.decide.cycle import Cycle, Phase
from ipy_autorestart.decide.words import duration, relative


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
