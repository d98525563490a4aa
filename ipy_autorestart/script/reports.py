"""What a run reads and writes below the watched roots, as the shim in its interpreter reports it."""

from __future__ import annotations

import importlib.util
import os

from ipy_autorestart.decide.use import Used

READ_BYTES = 1 << 16


class Reports:
    """The read end of the pipe on which a run reports.

    Without a first report the shim is not at work (``python -S``, say), and a run that starts other programs may use
    what it doesn't report: in both cases everything counts.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        self._complete = False
        self._read: set[str] = set()
        self._written: set[str] = set()
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
        """Whether it must not be read further: never, as a report that waits would hold up the run."""
        return False

    def read(self) -> bool:
        """Take what one read of the pipe gives and say whether it gave any; closes the pipe at its end."""
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return False
        *reports, self._rest = (self._rest + data).split(b"\0")
        for report in reports:
            self._take(os.fsdecode(report))
        if not data:
            self.close()
        return bool(data)

    def drain(self) -> None:
        """Take all that the pipe holds now."""
        while self.is_open and self.read():
            pass

    @property
    def used(self) -> Used:
        """What the run has read and written so far."""
        return Used(frozenset(self._read) if self._complete else None, frozenset(self._written))

    def _take(self, report: str) -> None:
        kind, path = report[:1], report[1:]
        match kind:
            case "!":
                self._complete = True
            case "*":
                self._complete = False
            case "r":
                self._read.add(_source(path))
            case "w":
                self._written.add(path)

    def close(self) -> None:
        """Close the pipe."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _source(path: str) -> str:
    """Return the source of a compiled module, and any other path as it is."""
    if path.endswith(".pyc"):
        try:
            return importlib.util.source_from_cache(path)
        except ValueError:  # it lies somewhere else than where Python puts it
            return path
    return path
