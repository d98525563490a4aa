"""Tables of what is watched, in text and HTML, or all of it as JSON; pure."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from ipy_autorestart import catalogue
from ipy_autorestart.client.history import Statistics
from ipy_autorestart.protocol.checkpoint import Checkpoint
from ipy_autorestart.protocol.messages import Ran, Status
from ipy_autorestart.show.status import cause, state
from ipy_autorestart.text import duration

TARGETS = (
    "target",
    "watched",
    "state",
    "runs",
    catalogue.LAST_CAUSE(),
    catalogue.LAST_START(),
    catalogue.EXIT_STATUS(),
)
CHECKPOINTS = (catalogue.CHECKPOINT_AFTER(), "saves", "memory")
RUNS = ("target", "run", "when", "why", catalogue.NEW_CODE_AFTER(), "lasted", catalogue.EXIT_STATUS(), "start")

#: Characters of a line where nobody has said how many there are room for.
WIDE = 1000

#: Before the unit of a number, where no line breaks.
_UNIT = re.compile(r"(?<=\d) (?=(?:ms|s|min|h|MB)\b)")

#: So many of the watched paths are named; a shell's glob may name thousands.
NAMED = 8


def overview(every: Sequence[Statistics], *, at: float, width: int = WIDE) -> dict[str, str]:
    """Return targets, their latest runs, checkpoints and what is imported ahead, as a MIME bundle.

    It says that it was taken ``at`` this time, in seconds since 1970, for it stays as it is. In text, a table that is
    wider than ``width`` characters becomes a list.
    """
    if not every:
        return _nothing(catalogue.NOTHING_WATCHED())
    runs = [_ran(one.target, ran) for one in every for ran in reversed(one.runs)]
    parked = list(dict.fromkeys(checkpoint for one in every for checkpoint in one.checkpoints))
    there = [_checkpoint(one) for one in parked if not one.why]
    notes = [catalogue.NO_CHECKPOINT_AFTER(cell=one.after, why=one.why) for one in parked if one.why]
    notes += [f"{one.target}: {one.status.preloads}" for one in every if one.status.preloads]
    notes.append(catalogue.AS_OF(time=_clock(at).partition(".")[0]))
    tables = [(TARGETS, [_target(one) for one in every]), (RUNS, runs), (CHECKPOINTS, there)]
    filled = [_filled(head, rows) for head, rows in tables if rows]
    texts = [_text(head, rows, width) for head, rows in filled]
    return {
        "text/plain": "\n\n".join([*texts, "\n".join(line for note in notes for line in _wrapped(note, width))]),
        "text/html": "".join(_html(head, rows) for head, rows in filled)
        + "".join(f"<div>{html.escape(note)}</div>" for note in notes),
    }


def reasons(every: Sequence[Statistics], *, width: int = WIDE) -> dict[str, str]:
    """Return why each target restarted or didn't, the latest last, as a MIME bundle; as in `overview`."""
    found = sorted(((one.target, decided) for one in every for decided in one.decisions), key=lambda one: one[1].at)
    rows = [(_clock(decided.at), target, decided.why) for target, decided in found]
    if not rows:
        return _nothing(catalogue.NOTHING_DECIDED())
    head = ("when", "target", "why")
    return {"text/plain": _text(head, rows, width), "text/html": _html(head, rows)}


def _nothing(words: str) -> dict[str, str]:
    return {"text/plain": words, "text/html": f"<i>{html.escape(words)}</i>"}


def as_json(every: Iterable[Statistics], **_: object) -> dict[str, Any]:
    """Return all that is known, for programs, as a MIME bundle."""
    plain = [one.to_plain() for one in every]
    return {"application/json": plain, "text/plain": json.dumps(plain, indent=2)}


def _target(one: Statistics) -> tuple[str, ...]:
    status = one.status
    return (
        *(one.target, _listed(one.watched), state(status), str(status.runs), cause(status.cause)),
        *(_warmth(status), _number(status.exit_status)),
    )


def _listed(watched: Sequence[str]) -> str:
    more = [catalogue.MORE_WATCHED(count=len(watched) - NAMED)] if len(watched) > NAMED else []
    return ", ".join([*watched[:NAMED], *more])


def _ran(target: str, ran: Ran) -> tuple[str, ...]:
    return (
        *(target, str(ran.run), _clock(ran.at), cause(ran.cause), _seconds(ran.took), _seconds(ran.lasted)),
        *("stopped" if ran.stopped else _number(ran.exit_status), _warmth(ran)),
    )


def _checkpoint(one: Checkpoint) -> tuple[str, ...]:
    size = one.memory_bytes / 1e6
    return (f"cell {one.after}", duration(one.seconds), f"{size:.0f} MB" if size >= 10 else f"{size:.1f} MB")


def _warmth(of: Status | Ran) -> str:
    return {None: "", True: "warm", False: "cold"}[of.warm]


def _seconds(value: float | None) -> str:
    return "" if value is None else duration(value)


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S.%f")[:-3]  # as the user's clock has it


def _filled(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return a table without columns in which nothing stands."""
    places = [place for place in range(len(head)) if any(row[place] for row in rows)]
    return tuple(head[place] for place in places), [tuple(row[place] for place in places) for row in rows]


def _text(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) > width:
        return "\n".join(line for row in rows for line in _listed_row(head, row, width))
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _listed_row(head: Sequence[str], row: Sequence[str], width: int) -> Iterator[str]:
    """Yield a row as lines: what it is of, and each of its words behind the head of its column."""
    yield row[0]
    for name, word in zip(head[1:], row[1:], strict=True):
        if word:
            yield from _wrapped(f"  {name}: {word}", width)


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _html(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(_row("td", row) for row in rows)
    return f"<table><thead>{_row('th', head)}</thead><tbody>{body}</tbody></table>"


def _row(tag: str, words: Iterable[str]) -> str:
    kept = (_UNIT.sub("\N{NO-BREAK SPACE}", html.escape(word)) for word in words)
    cells = "".join(f'<{tag} style="text-align: left">{word}</{tag}>' for word in kept)
    return f"<tr>{cells}</tr>"
