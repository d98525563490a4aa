"""In the kernel: a SIGHUP is noted, and when the kernel is idle it restarts itself.

The handler only notes and wakes the event loop; it never raises and never works.
"""

from __future__ import annotations

import collections
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.kernel import leave
from ipy_autorestart.link import Declined, Leaving, Noted, Record

if TYPE_CHECKING:
    import asyncio

    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Seconds without a cell that end a batch: between the cells of a Run All lie less than 5 ms.
QUIET = 0.05


class Restarter:
    """Restarts the kernel in place after a SIGHUP, as soon as it is idle.

    Parameters
    ----------
    shell
        The kernel's.
    guests
        Supervisors that go over the exec with it.
    """

    def __init__(self, shell: InteractiveShell, guests: Sequence[Any]) -> None:
        self._shell = shell
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]  # ipykernel's shell has it
        self._guests = guests
        self._start = leave.StartingPoint.now(shell)
        self._owners: list[Any] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: Any = signal.SIG_DFL
        self._pending = False
        self._executing: collections.Counter[int] = collections.Counter()
        self._ended_at = float("-inf")
        if _in_a_cell():  # whose end is told, but whose start was not
            self._executing[threading.get_ident()] = 1
        shell.events.register("pre_execute", self._note_start)
        shell.events.register("post_execute", self._note_end)

    def arm(
        self,
        owner: object,
        then: Callable[[], None] = lambda: None,
        *,
        previous: Any = None,  # noqa: ANN401
    ) -> None:
        """Make SIGHUP restart the kernel, then call ``then``; at once in the main thread, else when that is idle.

        Parameters
        ----------
        owner
            The supervisor that needs it, which is told what becomes of a SIGHUP; the last to disarm gives SIGHUP back.
        then
            Called when the handler stands: earlier a SIGHUP would end the kernel.
        previous
            The handler to give back, if it isn't the one that stands now.
        """
        self._owners.append(owner)

        def act() -> None:
            self._settle_handler(previous)
            then()

        self._in_main_thread(act)

    def disarm(self, owner: object) -> None:
        """Take back `arm`; harmless if it was already."""
        if owner in self._owners:
            self._owners.remove(owner)
        self._in_main_thread(self._settle_handler)

    def close(self) -> None:
        """Leave nothing behind."""
        self._owners.clear()
        self._in_main_thread(self._settle_handler)
        self._shell.events.unregister("pre_execute", self._note_start)
        self._shell.events.unregister("post_execute", self._note_end)

    def _in_main_thread(self, act: Callable[[], None]) -> None:
        if threading.current_thread() is threading.main_thread():
            act()
        else:  # signal.signal works in the main thread only, and a kernel subshell is another
            self._kernel.io_loop.add_callback(act)

    def _settle_handler(self, previous: Any = None) -> None:  # noqa: ANN401  # what signal.signal takes
        if self._owners and self._loop is None:
            self._install(previous)
        elif not self._owners and self._loop is not None:
            self._uninstall(self._loop)

    def _install(self, previous: Any) -> None:  # noqa: ANN401
        from tornado.ioloop import IOLoop

        self._loop = IOLoop.current().asyncio_loop  # type: ignore[attr-defined]  # of every loop since tornado 6
        self._previous = signal.getsignal(signal.SIGHUP) if previous is None else previous
        # Both: asyncio's wakes the loop wherever the signal lands, and ours keeps a user's cell from ever noticing it.
        self._loop.add_signal_handler(signal.SIGHUP, self._wake)
        signal.signal(signal.SIGHUP, self._note)

    def _uninstall(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_signal_handler(signal.SIGHUP)
        self._loop = None
        self._pending = False
        # None: set by something that isn't Python, and can't be put back by it.
        signal.signal(signal.SIGHUP, signal.SIG_DFL if self._previous is None else self._previous)

    def _note(self, *_: object) -> None:
        """Wake the loop once more: one that the user has run in a cell may have taken the wake-up descriptor along."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._pending = True
        self._tell(Noted())
        self._check()

    def _note_start(self) -> None:
        self._executing[threading.get_ident()] += 1  # a cell may run another

    def _note_end(self) -> None:
        thread = threading.get_ident()
        self._executing[thread] -= 1
        if self._executing[thread] <= 0:  # below: an empty cell ends without having begun
            del self._executing[thread]
        self._ended_at = time.monotonic()
        if self._pending and self._loop is not None:
            self._loop.call_soon_threadsafe(self._check)

    def _check(self) -> None:
        """Restart if it is owed and the kernel has been idle for a while."""
        if not self._pending or self._executing or self._loop is None:
            return
        left = self._ended_at + QUIET - time.monotonic()
        if left > 0:
            self._loop.call_later(left, self._check)
            return
        self._pending = False
        try:
            self._start.check()
        except leave.CantLeave as refusal:
            log.warning("the kernel goes on as it is: %s", refusal)
            self._tell(Declined(str(refusal)))
            return
        self._tell(Leaving())
        guests = [state for guest in list(self._guests) if (state := guest.detach())]
        leave.leave(self._shell, self._start, leave.Carried(guests, self._previous is signal.SIG_IGN))

    def _tell(self, record: Record) -> None:
        for owner in self._owners:
            owner.send(record)


def _in_a_cell() -> bool:
    """Return whether this thread is executing a cell, by ``InteractiveShell.run_cell_async`` on its stack."""
    frame = sys._getframe()  # noqa: SLF001  # public but for its name
    while frame.f_code.co_name != "run_cell_async":
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return True
