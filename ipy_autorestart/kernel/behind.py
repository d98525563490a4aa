"""A live kernel behind a proxy: what it tells the proxy, and to which of its checkpoints it is to go back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.kernel.backup import Backups, News
from ipy_autorestart.kernel.going_on import rehearsal
from ipy_autorestart.kernel.parked import Turn
from ipy_autorestart.kernel.parking import Host, Parking
from ipy_autorestart.pristine import is_main_thread, os
from ipy_autorestart.protocol.messages import Changed, Reason
from ipy_autorestart.reexec.exec import SupervisorHandle
from ipy_autorestart.reexec.state import Carried
from ipy_autorestart.wire.link import Done, Link, Watching, in_file

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Seconds in which the supervisors must have told what has changed.
TOLD_MAX = 1.0


class Behind:
    """What such a kernel does besides answering.

    Parameters
    ----------
    host, shell
        The restarter and the shell of the kernel.
    link
        To the proxy.
    recorder, supervisors
        The cells that it runs, and all that is watched from here.
    state
        Returns what another kernel needs to go on from here.
    go_on
        Called in a kernel that was made of a checkpoint, with its turn: it goes on as the live one.

    Attributes
    ----------
    parking
        Makes the checkpoints.
    """

    def __init__(
        self,
        host: Host,
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
        self._recorder, self._supervisors = recorder, supervisors
        self._backups = Backups(link, state, call_later=self._call_later)
        self._answers: Answers | None = None
        self.parking = Parking(
            host,
            shell,
            link,
            recorder,
            supervisors,
            backups=self._backups,
            go_on=go_on,
            rehearsal=lambda: rehearsal(self._kernel, state()),
        )

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
        if is_main_thread() and not again:
            self._backups.before_request()
        if key:
            self._backups.at_work.begin(key, again=again)

    def done(self, key: str, *, is_said: bool) -> None:
        """Have the proxy forget a request that is done: it goes by what is said to the clients."""
        if key:
            self._backups.at_work.end(key)
            if not is_said:
                with contextlib.suppress(OSError):
                    self.link.send(Done(key))

    def end_telling(self) -> None:
        """Have the proxy know that it is not told any more what begins."""
        self._backups.at_work.tell_no_more()

    def back_up(self, owners: Sequence[SupervisorHandle]) -> None:
        """Give the proxy what another kernel needs to go on, if that has changed."""
        comms, known = tuple(self._kernel.comm_manager.comms), tuple(one.known for one in self._supervisors)
        self._backups.note(News(self._recorder.ledger, tuple(owners), (comms, known)))

    def renew(self, link: Link) -> None:
        """Go on with another link, in a kernel that was made of a checkpoint."""
        self.link = link
        self.parking.renew(link)
        self._backups.renew(link)
        self._answers = None

    # -- to which checkpoints it goes back -----------------------------------------------------------------------------

    def ask(self, owners: Sequence[SupervisorHandle]) -> None:
        """Be ready for what the owners answer, who are about to be told that this kernel has ended."""
        self._answers = Answers(owners) if self.parking.numbers else None

    async def right_checkpoints(self, asked: Collection[int] = ()) -> tuple[int, ...]:
        """Return the checkpoints to which the kernel may go back for what has changed, the best first.

        A person may have asked for one of these; who asks for a restart without more wants a fresh start.
        """
        if self._answers is None:
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
            right = self.parking.right_for(changes) if changes else self.parking.numbers
            return tuple(number for number in right if number in asked)
        reasons = {record.reason for record in told}
        if Reason.ASKED in reasons or Reason.CHANGE not in reasons:
            return ()
        return self.parking.right_for(changes.union(*(record.put_back for record in told)))

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
