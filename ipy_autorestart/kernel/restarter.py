"""The kernel restarts itself in place after a SIGHUP, when no cell is running.

The handler only notes the signal and wakes the event loop. `ipython.policy` decides when the kernel may restart, the
`gate` holds requests back meanwhile, and `handover` is the exec.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.cells import Cells, Recorder
from ipy_autorestart.ipython.ledger import Rerun
from ipy_autorestart.ipython.policy import Batch, OnBusy, Pace, admits, restart_at
from ipy_autorestart.kernel.arming import Arming, CantArm, KernelArming
from ipy_autorestart.kernel.backup import Backups
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.handover import KernelEnd, KernelHandover, KernelSwitch, state_of
from ipy_autorestart.kernel.ipykernel import NotStill, channels_of, give_interrupts_back
from ipy_autorestart.kernel.replay import Replay
from ipy_autorestart.pristine import Timer, is_main_thread, os, signal, time
from ipy_autorestart.protocol.messages import Hangup, Moved, Record, Reran, Waiting
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.reexec.exec import SupervisorHandle
from ipy_autorestart.reexec.interrupts import Interrupts
from ipy_autorestart.reexec.restarter import Restarter
from ipy_autorestart.reexec.start import CantRestart, ProcessStart
from ipy_autorestart.reexec.state import Carried
from ipy_autorestart.reexec.tty import Terminal
from ipy_autorestart.wire.connection import read_file
from ipy_autorestart.wire.link import ATTRIBUTE, Begun, Done, Link, Watching, in_file, make_folder

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Seconds before a SIGHUP, besides the quiet that ends a burst, in which an interrupt is meant for what follows.
EARLY = 0.25

#: Seconds until the next try where requests were still in progress.
AGAIN = 0.2

#: Stands for the moment when it is too late: it has been tried.
NEVER = float("inf")


class KernelRestarter(Restarter):
    """Restarts the kernel in place after a SIGHUP."""

    def __init__(self, shell: InteractiveShell, supervisors: Sequence[SupervisorHandle], recorder: Recorder) -> None:
        super().__init__(supervisors)
        self._shell = shell
        self._recorder = recorder
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]  # ipykernel's shell has it
        self._start = ProcessStart.of(shell)
        self._connection = read_file(getattr(self._kernel.parent, "abs_connection_file", ""))
        self._options = Options()  # of the last owner; they stay while that one is disarmed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gate: Gate | None = None
        self._cells: Cells | None = None
        self._interrupts: Interrupts | None = None
        self.pace = Pace()  # of the cells when the gate was there last
        self._interrupted = False
        self._restart: asyncio.Task[None] | None = None
        self._replay: asyncio.Task[None] | None = None
        self.proxy: Link | None = getattr(self._kernel, ATTRIBUTE, None)  # where the kernel is behind one
        self._arms: float | None = None  # since when it is to go there, and inf when that has been tried
        self._backups: Backups | None = None  # of what another one needs there, should this one die

    def describe(self) -> str:
        """Return what a pending restart waits for, or nothing; in any thread."""
        answering = self._gate or self._cells
        return answering.describe() if answering else ""

    def withdraw(self) -> bool:
        """Cancel a pending restart; return whether there was one. Once the exec is prepared, it is too late."""
        if self._is_restarting or not super().withdraw():
            return False
        self._interrupted = False
        if self._gate:
            self._gate.reopen()
        return True

    @property
    def _is_restarting(self) -> bool:
        return self._restart is not None and not self._restart.done()

    def wake(self) -> None:
        """Wake the loop: the system may have chosen another thread for a SIGHUP, whose handler waits for the main one.

        So would asyncio's handlers of signals, by the one descriptor for that, which trio warns not to share.
        """
        if (loop := self._loop) is not None:
            with contextlib.suppress(RuntimeError):  # it was closed meanwhile
                loop.call_soon_threadsafe(lambda: None)

    def _in_main_thread(self, act: Callable[[], None]) -> None:
        if is_main_thread():
            act()
        else:  # a kernel subshell's
            self._kernel.io_loop.add_callback(act)

    def _settle(self, previous: Any = None) -> None:
        if self._owners:
            self._options = self._owners[-1].request.options
        super()._settle(previous)
        self._tell_roots()
        self._back_up()
        if self._wants_proxy and not self._why_no_proxy and self.proxy is None and self._arms is None:
            self._arms = time.monotonic()
            self._check_arming()

    def _tell_roots(self) -> None:
        if self.proxy and self._owners:
            fd = in_file("\n".join(root for owner in self._owners for root in owner.request.roots))
            self.proxy.send(Watching(), [fd])
            os.close(fd)

    def _install(self) -> None:
        from tornado.ioloop import IOLoop

        self._loop = IOLoop.current().asyncio_loop  # type: ignore[attr-defined]  # of every loop since tornado 6
        self._interrupted = False
        channels = channels_of(self._kernel)
        if channels:
            self._gate = Gate(
                self._kernel,
                channels,
                admits=self._admits,
                on_end=self._note_end,
                on_begin=self._note_begin,
                on_unsaid=self._note_unsaid,
                pace=self.pace,
            )
        else:
            log.warning("this ipykernel is not known: requests that come during a restart of the kernel may be lost")
            self._cells = Cells(self._shell, on_end=self._note_end)
        super()._install()

    def _uninstall(self) -> None:
        if self._replay:
            self._replay.cancel()
        if self._gate:
            self.pace = self._gate.pace
            self._gate.remove()
            if self.proxy:
                self.proxy.send(Begun())
        if self._cells:
            self._cells.close()
        if self._interrupts:
            give_interrupts_back(self._kernel, self._interrupts)
        self._loop = self._gate = self._cells = self._interrupts = self._arms = None
        super()._uninstall()

    @property
    def _rerun(self) -> Rerun:
        return Rerun(self._options.rerun)

    def replay(self, why: str = "", note: str = "") -> None:
        """Run the cells of the kernel before again, ahead of any that the user runs.

        It is told why, if it isn't for a change, and a note with it.
        """
        if self._loop is None or self._gate is None:
            self._report(Reran("no cell is run again: this ipykernel is not known"))
            return
        gate = self._gate
        gate.keep_cells()
        interrupts = self._interrupts = Interrupts()  # with those that came during the restart
        replay = Replay(
            self._shell,
            gate,
            self._recorder,
            may_go_on=lambda: self._pending is None and self._restart is None,
            on_cleared=self._show_again,
            report=lambda record: self._report(_with(record, why, note)),
            interrupts=interrupts,
        )
        self._replay = self._loop.create_task(replay.run(self._rerun), context=contextvars.Context())
        self._replay.add_done_callback(lambda task: self._end_replay(task, gate))

    def _end_replay(self, task: asyncio.Task[None], gate: Gate) -> None:
        """Have the cells that wait run whatever has ended the replay, even before its first step."""
        error = None if task.cancelled() else task.exception()
        if gate is not self._gate or not (task.cancelled() or error):
            return
        if error:
            log.error("the cells could not be run again", exc_info=error)
        why = f"{type(error).__name__}: {error}" if error else "cancelled by the kernel's own code"
        self._report(Reran(f"the cells could not be run again: {why}"))
        gate.let_all()

    def _show_again(self, request_id: str) -> None:
        for supervisor in list(self._supervisors):
            supervisor.show_again(request_id)

    # -- when ----------------------------------------------------------------------------------------------------------

    def _batch(self) -> Batch:
        answering = self._gate or self._cells
        return Batch(
            pending=self._pending,
            running=answering.running if answering else 0,
            pace=answering.pace if answering else self.pace,
            on_busy=OnBusy(self._options.on_busy),
            timeout=self._options.busy_timeout,
        )

    def _hang_up(self, _: FrameType | None) -> None:
        if not self._owners:
            return
        if self._pending is None:
            self._pending = time.monotonic()
            if self._interrupts:
                self._interrupts.forget(before=self._pending - self._options.debounce - EARLY)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake)
        if not self._interrupted and self._batch().on_busy is OnBusy.INTERRUPT and self.describe():
            self._interrupted = True
            self._recorder.expect_interrupt()
            self._kernel._send_interrupt_children()  # noqa: SLF001  # as the stop button does

    def _wake(self) -> None:
        if self._loop is None or self._pending is None:  # done already, or withdrawn
            return
        self._report(Hangup())
        self._check()

    def _admits(self, *, is_cell: bool) -> bool:
        """Whether a request, which counts as one in progress by now, may begin; in any thread."""
        if self._pending is None or not self._owners:
            return True
        self._report(Waiting(self.describe()))
        batch = self._batch()
        return admits(replace(batch, running=batch.running - 1), time.monotonic(), is_cell=is_cell)

    def _note_end(self) -> None:
        self._note_interrupts()
        self._back_up()
        if self._arms is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._check_arming)
        if self._pending is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._check)

    def _back_up(self) -> None:
        """Give the proxy what another kernel needs to go on, if that has changed."""
        if self.proxy and is_main_thread() and not self._is_restarting:
            call_later = self._kernel.io_loop.call_later
            self._backups = self._backups or Backups(self.proxy, self._state, call_later=call_later)
            self._backups.note(self._recorder.ledger, tuple(self._owners))

    def _note_begin(self, key: str, again: bool) -> None:  # noqa: FBT001  # as the gate calls it
        """Have the proxy know what this kernel is at work on, should it die of that."""
        if self._backups and is_main_thread():
            self._backups.before_request()
        if self.proxy and key:
            with contextlib.suppress(OSError):
                self.proxy.send(Begun(key, again))

    def _note_unsaid(self, key: str) -> None:
        """Have the proxy forget a request that is done: it goes by what is said to the clients."""
        if self.proxy and key:
            with contextlib.suppress(OSError):
                self.proxy.send(Done(key))

    def _state(self) -> Carried:
        """Return what another kernel needs to go on from here."""
        cells = self._recorder.to_plain(self._rerun) if self._owners else None
        own = state_of(self._kernel, self._start, self._connection, gate=self._gate, cells=cells)
        supervisors = tuple(filter(None, (one.snapshot() for one in list(self._supervisors))))
        return Carried(self._start.first, supervisors, own)

    def _note_interrupts(self) -> None:
        """Note SIGINT from now on while no request is in progress, if it could stop cells that run again."""
        if self._interrupts or self._gate is None or self._gate.running or self._rerun is Rerun.NONE:
            return
        if is_main_thread():
            self._interrupts = Interrupts()

    def _check(self) -> None:
        if self._loop is None or self._is_restarting:
            return
        now = time.monotonic()
        due = restart_at(self._batch(), now)
        if self._pending is None or due is None:
            return
        if due > now:
            self._check_in(due - now)
            return
        if self._gate:
            self._gate.shut()
        if self._interrupted and self._interrupts:
            self._interrupts.forget()  # our own, which may have come after the end of the cell
        since, self._pending, self._interrupted = self._pending, None, False
        # In no cell's context: what exit functions print belongs to the last cell, not to the one that began the watch.
        self._restart = self._loop.create_task(self._exec_or_go_on(since), context=contextvars.Context())

    def _check_in(self, seconds: float) -> None:
        """Check later, by our own clock: the loop's stands still where a program plays with the time."""
        try:
            Timer(seconds, self._note_end).start()
        except RuntimeError:  # no thread can be started: a cell has limited the memory
            if self._loop is not None:
                self._loop.call_later(seconds, self._check)

    async def _exec_or_go_on(self, since: float) -> None:
        import asyncio

        try:
            handover = await self._prepare()
        except CantRestart as refusal:
            self._refuse(str(refusal))
        except NotStill as why:
            if self._loop is None:  # disarmed meanwhile
                return
            if time.monotonic() > since + self._options.busy_timeout:
                self._refuse(str(why))
                return
            self._restart, self._pending = None, since
            self._report(Waiting(str(why)))
            self._check_in(AGAIN)
        except asyncio.CancelledError:
            self._refuse("cancelled by the kernel's own code")
            raise
        except Exception as error:  # the border: the kernel goes on
            log.exception("the restart could not be prepared")
            self._refuse(f"{type(error).__name__}: {error}")
        else:
            self._exec(handover)

    async def _prepare(self) -> KernelEnd:
        """Do all that can fail and can be undone."""
        self._start.check()
        gate = self._gate
        if gate is not None:
            await gate.close()
        try:
            if self._gate is not gate:
                raise CantRestart("the watch has ended meanwhile")
            cells = self._recorder.to_plain(self._rerun)
            facts: dict[str, Any] = {"connection": self._connection, "cells": cells}
            if self.proxy and gate:
                cold = not self._options.warm
                return KernelSwitch(self._shell, self._start, gate, proxy=self.proxy, cold=cold, **facts)
            why_not, folder = self._why_no_proxy if self._wants_proxy else "", ""
            if self._wants_proxy and not why_not:
                try:
                    folder = make_folder()
                except OSError as error:
                    why_not = str(error)
            return KernelHandover(self._shell, self._start, gate, folder=folder, no_proxy=why_not, **facts)
        except BaseException:
            if gate is not None:
                gate.reopen()
            raise

    # -- behind a proxy ------------------------------------------------------------------------------------------------

    def _check_arming(self) -> None:
        """Go behind a proxy when the kernel has nothing to do."""
        if self._arms is None or self._loop is None or self._pending is not None or self._is_restarting:
            return
        now = time.monotonic()
        due = restart_at(replace(self._batch(), pending=self._arms), now)
        if due is None or self._arms == NEVER:
            return
        if due > now:
            self._loop.call_later(due - now, self._check_arming)
            return
        self._arms = NEVER
        self._restart = self._loop.create_task(self._arm(), context=contextvars.Context())

    async def _arm(self) -> None:
        """Have a copy of this kernel go on behind a proxy, which this process becomes; or go on as it is."""
        gate = self._gate
        assert gate is not None
        arming = Arming(self._kernel, lives=self._live_on)
        supervisors: list[SupervisorHandle] = []
        try:
            self._start.check()
            await gate.close()
            if self._gate is not gate or not self._wants_proxy or self._pending is not None:
                raise CantArm("the watch has changed, or a restart is due")
            supervisors = list(self._supervisors)
            for supervisor in supervisors:
                supervisor.hush()
            pid = arming.begin(supervisors)
            if pid == 0:
                return
            cells = self._recorder.to_plain(self._rerun)
            facts: dict[str, Any] = {"connection": self._connection, "cells": cells}
            handover = KernelArming(self._shell, self._start, gate, arming=arming, **facts)
        except BaseException as why:  # the border, to a cancellation too: the kernel goes on
            is_refusal = isinstance(why, CantArm | CantRestart | NotStill)
            with contextlib.ExitStack() as back:  # each of it, whatever the others come to
                back.callback(self._stay, f"{'' if is_refusal else type(why).__name__ + ': '}{why}")
                back.callback(gate.reopen)
                for supervisor in supervisors:
                    back.callback(supervisor.listen_again)
                back.callback(arming.undo)
            if not isinstance(why, Exception):
                raise
            return
        handover.become(pid, supervisors, hangup_ignored=self._previous is signal.SIG_IGN)

    def _stay(self, why: str) -> None:
        log.info("the kernel goes behind a proxy with the next restart: %s", why)
        self._restart = None
        self._check()

    def _live_on(self, proxy: Link) -> None:
        """Go on as the kernel behind a proxy, in a copy of the process that becomes the proxy."""
        self._pid, self._terminal = os.getpid(), Terminal()
        self.proxy, self._restart = proxy, None
        if self._gate:
            self._gate.renew()
        for supervisor in list(self._supervisors):
            supervisor.listen_again()
            supervisor.send(Moved(self._pid))
        self._tell_roots()

    @property
    def _wants_proxy(self) -> bool:
        return self._gate is not None and self._rerun is not Rerun.NONE and self._options.warm

    @property
    def _why_no_proxy(self) -> str:
        """Why this process can't become a proxy, behind which restarts take milliseconds."""
        if sys.platform != "linux":
            return "only Linux has what a kernel behind a proxy needs"
        if getattr(self._kernel, "eventloop", None) is not None:
            return "a %gui loop runs"
        return ""

    def _refuse(self, why: str) -> None:
        self._restart = None
        if self._gate:
            self._gate.reopen()  # it may hold requests though it was never closed
        log.warning("the kernel goes on as it is: %s", why)
        super()._refuse(why)
        self._check()  # for a signal that came meanwhile


def _with(record: Record, *more: str) -> Record:
    """Return what a rerun reports with more words around it."""
    if not isinstance(record, Reran) or not record.what:
        return record
    before, after = more
    return replace(record, what="; ".join(filter(None, (before, record.what, after))))
