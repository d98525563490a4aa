"""What front and supervisor tell each other: plain data, one line of JSON each on their `link`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args


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
class Alive:
    """A process group runs, though it may not be shown yet."""

    pid: int


@dataclass(frozen=True, slots=True)
class Output:
    """Text that a run wrote to ``stream``, "stdout" or "stderr"."""

    run: int
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A MIME bundle that a run displays: anew, or in place of what it has displayed with the same ``display_id``."""

    run: int
    data: Mapping[str, Any]
    metadata: Mapping[str, Any]
    display_id: str = ""
    update: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """A run clears what it has shown; with ``wait`` only when it shows something new."""

    run: int
    wait: bool


@dataclass(frozen=True, slots=True)
class Restart:
    """The front asks for a restart."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The front holds restarts back, or lets them go on; see `Paused`."""

    on: bool = True
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The front wants no more: the target is stopped in order, which end of file alone leaves no time for.

    ``within`` so many seconds, if less than the stop timeout.
    """

    within: float | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """A signal by its number that the terminal has sent here, and that is the target's."""

    number: int


@dataclass(frozen=True, slots=True)
class Noted:
    """The kernel has got a SIGHUP and will restart when it is idle."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The kernel has been sent a SIGHUP, and is asked what it does."""


@dataclass(frozen=True, slots=True)
class Busy:
    """What the kernel must finish first: "cell 7"."""

    what: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """The kernel is about to exec: what is saved from here on belongs to the next restart."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The kernel's new image is up."""


@dataclass(frozen=True, slots=True)
class Declined:
    """The kernel can't restart and goes on as it was."""

    why: str


@dataclass(frozen=True, slots=True)
class Reran:
    """The kernel runs cells again, or has done so: in words, and whether it goes on."""

    what: str
    goes_on: bool = False


Heard = Status | Ran | Decided | Alive | Began | Output | Shown | Cleared | Ask
Said = Restart | Pause | Goodbye | Forward | Noted | Busy | Leaving | Resumed | Declined | Reran
Record = Heard | Said
"""What a front hears from its supervisor, and what it says to it."""

_RECORDS: dict[str, type[Any]] = {record.__name__: record for record in (*get_args(Heard), *get_args(Said))}


def encode(record: Record) -> bytes:
    """Return the record as one line."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}  # asdict copies pictures
    return json.dumps({"record": type(record).__name__, **fields}).encode() + b"\n"


def decode(line: bytes) -> Record:
    """Return the record that a line holds; raises ValueError for anything else."""
    fields = json.loads(line)
    kind = _RECORDS.get(fields.pop("record", ""))
    if kind is None:
        raise ValueError(f"not a record: {line[:80]!r}")
    try:
        record: Record = kind(**fields)
    except TypeError as error:
        raise ValueError(f"not a record: {line[:80]!r}") from error
    return record
