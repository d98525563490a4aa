"""The cells that have run, which of them run again and in which order, and how that went; values alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ipy_autorestart import catalogue
from ipy_autorestart.decide.timing import Rerun as Rerun
from ipy_autorestart.text import duration

#: What ends a cell that a person stops, perhaps because it has no end of its own.
INTERRUPT = "KeyboardInterrupt"


class Cell(NamedTuple):
    """A cell as a person has run it last."""

    key: str  # the front end's id of the cell; if it has none, each execution is a cell of its own
    number: int  # its execution count
    code: str  # as the user wrote it
    header: Mapping[str, Any]  # of its request, as plain data; empty in a terminal
    metadata: Mapping[str, Any]  # likewise
    seconds: float  # of the last execution
    error: str = ""  # the type of the exception that ended it; "" if it came to its end, then or run again
    made: frozenset[str] = frozenset()  # global names that it has bound, or whose objects it has changed
    after: frozenset[str] = frozenset()  # the keys of the cells that had made what it used
    place: int = 0  # its first execution that came to its end, counting all; the very first, if none did
    settled: bool = False  # whether one did
    last: int = 0  # its last execution, counting all; 0: none of them has made what this kernel has in its memory
    old: bool = False  # whether its output is marked as old
    own: bool = False  # whether it calls this project's magics and does nothing else
    began_ns: int = 0  # when, since 1970
    wrote: tuple[str, ...] = ()  # absolute paths of files that it has changed
    span: tuple[int, int] | None = None  # from when to when it ran, if it may have changed more


class Ledger(NamedTuple):
    """The cells that have run, whether they failed or not, in the order of their last executions."""

    cells: tuple[Cell, ...] = ()
    executions: int = 0
    unknown: int = 0  # executions before the extension was loaded

    @property
    def last_number(self) -> int:
        """The highest execution count."""
        return max((cell.number for cell in self.cells), default=0)

    @property
    def kept(self) -> tuple[Cell, ...]:
        """The cells that this kernel has run, or has in its memory since it was made of one that did."""
        return tuple(cell for cell in self.cells if cell.last)


def ran(ledger: Ledger, cell: Cell, *, used: Collection[str] = ()) -> Ledger:
    """Record an execution that has ended; it used these global names, whoever made them."""
    executions = ledger.executions + 1
    key = cell.key or f"execution {executions}"
    cell = cell._replace(key=key, place=executions, settled=not cell.error, last=executions)
    before = next((other for other in ledger.cells if other.key == cell.key), None)
    if before and (before.settled or cell.error):
        cell = cell._replace(place=before.place, settled=before.settled)
    if before and before.code == cell.code:  # what it binds to the same objects again isn't seen
        cell = cell._replace(made=cell.made | before.made)
    others = [other for other in ledger.cells if other is not before]
    after, unmet = set(), set(used)
    for other in reversed(others):
        if unmet & other.made:
            after.add(other.key)
            unmet -= other.made
    return ledger._replace(cells=(*others, cell._replace(after=frozenset(after))), executions=executions)


def ran_again(
    ledger: Ledger,
    key: str,
    seconds: float,
    *,
    failed: bool,
    wrote: Iterable[str] = (),
    span: tuple[int, int] | None = None,
) -> Ledger:
    """Record how a cell was run again. An error that it had only then is none that it had before."""
    executions = ledger.executions + 1

    def updated(cell: Cell) -> Cell:
        if cell.key != key:
            return cell
        error = cell.error if failed else ""
        return cell._replace(
            seconds=seconds,
            error=error,
            settled=cell.settled or not failed,
            old=False,
            wrote=tuple(dict.fromkeys((*cell.wrote, *wrote))),
            span=span or cell.span,
            last=executions,
        )

    return ledger._replace(cells=tuple(map(updated, ledger.cells)), executions=executions)


def gone_back(ledger: Ledger, past: Ledger = Ledger()) -> Ledger:  # noqa: B008  # a value
    """Return the ledger of a kernel that goes on with another's, and has in its memory what ``past`` says.

    By default that is nothing, as in a kernel that has just started.
    """
    if past.executions > ledger.executions:  # the other has died before it could tell of its last cells
        return past
    then = {cell.key: cell.last for cell in past.cells}
    cells = (cell if then.get(cell.key) == cell.last else cell._replace(last=0) for cell in ledger.cells)
    return ledger._replace(cells=tuple(cells))


def attributed(ledger: Ledger, changed: Mapping[str, int]) -> Ledger:
    """Record which cells have changed files unheard, given these files and the times of their last changes."""

    def updated(cell: Cell) -> Cell:
        if cell.span is None:
            return cell
        began, ended = cell.span
        found = [path for path, at in changed.items() if began <= at <= ended and path not in cell.wrote]
        return cell._replace(wrote=(*cell.wrote, *found), span=None)

    return ledger._replace(cells=tuple(map(updated, ledger.cells)))


def marked_old(ledger: Ledger, cells: Iterable[Cell]) -> Ledger:
    """Record that the outputs of cells are marked as old."""
    keys = {cell.key for cell in cells}
    return ledger._replace(cells=tuple(cell._replace(old=cell.old or cell.key in keys) for cell in ledger.cells))


def without(ledger: Ledger, keys: Collection[str]) -> Ledger:
    """Forget cells that were deleted."""
    return ledger._replace(cells=tuple(cell for cell in ledger.cells if cell.key not in keys))


#: Nanoseconds that a front end may take to save what it has just sent a cell of.
SAVING_NS = 2_000_000_000


def without_unsaved(ledger: Ledger, ids: Collection[str], saved_ns: int) -> Ledger:
    """Forget cells that a notebook, saved after they ran, doesn't have any more; these ids it has.

    One that has none of the cells is another notebook.
    """
    if not any(cell.key in ids for cell in ledger.cells):
        return ledger
    ran_before = [cell for cell in ledger.cells if cell.metadata.get("cellId") and cell.began_ns < saved_ns - SAVING_NS]
    return without(ledger, {cell.key for cell in ran_before} - set(ids))


def in_order(cells: Iterable[Cell], page: Sequence[str] = ()) -> tuple[Cell, ...]:
    """Return cells in an order in which they can run, as they stand on the page if that is possible.

    Each runs behind the cells that had made what it used; if they wait for each other, since one has run once more,
    they keep their order. One that is not known to be on the page stands behind the one that has its place before it.
    """
    rank, ranks, standing = -1, {key: rank for rank, key in enumerate(page)}, []
    for cell in sorted(cells, key=lambda cell: cell.place):
        rank = ranks.get(cell.key, rank)
        standing.append((rank, cell))
    waiting = {cell.key: cell for _, cell in sorted(standing, key=lambda one: one[0])}
    found = []
    while waiting:
        ready = next((cell for cell in waiting.values() if not cell.after & waiting.keys()), None)
        found.append(waiting.pop((ready or _first_of_circle(waiting)).key))
    return tuple(found)


def _first_of_circle(waiting: Mapping[str, Cell]) -> Cell:
    """Return the first cell that waits only for cells that wait for it too, directly or not."""
    before = {}
    for key in waiting:
        before[key] = found = set[str]()
        new = {key}
        while new := {each for one in new for each in waiting[one].after & waiting.keys()} - found:
            found |= new
    return next(cell for key, cell in waiting.items() if all(key in before[other] for other in before[key]))


#: Why a cell is not run again; the first two are wishes of the person.
KEPT_OUT = "rerun: false"
NOT_MARKED = "not marked"
INTERRUPTED = "interrupted"
WRITES = "writes"
WISHES = (KEPT_OUT, NOT_MARKED)


class Left(NamedTuple):
    """A cell that is not run again."""

    cell: Cell
    why: str


class Choice(NamedTuple):
    """The cells to run again, in their order, and those that are left out."""

    cells: tuple[Cell, ...]
    left: tuple[Left, ...] = ()


def chosen(ledger: Ledger, rerun: Rerun, writers: Mapping[str, str] | None = None, page: Sequence[str] = ()) -> Choice:
    """Return what is to be run again, of what isn't kept. A cell with only this project's magics isn't worth a word.

    ``writers`` has the keys of cells that write watched files, and what they write: run again, they would overwrite the
    very change that is the cause. ``page`` has the ids of its cells, as they stand there.
    """
    cells, left = [], []
    for cell in in_order([cell for cell in ledger.cells if not cell.last], page):
        if rerun is Rerun.NONE or cell.own or not has_content(cell.code):
            continue
        if not mark(cell.code, default=rerun is Rerun.ALL):
            left.append(Left(cell, KEPT_OUT if rerun is Rerun.ALL else NOT_MARKED))
        elif cell.error == INTERRUPT:
            left.append(Left(cell, INTERRUPTED))
        elif writers and cell.key in writers:
            left.append(Left(cell, f"{WRITES} {writers[cell.key]}"))
        else:
            cells.append(cell)
    return Choice(tuple(cells), tuple(left))


class Course(NamedTuple):
    """How far the cells of a choice have run again."""

    choice: Choice
    errors: tuple[str, ...] = ()  # of each cell that has run again, the type of the exception that ended it, or ""
    interrupted: bool = False  # between two cells

    @property
    def done(self) -> tuple[Cell, ...]:
        """The cells that have run again."""
        return self.choice.cells[: len(self.errors)]

    @property
    def behind(self) -> tuple[Cell, ...]:
        """The cells that have not."""
        return self.choice.cells[len(self.errors) :]

    @property
    def failed(self) -> Cell | None:
        """The cell at which it stops: it has failed, and had not failed so when a person ran it."""
        return self.done[-1] if self.errors and self.errors[-1] not in ("", self.done[-1].error) else None

    @property
    def next(self) -> Cell | None:
        """The cell to run now, if any."""
        return self.behind[0] if self.behind and not self.failed and not self.interrupted else None

    @property
    def stale(self) -> list[Cell]:
        """The cells that have not run again though the person wants it, and whose output isn't marked as old yet."""
        cells = [*(one.cell for one in self.choice.left if one.why not in WISHES), *self.behind]
        return [cell for cell in cells if not cell.old]


