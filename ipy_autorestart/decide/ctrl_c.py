"""Decide what Ctrl-C means to a watch in a terminal: the script's first, then ours."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Answer(Enum):
    """The answers to it."""

    FORWARD = "the script gets it, as it would without us"
    END = "the watch ends, and stops the script in order"
    KILL = "it ends at once"


class CtrlC(NamedTuple):
    """The times that it was pressed before."""

    run: int = 0  # the number of the run that got it last
    ending: bool = False  # the watch is about to end


def pressed(before: CtrlC, *, run: int, running: bool) -> tuple[CtrlC, Answer]:
    """Decide what it means once more, while the run with this number runs or after its end.

    Examples
    --------
    >>> once, answer = pressed(CtrlC(), run=3, running=True)
    >>> answer.name, pressed(once, run=3, running=True)[1].name, pressed(once, run=4, running=True)[1].name
    ('FORWARD', 'END', 'FORWARD')
    """
    if before.ending:
        return before, Answer.KILL
    if not running or before.run == run:
        return before._replace(ending=True), Answer.END
    return CtrlC(run), Answer.FORWARD
