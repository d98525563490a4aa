"""The facts of a cycle that are reported: where the target stands, and why it was started."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from ipy_autorestart.decide.change import Change


class Reason(enum.StrEnum):
    """The kinds of reasons for a start."""

    FIRST = "first"
    CHANGE = "change"
    HANGUP = "hangup"
    ASKED = "asked"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Cause:
    """The reason for a start.

    Attributes
    ----------
    reason
        "change", "hangup" (a SIGHUP from elsewhere), "asked" (by hand), "first", or "ended" (it had ended by itself).
    changes
        The first few changed files, each with a ``path`` and a ``kind``: "added", "modified" or "deleted".
    more
        How many more files have changed.
    waited
        For how many seconds the start has waited for the end of a burst of changes.
    """

    reason: Reason
    changes: tuple[Change, ...] = ()
    more: int = 0
    waited: float = field(default=0.0, compare=False)


class State(enum.StrEnum):
    """The states of a target, as they are reported."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"  # for a busy kernel
    STOPPING = "stopping"
    RESTARTING = "restarting"
    FINISHED = "finished"
    CRASHED = "crashed"
    BROKEN = "broken"  # a syntax error is held back
    PAUSED = "paused"
    IDLE = "idle"  # it could not be started
    ENDED = "ended"  # nothing is watched any more
