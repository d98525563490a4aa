"""In the kernel: a SIGHUP is noted, and when the kernel may leave it restarts itself.

The handler only notes and wakes the event loop; it never raises and never works. What is noted is judged by
`decide.batch`; what is held back meanwhile is the `gate`'s; the way out is `leave`.
"""

from __future__ import annotations

import contextvars
import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.cells import Cells, Recorder
from ipy_autorestart.ipython.policy import Batch, OnBusy, Rerun, admits, leave_at
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.handover import KernelExec
from ipy_autorestart.kernel.ipykernel import NotStill, channels_of
from ipy_autorestart.kernel.replay import Replay
from ipy_autorestart.protocol.messages import Exited, Hangup, Record, Refused, Waiting
from ipy_autorestart.reexec.start import CantRestart, ProcessStart
from ipy_autorestart.reexec.terminal import standing

if TYPE_CHECKING:
    import asyncio

    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Seconds until it is tried again to leave a kernel that didn't become still.
AGAIN = 0.2


class Restarter:
    """Restarts the kernel in place after a SIGHUP.

    Parameters
    ----------
    shell
        The kernel's.
    guests
        Supervisors that go over the exec with it.
    recorder
        What knows the cells that may be run again.
    """

    def __init__(self, shell: InteractiveShell, guests: Sequence[Any], recorder: Recorder) -> None:
        self._shell = shell
        self._recorder = recorder
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]  # ipykernel's shell has it
        self._guests = guests
        self._start = ProcessStart.of(shell)
        self._owners: list[Any] = []
        self._options: Any = None  # of the last owner; it stays for those who ask while the last one leaves
        self._loop: asyncio.AbstractEventLoop | None = None
        self._previous: Any = signal.SIG_DFL
        self._gate: Gate | None = None
        self._cells: Cells | None = None
        self._owed: float | None = None
        self._interrupted = False
        self._leaving: asyncio.Task[None] | None = None
        self._replay: asyncio.Task[None] | None = None

    def arm(
        self,
        owner: Any,  # noqa: ANN401
        then: Callable[[], None] = lambda: None,
        *,
        previous: Any = None,  # noqa: ANN401
    ) -> None:
        """Make SIGHUP restart the kernel, then call ``then``; at once in the main thread, else when that is idle.

        Parameters
        ----------
        owner
            The supervisor that needs it, which is told what becomes of a SIGHUP and whose options say what happens
            while the kernel is busy; the last to disarm gives SIGHUP back.
        then
            Called when the handler stands: earlier a SIGHUP would end the kernel.
        previous
            The handler to give back, if it isn't the one that stands now.
        """
        self._owners.append(owner)
        self._options = owner.request.options

        def act() -> None:
            self._settle_handler(previous)
            then()

        self._in_main_thread(act)

    def disarm(self, owner: object) -> None:
        """Take back `arm`; harmless if it was already."""
        if owner in self._owners:
            self._owners.remove(owner)
        if self._owners:
            self._options = self._owners[-1].request.options
        self._in_main_thread(self._settle_handler)

    def close(self) -> None:
        """Leave nothing behind."""
        self._owners.clear()
        self._in_main_thread(self._settle_handler)

    def describe(self) -> str:
        """Say what is waited for, or nothing; in any thread."""
        answering = self._gate or self._cells
        return answering.describe() if answering else ""

    def withdraw(self) -> bool:
        """Forget that a restart is owed, and say whether one was; too late once the kernel leaves."""
        if self._owed is None or self._is_leaving:
            return False
        self._owed, self._interrupted = None, False
        if self._gate:
            self._gate.reopen()
        return True

    @property
    def _is_leaving(self) -> bool:
        return self._leaving is not None and not self._leaving.done()

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
        self._previous = standing() if previous is None else previous
        self._owed, self._interrupted = None, False
        channels = channels_of(self._kernel)
        if channels:
            self._gate = Gate(self._kernel, channels, admits=self._admits, on_end=self._note_end)
        else:
            log.warning("this ipykernel is not known: requests that come during a restart of the kernel may be lost")
            self._cells = Cells(self._shell, on_end=self._note_end)
        # Both: asyncio's wakes the loop wherever the signal lands, and ours keeps a user's cell from ever noticing it.
        self._loop.add_signal_handler(signal.SIGHUP, self._wake)
        signal.signal(signal.SIGHUP, self._note)

    def _uninstall(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._replay:
            self._replay.cancel()
        loop.remove_signal_handler(signal.SIGHUP)
        self._loop = None
        self._owed = None
        if self._gate:
            self._gate.remove()
        if self._cells:
            self._cells.close()
        self._gate = self._cells = None
        # None: set by something that isn't Python, and can't be put back by it.
        signal.signal(signal.SIGHUP, signal.SIG_DFL if self._previous is None else self._previous)

    @property
    def _rerun(self) -> Rerun:
        return Rerun(self._options.rerun)

    def replay(self) -> None:
        """Run the cells of the image before again, ahead of what a person runs."""
        if self._loop is None or self._gate is None:
            return
        self._gate.keep_cells()
        replay = Replay(
            self._shell,
            self._gate,
            self._recorder,
            may_go_on=lambda: self._owed is None and self._leaving is None,
            on_cleared=self._show_again,
            tell=self._tell,
        )
        self._replay = self._loop.create_task(replay.run(self._rerun), context=contextvars.Context())

    def _show_again(self, request_id: str) -> None:
        for guest in list(self._guests):
            guest.show_again(request_id)

    # -- what is owed --------------------------------------------------------------------------------------------------

    def _batch(self) -> Batch:
        answering = self._gate or self._cells
        return Batch(
            owed=self._owed,
            running=answering.running if answering else 0,
            ended=answering.ended if answering else 0.0,
            on_busy=OnBusy(self._options.on_busy),
            timeout=self._options.busy_timeout,
        )

    def _note(self, *_: object) -> None:
        if not self._owners:
            return
        if self._owed is None:
            self._owed = time.monotonic()
        if self._loop is not None:  # once more: one that the user has run may have taken the wake-up descriptor along
            self._loop.call_soon_threadsafe(self._wake)
        if not self._interrupted and self._batch().on_busy is OnBusy.INTERRUPT and self.describe():
            self._interrupted = True
            self._kernel._send_interrupt_children()  # noqa: SLF001  # as the stop button does

    def _wake(self) -> None:
        if self._loop is None or self._owed is None:  # served by now: each signal wakes twice
            return
        self._tell(Hangup())
        self._check()

    def _admits(self) -> bool:
        """Whether a request may begin; in any thread."""
        if self._owed is None or not self._owners:
            return True
        self._tell(Waiting(self.describe()))
        return admits(self._batch(), time.monotonic())

    def _note_end(self) -> None:
        if self._owed is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._check)

    def _check(self) -> None:
        """Leave if it is owed and nothing is in the way."""
        if self._loop is None or self._is_leaving:
            return
        now = time.monotonic()
        due = leave_at(self._batch(), now)
        if self._owed is None or due is None:
            return
        if due > now:
            self._loop.call_later(due - now, self._check)
            return
        if self._gate:
            self._gate.shut()
        owed, self._owed, self._interrupted = self._owed, None, False
        # In no cell's context: what exit functions print belongs to the last one, not to that which made the watch.
        self._leaving = self._loop.create_task(self._leave(owed), context=contextvars.Context())

    async def _leave(self, owed: float) -> None:
        """Leave, or say why not and go on."""
        try:
            departing = await self._prepare()
        except CantRestart as refusal:
            self._decline(str(refusal))
        except NotStill as why:
            self._try_again(owed, str(why))
        except Exception as error:  # the border: whatever it is, the kernel goes on
            log.exception("the restart could not be prepared")
            self._decline(f"{type(error).__name__}: {error}")
        else:
            self._tell(Exited())
            departing.go(self._guests, hangup_ignored=self._previous is signal.SIG_IGN)

    def _try_again(self, owed: float, why: str) -> None:
        """Go on for the moment; the restart stays owed."""
        if self._loop is None:  # given up meanwhile
            return
        if time.monotonic() > owed + self._options.busy_timeout:
            self._decline(why)
            return
        self._leaving, self._owed = None, owed
        self._tell(Waiting(why))
        self._loop.call_later(AGAIN, self._check)

    async def _prepare(self) -> KernelExec:
        """Do all that may fail and can be undone."""
        self._start.check()
        gate = self._gate
        if gate is None:
            return KernelExec(self._shell, self._start, None, cells=self._recorder.to_plain(self._rerun))
        await gate.close()
        try:
            if self._gate is not gate:
                raise CantRestart("the watch has ended meanwhile")
            return KernelExec(self._shell, self._start, gate, cells=self._recorder.to_plain(self._rerun))
        except BaseException:
            gate.reopen()
            raise

    def _decline(self, why: str) -> None:
        self._leaving = None
        if self._gate:
            self._gate.reopen()  # it may hold requests though it was never closed
        log.warning("the kernel goes on as it is: %s", why)
        self._tell(Refused(why))
        self._check()  # for a signal that came meanwhile

    def _tell(self, record: Record) -> None:
        for owner in list(self._owners):
            owner.send(record)
