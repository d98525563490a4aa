"""Acts in threads that run an event loop of their own, as ipykernel's do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds in which such a thread must have done what it is asked to.
DONE_MAX = 2.0


async def in_loop(loop: Any, act: Coroutine[Any, Any, T]) -> T:  # noqa: ANN401  # a tornado IOLoop
    """Have a thread run a coroutine, and await its result in another loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act, loop.asyncio_loop))


def call_in_loop(loop: Any, act: Callable[[], object]) -> None:  # noqa: ANN401
    """Have a thread do something, and wait for it."""

    async def run() -> None:
        act()

    asyncio.run_coroutine_threadsafe(run(), loop.asyncio_loop).result(DONE_MAX)


def end(thread: Any) -> None:  # noqa: ANN401
    """Stop a thread's loop and wait for the thread; raises TimeoutError if it goes on."""
    thread.stop()
    thread.join(DONE_MAX)
    if thread.is_alive():
        raise TimeoutError(f"the thread {thread.name} does not end")
