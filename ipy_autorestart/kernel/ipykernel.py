"""The seam to ipykernel: how requests come to its dispatch, how to hold them up, and how to feed them in.

Everything that relies on its inside stands here and in `arrive`, with its name. `channels_of` returns None for a kernel
that isn't made as those of 6.29 to 7 are.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds in which such a thread must have done what it is asked to.
DONE_MAX = 2.0


async def in_loop(loop: Any, act: Coroutine[Any, Any, T]) -> T:  # a tornado IOLoop
    """Have a thread run a coroutine, and await its result in another loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act, loop.asyncio_loop))


def call_in_loop(loop: Any, act: Callable[[], object]) -> None:
    """Have a thread do something, and wait for it."""

    async def run() -> None:
        act()

    asyncio.run_coroutine_threadsafe(run(), loop.asyncio_loop).result(DONE_MAX)


def end(thread: Any) -> None:
    """Stop a thread's loop and wait for the thread; raises TimeoutError if it goes on."""
    thread.stop()
    thread.join(DONE_MAX)
    if thread.is_alive():
        raise TimeoutError(f"the thread {thread.name} does not end")


#: Seconds in which a control request must be answered, and what was read must have come to the dispatch.
STILL_MAX = 2.0

#: How a message of one frame begins, like ipykernel's own b"stop aborting": all that was read before it has passed.
MARK = b"ipy_autorestart mark"

Dispatch = Callable[..., Coroutine[Any, Any, None]]


class NotStill(Exception):  # noqa: N818  # a refusal
    """Something goes on in the channels that can't be waited for."""


class Channels:
    """What both ways have in common: the control channel, in a thread of its own."""

    #: What a kernel must have; looked for before anything is touched.
    NEEDED: tuple[str, ...] = ("control_stream", "control_thread", "shell_stream", "session", "dispatch_shell")

    def __init__(self, kernel: Any) -> None:  # an ipykernel Kernel of any version
        self._kernel = kernel
        self._callbacks: dict[Any, Any] = {}
        self._is_still = False

    def stand_in(self, dispatch: Dispatch, on_idle: Callable[[], None]) -> None:
        """Have requests dispatched by another function; ``on_idle`` follows what is being answered right now."""
        raise NotImplementedError

    def stand_aside(self) -> None:
        """Give back the kernel's own dispatch."""
        raise NotImplementedError

    def deliver(self, frames: Sequence[bytes]) -> None:
        """Take a request for one that has just arrived; in the main thread, before the loop reads others."""
        raise NotImplementedError

    def deliver_control(self, frames: Sequence[bytes]) -> None:
        """Do the same with a control request."""
        stream = self._kernel.control_stream
        self._kernel.control_thread.io_loop.add_callback(lambda: _receive(stream, frames))

    async def still(self, mark: bytes, marked: Callable[[int], Awaitable[object]]) -> None:
        """Read no more, and wait until all that was read has been dispatched and all control requests are answered.

        Parameters
        ----------
        mark
            `MARK` and what tells it from those of earlier attempts, which may come late.
        marked
            Returns what ends when the dispatch has met it so many times.

        Raises
        ------
        NotStill
            What goes on; `go_on` undoes what was done.
        """
        self._is_still = True
        try:
            async with asyncio.timeout(STILL_MAX):
                await marked(await self._still_shell(mark))
                await in_loop(self._kernel.control_thread.io_loop, self._still_control())
        except TimeoutError:
            raise NotStill("a request of the control channel or a subshell goes on") from None

    async def _still_shell(self, mark: bytes) -> int:
        """Return how many marks are on their way."""
        raise NotImplementedError

    async def _still_control(self) -> None:
        """In the control thread."""
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
        # A thread may come to this only after all was called off, having been busy until then.
        if self._is_still and stream not in self._callbacks:
            self._callbacks[stream] = stream._recv_callback  # noqa: SLF001
            stream.stop_on_recv()

    def _read_on(self, stream: Any) -> None:
        if callback := self._callbacks.pop(stream, None):
            stream.on_recv(callback, copy=False)

    def go_on(self) -> None:
        """Undo `still`."""
        self._is_still = False
        self._kernel.control_thread.io_loop.add_callback(self._read_on, self._kernel.control_stream)

    def release(self) -> list[str]:
        """Send what waits, end the threads, so that the sockets are the caller's, and return the ids of subshells."""
        import zmq

        control = self._kernel.control_thread
        call_in_loop(control.io_loop, functools.partial(self._kernel.control_stream.flush, zmq.POLLOUT))
        end(control)
        return []


class QueueChannels(Channels):
    """ipykernel 6: the main loop reads the shell channel into a queue, and one task dispatches what is there."""

    NEEDED = (*Channels.NEEDED, "schedule_dispatch")

    def stand_in(self, dispatch: Dispatch, on_idle: Callable[[], None]) -> None:
        """`Kernel.start` has handed the method itself to the stream, and it stands in the queue with each request."""
        self._dispatch = dispatch
        self._kernel.dispatch_shell = dispatch

        async def pass_by() -> None:
            on_idle()

        if not hasattr(self._kernel, "msg_queue"):  # not started yet: it will find the new one by itself
            on_idle()
            return
        self._replace(type(self._kernel).dispatch_shell, dispatch, first=pass_by)

    def stand_aside(self) -> None:
        """Give back the kernel's own dispatch."""
        with contextlib.suppress(AttributeError):
            del self._kernel.dispatch_shell
        self._replace(None, self._kernel.dispatch_shell)

    def _replace(self, old: Any, new: Dispatch, *, first: Dispatch | None = None) -> None:
        kernel = self._kernel
        queue = kernel.msg_queue
        kernel.shell_stream.on_recv(functools.partial(kernel.schedule_dispatch, new), copy=False)
        waiting = [queue.get_nowait() for _ in range(queue.qsize())]
        if first:
            kernel.schedule_dispatch(first)
        for number, dispatch, words in waiting:
            is_old = getattr(dispatch, "__func__", dispatch) == old if old else dispatch == self._dispatch
            queue.put_nowait((number, new if is_old else dispatch, words))

    def deliver(self, frames: Sequence[bytes]) -> None:
        """Take a request for one that has just arrived."""
        _receive(self._kernel.shell_stream, frames)

    async def _still_shell(self, mark: bytes) -> int:
        self._stop_reading(self._kernel.shell_stream)
        self._kernel.schedule_dispatch(self._dispatch, [_frame(mark)])
        return 1

    def go_on(self) -> None:
        """Undo `still`."""
        super().go_on()
        self._read_on(self._kernel.shell_stream)

    def release(self) -> list[str]:
        """Send what waits and end the threads."""
        import zmq

        self._kernel.shell_stream.flush(zmq.POLLOUT)
        return super().release()


