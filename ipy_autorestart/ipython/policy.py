"""Decide when a kernel may restart: not in a cell, and not between those of a Run All."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ipy_autorestart.decide.timing import OnBusy as OnBusy

#: Seconds without a cell that end a batch whose cells were sent at once, less than 5 ms apart.
QUIET = 0.05

#: Seconds between two cells of which a front end sends the second after the reply to the first; people take longer.
GAP_MAX = 0.2

#: Where cells follow each other so, a batch ends after so many times the longest of the latest gaps, but not later.
GAPS, GAPS_KEPT = 4, 10
QUIET_MAX = 0.4


class Pace(NamedTuple):
    """The pace at which cells follow each other; silent requests, which front ends send for themselves, are none."""

    ended: float = float("-inf")  # when the last cell ended
    gaps: tuple[float, ...] = ()  # seconds between the latest cells that followed each other closely

    @property
    def quiet(self) -> float:
        """Seconds without a cell that end a batch."""
        return min(max(QUIET, GAPS * max(self.gaps, default=0.0)), QUIET_MAX)


def begun(pace: Pace, now: float) -> Pace:
    """Learn from a cell that begins."""
    gap = now - pace.ended
    return pace._replace(gaps=(*pace.gaps, gap)[-GAPS_KEPT:]) if 0 <= gap <= GAP_MAX else pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The work of a kernel, and the restart that is pending meanwhile."""

    pending: float | None  # when the restart was asked for; None if none was
    running: int  # the number of requests in progress
    pace: Pace
    on_busy: OnBusy = OnBusy.WAIT
    timeout: float  # seconds for which cells behind the running one may begin


def admits(batch: Batch, now: float, *, is_cell: bool = True) -> bool:
    """Return whether another request may begin; if not, it is handed over and runs after the restart.

    What is no cell doesn't prolong a batch, or requests that a front end sends all the time would hold a restart off.
    """
    if batch.pending is None:
        return True
    if batch.on_busy is not OnBusy.WAIT or now >= batch.pending + batch.timeout:
        return False
    return is_cell or batch.running > 0 or now < batch.pace.ended + batch.pace.quiet


def restart_at(batch: Batch, now: float) -> float | None:
    """Return when the kernel is to restart; None while a request is in progress, or if no restart is pending."""
    if batch.pending is None or batch.running:
        return None
    return batch.pace.ended + batch.pace.quiet if admits(batch, now) else now
