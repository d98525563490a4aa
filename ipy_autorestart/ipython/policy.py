"""Decisions about cells: when a kernel may restart, and which cells run again after that."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ipy_autorestart.decide.timing import OnBusy as OnBusy
from ipy_autorestart.decide.timing import Rerun as Rerun
from ipy_autorestart.text import duration

#: Seconds without a cell that end a batch; there are less than 5 ms between the cells of a Run All.
QUIET = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The work of a kernel, and the restart that is pending meanwhile."""

    pending: float | None  # when the restart was asked for; None if none was
    running: int  # the number of requests in progress
    ended: float  # when the last cell ended
    on_busy: OnBusy = OnBusy.WAIT
    timeout: float  # seconds for which cells behind the running one may begin


def admits(batch: Batch, now: float) -> bool:
    """Return whether another request may begin; if not, it is handed over and runs after the restart."""
    if batch.pending is None:
        return True
    return batch.on_busy is OnBusy.WAIT and now < batch.pending + batch.timeout


def restart_at(batch: Batch, now: float) -> float | None:
    """Return when the kernel is to restart; None while a request is in progress, or if no restart is pending."""
    if batch.pending is None or batch.running:
        return None
    return batch.ended + QUIET if admits(batch, now) else now


#: Seconds that a cell must have taken to be named, and the greatest number of cells that are named.
WORTH_NAMING = 1.0
NAMED_MAX = 3


class Cell(NamedTuple):
    """An execution of a cell that has ended."""

    key: str  # the front end's id of the cell, or its code where there is none
    number: int  # its execution count
    code: str  # as the user wrote it
    header: Mapping[str, Any]  # of its request, as plain data; empty in a terminal
    metadata: Mapping[str, Any]  # likewise
    seconds: float  # of the last execution


class Ledger(NamedTuple):
    """The cells that have run, in the order of their last executions.

    One that failed runs again too, as the last one, so that the user who fixes the file sees it succeed. Once another
    cell has run, it is forgotten, for it would stop the replay there.
    """

    cells: tuple[Cell, ...] = ()  # the last execution of each that succeeded
    failed: Cell | None = None  # the very last execution, if it raised an exception

    @property
    def last_number(self) -> int:
        """The highest execution count."""
        return max((cell.number for cell in (*self.cells, *filter(None, [self.failed]))), default=0)


def ran(ledger: Ledger, cell: Cell, *, failed: bool) -> Ledger:
    """Record an execution that has ended, by itself or by an exception."""
    if failed:
        return ledger._replace(failed=cell)
    return Ledger((*(other for other in ledger.cells if other.key != cell.key), cell))


def lasted(ledger: Ledger, key: str, seconds: float) -> Ledger:
    """Record how long a cell took when it was run again."""
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
    """Return the value of a line ``#| rerun: true`` or ``#| rerun: false``, a form that Quarto and nbdev have too."""
    found = _MARK.search(code)
    return found[1].lower() == "true" if found else default


_OWN = re.compile(
    r"^([ \t]*)(?:%?(?:re)?load_ext[ \t]+ipy_autorestart|%(?:watch_restart|unwatch|watch_status))(?:[ \t?].*)?$",
    re.MULTILINE,
)


def inert(code: str) -> str:
    """Return a cell's code without this project's magics: what they have started goes on by itself.

    ``pass`` takes their place, for a block may need a statement, and tracebacks the same line numbers.
    """
    return _OWN.sub(r"\1pass", code)


def has_content(code: str) -> bool:
    """Return whether there is anything to run."""
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
    """Return the message of a replay that goes on."""
    return f"running again: cell {place} of {count}"


def outcome(done: Sequence[Cell], ledger: Ledger, *, seconds: float) -> str:
    """Return the message of a replay that is complete; it names slow cells, which the user may want to leave out."""
    if not done:
        return "no cell to run again"
    message = f"{len(done)} cell{'' if len(done) == 1 else 's'} run again in {duration(seconds)}"
    keys = {cell.key for cell in done}
    slow = [cell for cell in ledger.cells if cell.key in keys and cell.seconds >= WORTH_NAMING]
    slow.sort(key=lambda cell: -cell.seconds)
    times = [f"cell {cell.number} {duration(cell.seconds)}" for cell in slow[:NAMED_MAX]]
    return f"{message}, of it {', '.join(times)}" if times and len(done) > 1 else message


def stopped(at: Cell | None, error: BaseException, left: Iterable[Cell]) -> str:
    """Return the message of a replay that has stopped: where, why, and which cells were not run."""
    why = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
    numbers = [str(cell.number) for cell in left]
    rest = f"; not run again: cell{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}" if numbers else ""
    return f"{why}{f' in cell {at.number}' if at else ''}{rest}"