class ThreadChannels(Channels):
    """ipykernel 7: a thread reads the shell channel and passes on to the main thread or to subshells, each a thread."""

    NEEDED = (*Channels.NEEDED, "shell_channel_thread", "shell_main", "_main_asyncio_lock")

    @property
    def _thread(self) -> Any:  # a ShellChannelThread
        return self._kernel.shell_channel_thread

    def _subshells(self) -> dict[str, Any]:
        return dict(self._thread.manager._cache)  # noqa: SLF001

    def stand_in(self, dispatch: Dispatch, on_idle: Callable[[], None]) -> None:
        """`Kernel.shell_main` looks the method up for each request."""
        kernel = self._kernel
        kernel.dispatch_shell = dispatch
        locks = [(kernel.io_loop, kernel._main_asyncio_lock)] if hasattr(kernel, "io_loop") else []  # noqa: SLF001
        locks += [(subshell.io_loop, subshell.asyncio_lock) for subshell in self._subshells().values()]
        held = [(loop, lock) for loop, lock in locks if lock.locked()]
        left = len(held)

        async def wait(lock: asyncio.Lock) -> None:
            nonlocal left
            async with lock:
                left -= 1
            if not left:
                on_idle()

        for loop, lock in held:
            asyncio.run_coroutine_threadsafe(wait(lock), loop.asyncio_loop)
        if not held:
            on_idle()

    def stand_aside(self) -> None:
        """Give back the kernel's own dispatch."""
        with contextlib.suppress(AttributeError):
            del self._kernel.dispatch_shell

    def deliver(self, frames: Sequence[bytes]) -> None:
        """Take a request for one that has just arrived, in the main thread or in its subshell."""
        manager = self._thread.manager
        subshell = self._subshell_of(frames)
        if subshell in self._subshells():
            socket = manager.get_shell_channel_to_subshell_socket(subshell)
            self._thread.io_loop.add_callback(socket.send_multipart, list(frames))
        else:
            stream = manager._shell_channel_to_main.to_stream  # noqa: SLF001
            self._kernel.io_loop.add_callback(lambda: _receive(stream, frames))

    def _subshell_of(self, frames: Sequence[bytes]) -> str | None:
        return header_of(self._kernel, frames).get("subshell_id")

    async def _still_shell(self, mark: bytes) -> int:
        return await in_loop(self._thread.io_loop, self._still_reader(mark))

    async def _still_reader(self, mark: bytes) -> int:
        """In the shell channel thread."""
        self._stop_reading(self._kernel.shell_stream)
        await asyncio.sleep(0)
        async with self._thread.asyncio_lock:  # what was received is passed on
            pass
        ways = (None, *self._subshells())
        for subshell in ways:
            self._thread.manager.get_shell_channel_to_subshell_socket(subshell).send(mark)
        return len(ways)

    def go_on(self) -> None:
        """Undo `still`."""
        super().go_on()
        self._thread.io_loop.add_callback(self._read_on, self._kernel.shell_stream)

    def release(self) -> list[str]:
        """Send what waits and end the threads."""
        subshells = list(self._subshells())
        call_in_loop(self._thread.io_loop, self._flush_replies)
        end(self._thread)
        super().release()
        return subshells

    def _flush_replies(self) -> None:
        import zmq

        manager = self._thread.manager
        pairs = [subshell.subshell_to_shell_channel for subshell in self._subshells().values()]
        for pair in (manager._main_to_shell_channel, *pairs):  # noqa: SLF001
            pair.to_stream.flush(zmq.POLLIN)
        self._kernel.shell_stream.flush(zmq.POLLOUT)


def channels_of(kernel: Any) -> QueueChannels | ThreadChannels | None:
    """Return the seam to a kernel, None if it is of no known make."""
    for kind in (ThreadChannels, QueueChannels):
        if all(getattr(kernel, name, None) is not None for name in kind.NEEDED):
            return kind(kernel)
    return None


def header_of(kernel: Any, frames: Sequence[Any]) -> dict[str, Any]:
    """Return a request's header, empty if it has none."""
    try:
        _, rest = kernel.session.feed_identities(list(frames), copy=isinstance(frames[0], bytes))
        header = rest[1] if isinstance(rest[1], bytes) else rest[1].bytes
        found = json.loads(header)
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _frame(data: bytes) -> Any:
    import zmq

    return zmq.Frame(data)


def _receive(stream: Any, frames: Sequence[bytes]) -> None:
    """Do what a ZMQStream does when a message comes."""
    stream._run_callback(stream._recv_callback, list(map(_frame, frames)))  # noqa: SLF001
