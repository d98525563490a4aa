"""What a run reads and writes below the watched roots, as the shim in its interpreter reports it."""

from __future__ import annotations

import os
from collections.abc import Set

from ipy_autorestart.decide.use import Used
from ipy_autorestart.script.pipe import Pipe


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
