"""The pipes between a run and this process: opened, read without waiting, and what comes on that for reports."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Set
from dataclasses import dataclass

from ipy_autorestart.decide.use import Used
from ipy_autorestart.script.program import Program

READ_BYTES = 1 << 16

#: Reads that take all a pipe may hold; more comes only from who goes on writing.
DRAIN_READS = 32


class Pipe:
    """The read end of a pipe; `take_bytes` knows the meaning of the bytes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        """Return the file descriptor, for selectors."""
        return self._fd

    @property
    def is_open(self) -> bool:
        """Whether the other end may still write."""
        return self._fd >= 0

    @property
    def is_full(self) -> bool:
        """Whether it must not be read further for now."""
        return False

    def take_bytes(self, data: bytes) -> None:
        """Keep what was read; nothing at the end."""
        raise NotImplementedError

    def read(self) -> bool:
        """Take what one read of the pipe gives and say whether it gave any; closes the pipe at its end."""
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        self.take_bytes(data)
        if not data:
            self.close()
        return bool(data)

    def drain(self) -> bool:
        """Take all that the pipe holds now, and say whether it held any; who holds its other end may go on writing."""
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
    """Descriptors to read from.

    Attributes
    ----------
    outputs
        What the run prints: its standard output and standard error; nothing if these aren't pipes of ours.
    reports
        What it reads, imports and writes.
    displays
        What it displays; not every run has it.
    """

    outputs: tuple[int, ...]
    reports: int
    displays: int | None

    def close(self) -> None:
        """Close them all."""
        for number in (*self.outputs, self.reports, self.displays):
            if number is not None:
                os.close(number)


@dataclass(frozen=True, slots=True)
class Theirs:
    """The other ends: the run's three standard streams, and what it writes reports and displays to."""

    stdio: tuple[int, int, int]
    others: tuple[int, ...]


@contextlib.contextmanager
def ends(program: Program) -> Iterator[tuple[Ends, Theirs]]:
    """Open what a run needs; its own ends are closed here at the end, and ours as well if anything fails."""
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
    ours = Ends(
        outputs=tuple(read for read, _ in outputs), reports=reports[0], displays=displays[0] if displays else None
    )
    try:
        yield ours, Theirs(stdio, (reports[1], *([displays[1]] if displays else [])))
    except BaseException:
        ours.close()
        raise
    finally:
        for number in opened:
            os.close(number)


class Reports(Pipe):
    """The read end of the pipe on which a run reports.

    Attributes
    ----------
    begun
        The shim is at work.
    imported
        Files of modules from outside of the roots in the order of their import, until the script changes its
        environment: what is imported later may depend on that.
    changes_environment
        The first variable that the script changes.

    Without a first report the shim is not at work (``python -S``, say), and a run that starts other programs may use
    what it doesn't report: in both cases everything counts.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._rest = b""
        self._complete = False
        self._read: set[str] = set()
        self._written: set[str] = set()
        self.begun = False
        self.imported: list[str] = []
        self.changes_environment = ""

    def take_bytes(self, data: bytes) -> None:
        """Take the reports in what was read."""
        *reports, self._rest = (self._rest + data).split(b"\0")
        for report in reports:
            self._take(os.fsdecode(report))

    @property
    def read_below(self) -> Set[str]:
        """Files below the roots that the run has read so far."""
        return self._read

    @property
    def used(self) -> Used:
        """What the run has read and written so far."""
        return Used(frozenset(self._read) if self._complete else None, frozenset(self._written))

    def _take(self, report: str) -> None:
        kind, path = report[:1], report[1:]
        match kind:
            case "!":
                self._complete = True
            case "b":
                self.begun = True
            case "i":
                if not self.changes_environment:
                    self.imported.append(path)
            case "e":
                self.changes_environment = self.changes_environment or path
            case "*":
                self._complete = False
            case "r":
                self._read.add(path)
            case "w":
                self._written.add(path)
