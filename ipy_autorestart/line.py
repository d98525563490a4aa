"""A target's status as one line of text or HTML; pure."""

from __future__ import annotations

import dataclasses
import html

from ipy_autorestart.decide.words import duration
from ipy_autorestart.record import Status

#: Of the dot before the line; each can be told from black and from white (3:1), and no state is told by colour alone.
COLOURS = {
    **dict.fromkeys(("running", "finished"), "#2e9d55"),
    **dict.fromkeys(("starting", "stopping", "restarting", "waiting", "paused"), "#c27a00"),
    **dict.fromkeys(("crashed", "broken"), "#e0423f"),
    **dict.fromkeys(("idle", "ended"), "#808080"),
}


def words(status: Status) -> list[str]:
    """Return the parts of a status line: state, cause and how the start for it went, number of runs, message."""
    parts = [status.state]
    if status.polling:
        parts.append("polling")
    if status.cause:
        parts.append(status.cause)
        if status.took is not None:
            parts.append(f"new code in {duration(status.took)}")
        if status.warm:
            parts.append("warm")
    if status.runs:
        what = "restart" if status.warm is None else "run"
        parts.append(f"{status.runs} {what}{'' if status.runs == 1 else 's'}")
    if status.message:
        parts.append(status.message)
    return parts


def is_later(status: Status, before: Status) -> bool:
    """Whether nothing but time has passed: the target runs as it ran before, for longer."""
    return status.kind == "running" and dataclasses.replace(status, state=before.state) == before


def text(name: str, status: Status) -> str:
    """Return the status line as text, and below it the line of a syntax error."""
    excerpt = "".join(f"\n    {line}" for line in status.excerpt.split("\n") if status.excerpt)
    return f"⟳ {name} · " + " · ".join(words(status)) + excerpt


def as_html(name: str, status: Status) -> str:
    """Return the same as HTML, in the colours of the page around it."""
    state, *rest = map(html.escape, words(status))
    dot = f'<span style="color: {COLOURS.get(status.kind, "#808080")}">●</span>'
    tail = "".join(f" · {part}" for part in rest)
    excerpt = f'<pre style="{EXCERPT}">{html.escape(status.excerpt)}</pre>' if status.excerpt else ""
    line = f'{dot} <b>{html.escape(name)}</b> · {state}<span style="opacity: 0.7">{tail}</span>'
    return f'<div style="{LINE}">{line}</div>{excerpt}'


# A page's own font where it names one.
LINE = "font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 0.93em; line-height: 1.6"
EXCERPT = "margin: 0 0 0 1.2em; padding-left: 0.8em; border-left: 2px solid #e0423f; background: none"


def bundle(name: str, status: Status) -> dict[str, str]:
    """Return the status line as a MIME bundle."""
    return {"text/plain": text(name, status), "text/html": as_html(name, status)}
