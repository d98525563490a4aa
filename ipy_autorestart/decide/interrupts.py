"""Decide what Ctrl-C means to a watch in a terminal: the script's first, then ours."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Answer(Enum):
    """The answers to an interrupt."""

    FORWARD = "the script gets it, as it would without us"
    END = "the watch ends, and stops the script in order"
    KILL = "it ends at once"


class Interrupts(NamedTuple):
    """The interrupts before."""

    run: int = 0  # the number of the run that got the last one
    ending: bool = False  # the watch is about to end


def interrupt(before: Interrupts, *, run: int, running: bool) -> tuple[Interrupts, Answer]:
    """Decide what one more interrupt means, while the run with this number runs or after its end.

    Examples
    --------
    >>> once, answer = interrupt(Interrupts(), run=3, running=True)
    >>> answer.name, interrupt(once, run=3, running=True)[1].name, interrupt(once, run=4, running=True)[1].name
    ('FORWARD', 'END', 'FORWARD')
    """
    if before.ending:
        return before, Answer.KILL
    if not running or before.run == run:
        return before._replace(ending=True), Answer.END
    return Interrupts(run), Answer.FORWARD
