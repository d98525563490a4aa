"""The making of checkpoints of a live kernel, between its cells; what runs goes on whatever comes in the way."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.ipython.policy import Batch
from ipy_autorestart.ipython.uses import Change
from ipy_autorestart.kernel.backup import Backups
from ipy_autorestart.kernel.checkpoints import Checkpoints
from ipy_autorestart.kernel.copy import Copy
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.kernel.ipykernel import NotStill
from ipy_autorestart.kernel.parked import Turn
from ipy_autorestart.kernel.trust import Trust
from ipy_autorestart.pristine import time
from ipy_autorestart.protocol.checkpoint import Checkpoint
from ipy_autorestart.reexec.exec import SupervisorHandle, or_end
from ipy_autorestart.wire.link import Link

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Seconds that other requests may take before a checkpoint: the next cell may wait.
STILL_MAX = 0.1

#: Seconds after a checkpoint in which the cell begins that was queued: looking at the memory would delay it.
SORTED_AFTER = 0.1

#: Seconds in which a kernel that has gone on runs cells first: to look at the memory takes as long as many a cell.
UNSORTED = 1.0


class Host(Protocol):
    """The restarter of the kernel, as those see it who act between its cells."""

    @property
    def gate(self) -> Gate | None:
        """The gate of the kernel, as long as files are watched for it."""

    @property
    def batch(self) -> Batch:
        """The work of the kernel, and the restart that is pending."""

    @property
    def is_free(self) -> bool:
        """Whether no restart is due or has begun, nor a checkpoint or the way behind a proxy."""

    @property
    def is_replaying(self) -> bool:
        """Whether cells run again."""

    def check(self) -> None:
        """Go on, for a signal that has come meanwhile."""


class Parking:
    """Has checkpoints made where that is worth it.

    Parameters
    ----------
    host, shell
        The restarter and the shell of the kernel.
    link
        To the proxy.
    recorder, supervisors
        The cells that it runs, and all that is watched from here.
    backups
        What the proxy has of it for a crash.
    go_on
        Called in a kernel that was made of a checkpoint, with its turn: it goes on as the live one.
    rehearsal
        Called before a checkpoint is made, returns what a kernel that is made of it does while it waits.
    """

    def __init__(
        self,
        host: Host,
        shell: InteractiveShell,
        link: Link,
        recorder: Recorder,
        supervisors: Sequence[SupervisorHandle],
        *,
        backups: Backups,
        go_on: Callable[[Turn], None],
        rehearsal: Callable[[], Callable[[], None]],
    ) -> None:
        self._host = host
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]  # ipykernel's shell has it
        self._link = link
        self._recorder = recorder
        self._supervisors = supervisors
        self._backups = backups
        self._go_on = go_on
        self._rehearsal = rehearsal
        self._checkpoints: Checkpoints | None = None
        self._task: asyncio.Task[bool] | None = None
        self._parks = False  # in whatever task
        self._sorts_from = 0.0  # by the monotonic clock, though cells run again

    # -- which there are -----------------------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        """Whether checkpoints are made, or have been."""
        return self._checkpoints is not None

    def begin(self, *, is_fresh: bool = False) -> None:
        """Make them from now on; in a fresh kernel, what it holds now was given to it."""
        if self._checkpoints or self._recorder.uses is None:
            return
        try:
            copy = Copy(self._kernel.parent)
        except CantCopy as why:
            log.info("there are no checkpoints: %s", why)
            return
        self._checkpoints = Checkpoints(copy, Trust(self._kernel), self._recorder.uses)
        if is_fresh:
            self._checkpoints.note_baseline([self._link.fileno()])

    def end(self) -> None:
        """Make none any more, and let those go that there are."""
        if self._checkpoints:
            self._checkpoints.close(self._link)
            self._checkpoints = None

    def tell(self) -> list[Checkpoint]:
        """Return the checkpoints for people, and the cells after which there is none."""
        return self._checkpoints.tell() if self._checkpoints else []

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of those that are there, the newest first."""
        return self._checkpoints.numbers if self._checkpoints else ()

    @property
    def latest(self) -> int:
        """The number of the cell after which the newest was made; in a kernel that has gone on, that from which."""
        return self._checkpoints.made[-1].after if self._checkpoints and self._checkpoints.made else 0

    def before(self, cell: int | None) -> tuple[int, ...]:
        """Return those that were made before a cell, by default the last one, the newest first."""
        ran = [one for one in self._recorder.ledger.cells if cell in (None, one.number)]
        if not ran or not self._checkpoints:
            return ()
        return self._checkpoints.before(max(one.last for one in ran))

    def right_for(self, changes: Iterable[Change]) -> tuple[int, ...]:
        """Return those that are there and have used nothing of what has changed, the best first."""
        return self._checkpoints.right_for(changes) if self._checkpoints else ()

    # -- when one is made ----------------------------------------------------------------------------------------------

    @property
    def is_begun(self) -> bool:
        """Whether one is being made."""
        return self._parks or (self._task is not None and not self._task.done())

    @property
    def _is_due(self) -> bool:
        return self._checkpoints is not None and self._checkpoints.is_due(self._recorder.ledger)

    def begins(self, *, running: int) -> bool:
        """Begin to make one if it is worth it and no more requests are in progress than so many; return whether."""
        host, gate = self._host, self._host.gate
        if gate is None or gate.running > running or not host.is_free or host.is_replaying or not self._is_due:
            return False
        gate.shut()
        self._task = asyncio.get_running_loop().create_task(self._make_soon(gate), context=contextvars.Context())
        self._task.add_done_callback(lambda task: self._end(task, gate))
        return True

    def check(self) -> None:
        """Begin to make one where nothing runs, or else keep only those that can be of use, and tell the proxy."""
        if self._host.is_replaying and time.monotonic() < self._sorts_from:
            return
        if not self.begins(running=0) and self._checkpoints is not None and self._host.is_free:
            self._checkpoints.sort_out(self._link, self._recorder.places)

    def check_later(self) -> None:
        """Do so in a moment: what is queued goes first."""
        asyncio.get_running_loop().call_later(SORTED_AFTER, self.check)

    async def between(self) -> bool:
        """Make one between two cells that run again; return whether this is a kernel that has gone on from it."""
        gate = self._host.gate
        if gate is None or not self._host.is_free or not self._is_due:
            return False
        try:
            return await self._park(gate)
        except NotStill:
            return False
        finally:
            asyncio.get_running_loop().call_soon(self._host.check)

    async def _make_soon(self, gate: Gate) -> bool:
        """Make one in a task of its own, while nothing runs."""
        try:
            if went_on := await self._park(gate):
                return went_on
        except NotStill:
            pass  # later
        except Exception:  # the border: what waits for it goes on
            log.exception("no checkpoint could be made")
        asyncio.get_running_loop().call_soon(self._note_made)
        return False

    def _end(self, task: asyncio.Task[bool], gate: Gate) -> None:
        if task.cancelled() and self._task is task:  # by a cell, perhaps before its first step
            gate.reopen()
            self._note_made()

    def _note_made(self) -> None:
        self._host.check()
        self.check_later()

    async def _park(self, gate: Gate) -> bool:
        """Make one; return whether this is a kernel that has gone on from it. Raises NotStill if a request goes on."""
        self._parks = True
        try:
            await gate.close(within=STILL_MAX)
        except NotStill:
            if self._checkpoints:
                self._checkpoints.put_off(self._recorder.ledger)
            raise
        finally:
            self._parks = False  # nothing else comes to run in what follows
        turn: Turn | None = None
        try:
            turn = self._make(gate)
        except Exception:  # the border: the kernel goes on without
            log.exception("no checkpoint could be made")
        if turn is not None:
            with or_end():  # another one is to try
                self._go_on(turn)
        return turn is not None

    def _make(self, gate: Gate) -> Turn | None:
        """Make one if that can be, and open the gate; in a kernel that goes on from it, return its turn."""
        with contextlib.ExitStack() as back:  # each of it, whatever the others come to
            back.callback(gate.reopen)
            if self._checkpoints is None:
                return None
            hushed: list[SupervisorHandle] = []
            for supervisor in list(self._supervisors):
                hushed.append(supervisor)
                back.callback(supervisor.listen_again)
                supervisor.hush()
            turn = self._checkpoints.make(
                self._link,
                self._recorder.ledger,
                supervisors=[one.pid for one in hushed],
                fds=[*self._backups.fds(), *(fd for one in hushed for fd in one.fds())],
                leave=lambda: self._leave(hushed),
                rehearse=self._rehearsal(),
            )
            if turn is not None:
                back.pop_all()
            return turn

    def _leave(self, supervisors: Collection[SupervisorHandle]) -> None:
        """Let go, in a copy, of what belongs to the kernel that goes on with it."""
        with contextlib.suppress(KeyError):
            self._kernel.io_loop.remove_handler(self._link.fileno())
        atexit.unregister(self._link.say_goodbye)
        self._link.close()
        self._backups.leave()
        for supervisor in supervisors:
            supervisor.leave()

    def renew(self, link: Link) -> None:
        """Go on with another link, in a kernel that was made of a checkpoint."""
        self._link, self._task = link, None
        self._sorts_from = time.monotonic() + UNSORTED
