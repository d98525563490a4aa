"""The way of a running kernel behind a proxy: when it is tried, and that the kernel goes on where it is refused."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from ipy_autorestart import catalogue
from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.ipython.policy import restart_at
from ipy_autorestart.kernel import parking
from ipy_autorestart.kernel.arming import Arming, CantArm, KernelArming
from ipy_autorestart.kernel.checkpoint_policy import is_worth_arming
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.ipykernel import NotStill
from ipy_autorestart.pristine import time
from ipy_autorestart.reexec.exec import SupervisorHandle
from ipy_autorestart.reexec.start import CantRestart, ProcessStart
from ipy_autorestart.wire.link import Link

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: How often an idle kernel tries it, and seconds between two tries: a busy machine may be the reason why a thread was
#: not seen to wait.
TRIES, AGAIN = 3, 1.0

#: Stands for the moment when it is too late: it has been tried.
NEVER = float("inf")


class Host(parking.Host, Protocol):
    """The restarter of the kernel, which waits and goes on."""

    @property
    def start(self) -> ProcessStart:
        """How the process was started."""

    @property
    def wants_proxy(self) -> bool:
        """Whether restarts are to take place behind a proxy."""

    @property
    def hangup_ignored(self) -> bool:
        """Whether SIGHUP was ignored before the watch."""

    def to_hand_over(self) -> Mapping[str, Any]:
        """Return what each handover needs."""

    def live_on(self, proxy: Link, interrupted: bool) -> None:  # noqa: FBT001  # as `Arming` calls it
        """Go on as the kernel behind a proxy, in a copy of the process that becomes the proxy."""


class WayBehind:
    """Has a copy of the kernel go on behind a proxy, which its process becomes, once, as soon as that can be.

    That is when nothing runs, or before a cell that waits already.

    Attributes
    ----------
    since
        Since when it is to go there; None if it isn't, and `NEVER` while it is tried and when it has been.
    """

    def __init__(
        self, host: Host, shell: InteractiveShell, recorder: Recorder, supervisors: Sequence[SupervisorHandle]
    ) -> None:
        self._host = host
        self._shell = shell
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]  # ipykernel's shell has it
        self._recorder = recorder
        self._supervisors = supervisors
        self._tries = 0  # while idle
        self._waited_after = 0.0  # seconds of work at the last try between two cells
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self.since: float | None = None

    @property
    def is_begun(self) -> bool:
        """Whether it is being tried."""
        return self._task is not None and not self._task.done()

    def want(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go there when it can be, unless that is known already; in the main thread, which runs this loop."""
        if self.since is None:
            self.since, self._loop = time.monotonic(), loop
            self.check()

    def end(self) -> None:
        """Don't go there, until it is wanted once more."""
        self.since = self._loop = None

    def check(self) -> None:
        """Begin if the kernel has nothing to do."""
        if self._loop is None or self.since in (None, NEVER) or self._host.gate is None or not self._host.is_free:
            return
        now = time.monotonic()
        due = restart_at(replace(self._host.batch, pending=self.since), now)
        if due is None:
            return
        if due > now:
            self._loop.call_later(due - now, self.check)
            return
        self._tries += 1
        self._begin(self._host.gate, otherwise=self.since if self._tries < TRIES else NEVER)

    def begins_between(self) -> bool:
        """Begin before a cell that waits, if there is work that a checkpoint would keep then; return whether."""
        gate = self._host.gate
        if self.since in (None, NEVER) or gate is None or gate.running > 1 or not self._host.is_free:
            return False
        work = sum(cell.seconds for cell in self._recorder.ledger.kept)
        # The cells behind one that has failed are to be aborted, not held back.
        if self._kernel._aborting or not is_worth_arming(work, self._waited_after):  # noqa: SLF001
            return False
        self._waited_after = work
        self._begin(gate, otherwise=self.since)
        return True

    def live_on(self) -> None:
        """Have it behind oneself, in the copy."""
        self._task = None

    def _begin(self, gate: Gate, *, otherwise: float | None) -> None:
        """Begin to go there; where that comes to nothing, it is to be tried again since then."""

        def ended(task: asyncio.Task[None]) -> None:
            if task.cancelled() and self._task is task:  # by the user's code, before its first step
                gate.reopen()
                self._stay(catalogue.CANCELLED(), otherwise)

        assert self._loop
        gate.shut()
        self.since = NEVER
        self._task = self._loop.create_task(self._go(gate, otherwise), context=contextvars.Context())
        self._task.add_done_callback(ended)

    async def _go(self, gate: Gate, otherwise: float | None) -> None:
        """Go there; return where that is refused, and in the copy, too, where nothing may begin before it lives on."""
        host = self._host
        arming = Arming(self._kernel, lives=host.live_on)
        hushed: list[SupervisorHandle] = []
        try:
            host.start.check()
            await gate.close()
            arming.note_hangups()
            if host.gate is not gate or not host.wants_proxy or host.batch.pending is not None:
                raise CantArm(catalogue.NO_LONGER_WANTED())
            hushed = list(self._supervisors)
            for supervisor in hushed:
                supervisor.hush()
            pid = arming.begin(hushed)
            if pid == 0:
                return
            handover = KernelArming(self._shell, host.start, gate, arming=arming, **host.to_hand_over())
        except BaseException as why:  # the border, to a cancellation too: the kernel goes on
            is_refusal = isinstance(why, CantArm | CantRestart | NotStill)
            with contextlib.ExitStack() as back:  # each of it, whatever the others come to
                back.callback(self._stay, f"{'' if is_refusal else type(why).__name__ + ': '}{why}", otherwise)
                back.callback(gate.reopen)
                for supervisor in hushed:
                    back.callback(supervisor.listen_again)
                back.callback(arming.undo)
            if not isinstance(why, Exception):
                raise
            return
        handover.become(pid, hushed, hangup_ignored=host.hangup_ignored)

    def _stay(self, why: str, since: float | None) -> None:
        log.info("the kernel goes behind a proxy %s: %s", "with the next restart" if since == NEVER else "later", why)
        self._task = None
        if self.since == NEVER:  # else the watch has ended meanwhile
            self.since = since
        if self._loop is not None:
            self._loop.call_later(AGAIN, self.check)
        self._host.check()


def why_no_proxy(kernel: Any) -> str:
    """Return why the process of a kernel can't become a proxy, behind which restarts take milliseconds."""
    if sys.platform != "linux":
        return catalogue.ONLY_LINUX()
    if getattr(kernel, "eventloop", None) is not None:
        return catalogue.GUI_LOOP()
    return ""
