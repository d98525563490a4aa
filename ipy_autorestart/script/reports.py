"""What a run reads and writes below the watched roots, as the shim in its interpreter reports it."""

from __future__ import annotations

import importlib.util
import os

from ipy_autorestart.decide.use import Used
from ipy_autorestart.script.pipe import Pipe


class Reports(Pipe):
    """The read end of the pipe on which a run reports.

    Without a first report the shim is not at work (``python -S``, say), and a run that starts other programs may use
    what it doesn't report: in both cases everything counts.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._rest = b""
        self._complete = False
        self._read: set[str] = set()
        self._written: set[str] = set()

    def take_bytes(self, data: bytes) -> None:
        """Take the reports in what was read."""
        *reports, self._rest = (self._rest + data).split(b"\0")
        for report in reports:
            self._take(os.fsdecode(report))

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


def _source(path: str) -> str:
    """Return the source of a compiled module, and any other path as it is."""
    if path.endswith(".pyc"):
        try:
            return importlib.util.source_from_cache(path)
        except ValueError:  # it lies somewhere else than where Python puts it
            return path
    return path
