"""What Ctrl-C means to a watch in a terminal: first it is the script's, then ours."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Answer(Enum):
    """What is to be done."""

    FORWARD = "the script gets it, as it would without us"
    END = "the watch ends, and stops the script in order"
    KILL = "it ends at once"


class Interrupts(NamedTuple):
    """What was interrupted before.

    Attributes
    ----------
    run
        The number of the run that got the last one.
    ending
        The watch is about to end.
    """

    run: int = 0
    ending: bool = False


def interrupt(before: Interrupts, *, run: int, running: bool) -> tuple[Interrupts, Answer]:
    """Decide for one more, while a run by its number runs or has ended.

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
