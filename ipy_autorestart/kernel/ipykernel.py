"""The seam to ipykernel: stop the flow of requests to its dispatch, and deliver requests of our own.

All that relies on the inside of ipykernel is here and in `arrive`, by its name there. `channels_of` returns None for a
kernel that is not built like those of ipykernel 6.29 to 7.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from ipy_autorestart import catalogue
from ipy_autorestart.pristine import os
from ipy_autorestart.reexec.commandline import split
from ipy_autorestart.reexec.interrupts import Interrupts

T = TypeVar("T")

#: Seconds that a thread of the kernel may take for what it is asked to do.
DONE_MAX = 2.0


async def in_loop(loop: Any, act: Coroutine[Any, Any, T]) -> T:  # a tornado IOLoop
    """Run a coroutine in a thread's loop, and await its result in this one."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act, loop.asyncio_loop))


def call_in_loop(loop: Any, act: Callable[[], object]) -> None:
    """Call a function in a thread's loop, and block until it returns."""

    async def run() -> None:
        act()

    asyncio.run_coroutine_threadsafe(run(), loop.asyncio_loop).result(DONE_MAX)


def end(thread: Any) -> None:
    """Stop a thread's loop and wait for the thread; raises TimeoutError if the thread goes on."""
    thread.stop()
    thread.join(DONE_MAX)
    if thread.is_alive():
        raise TimeoutError(f"the thread {thread.name} does not end")


#: Seconds in which a control request must be answered, and what was read must have reached the dispatch.
STILL_MAX = 2.0

#: The beginning of a message of one frame, like ipykernel's b"stop aborting"; when it arrives, so has all that was read
#: before it.
MARK = b"ipy_autorestart mark"

#: Requests that are read at once, at most: a client may go on sending for ever.
TAKEN_MAX = 1000

Dispatch = Callable[..., Coroutine[Any, Any, None]]


class NotStill(Exception):  # noqa: N818  # a refusal
    """A request goes on for longer than can be waited for."""


@contextlib.asynccontextmanager
async def _soon(within: float) -> AsyncIterator[None]:
    """Raise NotStill if what is waited for isn't done in so many seconds."""
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError:
        raise NotStill(catalogue.STILL_ASKED()) from None