def went_on(course: Course, error: BaseException | None) -> Course:
    """Return the course after another cell."""
    return course._replace(errors=(*course.errors, type(error).__name__ if error else ""))


def without_deleted(course: Course, ledger: Ledger) -> Course:
    """Return the course without cells that the ledger doesn't have any more, but for those that have run again."""
    keys, choice = {cell.key for cell in ledger.cells}, course.choice
    behind = (cell for cell in course.behind if cell.key in keys)
    left = tuple(one for one in choice.left if one.cell.key in keys)
    return course._replace(choice=Choice((*course.done, *behind), left))


_MARK = re.compile(r"^\s*#\|\s*rerun\s*:\s*(true|false)\s*$", re.MULTILINE | re.IGNORECASE)


def mark(code: str, *, default: bool) -> bool:
    """Return the value of a line ``#| rerun: true`` or ``#| rerun: false``, a form that Quarto and nbdev have too."""
    found = _MARK.search(code)
    return found[1].lower() == "true" if found else default


_TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_OWN = re.compile(
    r"get_ipython\(\)\.run_line_magic\((?:"
    rf"'(?:watch_restart|unwatch|watch_status)', {_TEXT}|'(?:re|un)?load_ext', 'ipy_autorestart')\)"
)


def is_own(code: str) -> bool:
    """Return whether a cell, as IPython has transformed it, calls this project's magics and does nothing else."""
    lines = [line.strip() for line in code.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    return bool(found) and all(map(_OWN.fullmatch, found))


def has_content(code: str) -> bool:
    """Return whether there is anything to run."""
    lines = (line.strip() for line in code.splitlines())
    return any(line and not line.startswith("#") for line in lines)


class Step(NamedTuple):
    """The way from one ledger to a later one."""

    gone: frozenset[str]  # keys of cells that are no more where they were
    cells: tuple[Cell, ...]  # each in the place of the one with its key, or else behind the others
    executions: int
    unknown: int


def step_between(before: Ledger, after: Ledger) -> Step:
    """Return what makes a later ledger of one: mostly a single cell."""
    known, keys = {cell.key: cell for cell in before.cells}, [cell.key for cell in after.cells]
    new = {cell.key for cell in after.cells if known.get(cell.key) is not cell}
    missing = frozenset(known.keys() - set(keys))
    step = Step(missing, (), after.executions, after.unknown)
    for gone in (missing, missing | new & known.keys()):  # those that have run once more stand behind the others
        cells = tuple(cell for cell in after.cells if cell.key in new)
        step = step._replace(gone=gone, cells=cells)
        if [cell.key for cell in went(before, step).cells] == keys:
            return step
    return step._replace(gone=frozenset(known), cells=after.cells)


def went(ledger: Ledger, step: Step) -> Ledger:
    """Return the ledger after a step."""
    cells = {cell.key: cell for cell in ledger.cells if cell.key not in step.gone}
    cells |= {cell.key: cell for cell in step.cells}
    return ledger._replace(cells=tuple(cells.values()), executions=step.executions, unknown=step.unknown)


def to_plain(ledger: Ledger | Step) -> dict[str, Any]:
    """Return the ledger, or a step, as plain data."""
    return {**ledger._asdict(), "cells": [cell._asdict() for cell in ledger.cells]}


#: In the plain data of a ledger, the steps that follow.
STEPS = "steps"


def from_plain(data: Mapping[str, Any]) -> Ledger:
    """Undo `to_plain`, even if lists have become of its sets."""
    first = {name: part for name, part in data.items() if name != STEPS}
    ledger = Ledger(**{**first, "cells": tuple(map(_cell, data["cells"]))})
    for step in data.get(STEPS, ()):
        cells = tuple(map(_cell, step["cells"]))
        ledger = went(ledger, Step(**{**step, "gone": frozenset(step["gone"]), "cells": cells}))
    return ledger


def _cell(plain: Mapping[str, Any]) -> Cell:
    kinds = {"made": frozenset, "after": frozenset, "wrote": tuple}
    span = plain["span"] and tuple(plain["span"])
    return Cell(**{**plain, **{name: kind(plain[name]) for name, kind in kinds.items()}, "span": span})


def position(course: Course) -> str:
    """Return the message of a replay that goes on."""
    cells, place = course.choice.cells, len(course.done)
    if len(cells) == 1:
        return catalogue.RERUNNING(number=cells[0].number)
    return catalogue.RERUNNING_ONE_OF(number=cells[place].number, place=place + 1, all=len(cells))


#: Seconds that a cell must have taken to be named, and how many of these are named.
WORTH_NAMING = 1.0
SLOW_MAX = 2


def stopped(course: Course) -> str:
    """Return what has stopped a replay before its end: at which cell, and why; empty if it has come to its end."""
    if course.failed:
        error = INTERRUPTED if course.errors[-1] == INTERRUPT else course.errors[-1]
        return catalogue.RERUN_STOPPED_AT(cells=_ranges([course.failed]), error=error)
    return catalogue.RERUN_INTERRUPTED(cells=_ranges(course.behind[:1])) if course.interrupted else ""


def outcome(course: Course, ledger: Ledger, *, seconds: float) -> str:
    """Return the message of a replay that is over: how it went, and what else was not run again, if it was no wish."""
    failed = course.failed
    words = [] if stopped(course) else [_time_taken(course.done, ledger, seconds)]
    if course.behind:
        shows = "shows" if len(course.behind) == 1 else "show"
        words.append(catalogue.OLD_OUTPUT(cells=_ranges(course.behind), shows=shows))
    as_before = [cell for cell, error in zip(course.done, course.errors, strict=True) if error and cell is not failed]
    if as_before:
        words.append(catalogue.FAILED_AS_BEFORE(cells=_ranges(as_before)))
    kinds: dict[str, list[Cell]] = {}
    for cell, why in course.choice.left:
        if why not in WISHES:
            kinds.setdefault(why, []).append(cell)
    left = [f"{_ranges(cells)} ({why})" for why, cells in kinds.items()]
    if ledger.unknown:
        left.append(catalogue.BEFORE_LOAD())
    if left:
        words.append(catalogue.LEFT_OUT(cells=", ".join(left)))
    return " · ".join(words)


def _time_taken(done: Sequence[Cell], ledger: Ledger, seconds: float) -> str:
    """Return how many cells have run again, and how long; slow ones are named, as one may want to keep them out."""
    if not done:
        return catalogue.NO_CELL_TO_RERUN()
    message = catalogue.CELLS_RERUN.counted(len(done), time=duration(seconds))
    keys = {cell.key for cell in done}
    slow = [cell for cell in ledger.cells if cell.key in keys and cell.seconds >= WORTH_NAMING]
    slow.sort(key=lambda cell: -cell.seconds)
    times = [catalogue.SLOW_CELL(number=cell.number, time=duration(cell.seconds)) for cell in slow[:SLOW_MAX]]
    return f"{message} ({', '.join(times)})" if times and len(done) > 1 else message


def went_back(
    after: int,
    kept: Sequence[Cell],
    seconds: float,
    *,
    died: str = "",
    asked: bool = False,
    left: Sequence[Cell] = (),
) -> str:
    """Return the message of a kernel that has gone back to a checkpoint.

    Parameters
    ----------
    after
        The number of the cell after which the checkpoint was made.
    kept
        The cells whose effects it has.
    seconds
        That it took to go back.
    died
        How the kernel before has ended, if it didn't give way: "was ended by SIGSEGV".
    asked
        Whether a person has asked for it, who wants the cells behind it undone.
    left
        The cells behind it, if they are not run again by themselves. With what becomes of those that are, this message
        goes on behind `` · ``.
    """
    words = catalogue.BACK_TO(number=after, time=duration(seconds))
    kept, behind = ([cell for cell in each if not cell.own and has_content(cell.code)] for each in (kept, left))
    are = "is" if len(behind) == 1 else "are"
    if asked:
        return (
            catalogue.UNDONE(back=words, cells=_ranges(behind), are=are) if behind else catalogue.AS_ASKED(back=words)
        )
    if kept:
        words = catalogue.SAVED_TIME(back=words, time=duration(sum(cell.seconds for cell in kept)))
    if behind:
        words += f" · {catalogue.YOURS_TO_RUN(cells=_ranges(behind), are=are)}"
    return catalogue.AFTER_A_DEATH(how=died) + words if died else words


#: Of more spans of cells than these only the number of cells is told.
SPANS_MAX = 5


def _ranges(cells: Sequence[Cell]) -> str:
    """Return which cells these are, in short: "cell 3", "cells 1–3, 5", "23 cells"."""
    numbers = sorted({cell.number for cell in cells})
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    if len(spans) > SPANS_MAX:
        return f"{len(numbers)} cells"
    told = ", ".join(str(span[0]) if len(span) == 1 else f"{span[0]}–{span[-1]}" for span in spans)
    return f"cell{'s' if len(numbers) > 1 else ''} {told}"
