"""Pipes between a run and the supervisor: how they are opened, read without waiting, and the reports in one of them."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipy_autorestart.script.program import Program

if TYPE_CHECKING:
    from ipy_autorestart.decide.use import Used

READ_BYTES = 1 << 16

#: Reads that empty the largest pipe; more comes only from a writer that goes on.
DRAIN_READS = 32


class Pipe:
    """The read end of a pipe; this one is read for its writer's sake, who would be killed if it were closed."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self._fd

    @property
    def is_open(self) -> bool:
        """Whether the other end may still be written to."""
        return self._fd >= 0

    @property
    def is_full(self) -> bool:
        """Whether it must not be read for now."""
        return False

    def take_bytes(self, data: bytes) -> None:
        """Take bytes that were read; none mean the end. Those that know their meaning keep them."""

    def read(self) -> bool:
        """Read once; return whether anything came. At its end the pipe is closed."""
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        self.take_bytes(data)
        if not data:
            self.close()
        return bool(data)

    def drain(self) -> bool:
        """Read all that the pipe holds now, however fast the writer is; return whether it held anything."""
        for count in range(DRAIN_READS):
            if not self.is_open or not self.read():
                return count > 0
        return True

    def close(self) -> None:
        """Close the pipe."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The supervisor's ends of a run's pipes.

    Attributes
    ----------
    outputs
        Standard output and standard error; empty if the run has streams of another process.
    reports
        Reports of what the run reads, imports and writes.
    displays
        Displays; not every run has such a pipe.
    ports
        A socket for the sockets on which the run listens, if these are kept.
    """

    outputs: tuple[int, ...]
    reports: int
    displays: int | None
    ports: int | None = None

    def close(self) -> None:
        """Close all of them."""
        for fd in (*self.outputs, self.reports, self.displays, self.ports):
            if fd is not None:
                os.close(fd)


def no_ends() -> Ends:
    """Return those of a process that has no pipes from here."""
    read, write = os.pipe()
    os.close(write)
    return Ends(outputs=(), reports=read, displays=None)


@dataclass(frozen=True, slots=True)
class Theirs:
    """The run's ends: its three standard streams, and those for reports, displays and ports, if it has them.

    The sockets that all runs get come last.
    """

    stdio: tuple[int, int, int]
    others: tuple[int, ...]


@contextlib.contextmanager
def ends(program: Program) -> Iterator[tuple[Ends, Theirs]]:
    """Open the pipes of a run; on leaving, the run's ends are closed, and if anything failed, ours too."""
    opened: list[int] = []

    def pipe() -> tuple[int, int]:
        read, write = os.pipe()
        opened.append(write)
        return read, write

    outputs: tuple[tuple[int, int], ...] = ()
    if program.stdio is None:
        outputs = (pipe(), pipe())
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        opened.append(nothing)
        stdio = (nothing, outputs[0][1], outputs[1][1])
    else:
        stdio = program.stdio
    reports = pipe()
    displays = pipe() if program.displays else None
    ports = None
    if program.keeps_ports:
        ports, theirs = (one.detach() for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        opened.append(theirs)
    ours = Ends(
        outputs=tuple(read for read, _ in outputs),
        reports=reports[0],
        displays=displays[0] if displays else None,
        ports=ports,
    )
    try:
        others = [reports[1], *([displays[1]] if displays else []), *([theirs] if program.keeps_ports else [])]
        yield ours, Theirs(stdio, (*others, *program.sockets))
    except BaseException:
        ours.close()
        raise
    finally:
        for fd in opened:
            os.close(fd)


class ReportPipe(Pipe):
    """The read end of a run's pipe for reports.

    Attributes
    ----------
    begun
        The run has sent its first report. Without one the shim is not at work, as with ``python -S``.
    begun_at
        When its first line was about to run, in seconds of the monotonic clock, if that report has said so.
    imported
        Files of modules outside the roots, in the order of import.
    read_below, written
        Files below the roots that the run has read, and those that it has written, so far.
    sought
        Names of modules that it has looked for, but for those of installed packages.
    read_beside, written_beside
        Files that it has read and written in the folder of `Program.beside`, but below no root.
    is_complete
        Whether those below the roots are all: it may have read any if it has started other programs, or doesn't report.
    changes_environment, late
        The first variable that the script changes, and files of modules that it imports after that: their imports may
        depend on it.
    has_asked
        Whether the run has called ``input()``.
    wants_cold
        The package whose import has made the run ask for a cold start in its place, and why; None if it hasn't.
    ended_at
        When its end was read, in seconds of the monotonic clock.
    at_start
        The states (`state_of`) in which a kernel has found, during its start, all files and folders that it has read
        or looked for.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._rest = b""
        self.at_start: dict[str, str] = {}
        self.is_complete = False
        self.read_below: set[str] = set()
        self.sought: set[str] = set()
        self.written: set[str] = set()
        self.read_beside: dict[str, None] = {}  # in their order
        self.written_beside: set[str] = set()
        self.ended_at = math.inf
        self.begun = False
        self.begun_at: float | None = None
        self.imported: list[str] = []
        self.changes_environment = ""
        self.late: set[str] = set()
        self.has_asked = False
        self.wants_cold: tuple[str, str] | None = None

    def take_bytes(self, data: bytes) -> None:
        """Take the reports out of the bytes."""
        if not data:
            self.ended_at = time.monotonic()
        *reports, self._rest = (self._rest + data).split(b"\0")
        for report in map(os.fsdecode, reports):
            kind, path = report[:1], report[1:]
            match kind:
                case "!":
                    self.is_complete = True
                case "b":
                    self.begun = True
                    with contextlib.suppress(ValueError):
                        self.begun_at = float(path)
                case "i":
                    self.imported.append(path)
                    if self.changes_environment:
                        self.late.add(path)
                case "e":
                    self.changes_environment = self.changes_environment or path
                case "s":
                    state, _, path = path.partition(" ")
                    self.at_start.setdefault(path, state)
                case "c":
                    name, _, why = path.partition(" ")
                    self.wants_cold = name, why
                case "*":
                    self.is_complete = False
                case "q":
                    self.has_asked = True
                case "r":
                    self.read_below.add(path)
                case "m":
                    self.sought.add(path)
                case "w":
                    self.written.add(path)
                case "d":
                    self.read_beside[path] = None
                case "o":
                    self.written_beside.add(path)

    @property
    def used(self) -> Used:
        """Files that the run has read and written so far; it may have read any if it has started other programs."""
        from ipy_autorestart.decide.use import Used  # a proxy, which starts sooner without, has no need of it

        read = frozenset(self.read_below) if self.is_complete else None
        return Used(read, frozenset(self.written), frozenset(self.sought))


def state_of(path: str) -> str:
    """Return what tells the state of a file or folder from other states, as the shim reports it; empty for none."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_mtime_ns}.{found.st_size}.{found.st_ino}"
