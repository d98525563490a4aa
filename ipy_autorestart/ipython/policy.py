"""Decisions about cells: when a kernel may leave, and which run again after its restart."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ipy_autorestart.decide.choices import OnBusy as OnBusy
from ipy_autorestart.decide.choices import Rerun as Rerun
from ipy_autorestart.text import duration

#: Seconds without a cell that end a batch: between the cells of a Run All lie less than 5 ms.
QUIET = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the kernel does, and since when a restart is pending.

    Attributes
    ----------
    pending
        When the restart was asked for; None if none was.
    running
        Requests that are being answered.
    ended
        When the last cell ended.
    on_busy, timeout
        What happens meanwhile, and the seconds that the cells behind the running one are waited for.
    """

    pending: float | None
    running: int
    ended: float
    on_busy: OnBusy = OnBusy.WAIT
    timeout: float


def admits(batch: Batch, now: float) -> bool:
    """Whether another request may begin; if not, it is carried over the restart and runs after it."""
    if batch.pending is None:
        return True
    return batch.on_busy is OnBusy.WAIT and now < batch.pending + batch.timeout


def restart_at(batch: Batch, now: float) -> float | None:
    """Return when the kernel is to restart, None while it can't be known: something runs, or nothing is pending."""
    if batch.pending is None or batch.running:
        return None
    return batch.ended + QUIET if admits(batch, now) else now


#: Seconds from which on a cell is named with the time that it took, and how many are.
WORTH_NAMING = 1.0
NAMED_MAX = 3


class Cell(NamedTuple):
    """One execution of a cell that has ended.

    Attributes
    ----------
    key
        What tells it from other cells: the front end's id, or its code where there is none.
    number
        Its execution count.
    code
        As the user wrote it.
    header, metadata
        Of its request, as plain data; empty in a terminal.
    seconds
        How long it took last.
    """

    key: str
    number: int
    code: str
    header: Mapping[str, Any]
    metadata: Mapping[str, Any]
    seconds: float


class Ledger(NamedTuple):
    """What has run, in the order of the last runs.

    Attributes
    ----------
    cells
        The last execution of each cell that came to its end.
    failed
        The very last execution, if an exception ended it. It is run again too, as the last one, so that who mends the
        file that it failed of sees it mended; once another cell has run it is forgotten, for it would be in its way.
    """

    cells: tuple[Cell, ...] = ()
    failed: Cell | None = None

    @property
    def last_number(self) -> int:
        """The highest execution count."""
        return max((cell.number for cell in (*self.cells, *filter(None, [self.failed]))), default=0)


def ran(ledger: Ledger, cell: Cell, *, failed: bool) -> Ledger:
    """Write down an execution that has ended, by itself or by an exception."""
    if failed:
        return ledger._replace(failed=cell)
    return Ledger((*(other for other in ledger.cells if other.key != cell.key), cell))


def lasted(ledger: Ledger, key: str, seconds: float) -> Ledger:
    """Write down how long a cell took when it was run again."""
    cells = tuple(cell._replace(seconds=seconds) if cell.key == key else cell for cell in ledger.cells)
    return ledger._replace(cells=cells)


def without(ledger: Ledger, keys: Collection[str]) -> Ledger:
    """Forget cells that were deleted."""
    failed = None if ledger.failed and ledger.failed.key in keys else ledger.failed
    return Ledger(tuple(cell for cell in ledger.cells if cell.key not in keys), failed)


def chosen(ledger: Ledger, rerun: Rerun) -> tuple[Cell, ...]:
    """Return the cells to run again, in their order and without this project's magics."""
    failed = ledger.failed
    cells = [cell for cell in ledger.cells if failed is None or cell.key != failed.key]
    found = []
    for cell in (*cells, *filter(None, [failed])):
        wanted = rerun is not Rerun.NONE and mark(cell.code, default=rerun is Rerun.ALL)
        code = inert(cell.code)
        if wanted and has_content(code):
            found.append(cell._replace(code=code))
    return tuple(found)


_MARK = re.compile(r"^\s*#\|\s*rerun\s*:\s*(true|false)\s*$", re.MULTILINE | re.IGNORECASE)


def mark(code: str, *, default: bool) -> bool:
    """Return what a line ``#| rerun: true`` or ``#| rerun: false`` says; the form is that of Quarto and nbdev."""
    found = _MARK.search(code)
    return found[1].lower() == "true" if found else default


_OWN = re.compile(
    r"^([ \t]*)(?:%?(?:re)?load_ext[ \t]+ipy_autorestart|%(?:watch_restart|unwatch|watch_status))(?:[ \t?].*)?$",
    re.MULTILINE,
)


def inert(code: str) -> str:
    """Return a cell's code without this project's magics: what they have begun goes on by itself.

    Lines stay where they are, for tracebacks; and a block may need one.
    """
    return _OWN.sub(r"\1pass", code)


def has_content(code: str) -> bool:
    """Whether there is anything to run."""
    lines = (line.strip() for line in code.splitlines())
    return any(line and line != "pass" and not line.startswith("#") for line in lines)


def to_plain(ledger: Ledger) -> dict[str, Any]:
    """Return the ledger as plain data."""
    failed = ledger.failed._asdict() if ledger.failed else None
    return {"cells": [cell._asdict() for cell in ledger.cells], "failed": failed}


def from_plain(data: Mapping[str, Any]) -> Ledger:
    """Undo `to_plain`."""
    failed = Cell(**data["failed"]) if data["failed"] else None
    return Ledger(tuple(Cell(**cell) for cell in data["cells"]), failed)


def progress(place: int, count: int) -> str:
    """Say which cell runs again."""
    return f"running again: cell {place} of {count}"


def outcome(done: Sequence[Cell], ledger: Ledger, *, seconds: float) -> str:
    """Say that all were run again, and which took so long, by the ledger, that it may be worth keeping them out."""
    if not done:
        return "no cell to run again"
    said = f"{len(done)} cell{'' if len(done) == 1 else 's'} run again in {duration(seconds)}"
    keys = {cell.key for cell in done}
    slow = [cell for cell in ledger.cells if cell.key in keys and cell.seconds >= WORTH_NAMING]
    slow.sort(key=lambda cell: -cell.seconds)
    times = [f"cell {cell.number} {duration(cell.seconds)}" for cell in slow[:NAMED_MAX]]
    return f"{said}, of it {', '.join(times)}" if times and len(done) > 1 else said


def stopped(at: Cell | None, error: BaseException, left: Iterable[Cell]) -> str:
    """Say where it stopped, why, and what was not run."""
    why = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
    numbers = [str(cell.number) for cell in left]
    rest = f"; not run again: cell{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}" if numbers else ""
    return f"{why}{f' in cell {at.number}' if at else ''}{rest}"
