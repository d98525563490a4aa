"""A live kernel behind a proxy: what it tells the proxy, and the checkpoints that it makes between its cells."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.kernel.backup import Backups
from ipy_autorestart.kernel.checkpoints import Checkpoints
from ipy_autorestart.kernel.copy import Copy
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.kernel.ipykernel import NotStill
from ipy_autorestart.kernel.parked import Turn
from ipy_autorestart.kernel.trust import Trust
from ipy_autorestart.pristine import is_main_thread, os
from ipy_autorestart.protocol.checkpoint import Checkpoint
from ipy_autorestart.protocol.messages import Changed, Reason
from ipy_autorestart.reexec.exec import SupervisorHandle, or_end
from ipy_autorestart.reexec.state import Carried
from ipy_autorestart.wire.link import Begun, Done, Link, Watching, in_file

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Seconds that other requests may take before a checkpoint: the next cell may wait.
STILL_MAX = 0.1

#: Seconds in which the supervisors must have told what has changed.
TOLD_MAX = 1.0


class Behind:
    """What such a kernel does besides answering.

    Parameters
    ----------
    shell
        Its shell.
    link
        To the proxy.
    recorder, supervisors
        The cells that it runs, and all that is watched from here.
    state
        Returns what another kernel needs to go on from here.
    go_on
        Called in a kernel that was made of a checkpoint, with its turn: it goes on as the live one.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        link: Link,
        recorder: Recorder,
        supervisors: Sequence[SupervisorHandle],
        *,
        state: Callable[[], Carried],
        go_on: Callable[[Turn], None],
    ) -> None:
        self.link = link
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]  # ipykernel's shell has it
        self._recorder = recorder
        self._supervisors = supervisors
        self._go_on = go_on
        self._backups = Backups(link, state, call_later=self._call_later)
        self._checkpoints: Checkpoints | None = None
        self._parking: asyncio.Task[bool] | None = None
        self._parks = False  # in whatever task
        self._answers: Answers | None = None

    def _call_later(self, seconds: float, act: Callable[[], None]) -> None:
        self._kernel.io_loop.call_later(seconds, act)  # which isn't there before the kernel starts

    # -- what it tells -------------------------------------------------------------------------------------------------

    def watch(self, roots: Iterable[str]) -> None:
        """Have kernels that are started ahead report what they use of these files and folders."""
        fd = in_file("\n".join(roots))
        self.link.send(Watching(), [fd])
        os.close(fd)

    def begin(self, key: str, *, again: bool) -> None:
        """Have the proxy know what this kernel is at work on, should it die of that."""
        if is_main_thread():
            self._backups.before_request()
        if key:
            with contextlib.suppress(OSError):
                self.link.send(Begun(key, again))

    def done(self, key: str) -> None:
        """Have the proxy forget a request that is done: it goes by what is said to the clients."""
        if key:
            with contextlib.suppress(OSError):
                self.link.send(Done(key))

    def back_up(self, owners: Sequence[SupervisorHandle]) -> None:
        """Give the proxy what another kernel needs to go on, if that has changed."""
        self._backups.note(self._recorder.ledger, tuple(owners))

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    @property
    def is_parking(self) -> bool:
        """Whether one is being made."""
        return self._parks or (self._parking is not None and not self._parking.done())

    @property
    def makes_checkpoints(self) -> bool:
        """Whether it makes them, or has made some."""
        return self._checkpoints is not None

    def tell(self) -> list[Checkpoint]:
        """Return the checkpoints for people, and the cells after which there is none."""
        return self._checkpoints.tell() if self._checkpoints else []

    def before(self, cell: int | None) -> tuple[int, ...]:
        """Return those that were made before a cell, by default the last one, the newest first."""
        ran = [one for one in self._recorder.ledger.cells if cell in (None, one.number)]
        if not ran or not self._checkpoints:
            return ()
        return self._checkpoints.before(max(one.last for one in ran))

    def make_checkpoints(self, *, is_fresh: bool = False) -> None:
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
            self._checkpoints.note_baseline([self.link.fileno()])

    def let_checkpoints_go(self) -> None:
        """Make none any more, and let those go that there are."""
        if self._checkpoints:
            self._checkpoints.close(self.link)
            self._checkpoints = None

    @property
    def is_due(self) -> bool:
        """Whether a checkpoint is worth its price."""
        return self._checkpoints is not None and self._checkpoints.is_due(self._recorder.ledger)

    def park_soon(self, gate: Gate, *, then: Callable[[], None]) -> None:
        """Make a checkpoint in a task of its own, while nothing runs; ``then`` is called where nobody has gone on."""

        async def park() -> bool:
            try:
                if went_on := await self.park(gate):
                    return went_on
            except NotStill:
                pass  # later
            except Exception:  # the border: what waits for it goes on
                log.exception("no checkpoint could be made")
            asyncio.get_running_loop().call_soon(then)
            return False

        def ended(task: asyncio.Task[bool]) -> None:
            if task.cancelled() and self._parking is task:  # by a cell, perhaps before its first step
                gate.reopen()
                then()

        self._parking = asyncio.get_running_loop().create_task(park(), context=contextvars.Context())
        self._parking.add_done_callback(ended)

    async def park(self, gate: Gate) -> bool:
        """Make a checkpoint; return whether this is a kernel that has gone on from it.

        Raises NotStill if a request goes on.
        """
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
        """Make a checkpoint if that can be, and open the gate; in a kernel that goes on from it, return its turn."""
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
                self.link,
                self._recorder.ledger,
                supervisors=[one.pid for one in hushed],
                fds=[fd for one in hushed for fd in one.fds()],
                leave=lambda: self._leave(hushed),
            )
            if turn is not None:
                back.pop_all()
            return turn

    def sort_out(self) -> None:
        """Keep only the checkpoints that can be of use, by what cells have used, and tell the proxy."""
        if self._checkpoints is not None:
            self._checkpoints.sort_out(self.link, self._recorder.places)

    def _leave(self, supervisors: Iterable[SupervisorHandle]) -> None:
        """Let go, in a copy, of what belongs to the kernel that goes on with it."""
        with contextlib.suppress(KeyError):
            self._kernel.io_loop.remove_handler(self.link.fileno())
        atexit.unregister(self.link.say_goodbye)
        self.link.close()
        for supervisor in supervisors:
            supervisor.leave()

    def renew(self, link: Link) -> None:
        """Go on with another link, in a kernel that was made of a checkpoint."""
        self.link = link
        self._backups = self._backups.renewed(link)
        self._parking = self._answers = None

    @property
    def gone_back_to(self) -> int:
        """The number of the cell after which the newest checkpoint was made."""
        return self._checkpoints.made[-1].after if self._checkpoints else 0

    def ask(self, owners: Sequence[SupervisorHandle]) -> None:
        """Be ready for what the owners answer, who are about to be told that this kernel has ended."""
        self._answers = Answers(owners) if self._checkpoints and self._checkpoints.made else None

    async def right_checkpoints(self, asked: Collection[int] = ()) -> tuple[int, ...]:
        """Return the checkpoints to which the kernel may go back for what has changed, the best first.

        A person may have asked for one of these; who asks for a restart without more wants a fresh start.
        """
        if self._answers is None or self._checkpoints is None:
            return ()
        try:
            async with asyncio.timeout(TOLD_MAX):
                told = await self._answers.all
        except TimeoutError:
            return ()
        finally:
            self._answers = None
        changes = {change for record in told for change in record.changes}
        if asked:  # what was put back is as it was
            right = self._checkpoints.right_for(changes) if changes else self._checkpoints.numbers
            return tuple(number for number in right if number in asked)
        reasons = {record.reason for record in told}
        if Reason.ASKED in reasons or Reason.CHANGE not in reasons:
            return ()
        return self._checkpoints.right_for(changes.union(*(record.put_back for record in told)))

    def note_changes(self, owner: SupervisorHandle, record: Changed) -> None:
        """Note what has changed; in the thread that listens to the owner."""
        if answers := self._answers:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                answers.loop.call_soon_threadsafe(answers.take, owner, record)


class Answers:
    """What the owners of a kernel answer that has told them to have ended: what has changed, as they have it now."""

    def __init__(self, owners: Iterable[SupervisorHandle]) -> None:
        self._owners = set(map(id, owners))
        self._records: dict[int, Changed] = {}
        self.loop = asyncio.get_running_loop()
        self.all: asyncio.Future[list[Changed]] = self.loop.create_future()

    def take(self, owner: SupervisorHandle, record: Changed) -> None:
        """Take an answer; one to the kernel before may come late."""
        if record.pid != os.getpid():
            return
        self._records[id(owner)] = record
        if self._owners <= self._records.keys() and not self.all.done():
            self.all.set_result(list(self._records.values()))
