"""When a kernel may leave: never inside a cell, and by default not between the cells of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

#: Seconds without a cell that end a batch: between the cells of a Run All lie less than 5 ms.
QUIET = 0.05


class OnBusy(Enum):
    """What happens to a restart while the kernel is busy."""

    WAIT = "wait"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the kernel does, and since when a restart is owed.

    Attributes
    ----------
    owed
        When the restart was asked for; None if none was.
    running
        Requests that are being answered.
    ended
        When the last cell ended.
    on_busy, timeout
        What happens meanwhile, and the seconds that the cells behind the running one are waited for.
    """

    owed: float | None
    running: int
    ended: float
    on_busy: OnBusy = OnBusy.WAIT
    timeout: float


def admits(batch: Batch, now: float) -> bool:
    """Whether another request may begin; if not, it is carried over the restart and runs after it."""
    if batch.owed is None:
        return True
    return batch.on_busy is OnBusy.WAIT and now < batch.owed + batch.timeout


def leave_at(batch: Batch, now: float) -> float | None:
    """Return when the kernel is to leave, None while it can't be known: something runs, or nothing is owed."""
    if batch.owed is None or batch.running:
        return None
    return batch.ended + QUIET if admits(batch, now) else now