class Channels:
    """The channels of a kernel; all kinds have a control channel in a thread of its own."""

    #: Attributes that a kernel must have; they are looked for before anything is touched.
    NEEDED: tuple[str, ...] = ("control_stream", "control_thread", "shell_stream", "session", "dispatch_shell")

    def __init__(self, kernel: Any) -> None:  # an ipykernel Kernel of any version
        self._kernel = kernel
        self._callbacks: dict[Any, Any] = {}
        self._is_still = False

    def replace_dispatch(self, dispatch: Dispatch, on_idle: Callable[[], None]) -> None:
        """Have requests dispatched by another function; ``on_idle`` is called after the request in progress, if any."""
        raise NotImplementedError

    def restore_dispatch(self) -> None:
        """Restore the kernel's own dispatch."""
        with contextlib.suppress(AttributeError):
            del self._kernel.dispatch_shell

    def deliver(self, frames: Sequence[bytes]) -> None:
        """Treat a request as if it had just arrived; to be called in the main thread, before the loop reads others."""
        raise NotImplementedError

    def deliver_control(self, frames: Sequence[bytes]) -> None:
        """Treat a control request as if it had just arrived."""
        stream = self._kernel.control_stream
        self._kernel.control_thread.io_loop.add_callback(lambda: _receive(stream, frames))

    async def still(
        self, mark: bytes, arrived: Callable[[int], Awaitable[object]], *, within: float = STILL_MAX
    ) -> None:
        """Stop reading, and wait until all that was read is dispatched and all control requests are answered.

        The mark is `MARK` and a number that tells it from earlier attempts, whose marks may arrive late; ``arrived``
        waits until the dispatch has got it so many times. If a request goes on, `NotStill` is raised, and `read_on`
        undoes what was done.
        """
        self._is_still = True
        async with _soon(within):
            await arrived(await self._still_shell(mark))
            await in_loop(self._kernel.control_thread.io_loop, self._still_control())

    async def take(self, mark: bytes, arrived: Callable[[int], Awaitable[object]]) -> None:
        """Read all that has come on the shell channel, and wait until it is dispatched; raises NotStill as `still`."""
        async with _soon(STILL_MAX):
            await arrived(await self._take_shell(mark))

    async def _still_shell(self, mark: bytes) -> int:
        """Stop reading the shell channel; return the number of marks that are on their way."""
        raise NotImplementedError

    async def _take_shell(self, mark: bytes) -> int:
        """Read what has come on the shell channel; return the number of marks that are on their way behind it."""
        raise NotImplementedError

    async def _still_control(self) -> None:
        """Stop reading the control channel and wait for its requests; in its thread."""
        kernel = self._kernel
        self._stop_reading(kernel.control_stream)
        await asyncio.sleep(0)  # what was received begins
        if hasattr(kernel, "control_queue"):  # 6.x: poll_control_queue fulfils futures that it finds there
            passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            kernel.control_queue.put_nowait(passed)
            await asyncio.shield(passed)  # cancelled, it would end that task
        else:
            async with kernel._control_lock:  # noqa: SLF001
                pass

    def _stop_reading(self, stream: Any) -> None:  # a ZMQStream
        # A busy thread may get here only after all was called off.
        if self._is_still and stream not in self._callbacks:
            self._callbacks[stream] = stream._recv_callback  # noqa: SLF001
            stream.stop_on_recv()

    def _resume_reading(self, stream: Any) -> None:
        if callback := self._callbacks.pop(stream, None):
            stream.on_recv(callback, copy=False)

    def read_on(self) -> None:
        """Undo `still`."""
        self._is_still = False
        self._kernel.control_thread.io_loop.add_callback(self._resume_reading, self._kernel.control_stream)

    def renew(self) -> None:
        """Forget that reading was stopped, in a copy of the kernel whose streams are new."""
        self._is_still = False
        self._callbacks.clear()

    def subshells(self) -> list[str]:
        """Return the ids of the subshells."""
        return []

    def finish(self, last: bytes = b"") -> None:
        """Send what waits on each channel, and a last message behind it."""
        call_in_loop(self._kernel.control_thread.io_loop, lambda: _flush(self._kernel.control_stream, last))

    def release(self) -> None:
        """Send what waits and end the threads, so that the sockets are the caller's."""
        self.finish()
        end(self._kernel.control_thread)


class QueueChannels(Channels):
    """The channels of ipykernel 6: the main loop reads the shell channel into a queue, which one task dispatches."""

    NEEDED = (*Channels.NEEDED, "schedule_dispatch")

    def replace_dispatch(self, dispatch: Dispatch, on_idle: Callable[[], None]) -> None:
        """Replace the method where `Kernel.start` has put it: in the stream's callback, and in the queue."""
        self._dispatch = dispatch
        self._kernel.dispatch_shell = dispatch

        async def pass_by() -> None:
            on_idle()

        if not hasattr(self._kernel, "msg_queue"):  # not started yet: it will find the new method
            on_idle()
            return
        self._replace(type(self._kernel).dispatch_shell, dispatch, first=pass_by)

    def restore_dispatch(self) -> None:
        """Restore the kernel's own dispatch."""
        super().restore_dispatch()
        self._replace(None, self._kernel.dispatch_shell)

    def _replace(self, old: Any, new: Dispatch, *, first: Dispatch | None = None) -> None:
        kernel = self._kernel
        queue = kernel.msg_queue
        kernel.shell_stream.on_recv(functools.partial(kernel.schedule_dispatch, new), copy=False)
        waiting = [queue.get_nowait() for _ in range(queue.qsize())]
        if first:
            kernel.schedule_dispatch(first)
        for place, dispatch, args in waiting:
            is_old = getattr(dispatch, "__func__", dispatch) == old if old else dispatch == self._dispatch
            queue.put_nowait((place, new if is_old else dispatch, args))

    def deliver(self, frames: Sequence[bytes]) -> None:
        """Treat a request as if it had just arrived."""
        _receive(self._kernel.shell_stream, frames)

    async def _still_shell(self, mark: bytes) -> int:
        self._stop_reading(self._kernel.shell_stream)
        return self._send(mark)

    async def _take_shell(self, mark: bytes) -> int:
        _read(self._kernel.shell_stream)
        return self._send(mark)

    def _send(self, mark: bytes) -> int:
        self._kernel.schedule_dispatch(self._dispatch, [_frame(mark)])
        return 1

    def read_on(self) -> None:
        """Undo `still`."""
        super().read_on()
        self._resume_reading(self._kernel.shell_stream)

    def finish(self, last: bytes = b"") -> None:
        """Send what waits on each channel, and a last message behind it."""
        _flush(self._kernel.shell_stream, last)
        super().finish(last)


