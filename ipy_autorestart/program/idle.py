"""When an asyncio loop of the main thread may be left: in a callback of its own, with none behind it.

Relies on the queue ``_ready`` of asyncio's loops, in which what has come for sockets stands behind a callback that was
put there before; loops without one, uvloop's say, are given some rounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

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


#: Seconds of a round of a loop that can't tell what is ready.
ROUND = 0.001


def running_loop() -> AbstractEventLoop | None:
    """Return the asyncio loop that runs in this thread, if any; in a signal handler too."""
    events = sys.modules.get("asyncio.events")
    return events._get_running_loop() if events else None  # noqa: SLF001  # made for loops, and for their likes


class IdleWait:
    """Calls back in a loop once that is idle; see `decide.idle`.

    Parameters
    ----------
    loop
        Which runs in this thread.
    then
        Called in it.
    """

    def __init__(self, loop: AbstractEventLoop, then: Callable[[], None]) -> None:
        self.loop = loop
        self._then = then
        self._rounds = 0
        self._began = time.monotonic()
        loop.call_soon_threadsafe(self._look)  # a signal handler is in the loop's thread, yet has to wake it

    def _look(self) -> None:
        queue = getattr(self.loop, "_ready", None)
        ready = None if queue is None else len(queue)
        if is_idle(ready=ready, rounds=self._rounds, waited=time.monotonic() - self._began):
            self._then()
            return
        self._rounds += 1
        if ready is None:
            self.loop.call_later(ROUND, self._look)
        else:
            self.loop.call_soon(self._look)
