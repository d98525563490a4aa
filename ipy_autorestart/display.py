"""A target's status in text and HTML (pure), and the one live display in the cell that started the watch."""

from __future__ import annotations

import html
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ipy_autorestart.decide.words import duration
from ipy_autorestart.link import Status


def words(name: str, status: Status) -> list[str]:
    """Return the parts of a status line: state, cause with its duration, number of runs, message."""
    parts = [status.state]
    if status.cause:
        how = ", warm" if status.warm else ""
        took = f" ({duration(status.took)}{how})" if status.took is not None else ""
        parts.append(f"{status.cause}{took}")
    if status.runs:
        what = "restart" if name == "kernel" else "run"
        parts.append(f"{status.runs} {what}{'' if status.runs == 1 else 's'}")
    if status.message:
        parts.append(status.message)
    return parts


def text(name: str, status: Status) -> str:
    """Return the status line as text."""
    return f"⟳ {name} · " + " · ".join(words(name, status))


def bundle(name: str, status: Status) -> dict[str, str]:
    """Return the status line as a MIME bundle."""
    rest = " · ".join(map(html.escape, words(name, status)))
    line = f'<div style="opacity: 0.75">⟳ <b>{html.escape(name)}</b> · {rest}</div>'
    return {"text/plain": text(name, status), "text/html": line}


HEADINGS = ("target", "watched", "state", "runs", "last cause", "last start", "exit status")


def table(rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> dict[str, str]:
    """Return rows under `HEADINGS`, with notes below, as a MIME bundle."""
    if not rows:
        return {"text/plain": "nothing is watched", "text/html": "<i>nothing is watched</i>"}
    columns = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(row, columns, strict=True)) for row in (HEADINGS, *rows)
    ]
    head = "".join(f"<th>{html.escape(word)}</th>" for word in HEADINGS)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(word)}</td>" for word in row) + "</tr>" for row in rows)
    return {
        "text/plain": "\n".join(line.rstrip() for line in (*lines, *notes)),
        "text/html": f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        + "".join(f"<div>{html.escape(note)}</div>" for note in notes),
    }


class CellScreen:
    """Shows a target in one cell of a notebook, whatever cell runs meanwhile.

    It publishes under the header of the request that started the watch, by the session itself: where the output of
    threads goes by default differs between ipykernel 6.29, 7.0 and 7.4.

    Parameters
    ----------
    kernel
        The running ``ipykernel`` kernel.
    name
        The target's.
    header
        The header of the request that started the watch.
    display_id
        Of the status line; a new one by default.
    keep
        Keep what earlier runs have shown.
    """

    takes_all = False  # the server and the page don't

    def __init__(
        self,
        kernel: Any,  # noqa: ANN401
        name: str,
        *,
        header: Mapping[str, Any],
        display_id: str = "",
        keep: bool = False,
    ) -> None:
        self._kernel = kernel
        self._name = name
        self._header = header
        self._display_id = display_id or uuid.uuid4().hex
        self._keep = keep
        self._status = Status()

    def to_state(self) -> dict[str, Any]:
        """Return, as plain data, what a new screen for the same cell needs."""
        return {"header": _plain(self._header), "display_id": self._display_id, "keep": self._keep}

    def open(self) -> None:
        """Show the status line for the first time."""
        self._publish("display_data", self._status_content())

    def appear_in(self, request_id: str) -> None:
        """Show the status line once more if this is the request that started the watch."""
        if self._header.get("msg_id") == request_id:
            self.open()

    def show(self, status: Status) -> None:
        """Update the status line, if it reads differently."""
        if words(self._name, status) != words(self._name, self._status):
            self._status = status
            self._publish("update_display_data", self._status_content())

    def begin(self, run: int) -> None:
        """Clear the cell for a new run, and put the status line back above it; or begin a new part."""
        if self._keep:
            self.write("stdout", f"── run {run} ──\n")
        elif run > 1:
            self._publish("clear_output", {"wait": True})
            self._publish("display_data", self._status_content())

    def write(self, stream: str, text: str) -> None:
        """Add what the run wrote."""
        self._publish("stream", {"name": stream, "text": text})

    def _status_content(self) -> dict[str, Any]:
        data = bundle(self._name, self._status)
        return {"data": data, "metadata": {}, "transient": {"display_id": self._display_id}}

    def _publish(self, kind: str, content: dict[str, Any]) -> None:
        session = self._kernel.session
        if session is not None:  # the kernel is closing
            session.send(self._kernel.iopub_socket, kind, content, parent={"header": self._header}, ident=kind.encode())


def _plain(header: Mapping[str, Any]) -> dict[str, Any]:
    # The session has made a datetime of the date.
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in header.items()}


class Lines(Protocol):
    """A terminal, of which no line is torn."""

    def say(self, speaker: str, line: str) -> None:
        """Write a line as soon as it stands alone."""

    def write(self, stream: str, text: str) -> None:
        """Write what a program wrote."""


class TerminalScreen:
    """Shows a target of a terminal IPython: its output as it comes, its status where it changes.

    Parameters
    ----------
    lines
        Of the terminal.
    name
        The target's.
    """

    takes_all = True  # a slow terminal slows a program, as ever

    def __init__(self, lines: Lines, name: str) -> None:
        self._lines = lines
        self._name = name
        self._shown = ""

    def to_state(self) -> dict[str, Any]:
        """Return nothing: a terminal is found again without."""
        return {}

    def show(self, status: Status) -> None:
        """Write the status in a line of its own, if it reads differently."""
        line = text(self._name, status)
        if line != self._shown:
            self._shown = line
            self._lines.say(self._name, line)

    def begin(self, run: int) -> None:
        """Do nothing: a terminal keeps what was shown."""

    def write(self, stream: str, text: str) -> None:
        """Write what the run wrote."""
        self._lines.write(stream, text)
