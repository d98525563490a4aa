"""Messages between front and supervisor: `decide.events` and those below, one line of JSON each on their `link`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from ipy_autorestart.decide.change import Broken, Change
from ipy_autorestart.decide.events import (
    Ask,
    Asked,
    Close,
    Exited,
    Failed,
    Hangup,
    Moved,
    Paused,
    PushFailed,
    Refused,
    Reread,
    Started,
    Touched,
    Waiting,
)
from ipy_autorestart.decide.facts import Cause, Reason, State
from ipy_autorestart.protocol.keyed import Keyed
from ipy_autorestart.protocol.plain import CLASS, from_plain, to_json
from ipy_autorestart.protocol.request import Launch

__all__ = [
    "WATCH_COMM",
    "Ask",
    "Asked",
    "Began",
    "Cause",
    "Changed",
    "Clear",
    "Close",
    "Decided",
    "Display",
    "Exited",
    "Failed",
    "Files",
    "Forward",
    "Hangup",
    "Keyed",
    "Moved",
    "Output",
    "Paused",
    "PushFailed",
    "Ran",
    "Reason",
    "Record",
    "Refused",
    "Reran",
    "Reread",
    "Said",
    "Shown",
    "Started",
    "State",
    "Status",
    "Touched",
    "Waiting",
    "decode",
    "encode",
]


#: With this begin the names of comms that belong to a watch, not to a kernel: the next one goes on with them.
WATCH_COMM = "ipy_autorestart-"


@dataclass(frozen=True, slots=True)
class Files:
    """Some files: the ``paths`` of the first few, and how many ``more`` there are."""

    paths: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a target. Paths are relative to the folder of the watch.

    Attributes
    ----------
    state
        One word, which can be compared with a string: "starting", "running", "waiting" (for a busy kernel), "stopping",
        "restarting", "finished", "crashed", "broken" (a saved file has a syntax error), "paused", "idle" (it could not
        be started) or "ended" (nothing is watched any more).
    cause
        Why it was last started or restarted: its ``reason`` and ``changes``.
    runs
        Starts so far; for a kernel, restarts.
    exit_status
        The exit status of the last run that ended, as ``Popen.returncode`` has it; None while a run goes on.
    lasted
        How long the last run took, in seconds.
    took
        Seconds from the moment when the change was noticed until the first line of the new code ran, or until the new
        kernel answered; None as long as that isn't known.
    running_for
        For how many seconds the script has been running, in steps that become longer; 0 at first, and for a kernel.
    runs_again_in
        Seconds from the end of the last run to the start that follows without a change; None if none does.
    waits_for
        What has to end before the restart: "cell 7" of a kernel; for a script "what it imports", which is being
        imported ahead.
    error
        Why it could not be started or restarted, why its cluster can't be reached, or why the watch has ended.
    broken
        The syntax error in a saved file: ``path``, ``message``, ``line``, ``column``, and ``text``, the line itself.
    held
        Files that have changed during a pause.
    looping
        Files that change right after every start. The next start for them waits, two seconds at most.
    alike
        Files of which only comments or layout have changed.
    written
        Files that the run itself has written.
    unused
        Files that have changed, and that the run did not use.
    left
        Whether processes that an ended run has started go on until the next one.
    notes
        Other sentences, such as that a limit of the system is reached.
    rerun
        The cell that a kernel runs again after its restart, or how the rerun went.
    rerun_for
        For how many seconds that cell has been running.
    stopped
        What has stopped the rerun of cells: "stopped at cell 2: ZeroDivisionError".
    paused
        Whether restarts are held back.
    polling
        Whether some files send no events and are looked at at intervals.
    pid
        The process group that runs; 0 for none.
    warm
        Whether the last run was started warm; None for a kernel.
    preloads
        What is imported ahead, and what is not and why.
    cluster
        How many workers of the cluster have the new code: "40 of 40 workers on 3f2a · 12 restarted".

    Examples
    --------
    >>> status = Status(State.FINISHED, runs=2, exit_status=0, lasted=0.4)
    >>> status.state == "finished"
    True
    """

    state: State = State.STARTING
    cause: Cause | None = None
    runs: int = 0
    exit_status: int | None = None
    lasted: float | None = None
    took: float | None = None
    running_for: int = 0
    runs_again_in: float | None = None
    waits_for: str = ""
    error: str = ""
    broken: Broken | None = None
    held: Files | None = None
    looping: Files | None = None
    alike: Files | None = None
    written: Files | None = None
    unused: Files | None = None
    left: bool = False
    notes: tuple[str, ...] = ()
    rerun: str = ""
    rerun_for: int = 0
    stopped: str = ""
    paused: bool = False
    polling: bool = False
    pid: int = 0
    warm: bool | None = None
    preloads: str = ""
    cluster: str = ""

    def ended(self, error: str) -> Status:
        """Return what is left of it when nothing is watched any more, and why, if it is no wish."""
        return Status(
            State.ENDED,
            self.cause,
            runs=self.runs,
            exit_status=self.exit_status,
            lasted=self.lasted,
            took=self.took,
            error=error,
            warm=self.warm,
            preloads=self.preloads,
        )

    def restarting(self) -> Status:
        """Return what is left of it while the target, a kernel, replaces itself."""
        cause = self.cause if self.state is State.WAITING else None  # else that of the restart before
        return Status(State.RESTARTING, cause, runs=self.runs, notes=self.notes, polling=self.polling, pid=self.pid)


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
        Why; as in `Status`.
    took
        As in `Status`; None, too, where nothing had changed.
    lasted
        Seconds from its start to its end; None while it runs.
    exit_status
        As ``Popen.returncode`` gives it; None while it runs, and for a kernel.
    warm
        Whether it was forked from a fork server; None for a kernel.
    stopped
        Whether a signal has ended it that a restart, or the end of the watch, has sent.
    """

    run: int
    at: float
    cause: Cause | None = None
    took: float | None = None
    lasted: float | None = None
    exit_status: int | None = None
    warm: bool | None = None
    stopped: bool = False


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
class Changed:
    """The answer to a kernel that has said `Exited`, when its baseline is committed.

    Attributes
    ----------
    pid
        Of that kernel; the answer to another one that came late is of no use.
    reason
        Why it restarts: "change", "asked" (by hand, which what has changed besides doesn't alter) or "hangup" (from
        elsewhere, or from another supervisor).
    changes
        All files, by absolute paths, that the kernel or a copy of it may have read otherwise than they are: what has
        changed since its start, used or not. Files of which only comments or layout have changed are left out.
    put_back
        Files that are as they were at its start, and may have been read while they were otherwise.
    """

    pid: int
    reason: Reason
    changes: tuple[Change, ...] = ()
    put_back: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """A signal of the terminal that the target is to get."""

    signum: int


@dataclass(frozen=True, slots=True)
class Reran:
    """The kernel runs cells again, or has done so: in words, and whether it goes on; without words, it is about to.

    ``stopped`` says, as in `Status`, what has stopped it before its end.
    """

    what: str
    goes_on: bool = False
    stopped: str = ""


Shown = Began | Output | Display | Clear
Heard = Status | Ran | Decided | Ask | Changed | Touched | Keyed | PushFailed | Shown
Said = Asked | Paused | Close | Hangup | Waiting | Exited | Started | Failed | Refused | Reread
Record = Heard | Said | Reran | Forward | Moved
"""Records of a run's output, of all that a front hears, of events that it reports, and of everything on a link."""

_RECORDS: dict[str, type[Record]] = {record.__name__: record for record in get_args(Record)}


def encode(message: Record | Launch) -> bytes:
    """Return the message as one line."""
    return to_json(message, []).encode() + b"\n"


def decode(line: bytes) -> Record:
    """Return the record that a line holds; raises ValueError for anything else."""
    plain = json.loads(line)
    try:
        kind = _RECORDS[plain[CLASS]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a record: {line[:80]!r}") from error
    return from_plain(kind, plain)
