"""The kernel restarts itself in place after a SIGHUP, when no cell is running.

The handler only notes the signal and wakes the event loop. `ipython.policy` decides when the kernel may restart, the
`gate` holds requests back meanwhile, and `handover` is the exec.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipy_autorestart import catalogue
from ipy_autorestart.ipython.cells import Cells, Recorder, interrupted
from ipy_autorestart.ipython.history import begin_session_later
from ipy_autorestart.ipython.ledger import Rerun
from ipy_autorestart.ipython.policy import Batch, OnBusy, Pace, admits, restart_at
from ipy_autorestart.kernel.behind import Behind
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.going_on import GoingOn
from ipy_autorestart.kernel.handover import KernelBack, KernelEnd, KernelHandover, KernelSwitch, state_of
from ipy_autorestart.kernel.ipykernel import NotStill, channels_of, give_interrupts_back
from ipy_autorestart.kernel.parked import Turn
from ipy_autorestart.kernel.replay import Replay
from ipy_autorestart.kernel.way_behind import WayBehind, why_no_proxy
from ipy_autorestart.pristine import Timer, is_main_thread, os, signal, time
from ipy_autorestart.protocol.checkpoint import Checkpoint
from ipy_autorestart.protocol.messages import (
    Asked,
    Changed,
    Exited,
    Hangup,
    Moved,
    PushFailed,
    Record,
    Reran,
    Reread,
    Started,
    Touched,
    Waiting,
)
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.reexec.exec import SupervisorHandle
from ipy_autorestart.reexec.interrupts import Interrupts
from ipy_autorestart.reexec.pushes import Pushes, clients_here
from ipy_autorestart.reexec.restarter import Restarter
from ipy_autorestart.reexec.start import CantRestart, ProcessStart
from ipy_autorestart.reexec.state import Carried, SupervisorState
from ipy_autorestart.reexec.tty import Terminal
from ipy_autorestart.wire.connection import read_file
from ipy_autorestart.wire.link import ATTRIBUTE, Link, make_folder

if TYPE_CHECKING:
    from types import FrameType

    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Seconds before a SIGHUP, besides the quiet that ends a burst, in which an interrupt is meant for what follows.
EARLY = 0.25

#: Seconds until the next try where requests were still in progress.
AGAIN = 0.2

#: Seconds after a request at which the loop wakes once more, for a SIGHUP that came just before it fell asleep.
ASLEEP = 0.1

#: Seconds after a request at which what no client waits for is done: threads send the reply and `idle`, which they
#: can't while Python runs here.
TIDIED_AFTER = 0.001

#: Seconds by which a hint may come late: what was used longer before it was used as it had been.
HEARD_WITHIN = 0.1

#: Seconds for which checkpoints are kept though nothing is watched.
UNWATCHED = 1.0


class KernelRestarter(Restarter):
    """Restarts the kernel in place after a SIGHUP."""

    def __init__(
        self,
        shell: InteractiveShell,
        supervisors: Sequence[SupervisorHandle],
        recorder: Recorder,
        take_up: Callable[[Sequence[SupervisorState]], None],
    ) -> None:
        super().__init__(supervisors)
        self._take_up = take_up
        self._shell = shell
        self._recorder = recorder
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]  # ipykernel's shell has it
        self.start = ProcessStart.of(shell)
        self._connection = read_file(getattr(self._kernel.parent, "abs_connection_file", ""))
        self._options = Options()  # of the last owner; they stay while that one is disarmed
        self._loop: asyncio.AbstractEventLoop | None = None
        self.gate: Gate | None = None
        self._cells: Cells | None = None
        self._interrupts: Interrupts | None = None
        self.pace = Pace()  # of the cells when the gate was there last
        self._interrupted = False
        self._restart: asyncio.Task[None] | None = None
        self._replay: asyncio.Task[None] | None = None
        link: Link | None = getattr(self._kernel, ATTRIBUTE, None)
        self.behind = self._behind(link) if link else None  # a proxy, if it is
        self._way_behind = WayBehind(self, shell, recorder, supervisors)
        self._tidying: asyncio.TimerHandle | None = None
        self._waits_since = float("inf")  # since when a cell waits for what is done between two
        self._interrupting = contextlib.ExitStack()  # the cell that has begun, as it was interrupted while it waited
        self._undo: tuple[int, ...] = ()  # the checkpoints to which a person wants to go back
        self._undoing: SupervisorHandle | None = None  # the owner whose SIGHUP has that done

    def _behind(self, link: Link) -> Behind:
        parts = (self, self._shell, link, self._recorder, self._supervisors)
        return Behind(*parts, state=self._state, go_on=self._go_on)

    @property
    def proxy(self) -> Link | None:
        """The link to its proxy, where the kernel is behind one."""
        return self.behind.link if self.behind else None

    def describe(self) -> str:
        """Return what a pending restart waits for, or nothing; in any thread."""
        answering = self.gate or self._cells
        return answering.describe() if answering else ""

    def withdraw(self) -> bool:
        """Cancel a pending restart; return whether there was one. Once the exec is prepared, it is too late."""
        if self._is_leaving or not super().withdraw():
            return False
        self._interrupted, self._undo = False, ()
        if self.gate and not self._is_parking:  # which opens it at its own end
            self.gate.reopen()
        return True

    @property
    def _is_parking(self) -> bool:
        return self.behind is not None and self.behind.parking.is_begun

    @property
    def _is_leaving(self) -> bool:
        """Whether another process is about to take the place of this one."""
        return self._way_behind.is_begun or (self._restart is not None and not self._restart.done())

    @property
    def _is_restarting(self) -> bool:
        """Whether it restarts, or is about to be copied."""
        return self._is_parking or self._is_leaving

    @property
    def is_free(self) -> bool:
        """Whether no restart is due or has begun, nor anything for which the kernel must be still."""
        return self._pending is None and not self._undo and not self._is_restarting

    @property
    def is_replaying(self) -> bool:
        """Whether cells run again."""
        return self._replay is not None and not self._replay.done()

    def wake(self) -> None:
        """Wake the loop: a SIGHUP doesn't if it comes to another thread, or just before the main one falls asleep.

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
        if self._undoing not in self._owners and self._pending is None and not self._is_leaving:
            self._undo = ()  # no SIGHUP will come for it
        self._settle_behind()
        self._back_up()
        if self.wants_proxy and self._loop and self.behind is None and not why_no_proxy(self._kernel):
            self._way_behind.want(self._loop)

    def _settle_behind(self) -> None:
        if self.behind and self._owners:
            self.behind.watch(root for owner in self._owners for root in owner.request.roots)
            if self.wants_proxy:
                self.behind.parking.begin()
            else:
                self.behind.parking.end()
        elif self.behind and self.behind.parking.is_on:  # unless another watch takes the place of this one
            self._kernel.io_loop.call_later(UNWATCHED, self._let_checkpoints_go)

    def _let_checkpoints_go(self) -> None:
        if self.behind and not self._owners:
            self.behind.parking.end()

    def _install(self) -> None:
        from tornado.ioloop import IOLoop

        self._loop = IOLoop.current().asyncio_loop  # type: ignore[attr-defined]  # of every loop since tornado 6
        self._interrupted = False
        channels = channels_of(self._kernel)
        if channels:
            self.gate = Gate(
                self._kernel,
                channels,
                admits=self._admits,
                on_end=self._note_end,
                on_begin=self._note_begin,
                on_done=self._note_done,
                on_deleted=self._note_deleted,
                pace=self.pace,
            )
            self._recorder.settles_later = True
        else:
            log.warning("this ipykernel is not known: requests that come during a restart of the kernel may be lost")
            self._cells = Cells(self._shell, on_end=self._note_end)
        super()._install()

    def _uninstall(self) -> None:
        if self._replay:
            self._replay.cancel()
        if self.gate:
            self.pace = self.gate.pace
            self.gate.remove()
            if self.behind:
                self.behind.end_telling()
        if self._cells:
            self._cells.close()
        if self._interrupts:
            give_interrupts_back(self._kernel, self._interrupts)
        if self._tidying:
            self._tidying.cancel()
        self._tidying, self._recorder.settles_later = None, False
        self._way_behind.end()
        self._loop = self.gate = self._cells = self._interrupts = None
        self._undo = ()
        super()._uninstall()

    @property
    def _rerun(self) -> Rerun:
        return Rerun(self._options.rerun)

    def replay(self, before: str = "", behind: str = "") -> None:
        """Run the cells of the kernel before again, ahead of any that the user runs.

        What is told of it stands between these words, which say why, if it isn't for a change, and what is to note.
        """
        if self._loop is None or self.gate is None:
            self._report(Reran("", stopped=catalogue.NO_RERUN_HERE()))
            return
        gate = self.gate
        gate.keep_cells()
        interrupts = self._interrupts = Interrupts()  # with those that came during the restart
        replay = Replay(
            self._shell,
            gate,
            self._recorder,
            may_go_on=lambda: self._pending is None and self._restart is None and not self._way_behind.is_begun,
            between=self._park_between,
            on_cleared=self._show_again,
            report=lambda record: self._report(_with(record, before, behind)),
            interrupts=interrupts,
        )
        self._replay = self._loop.create_task(replay.run(self._rerun), context=contextvars.Context())
        self._replay.add_done_callback(lambda task: self._end_replay(task, gate))

    def _end_replay(self, task: asyncio.Task[None], gate: Gate) -> None:
        """Have the cells that wait run whatever has ended the replay, even before its first step."""
        if task is not self._replay:  # that of the kernel which was copied
            return
        if self.behind:
            self.behind.parking.check_later()
        error = None if task.cancelled() else task.exception()
        if gate is not self.gate or not (task.cancelled() or error):
            return
        if error:
            log.error("the cells could not be run again", exc_info=error)
        why = f"{type(error).__name__}: {error}" if error else catalogue.CANCELLED()
        self._report(Reran("", stopped=catalogue.RERUN_FAILED(why=why)))
        gate.let_all()

    def _show_again(self, request_id: str) -> None:
        for supervisor in list(self._supervisors):
            supervisor.show_again(request_id)

    # -- when ----------------------------------------------------------------------------------------------------------

    @property
    def batch(self) -> Batch:
        """The work of the kernel, and the restart that is pending."""
        answering = self.gate or self._cells
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
        if not self._interrupted and self.batch.on_busy is OnBusy.INTERRUPT and self.describe():
            self._interrupted = True
            self._recorder.expect_interrupt()
            self._kernel._send_interrupt_children()  # noqa: SLF001  # as the stop button does

    def _wake(self) -> None:
        if self._loop is None or self._pending is None:  # done already, or withdrawn
            return
        self._report(Hangup())
        self.check()

    def _admits(self, *, is_cell: bool) -> bool:
        """Whether a request, which counts as one in progress by now, may begin; in any thread."""
        if self._pending is None or not self._owners:
            return not (is_cell and is_main_thread() and self._keeps_waiting())
        self._waits_since = float("inf")
        self._report(Waiting(self.describe()))
        batch = self.batch
        return admits(replace(batch, running=batch.running - 1), time.monotonic(), is_cell=is_cell)

    def _keeps_waiting(self) -> bool:
        """Begin what a cell is to wait for, if there is anything; an interrupt meanwhile is for that cell."""
        if self._way_behind.begins_between() or (self.behind and self.behind.parking.begins(running=1)):
            self._waits_since = min(self._waits_since, time.monotonic())
            return True
        since, self._waits_since = self._waits_since, float("inf")
        if self._interrupts:
            self._interrupts.forget(before=since)
            if self._interrupts.noted:
                self._interrupts.forget()
                self._interrupting.enter_context(interrupted(self._shell))
        return False

    def _note_end(self) -> None:
        if is_main_thread():
            self._interrupting.close()
        self._note_interrupts()
        if self._loop is None:
            return
        if is_main_thread():
            self._loop.call_later(ASLEEP, lambda: None)
            self._tidy_soon(self._loop)
        else:
            self._loop.call_soon_threadsafe(self._tidy_soon, self._loop)
        if self._pending is not None:
            self._loop.call_soon_threadsafe(self.check)

    def _tidy_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._tidying is None:
            self._tidying = loop.call_later(TIDIED_AFTER, self._tidy)

    def _tidy(self) -> None:
        """Do what there is to do after a request: by now the threads have sent what its client waits for."""
        self._tidying = None
        self._recorder.settle()
        self._back_up()
        if self._way_behind.since is not None:
            self._way_behind.check()
        if self.behind is not None:
            self.behind.parking.check()

    def _back_up(self) -> None:
        if self.behind and is_main_thread() and not self._is_restarting:
            self.behind.back_up(self._owners)

    def _note_begin(self, key: str, again: bool) -> None:  # noqa: FBT001  # as the gate calls it
        if is_main_thread() and self._tidying is not None:
            self._recorder.settle()
            self._back_up()
        if self.behind:
            self.behind.begin(key, again=again)

    def _note_done(self, key: str, is_said: bool) -> None:  # noqa: FBT001  # as above
        if self.behind:
            self.behind.done(key, is_said=is_said)

    def _note_deleted(self, keys: Sequence[str]) -> None:
        if is_main_thread():
            self._recorder.forget(keys)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._recorder.forget, keys)

    def _state(self) -> Carried:
        """Return what another kernel needs to go on from here."""
        cells = self._cells_to_plain() if self._owners else None
        own = state_of(self._kernel, self.start, self._connection, gate=self.gate, cells=cells)
        supervisors = tuple(filter(None, (one.snapshot() for one in list(self._supervisors))))
        return Carried(self.start.first, supervisors, own)

    def _note_interrupts(self) -> None:
        """Note SIGINT from now on while no request is in progress, if it could stop cells that run again, or wait."""
        stops_nothing = self._rerun is Rerun.NONE and not self.wants_proxy
        if self._interrupts or self.gate is None or self.gate.running or stops_nothing:
            return
        if is_main_thread():
            self._interrupts = Interrupts()

    def check(self) -> None:
        """Begin a restart that is pending as soon as it may; harmless if there is none."""
        if self._loop is None or self._is_restarting:
            return
        now = time.monotonic()
        due = restart_at(self.batch, now)
        if self._pending is None or due is None:
            return
        if due > now:
            self._check_in(due - now)
            return
        if self.gate:
            self.gate.shut()
        if self._interrupts:  # those of before the last cell's end were for that, and so was our own, whenever it came
            self._interrupts.forget(before=float("inf") if self._interrupted else self.batch.pace.ended)
        since, self._pending, self._interrupted = self._pending, None, False
        # In no cell's context: what exit functions print belongs to the last cell, not to the one that began the watch.
        self._restart = self._loop.create_task(self._exec_or_go_on(since), context=contextvars.Context())
        self._restart.add_done_callback(self._end_restart)

    def _end_restart(self, task: asyncio.Task[None]) -> None:
        """Go on if the kernel's own code has cancelled a restart, perhaps before its first step."""
        if task.cancelled() and task is self._restart:
            self._refuse(catalogue.CANCELLED())

    def _check_in(self, seconds: float) -> None:
        """Check later, by our own clock: the loop's stands still where a program plays with the time."""
        try:
            Timer(seconds, self._note_end).start()
        except RuntimeError:  # no thread can be started: a cell has limited the memory
            if self._loop is not None:
                self._loop.call_later(seconds, self.check)

    async def _exec_or_go_on(self, since: float) -> None:
        try:
            self.start.check()
            gate = self.gate
            if gate is not None:
                await gate.close()
            if self.behind and self._options.warm:
                self.behind.ask(self._owners)
            await self._exited()
            back = await self._right_checkpoints()
            if self.gate is not gate:
                if gate is not None:
                    gate.reopen()
                raise CantRestart(catalogue.WATCH_GONE())
            handover = self._handover(back)
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
        except Exception as error:  # the border: the kernel goes on
            log.exception("the restart could not be prepared")
            self._refuse(f"{type(error).__name__}: {error}")
        else:
            self._leave(handover)

    async def _exited(self) -> None:
        """Tell that this kernel has ended, and wait until clusters have the new code; raises `CantRestart`."""
        over, loop = asyncio.Event(), asyncio.get_running_loop()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(over.set)

        pushes = self._pushes = Pushes(self._owners, tell)
        self._report(Exited(clients=() if pushes.is_over else clients_here()))
        if not pushes.is_over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), pushes.within)
        if why := pushes.refusal:
            raise CantRestart(why)

    def _handover(self, back: tuple[int, ...]) -> KernelEnd:
        """Do all that can fail and can be undone."""
        facts = self.to_hand_over()
        if self.behind and self.gate:
            parts, proxy = (self._shell, self.start, self.gate), self.behind.link
            if back:
                return KernelBack(*parts, proxy=proxy, cold=False, back=back, undoes=bool(self._undo), **facts)
            return KernelSwitch(*parts, proxy=proxy, cold=not self._options.warm, **facts)
        why_not, folder = why_no_proxy(self._kernel) if self.wants_proxy else "", ""
        if self.wants_proxy and not why_not:
            try:
                folder = make_folder()
            except OSError as error:
                why_not = str(error)
        return KernelHandover(self._shell, self.start, self.gate, folder=folder, no_proxy=why_not, **facts)

    def to_hand_over(self) -> Mapping[str, Any]:
        """Return what each handover needs."""
        return {"connection": self._connection, "cells": self._cells_to_plain()}

    def _cells_to_plain(self) -> dict[str, Any] | None:
        is_of_use = self._rerun is not Rerun.NONE or self._options.keeps_checkpoints
        return self._recorder.to_plain() if is_of_use else None

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Get ready for checkpoints, in a fresh kernel that waits for its turn."""
        if self.behind:
            self.behind.parking.begin(is_fresh=True)

    async def _park_between(self) -> bool:
        """Make a checkpoint between two cells that run again; return whether this is a kernel that went on from it."""
        return self.behind is not None and await self.behind.parking.between()

    def _go_on(self, turn: Turn) -> None:
        """Go on as the kernel, in the state of a checkpoint, from where another one has ended."""
        then, gate = GoingOn(turn), self.gate
        assert gate
        assert self.behind
        self._pid, self._terminal = os.getpid(), Terminal()
        self.behind.renew(then.link)
        self._restart = self._replay = self._pending = None
        self._interrupted, self._undo, self._waits_since = False, (), float("inf")
        gate.renew()
        gate.pace = Pace(gaps=then.own.gaps)
        if self._interrupts:
            self._interrupts.forget()  # those of then
        if then.is_interrupted:
            self._interrupts = self._interrupts or Interrupts()
            self._interrupts.note()
        then.begin(self._kernel, gate.subshells())
        self._recorder.ledger = then.told(self._recorder.ledger)
        self._take_up(then.carried.supervisors)
        runs_again = self.is_armed and then.may_rerun and self._rerun is not Rerun.NONE
        if runs_again:
            self._report(Reran("", goes_on=True))
        self._report(Started(self._pid))
        then.take_over()
        self._settle()
        what = then.describe(self._recorder.ledger, after=self.behind.parking.latest, runs_again=runs_again)
        if runs_again:
            self.replay(f"{what} · ")
        else:
            self.say(what)

    async def _right_checkpoints(self) -> tuple[int, ...]:
        if self.behind is None or not self._options.warm:
            return ()
        right = await self.behind.right_checkpoints(self._undo)
        if self._undo and not right:
            raise CantRestart(catalogue.CHECKPOINT_GONE())
        return right

    def go_back(self, cell: int | None) -> None:
        """Go back to before a cell, by default the last one, as soon as nothing runs; raises `BadInput`."""
        numbers = self.behind.parking.before(cell) if self.behind and self._owners else ()
        if not numbers:
            super().go_back(cell)  # which says how to have some
        self._undo, self._undoing = numbers, self._owners[-1]
        self._undoing.send(Asked())

    def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the checkpoints of this kernel, and the cells after which there is none."""
        return self.behind.parking.tell() if self.behind else ()

    def note_changes(self, owner: SupervisorHandle, answer: Changed | PushFailed) -> None:
        """Take what an owner answers that has heard that this process exits; in another thread."""
        super().note_changes(owner, answer)
        if self.behind and isinstance(answer, Changed):
            self.behind.note_changes(owner, answer)

    def note_touched(self, owner: SupervisorHandle, record: Touched) -> None:
        """Say which of these files have been used since they were changed and put back."""
        uses = self._recorder.uses
        if uses is None:
            return
        moment = record.since - HEARD_WITHIN
        used = tuple(change for change in record.changes if uses.was_used_since(change.path, moment))
        owner.send(Reread(record.number, used))

    # -- behind a proxy ------------------------------------------------------------------------------------------------

    def live_on(self, proxy: Link, interrupted: bool) -> None:  # noqa: FBT001  # as `Arming` calls it
        """Go on as the kernel behind a proxy, in a copy of the process that becomes the proxy."""
        self._pid, self._terminal = os.getpid(), Terminal()
        self._way_behind.live_on()
        self.behind = self._behind(proxy)
        if interrupted and self._interrupts:
            self._interrupts.note()
        begin_session_later(self._shell)
        if self.gate:
            self.gate.renew()
        for supervisor in list(self._supervisors):
            supervisor.listen_again()
            supervisor.send(Moved(self._pid))
        self._settle_behind()
        if self._loop is not None:
            self._loop.call_soon(self.behind.parking.check)  # what has run by now may be worth one

    @property
    def wants_proxy(self) -> bool:
        """Whether restarts are to take place behind a proxy."""
        return self.gate is not None and self._options.keeps_checkpoints

    @property
    def hangup_ignored(self) -> bool:
        """Whether SIGHUP was ignored before the watch."""
        return self._previous is signal.SIG_IGN

    def _refuse(self, why: str) -> None:
        self._restart, self._undo = None, ()
        if self.gate:
            self.gate.reopen()  # it may hold requests though it was never closed
        log.warning("the kernel goes on as it is: %s", why)
        super()._refuse(why)
        self.check()  # for a signal that came meanwhile


def _with(record: Record, before: str, behind: str) -> Record:
    """Return what a rerun reports with more words around it."""
    if not isinstance(record, Reran) or not (record.what or record.stopped):
        return record
    if record.stopped:  # which is more of a news
        before, behind = "", "".join(f" · {words.strip(' ;·')}" for words in (before, behind) if words)
    return replace(record, what=f"{before}{record.what}{behind}".removeprefix(" · "))
