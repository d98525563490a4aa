"""The records between front and supervisor: one line of JSON each, over one private socket pair.

Nothing but plain data travels. End of file means that the other side is gone.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

log = logging.getLogger(__name__)


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


class Link:
    """One end of the socket pair; for one reading thread, while any thread may send.

    A send never blocks: what the socket doesn't take at once is kept and goes out with `flush`. Whoever sends much
    looks at `backlog` and holds back.
    """

    def __init__(self, sock: socket.socket, received: bytes = b"") -> None:
        sock.settimeout(0)
        self._socket = sock
        self.received = received  # the beginning of a record whose rest has not come yet
        self._unsent = bytearray()
        self._sending = threading.Lock()

    def fileno(self) -> int:
        """Return the file descriptor, for selectors."""
        return self._socket.fileno()

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._unsent)

    def send(self, record: Record) -> None:
        """Send a record, as far as the socket takes it now; does nothing once the other side is gone."""
        with self._sending:
            self._unsent += encode(record)
        self.flush()

    def flush(self) -> None:
        """Send what is kept, as far as the socket takes it now."""
        with self._sending:
            while self._unsent:
                try:
                    sent = self._socket.send(self._unsent)
                except BlockingIOError:
                    return
                except OSError:  # the other side is gone, or this end is closed
                    self._unsent.clear()
                    return
                del self._unsent[:sent]

    def receive(self) -> Iterator[Record]:
        """Yield the records that have arrived; raises EOFError when the other side is gone."""
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        *lines, self.received = (self.received + data).split(b"\n")
        for line in lines:
            try:
                record = decode(line)
            except ValueError:  # the other side is of another version: what both know goes on
                log.exception("not understood")
                continue
            yield record

    def detach(self) -> int:
        """Give up the socket and return its file descriptor."""
        return self._socket.detach()

    def close(self) -> None:
        """Close this end; not in the middle of a send, whose number might be another file's by then."""
        with self._sending:
            self._socket.close()