class ThreadChannels(Channels):
    """The channels of ipykernel 7: a thread reads the shell channel, for the main thread and those of subshells."""

    NEEDED = (*Channels.NEEDED, "shell_channel_thread", "shell_main", "_main_asyncio_lock")

    @property
    def _thread(self) -> Any:  # a ShellChannelThread
        return self._kernel.shell_channel_thread

    def _subshells(self) -> dict[str, Any]:
        return dict(self._thread.manager._cache)  # noqa: SLF001

    def subshells(self) -> list[str]:
        """Return the ids of the subshells."""
        return list(self._subshells())

    def replace_dispatch(self, dispatch: Dispatch, on_idle: Callable[[], None]) -> None:
        """Replace the method, which `Kernel.shell_main` looks up for each request."""
        kernel = self._kernel
        main = kernel._main_asyncio_lock  # noqa: SLF001
        locks = [(kernel.io_loop, main)] if hasattr(kernel, "io_loop") else []
        locks += [(subshell.io_loop, subshell.asyncio_lock) for subshell in self._subshells().values()]
        held = [(loop, lock) for loop, lock in locks if lock.locked()]
        left = {lock for _, lock in held}

        def end(lock: asyncio.Lock) -> None:
            if lock in left:
                left.discard(lock)
                if not left:
                    on_idle()

        async def wait(lock: asyncio.Lock) -> None:
            async with lock:
                end(lock)

        async def dispatch_next(message: Any, *args: Any, **options: Any) -> None:
            # Requests that wait for the lock already have it before `wait`, but not before the one in progress ends.
            if left and options.get("subshell_id") is None and not options.get("concurrent"):
                end(main)
            await dispatch(message, *args, **options)

        kernel.dispatch_shell = dispatch_next
        for loop, lock in held:
            asyncio.run_coroutine_threadsafe(wait(lock), loop.asyncio_loop)
        if not held:
            on_idle()

    def deliver(self, frames: Sequence[bytes]) -> None:
        """Treat a request as if it had just arrived, in the main thread or in its subshell."""
        manager = self._thread.manager
        subshell = header_of(self._kernel, frames).get("subshell_id")
        if subshell in self._subshells():
            socket = manager.get_shell_channel_to_subshell_socket(subshell)
            self._thread.io_loop.add_callback(socket.send_multipart, list(frames))
        else:
            stream = manager._shell_channel_to_main.to_stream  # noqa: SLF001
            self._kernel.io_loop.add_callback(lambda: _receive(stream, frames))

    async def _still_shell(self, mark: bytes) -> int:
        return await in_loop(self._thread.io_loop, self._still_reader(mark))

    async def _still_reader(self, mark: bytes) -> int:
        """Stop reading, pass on what was read, and send a mark each way; in the shell channel's thread."""
        self._stop_reading(self._kernel.shell_stream)
        return await self._send(mark, (None, *self._subshells()))

    async def _take_shell(self, mark: bytes) -> int:
        return await in_loop(self._thread.io_loop, self._take_reader(mark))

    async def _take_reader(self, mark: bytes) -> int:
        """Pass on what has come, and send a mark to the main thread; in the shell channel's thread."""
        _read(self._kernel.shell_stream)
        return await self._send(mark, (None,))

    async def _send(self, mark: bytes, ways: Sequence[str | None]) -> int:
        await asyncio.sleep(0)
        async with self._thread.asyncio_lock:  # what was received is passed on
            pass
        for subshell in ways:
            self._thread.manager.get_shell_channel_to_subshell_socket(subshell).send(mark)
        return len(ways)

    def read_on(self) -> None:
        """Undo `still`."""
        super().read_on()
        self._thread.io_loop.add_callback(self._resume_reading, self._kernel.shell_stream)

    def finish(self, last: bytes = b"") -> None:
        """Send what waits on each channel, and a last message behind it."""
        call_in_loop(self._thread.io_loop, lambda: self._flush_replies(last))
        super().finish(last)

    def release(self) -> None:
        """Send what waits and end the threads."""
        super().release()
        end(self._thread)

    def _flush_replies(self, last: bytes) -> None:
        import zmq

        manager = self._thread.manager
        pairs = [subshell.subshell_to_shell_channel for subshell in self._subshells().values()]
        for pair in (manager._main_to_shell_channel, *pairs):  # noqa: SLF001
            pair.to_stream.flush(zmq.POLLIN)
        _flush(self._kernel.shell_stream, last)


