"""What a cycle looks like to a person, in words."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from ipy_autorestart.decide.cause import relative
from ipy_autorestart.decide.cycle import Cycle, Phase


def state(cycle: Cycle) -> str:
    """Return where the target stands, in a few words."""
    match cycle.phase:
        case Phase.RUNNING if cycle.signalled and cycle.timing.stop_timeout is None:
            return "waiting for the kernel to be idle"
        case Phase.RUNNING:
            return "running"
        case Phase.ENDED:
            return _ended(cycle.exit_status)
        case Phase.STOPPING if cycle.timing.stop_timeout is None:
            return "waiting for the kernel to be idle"
        case Phase.STOPPING:
            return "stopping"
        case Phase.STARTING:
            return "restarting" if cycle.runs or cycle.timing.stop_timeout is None else "starting"
        case Phase.CLOSED:
            return "ended"


def _ended(status: int | None) -> str:
    if status is None:
        return "not running"
    if status == 0:
        return "finished, waiting for a change"
    if status < 0:
        try:
            return f"killed by {signal.Signals(-status).name}, waiting for a change"
        except ValueError:
            return f"killed by signal {-status}, waiting for a change"
    return f"crashed with status {status}, waiting for a change"


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
    return ""


def _names(paths: Sequence[str], folder: str) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return relative(paths[0], folder) + more
