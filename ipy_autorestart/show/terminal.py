"""A target shown in a terminal: that of an IPython, or a program's standard error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from ipy_autorestart.pristine import os
from ipy_autorestart.protocol.messages import State, Status
from ipy_autorestart.show.status import is_later, message, status_line
from ipy_autorestart.show.tracebacks import Tracebacks, style_of


class Lines(Protocol):
    """A terminal, of which no line is torn."""

    def say(self, speaker: str, line: str) -> None:
        """Write a line as soon as it stands alone."""

    def write(self, stream: str, text: str) -> None:
        """Write what a program wrote."""


class TerminalScreen:
    """Shows a target of a terminal IPython: its output as it comes, its status where it changes, but for the time.

    A run's tracebacks are coloured as those of the shell.
    """

    takes_all = True  # a slow terminal slows a program, as ever

    def __init__(self, lines: Lines, name: str, shell: object = None) -> None:
        self._lines = lines
        self._tracebacks = Tracebacks(lambda: style_of(shell))
        self._name = name
        self._status = Status()
        self._shown = ""

    def to_state(self) -> dict[str, Any]:
        """Return nothing: a terminal is found again without."""
        return {}

    def show(self, status: Status) -> None:
        """Write the status in a line of its own, if it reads differently."""
        self._lines.write("stderr", self._tracebacks.flush())
        before, self._status = self._status, status
        line = status_line(self._name, status)
        if line != self._shown and not is_later(status, before):
            self._shown = line
            self._lines.say(self._name, line)

    def begin(self, run: int) -> None:
        """Do nothing: a terminal keeps what was shown."""

    def write(self, stream: str, text: str) -> None:
        """Write what the run wrote."""
        self._lines.write(stream, self._tracebacks.feed(text) if stream == "stderr" else text)


class StderrScreen:
    """Writes a line where the program has restarted, or why it has not; the image before has shown a status last."""

    takes_all = False

    def __init__(self, name: str, status: Status) -> None:
        self._name = name
        self._status = status

    def show(self, status: Status) -> None:
        """Write the status if the program has restarted, or can't."""
        before, self._status = self._status, status
        restarted = status.state is State.RUNNING and status.runs != before.runs
        if restarted or message(status) not in ("", message(before)):
            line = status_line(self._name, status) + "\n"
            # Past the stream, whose lock the main thread may hold when a signal comes.
            with contextlib.suppress(AttributeError, ValueError, OSError):
                os.write(sys.__stderr__.fileno(), line.encode(errors="backslashreplace"))  # type: ignore[union-attr]

    def begin(self, run: int) -> None:
        """Do nothing: the program's output is its own."""

    def write(self, stream: str, text: str) -> None:
        """Do nothing: the program's output is its own."""

    def to_state(self) -> Mapping[str, Any]:
        """Return nothing: the new image makes its own."""
        return {}