def _read(stream: Any) -> None:  # a ZMQStream
    """Receive what has come to a stream, if it is read; in its thread."""
    import zmq

    if stream.receiving():  # flush drops what comes otherwise
        stream.flush(zmq.POLLIN, limit=TAKEN_MAX)


def _flush(stream: Any, last: bytes) -> None:
    """Send what waits in a stream, and a last message."""
    import zmq

    stream.flush(zmq.POLLOUT)
    if last:
        stream.socket.send(last)


def channels_of(kernel: Any) -> Channels | None:
    """Return the channels of a kernel, None if it is of no known kind."""
    for kind in (ThreadChannels, QueueChannels):
        if all(getattr(kernel, name, None) is not None for name in kind.NEEDED):
            return kind(kernel)
    return None


def host_of(kernel: Any) -> str:
    """Return the program that a kernel is a part of, such as an engine; nothing where it is a program of its own.

    An exec would cut that program off from its parent, its pipes and its own state. A kernel of its own is the app that
    the process was started for: that has read the command line, and its cells run in a namespace of the shell's own.
    """
    kernelapp, app = sys.modules.get("ipykernel.kernelapp"), kernel.parent
    if kernelapp is None or not isinstance(app, kernelapp.IPKernelApp):
        return type(app).__name__  # ipyparallel's IPEngine, an InProcessKernelManager
    line = split(sys.orig_argv[1:])
    root = app  # of `ipython kernel`
    while root.parent is not None:
        root = root.parent
    is_told = not {*root.argv}.isdisjoint(line.args) if line.args else not root.argv
    is_own = kernel.user_module is None and kernel.user_ns is None
    return "" if is_told and is_own else os.path.basename(line.what) or "Python"


def give_interrupts_back(kernel: Any, interrupts: Interrupts) -> None:
    """Give SIGINT back: now, or after the request in progress, for whose time ipykernel has put the handler by."""
    interrupts.end()
    if getattr(kernel, "saved_sigint_handler", None) == interrupts.note:
        kernel.saved_sigint_handler = interrupts.previous


def header_of(kernel: Any, frames: Sequence[Any]) -> dict[str, Any]:
    """Return the header of a request, empty if it has none."""
    return _part(kernel, frames, 1)


def runs_cell(kernel: Any, frames: Sequence[Any]) -> bool:
    """Return whether an ``execute_request`` runs a cell; silent ones are a front end's own."""
    content = _part(kernel, frames, 4)
    return not content.get("silent") and content.get("store_history") is not False


def deleted_by(kernel: Any, frames: Sequence[Any]) -> list[str]:
    """Return the ids of the cells that a page has deleted, as an ``execute_request`` of JupyterLab tells it."""
    found = _part(kernel, frames, 3).get("deletedCells")
    return list(map(str, found)) if isinstance(found, list) else []


def _part(kernel: Any, frames: Sequence[Any], place: int) -> dict[str, Any]:
    """Return one of the dictionaries of a message, as they follow its signature."""
    try:
        _, rest = kernel.session.feed_identities(list(frames), copy=isinstance(frames[0], bytes))
        data = rest[place] if isinstance(rest[place], bytes) else rest[place].bytes
        found = json.loads(data)
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _frame(data: bytes) -> Any:
    import zmq

    return zmq.Frame(data)


def _receive(stream: Any, frames: Sequence[bytes]) -> None:
    """Do what a ZMQStream does when a message arrives."""
    stream._run_callback(stream._recv_callback, list(map(_frame, frames)))  # noqa: SLF001
