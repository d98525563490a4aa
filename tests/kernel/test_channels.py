"""The seam to ipykernel, with as much of a kernel as it touches."""

import asyncio
import queue
import threading
import types

import pytest
from jupyter_client.session import Session

from ipy_autorestart.kernel.ipykernel import (
    QueueChannels,
    ThreadChannels,
    call_in_loop,
    channels_of,
    end,
    header_of,
    in_loop,
)


class FakeStream:
    """A ZMQStream that has what it received read by a callback."""

    def __init__(self):
        self._recv_callback = None
        self.come = []

    def on_recv(self, callback, copy):
        self._recv_callback = callback

    def stop_on_recv(self):
        self._recv_callback = None

    def receiving(self):
        return self._recv_callback is not None

    def flush(self, flag, limit):
        come, self.come = self.come[:limit], self.come[limit:]
        for message in come:
            if self._recv_callback:
                self._recv_callback(message)

    def _run_callback(self, callback, message):
        callback(message)


class FakeKernel:
    """A kernel of ipykernel 6 that has started."""

    def __init__(self):
        self.session = Session(key=b"")
        self.shell_stream, self.control_stream = FakeStream(), FakeStream()
        self.control_thread = object()
        self.msg_queue = queue.Queue()
        self._places = iter(range(100))
        self.shell_stream.on_recv(lambda message: self.schedule_dispatch(self.dispatch_shell, message), copy=False)

    async def dispatch_shell(self, message):
        self.dispatched = message

    def schedule_dispatch(self, dispatch, *args):
        self.msg_queue.put_nowait((next(self._places), dispatch, args))


@pytest.fixture
def kernel():
    return FakeKernel()


def queued(kernel):
    """Return the functions that stand in the queue, with the frames that they are called with."""
    waiting = [kernel.msg_queue.get_nowait() for _ in range(kernel.msg_queue.qsize())]
    return [(dispatch, [frame.bytes for args in rest for frame in args]) for _, dispatch, rest in waiting]


def test_a_kernel_is_known_by_what_it_has(kernel):
    assert isinstance(channels_of(kernel), QueueChannels)
    kernel.shell_channel_thread = kernel.shell_main = kernel._main_asyncio_lock = object()
    assert isinstance(channels_of(kernel), ThreadChannels)
    kernel.control_stream = None
    assert channels_of(kernel) is None


def test_another_dispatch_gets_what_waits_and_what_arrives(kernel):
    async def dispatch(message):
        pass

    channels = channels_of(kernel)
    channels.deliver([b"early"])
    channels.replace_dispatch(dispatch, lambda: None)
    channels.deliver([b"late"])
    idle, early, late = queued(kernel)
    assert early == (dispatch, [b"early"])
    assert late == (dispatch, [b"late"])
    assert idle[1] == []


def test_it_is_told_when_what_was_in_progress_is_over(kernel):
    idle = []
    channels_of(kernel).replace_dispatch(None, lambda: idle.append(True))
    [(pass_by, _)] = queued(kernel)
    assert not idle
    asyncio.run(pass_by())
    assert idle


def test_the_kernels_own_dispatch_can_be_restored(kernel):
    async def dispatch(message):
        pass

    channels = channels_of(kernel)
    channels.replace_dispatch(dispatch, lambda: None)
    queued(kernel)
    channels.deliver([b"early"])
    channels.restore_dispatch()
    channels.deliver([b"late"])
    assert [frames for _, frames in queued(kernel)] == [[b"early"], [b"late"]]
    assert "dispatch_shell" not in vars(kernel)


def test_what_has_come_is_read_before_a_mark_is_sent_and_nothing_is_lost_where_nobody_reads(kernel):
    async def dispatch(message):
        pass

    async def arrived(count):
        assert count == 1

    channels = channels_of(kernel)
    channels.replace_dispatch(dispatch, lambda: None)
    queued(kernel)
    kernel.shell_stream.come = [[types.SimpleNamespace(bytes=b"request")]]
    asyncio.run(channels.take(b"mark", arrived))
    assert queued(kernel) == [(dispatch, [b"request"]), (dispatch, [b"mark"])]
    kernel.shell_stream.stop_on_recv()
    kernel.shell_stream.come = [[types.SimpleNamespace(bytes=b"request")]]
    asyncio.run(channels.take(b"mark", arrived))
    assert queued(kernel) == [(dispatch, [b"mark"])]
    assert kernel.shell_stream.come


def test_a_request_is_known_by_its_header(kernel):
    message = kernel.session.msg("execute_request", {"code": "1"})
    frames = kernel.session.serialize(message, ident=b"client")
    assert header_of(kernel, frames)["msg_id"] == message["header"]["msg_id"]
    for broken in ([b"no delimiter"], [b"<IDS|MSG>"], [b"<IDS|MSG>", b"", b"no JSON"], [b"<IDS|MSG>", b"", b"1"]):
        assert header_of(kernel, broken) == {}


def test_a_thread_can_be_asked_to_act():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    wrapped = types.SimpleNamespace(asyncio_loop=loop)
    seen = []
    call_in_loop(wrapped, lambda: seen.append(threading.current_thread()))

    async def name():
        return threading.current_thread()

    seen.append(asyncio.run(in_loop(wrapped, name())))
    assert seen == [thread, thread]
    thread.stop = lambda: loop.call_soon_threadsafe(loop.stop)
    end(thread)
    assert not thread.is_alive()
    loop.close()


def test_a_thread_that_goes_on_is_an_error():
    stubborn = types.SimpleNamespace(
        stop=lambda: None, join=lambda timeout: None, is_alive=lambda: True, name="stubborn"
    )
    with pytest.raises(TimeoutError, match="the thread stubborn does not end"):
        end(stubborn)


def test_a_request_in_progress_has_ended_before_the_next_one_begins_though_that_has_waited_for_longer():
    async def play():
        seen, lock, thread = [], asyncio.Lock(), types.SimpleNamespace(manager=types.SimpleNamespace(_cache={}))
        loop = types.SimpleNamespace(asyncio_loop=asyncio.get_running_loop())
        kernel = types.SimpleNamespace(io_loop=loop, _main_asyncio_lock=lock, shell_channel_thread=thread)

        async def dispatch(message, **options):
            seen.append(message)

        async def request(message):
            async with lock:
                await kernel.dispatch_shell(message, subshell_id=None)

        async with lock:
            waiting = [asyncio.create_task(request(message)) for message in ("first", "second")]
            await asyncio.sleep(0)
            ThreadChannels(kernel).replace_dispatch(dispatch, lambda: seen.append("idle"))
            await kernel.dispatch_shell("comm", subshell_id=None, concurrent=True)
            await kernel.dispatch_shell("other", subshell_id="a subshell")
        await asyncio.gather(*waiting)
        async with lock:  # all that has waited for it is over
            assert seen == ["comm", "other", "idle", "first", "second"]

    asyncio.run(play())
