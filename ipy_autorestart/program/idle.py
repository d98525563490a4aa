"""Wait until an asyncio loop in the main thread is idle: until a callback of ours has none behind it.

It relies on the queue ``_ready`` of asyncio's loops, where the callbacks for sockets follow one that was put there
before. Loops without that queue, such as uvloop's, get some rounds instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ipy_autorestart.pristine import time

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

#: Seconds after which a loop that is never idle is interrupted anyway.
IDLE_MAX = 1.0

#: Rounds after which a loop without the queue has called what was ready before the first.
ROUNDS_BLIND = 2

#: Seconds of a round of such a loop.
ROUND = 0.001


def is_idle(*, ready: int | None, rounds: int, waited: float) -> bool:
    """Return whether a loop may be interrupted, so many rounds and seconds after the wait began.

    As many callbacks as are ``ready`` stand behind this one in the loop's queue; None stands for a loop without it.
    """
    if waited >= IDLE_MAX:
        return True
    return rounds >= ROUNDS_BLIND if ready is None else ready == 0


def running_loop() -> AbstractEventLoop | None:
    """Return the asyncio loop that runs in this thread, if any; also in a signal handler."""
    events = sys.modules.get("asyncio.events")
    return events._get_running_loop() if events else None  # noqa: SLF001  # get_running_loop raises


class IdleWait:
    """Calls a function as soon as the running loop of this thread is idle."""

    def __init__(self, loop: AbstractEventLoop, then: Callable[[], None]) -> None:
        self.loop = loop
        self._then = then
        self._rounds = 0
        self._began = time.monotonic()
        loop.call_soon_threadsafe(self._look)  # threadsafe: a signal handler has to wake the loop

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


def apart(act: Callable[[], None]) -> None:
    """Call a function that may block, in a signal handler.

    The signal may have interrupted the hub of gevent, which must not block; a greenlet that is started there may.
    """
    greenlet = sys.modules.get("greenlet")
    if greenlet is None:
        act()
    else:
        greenlet.greenlet(act).switch()
