"""Messages between front and supervisor: `decide.events` and those below, one line of JSON each on their `link`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from ipy_autorestart.decide.events import Asked, Close, Exited, Hangup, Paused, Refused, Started, Waiting
from ipy_autorestart.protocol.plain import from_json, to_json
from ipy_autorestart.protocol.request import Launch

__all__ = [
    "Ask",
    "Asked",
    "Began",
    "Clear",
    "Close",
    "Decided",
    "Display",
    "Exited",
    "Forward",
    "Hangup",
    "Output",
    "Paused",
    "Ran",
    "Record",
    "Refused",
    "Reran",
    "Said",
    "Shown",
    "Started",
    "Status",
    "Waiting",
    "decode",
    "encode",
]


@dataclass(frozen=True, slots=True)
class Status:
    """What a person wants to know of a target, as it stands now.

    Attributes
    ----------
    state
        In a few words: "running for 12 s", "finished after 3.0 s, waiting for a change", "waiting for cell 7" …
    kind
        In one word: "starting", "running", "waiting" (for a busy kernel), "stopping", "restarting", "finished",
        "crashed", "broken" (a syntax error is held back), "paused", "idle" or "ended".
    cause
        Why it last restarted: "src/a.py changed".
    runs
        Starts so far; for a kernel, restarts.
    exit_status
        Of the last run that ended, as ``Popen.returncode`` gives it; None while it runs.
    lasted
        Seconds from its start to its end.
    took
        Seconds from noticing the change to the new start.
    message
        What else is worth a sentence: a limit met, what is wrong with a file that is held back.
    excerpt
        The line of a syntax error that is held back, and a caret below the place.
    paused
        Whether restarts are held back.
    polling
        Whether some changes are found by looking at intervals alone.
    pid
        Of the process group that runs, 0 for none.
    warm
        Whether the last run was forked from a fork server; None for a kernel.
    preloads
        What the fork server has imported ahead, and what it has not and why.
    """

    state: str = "starting"
    kind: str = "starting"
    cause: str = ""
    runs: int = 0
    exit_status: int | None = None
    lasted: float | None = None
    took: float | None = None
    message: str = ""
    excerpt: str = ""
    paused: bool = False
    polling: bool = False
    pid: int = 0
    warm: bool | None = None
    preloads: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run, or one life of the kernel after a restart.

    Attributes
    ----------
    run
        Its number, from 1.
    at
        When it started, in seconds since 1970.
    cause
        Why.
    took
        Seconds from noticing the change to the start; None where nothing had changed.
    lasted
        Seconds from its start to its end; None while it runs.
    exit_status
        As ``Popen.returncode`` gives it; None while it runs, and for a kernel.
    warm
        Whether it was forked from a fork server; None for a kernel.
    """

    run: int
    at: float
    cause: str = ""
    took: float | None = None
    lasted: float | None = None
    exit_status: int | None = None
    warm: bool | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided, by which rule; ``at`` in seconds since 1970."""

    at: float
    why: str


@dataclass(frozen=True, slots=True)
class Began:
    """A run has begun; what it prints carries the same number."""

    run: int


@dataclass(frozen=True, slots=True)
class Output:
    """Text that a run wrote to ``stream``, "stdout" or "stderr"."""

    run: int
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Display:
    """A MIME bundle that a run displays: anew, or in place of what it has displayed with the same ``display_id``."""

    data: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    display_id: str = ""
    update: bool = False
    run: int = 0


@dataclass(frozen=True, slots=True)
class Clear:
    """A run clears what it has shown; with ``wait`` only when it shows something new."""

    wait: bool
    run: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """The kernel has been sent a SIGHUP, and is asked what it does."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A signal of the terminal that the target is to get."""

    signum: int


@dataclass(frozen=True, slots=True)
class Reran:
    """The kernel runs cells again, or has done so: in words, and whether it goes on."""

    what: str
    goes_on: bool = False


Shown = Began | Output | Display | Clear
Heard = Status | Ran | Decided | Ask | Shown
Said = Asked | Paused | Close | Hangup | Waiting | Exited | Started | Refused
Record = Heard | Said | Reran | Forward
"""Records of a run's output, of all that a front hears, of events that it reports, and of everything on a link."""

_RECORDS: dict[str, type[Record]] = {record.__name__: record for record in get_args(Record)}


def encode(message: Record | Launch) -> bytes:
    """Return the message as one line."""
    return to_json(message, []).encode() + b"\n"


def decode(line: bytes) -> Record:
    """Return the record that a line holds; raises ValueError for anything else."""
    try:
        kind = _RECORDS[json.loads(line)["class"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a record: {line[:80]!r}") from error
    return from_json(kind, line)
