"""What a cycle looks like to a person, in words."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from ipy_autorestart.decide.cycle import Cycle, Phase
from ipy_autorestart.decide.words import duration, relative


def state(cycle: Cycle) -> str:
    """Return where the target stands, in a few words."""
    match cycle.phase:
        case Phase.RUNNING if cycle.signalled and cycle.timing.stop_timeout is None:
            return f"waiting for {cycle.waits_for or 'the kernel to be idle'}"
        case Phase.RUNNING:
            return "running"
        case Phase.ENDED:
            return f"{_ended(cycle)}, {_next(cycle)}" if cycle.exit_status is not None else "not running"
        case Phase.STOPPING if cycle.timing.stop_timeout is None:
            return f"waiting for {cycle.waits_for or 'the kernel to be idle'}"
        case Phase.STOPPING:
            return "stopping"
        case Phase.STARTING:
            return "restarting" if cycle.runs or cycle.timing.stop_timeout is None else "starting"
        case Phase.CLOSED:
            return "ended"


def _ended(cycle: Cycle) -> str:
    status = cycle.exit_status or 0
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
        first = cycle.broken[0]
        where = f"{relative(first.path, folder)}, line {first.line}" if first.line else relative(first.path, folder)
        return f"syntax error in {where}: {first.message}; what runs goes on"
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


def _names(paths: Sequence[str], folder: str) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return relative(paths[0], folder) + more
