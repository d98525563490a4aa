"""History of a target, in the session that watches it: the latest runs, and what was decided."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

from ipy_autorestart.protocol.checkpoint import Checkpoint
from ipy_autorestart.protocol.messages import Decided, Ran, Status

#: Says why a target restarts and why it doesn't: ``logging.getLogger("ipy_autorestart").setLevel(logging.INFO)``.
log = logging.getLogger("ipy_autorestart")

#: So many of each are remembered.
RUNS_MAX, DECISIONS_MAX = 20, 20


@dataclass(frozen=True, slots=True)
class Statistics:
    """The status of a target and its history; `Supervisor.statistics` returns it.

    Attributes
    ----------
    target
        The target's name: "main.py -v", "-m app", "kernel".
    watched
        The watched folders and files.
    status
        The present `Status`.
    runs
        The latest 20 runs, oldest first.
    decisions
        The latest 20 decisions, oldest first: why it restarted, and why it didn't.
    checkpoints
        The checkpoints of a kernel, and the cells after which it has none.

    Examples
    --------
    >>> Statistics("main.py", ("src/",), Status()).to_plain()["watched"]
    ('src/',)
    """

    target: str
    watched: tuple[str, ...]
    status: Status
    runs: tuple[Ran, ...] = ()
    decisions: tuple[Decided, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return it as dictionaries, lists, strings and numbers, for JSON."""
        return dataclasses.asdict(self)


class History:
    """The latest runs and decisions of a target, oldest first; one thread writes, any may read."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.runs: tuple[Ran, ...] = ()
        self.decisions: tuple[Decided, ...] = ()

    def take(self, record: Ran | Decided) -> None:
        """Remember it; a run is reported when it starts and when it has ended."""
        if isinstance(record, Decided):
            self.decisions = (*self.decisions, record)[-DECISIONS_MAX:]
            log.info("%s: %s", self._name, record.why)
        else:
            self.runs = (*(ran for ran in self.runs if ran.run != record.run), record)[-RUNS_MAX:]
