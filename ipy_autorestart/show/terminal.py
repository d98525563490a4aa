"""A target shown in a terminal: that of an IPython, or a program's standard error."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from ipy_autorestart.pristine import os
from ipy_autorestart.protocol.messages import State, Status
from ipy_autorestart.show.status import is_later, message, status_line
from ipy_autorestart.show.tracebacks import Tracebacks, style_of
from ipy_autorestart.text import wrapped


def fitted(line: str, fd: int) -> str:
    """Return a line as lines that fit the terminal at a descriptor; as it is, if there is none."""
    try:
        columns = os.get_terminal_size(fd).columns
    except OSError:
        return line
    return wrapped(line, columns) if columns else line


class Lines(Protocol):
    """A terminal, of which no line is torn."""

    def say(self, speaker: str, line: str) -> None:
        """Write a line as soon as it stands alone."""

    def write(self, stream: str, text: str) -> None:
        """Write what a program wrote."""


#: Not worth a line.
BRIEF = frozenset({State.STARTING, State.RESTARTING})


class News:
    """Tells which statuses are worth a line where lines stay, given the one that was shown last.

    A run that probably ends as the one before did, without an error, has one line, at its end or when it goes on. The
    first one has, too, unless ``tells_first``.
    """

    def __init__(self, name: str, status: Status = Status(), *, tells_first: bool = False) -> None:  # noqa: B008  # a value
        self._name = name
        self._status = status
        self._shown = ""
        self._has_finished, self._is_held = not (tells_first or status.runs), False

    def line(self, status: Status) -> str:
        """Return the line of a status, or nothing."""
        before, self._status = self._status, status
        line, is_plain = status_line(self._name, status), not message(status)
        runs = status.state is State.RUNNING and is_plain
        if runs and status.runs != before.runs:
            self._is_held = self._has_finished and status.warm is not None  # a kernel doesn't finish
        if status.state not in (*BRIEF, State.RUNNING):
            self._has_finished = status.state is State.FINISHED
        if self._is_held and runs:
            if not status.running_for:
                return ""
        elif (is_plain and _is_brief(status, before)) or line == self._shown or is_later(status, before):
            return ""
        self._is_held = False
        self._shown = line
        return line


def _is_brief(status: Status, before: Status) -> bool:
    """Return whether a status isn't worth a line: something else follows, or what is waited for is known."""
    waits = status.state is State.WAITING
    return status.state in BRIEF or (
        waits and status.waits_for == (before.waits_for if before.state is status.state else "")
    )


class TerminalScreen:
    """Shows a target of a terminal IPython: its output as it comes, its status where it changes, but for the time.

    A run's tracebacks are coloured as those of the shell, unless ``NO_COLOR`` is set.
    """

    takes_all = True  # a slow terminal slows a program, as ever

    def __init__(self, lines: Lines, name: str, shell: object = None) -> None:
        self._lines = lines
        self._tracebacks = Tracebacks(lambda: None if os.environ.get("NO_COLOR") else style_of(shell))
        self._name = name
        self._news = News(name)

    def to_state(self) -> dict[str, Any]:
        """Return nothing: a terminal is found again without."""
        return {}

    def show(self, status: Status) -> None:
        """Write the status in a line of its own, if it reads differently."""
        self._lines.write("stderr", self._tracebacks.flush())
        if line := self._news.line(status):
            self._lines.say(self._name, wrapped(line, shutil.get_terminal_size().columns))

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
            # Past the stream, whose lock the main thread may hold when a signal comes.
            with contextlib.suppress(AttributeError, ValueError, OSError):
                fd = sys.__stderr__.fileno()  # type: ignore[union-attr]
                line = fitted(status_line(self._name, status), fd)
                os.write(fd, f"{line}\n".encode(errors="backslashreplace"))

    def begin(self, run: int) -> None:
        """Do nothing: the program's output is its own."""

    def write(self, stream: str, text: str) -> None:
        """Do nothing: the program's output is its own."""

    def to_state(self) -> Mapping[str, Any]:
        """Return nothing: the new image makes its own."""
        return {}
