"""Decide whether an asyncio loop has nothing at hand."""

from __future__ import annotations

#: Seconds after which a loop that is never idle is left all the same.
IDLE_MAX = 1.0

#: So many rounds of a loop that can't tell bring what was ready before the first of them behind it.
ROUNDS_BLIND = 2


def is_idle(*, ready: int | None, rounds: int, waited: float) -> bool:
    """Return whether a loop may be left in this round.

    Parameters
    ----------
    ready
        Callbacks that are behind this one in the loop's queue; None where the loop can't tell.
    rounds
        For which it was waited.
    waited
        Seconds of that.
    """
    if waited >= IDLE_MAX:
        return True
    return rounds >= ROUNDS_BLIND if ready is None else ready == 0
