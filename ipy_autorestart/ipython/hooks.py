"""Functions of ours that IPython calls before and after a cell, without a way for an interrupt to get lost in them.

It relies, in IPython 8.20 to 9, on ``EventManager.trigger``: whatever is raised in a callback, a KeyboardInterrupt too,
is shown there as an error of that in the user's cell, which runs on.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ipy_autorestart.pristine import Event, Thread, get_handler, get_ident, is_main_thread, set_handler, signal

if TYPE_CHECKING:
    from types import FrameType

    from IPython.core.interactiveshell import InteractiveShell

#: Seconds between two looks whether the callbacks before a cell are over.
LOOKED_AT = 0.001


class Hooks:
    """Functions that are registered for a shell's events; an interrupt that comes meanwhile is for the cell.

    After a cell there is nothing that it could stop.
    """

    def __init__(self, shell: InteractiveShell, functions: Mapping[str, Callable[..., None]]) -> None:
        self._events = shell.events
        self._interrupt: _Interrupt | None = None
        self._registered = [(event, self._hook(event, function)) for event, function in functions.items()]
        self._registered.append(("post_execute", self._forget))
        for event, hook in self._registered:
            self._events.register(event, hook)

    def _hook(self, event: str, function: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            with _noting() as interrupts:
                function(*args)
            if interrupts and event.startswith("pre_"):
                self._forget()
                self._interrupt = _Interrupt()

        return call

    def _forget(self) -> None:
        if self._interrupt:
            self._interrupt.cancel()
            self._interrupt = None

    def close(self) -> None:
        """Unregister them."""
        for event, hook in self._registered:
            self._events.unregister(event, hook)
        self._forget()


@contextlib.contextmanager
def _noting() -> Iterator[list[int]]:
    """Only note SIGINTs for a while, as a list that is given."""
    interrupts: list[int] = []
    previous = get_handler(signal.SIGINT) if is_main_thread() else None
    if previous is None:  # another thread has no interrupts; one that isn't Python's can't be given back
        yield interrupts
        return

    def note(signum: int, _: FrameType | None) -> None:
        interrupts.append(signum)

    try:
        set_handler(signal.SIGINT, note)
        yield interrupts
    except KeyboardInterrupt:  # at the very beginning
        interrupts.append(signal.SIGINT)
    finally:
        if get_handler(signal.SIGINT) is note:
            set_handler(signal.SIGINT, previous)


class _Interrupt:
    """A SIGINT that comes to the main thread as soon as no callback runs there, unless it is cancelled before."""

    def __init__(self) -> None:
        from IPython.core.events import EventManager

        self._trigger = EventManager.trigger.__code__
        self._thread = get_ident()
        self._cancelled = Event()
        Thread(self._send)

    def _send(self) -> None:
        while not self._cancelled.wait(LOOKED_AT):
            if not self._calls_back:
                signal.pthread_kill(self._thread, signal.SIGINT)
                return

    @property
    def _calls_back(self) -> bool:
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001  # public but for its name
        while frame is not None:
            if frame.f_code is self._trigger:
                return True
            frame = frame.f_back
        return False

    def cancel(self) -> None:
        """Let it not come."""
        self._cancelled.set()
