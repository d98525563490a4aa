"""What a front remembers of a target: its latest runs, and what was decided."""

from __future__ import annotations

import collections
import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

from ipy_autorestart.protocol.messages import Decided, Ran, Status

#: Told why it restarts and why it doesn't: ``logging.getLogger("ipy_autorestart").setLevel(logging.INFO)``.
log = logging.getLogger("ipy_autorestart")

#: So many of each are remembered.
RUNS_MAX, DECISIONS_MAX = 20, 20


@dataclass(frozen=True, slots=True)
class Statistics:
    """A target as it stands and how it got there.

    Attributes
    ----------
    target
        Its name: "main.py -v", "-m app", "kernel".
    watched
        Folders and files.
    status
        Where it stands.
    runs
        The latest 20, oldest first.
    decisions
        The latest 20, oldest first: why it restarted, and why it didn't.
    """

    target: str
    watched: tuple[str, ...]
    status: Status
    runs: tuple[Ran, ...] = ()
    decisions: tuple[Decided, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """Return what JSON can say."""
        return dataclasses.asdict(self)


class History:
    """Takes what a supervisor tells of runs and decisions; one thread writes, any may read."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._runs: tuple[Ran, ...] = ()
        self._decisions: collections.deque[Decided] = collections.deque(maxlen=DECISIONS_MAX)

    def take(self, record: Ran | Decided) -> None:
        """Remember it; a run is told of when it starts and when it has ended."""
        if isinstance(record, Decided):
            self._decisions.append(record)
            log.info("%s: %s", self._name, record.why)
        else:
            self._runs = (*(ran for ran in self._runs if ran.run != record.run), record)[-RUNS_MAX:]

    @property
    def runs(self) -> tuple[Ran, ...]:
        """The latest runs, oldest first."""
        return self._runs

    @property
    def decisions(self) -> tuple[Decided, ...]:
        """The latest decisions, oldest first."""
        return tuple(self._decisions)

    def restore(self, runs: tuple[Ran, ...], decisions: tuple[Decided, ...]) -> None:
        """Remember what another image of this process remembered."""
        self._runs = runs
        self._decisions.extend(decisions)
