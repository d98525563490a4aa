"""The ends of what lies between a run and this process: its standard streams, and pipes for reports and displays."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from ipy_autorestart.script.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Descriptors to read from.

    Attributes
    ----------
    outputs
        What the run prints: its standard output and standard error; nothing if these aren't pipes of ours.
    reports
        What it reads, imports and writes.
    displays
        What it displays; not every run has it.
    """

    outputs: tuple[int, ...]
    reports: int
    displays: int | None

    def close(self) -> None:
        """Close them all."""
        for number in (*self.outputs, self.reports, self.displays):
            if number is not None:
                os.close(number)


@dataclass(frozen=True, slots=True)
class Theirs:
    """The other ends: the run's three standard streams, and what it writes reports and displays to."""

    stdio: tuple[int, int, int]
    others: tuple[int, ...]


@contextlib.contextmanager
def ends(program: Program) -> Iterator[tuple[Ends, Theirs]]:
    """Open what a run needs; its own ends are closed here at the end, and ours as well if anything fails."""
    opened: list[int] = []

    def pipe() -> tuple[int, int]:
        read, write = os.pipe()
        opened.append(write)
        return read, write

    outputs: tuple[tuple[int, int], ...] = ()
    if program.stdio is None:
        outputs = (pipe(), pipe())
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        opened.append(nothing)
        stdio = (nothing, outputs[0][1], outputs[1][1])
    else:
        stdio = program.stdio
    reports = pipe()
    displays = pipe() if program.displays else None
    ours = Ends(
        outputs=tuple(read for read, _ in outputs), reports=reports[0], displays=displays[0] if displays else None
    )
    try:
        yield ours, Theirs(stdio, (reports[1], *([displays[1]] if displays else [])))
    except BaseException:
        ours.close()
        raise
    finally:
        for number in opened:
            os.close(number)
