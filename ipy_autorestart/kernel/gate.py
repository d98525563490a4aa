"""A gate in front of the kernel's dispatch: it counts the requests in progress and can hold back those that follow."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from ipy_autorestart import catalogue
from ipy_autorestart.ipython.policy import Pace, begun
from ipy_autorestart.kernel.ipykernel import MARK, STILL_MAX, Channels, NotStill, deleted_by, header_of, runs_cell
from ipy_autorestart.pristine import time
from ipy_autorestart.wire.messages import OWN

#: What is waited for besides cells, in words.
ASKED = {
    "execute_request": catalogue.SILENT_CODE(),
    "complete_request": catalogue.COMPLETING(),
    "inspect_request": catalogue.INSPECTING(),
    "is_complete_request": catalogue.TYPING(),
}
OTHER = catalogue.OTHER_REQUEST()

log = logging.getLogger(__name__)


class Envelope(NamedTuple):
    """What is known of a request as it comes.

    Attributes
    ----------
    kind, key
        Its type, and its id.
    is_cell
        Whether it runs a cell of the user's.
    is_own
        Whether it runs a cell again.
    is_queued
        Whether it runs code in its turn.
    is_kernels
        Whether the kernel has sent it to itself, as the debugger does: the control thread, which must become still,
        waits for the reply.
    deleted
        The ids of cells that the page has deleted.
    """

    kind: str = ""
    key: str = ""
    is_cell: bool = False
    is_own: bool = False
    is_queued: bool = False
    is_kernels: bool = False
    deleted: Sequence[str] = ()


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """Log what fails, and go on: no request may be lost by it, nor be taken for one in progress for ever."""
    try:
        yield
    except Exception:  # the border
        log.exception("something failed beside a request, which is answered all the same")


class Gate:
    """Lets requests pass to the kernel, or holds them back to be handed over to the next image.

    In the thread that answers a request, ``admits(is_cell=…)`` returns whether it may begin; ``on_begin`` is called
    with its id and whether it is our own, and after it ``on_end``, and ``on_done`` with its id and whether clients are
    told of its end. The ``pace`` of the cells is learnt from there on. ``on_deleted`` is called with the ids of cells
    that the page has deleted, as soon as a request comes that says so: the page says it once, with whatever cell it
    sends next, and that may be held back, aborted after another's error, or interrupted at once.
    """

    def __init__(
        self,
        kernel: Any,
        channels: Channels,
        *,
        admits: Callable[..., bool],
        on_end: Callable[[], None],
        on_begin: Callable[[str, bool], None] = lambda *_: None,
        on_done: Callable[[str, bool], None] = lambda *_: None,
        on_deleted: Callable[[Sequence[str]], None] = lambda *_: None,
        pace: Pace = Pace(),  # noqa: B008  # a value
    ) -> None:
        self._kernel = kernel
        self._channels = channels
        self._admits = admits
        self._on_end = on_end
        self._on_begin = on_begin
        self._on_done = on_done
        self._on_deleted = on_deleted
        self._closed = False
        self._cells_wait = False
        self._passing: list[list[bytes]] = []
        self._passed: asyncio.Future[None] | None = None
        self._stopped: list[list[bytes]] = []
        self._attempts = itertools.count()
        self._marks: dict[bytes, Callable[[], object]] = {}
        self.held: list[list[bytes]] = []
        self.pace = pace
        own = object()
        # An atomic change each, as subshells have threads of their own.
        self._answering: dict[object, str] = {own: catalogue.THIS_CELL()}
        self._original = kernel.dispatch_shell
        channels.replace_dispatch(self._dispatch, lambda: self._note_end(own))

    @property
    def running(self) -> int:
        """The number of requests in progress."""
        return len(self._answering)

    def describe(self) -> str:
        """Return what is running, or nothing."""
        return "".join(list(self._answering.values())[:1])

    async def _dispatch(self, message: list[Any], *args: Any, **options: Any) -> None:
        if len(message) == 1 and message[0].bytes.startswith(MARK):
            if arrive := self._marks.get(message[0].bytes):
                arrive()
            return
        if len(message) == 1:  # ipykernel's own b"stop aborting"
            await self._original(message, *args, **options)
            return
        token = object()
        frames = [frame.bytes for frame in message]
        is_awaited, concurrent = frames in self._passing, bool(options.get("concurrent"))
        request, passes = Envelope(), True
        self._answering[token] = OTHER
        with _reported():
            request = self._envelope(frames)
            self._answering[token] = self._describe(request)
            if request.deleted:
                self._on_deleted(request.deleted)
            passes = not self._closed if is_awaited else self._lets_pass(request, concurrent=concurrent)
        if request.is_cell and passes and not is_awaited:  # the cells that run again have a pace of their own
            self.pace = begun(self.pace, time.monotonic())
        if not passes:
            (self._stopped if is_awaited else self.held).append(frames)
        try:
            if passes:
                with _reported():
                    self._on_begin(request.key, request.is_own)
                await self._original(message, *args, **options)
        finally:
            with _reported():
                self._note_end(token, is_cell=request.is_cell and passes)
            if passes:  # ipykernel 7 says neither busy nor idle of concurrent ones
                with _reported():
                    self._on_done(request.key, request.is_own or not concurrent)
            if is_awaited:
                self._passing.remove(frames)
                if not self._passing and self._passed and not self._passed.done():
                    self._passed.set_result(None)

    def _envelope(self, frames: list[bytes]) -> Envelope:
        header, is_own = header_of(self._kernel, frames), frames[0] == OWN
        kind = str(header.get("msg_type", ""))
        is_execute = kind == "execute_request"
        return Envelope(
            kind,
            str(header.get("msg_id", "")),
            is_cell=is_execute and runs_cell(self._kernel, frames),
            is_own=is_own,
            is_queued=is_execute and not header.get("subshell_id"),
            is_kernels=header.get("session") == self._kernel.session.session,
            deleted=deleted_by(self._kernel, frames) if is_execute and not is_own else (),
        )

    def _describe(self, request: Envelope) -> str:
        if request.is_cell:
            return catalogue.CELL_NUMBER(number=self._kernel.execution_count)
        return ASKED.get(request.kind, OTHER)

    def _lets_pass(self, request: Envelope, *, concurrent: bool) -> bool:
        if request.is_queued and (self._cells_wait or self._overtakes(is_cell=request.is_cell)):
            return False
        if request.is_kernels:
            return True
        # A comm message in the middle of a cell may be the one that the cell waits for.
        return not self._closed and (concurrent or self._admits(is_cell=request.is_cell))

    def _overtakes(self, *, is_cell: bool) -> bool:
        """Return whether an execute request would pass what is held; cells don't wait for what is none."""
        return any(not is_cell or self._is_cell(frames) for frames in self.held)

    def _is_cell(self, frames: list[bytes]) -> bool:
        return header_of(self._kernel, frames).get("msg_type") == "execute_request" and runs_cell(self._kernel, frames)

    def _note_end(self, token: object, *, is_cell: bool = True) -> None:
        self._answering.pop(token, None)
        if is_cell:
            self.pace = self.pace._replace(ended=time.monotonic())
        self._on_end()

    def keep_cells(self) -> None:
        """Hold back the cells that the user runs, until `let_cells`."""
        self._cells_wait = True

    async def let_cells(self, *, while_: Callable[[], bool]) -> None:
        """Let the cells that were held back pass, in their order, then all; the rest stays, to be handed over."""
        while self.held and while_():
            held, self.held = self.held, []
            await self.run(held)
        self._cells_wait = False

    def let_all(self) -> None:
        """Let what was held back pass at once."""
        self._cells_wait = False
        self._deliver_held()

    async def run(self, requests: list[list[bytes]]) -> None:
        """Have the kernel answer requests in the main thread, ahead of any that arrive meanwhile; wait for that.

        Only `remove` ends the wait early, by a CancelledError: a cell may cancel all tasks of the loop but its own.
        """
        self._passing.extend(requests)
        passed = self._passed = asyncio.get_running_loop().create_future()
        for frames in requests:
            self._channels.deliver(frames)
        while not passed.done():
            try:
                await asyncio.wait([passed])  # which is not cancelled with the task
            except asyncio.CancelledError:
                asyncio.current_task().uncancel()  # type: ignore[union-attr]  # this runs in one
        passed.result()
        self.held[:0] = [frames for frames in self._stopped if frames[0] != OWN]
        self._stopped.clear()

    def shut(self) -> None:
        """Let no request begin any more."""
        self._closed = True

    async def close(self, *, within: float = STILL_MAX) -> None:
        """Let no request begin any more and wait until none is on its way; raises NotStill, and is open then.

        That may take so many seconds.
        """
        self.shut()
        try:
            with self._marked() as (mark, arrived):
                await self._channels.still(mark, arrived, within=within)
        except BaseException:
            self.reopen()
            raise

    async def take(self) -> None:
        """Have all that has come by now dispatched, or held back, as far as that is soon done."""
        with self._marked() as (mark, arrived), contextlib.suppress(NotStill):
            await self._channels.take(mark, arrived)

    @contextlib.contextmanager
    def _marked(self) -> Iterator[tuple[bytes, Callable[[int], Awaitable[object]]]]:
        """Make a mark, and what waits until it has arrived so many times; from each thread that has requests, once."""
        mark, loop, marks = MARK + str(next(self._attempts)).encode(), asyncio.get_running_loop(), asyncio.Semaphore(0)

        async def arrived(count: int) -> None:
            for _ in range(count):
                await marks.acquire()

        self._marks[mark] = partial(loop.call_soon_threadsafe, marks.release)
        try:
            yield mark, arrived
        finally:
            del self._marks[mark]

    def reopen(self) -> None:
        """Deliver what was held back, and let requests pass again."""
        self._closed = False
        self._channels.read_on()  # first: ipykernel 6 delivers to what reads
        self._deliver_held()

    def _deliver_held(self) -> None:
        held, self.held = self.held, []
        for frames in held:
            self._channels.deliver(frames)

    def renew(self) -> None:
        """Let requests pass in a copy of the kernel; what was held back comes to it again, by the proxy."""
        self._closed = self._cells_wait = False
        for requests in (self.held, self._passing, self._stopped):
            requests.clear()
        self._answering.clear()
        self._channels.renew()

    def subshells(self) -> list[str]:
        """Return the ids of the kernel's subshells."""
        return self._channels.subshells()

    def finish(self, last: bytes) -> None:
        """Send all that waits, and this message as the last one of each channel but iopub."""
        self._channels.finish(last)

    def release(self) -> None:
        """End the kernel's threads, so that the sockets are the caller's."""
        self._channels.release()

    def remove(self) -> None:
        """Give the kernel its own dispatch back."""
        if self._passed:
            self._passed.cancel()
        self._channels.restore_dispatch()
        self._deliver_held()
