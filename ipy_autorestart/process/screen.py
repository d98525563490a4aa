"""Tells of a program's restarts on its own standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from ipy_autorestart.line import text
from ipy_autorestart.record import Status


class StderrScreen:
    """Writes a line where the program has restarted, or why it has not.

    Parameters
    ----------
    name
        The program's.
    status
        Shown last, by the image before.
    """

    takes_all = False

    def __init__(self, name: str, status: Status) -> None:
        self._name = name
        self._status = status

    def show(self, status: Status) -> None:
        """Write the status if it tells of a restart, or of something that is in its way."""
        before, self._status = self._status, status
        restarted = status.kind == "running" and status.runs != before.runs
        if restarted or (status.message and status.message != before.message):
            _write(text(self._name, status) + "\n")

    def begin(self, run: int) -> None:
        """Do nothing: the program's output is its own."""

    def write(self, stream: str, text: str) -> None:
        """Do nothing: the program's output is its own."""

    def to_state(self) -> Mapping[str, Any]:
        """Return nothing: it is made anew."""
        return {}


def _write(line: str) -> None:
    # Past the stream, whose lock the main thread may hold when a signal comes.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        os.write(sys.__stderr__.fileno(), line.encode(errors="backslashreplace"))  # type: ignore[union-attr]
