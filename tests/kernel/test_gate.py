"""The gate without a kernel, for what a real one does only once in a long while."""

import asyncio
import contextlib
import json
import types

import pytest

from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.ipykernel import NotStill
from ipy_autorestart.wire.messages import OWN


class Channels:
    """Gives up at first, and takes note of each mark."""

    def __init__(self):
        self.marks = []
        self.delivered = []
        self.reads = True

    def replace_dispatch(self, dispatch, on_idle):
        self.dispatch = dispatch
        on_idle()

    async def still(self, mark, arrived, *, within):
        self.marks.append(mark)
        self.reads = False
        if len(self.marks) == 1:
            raise NotStill("busy")
        await arrived(1)

    async def take(self, mark, arrived):
        assert self.reads
        self.marks.append(mark)
        await arrived(1)

    def read_on(self):
        self.reads = True

    def restore_dispatch(self):
        pass

    def deliver(self, frames):
        assert self.reads  # else ipykernel 6 loses it
        self.delivered.append(frames)


def test_a_mark_of_an_earlier_attempt_does_not_count():
    async def play():
        channels = Channels()
        kernel = types.SimpleNamespace(dispatch_shell=None)
        gate = Gate(kernel, channels, admits=lambda: True, on_end=lambda: None)
        pass_by = lambda mark: channels.dispatch([types.SimpleNamespace(bytes=mark)])  # noqa: E731
        with pytest.raises(NotStill):
            await gate.close()
        closing = asyncio.create_task(gate.close())
        await asyncio.sleep(0)
        await pass_by(channels.marks[0])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(closing), 0.05)
        assert not closing.done()
        await pass_by(channels.marks[1])
        await closing

    asyncio.run(play())


def test_what_has_come_is_taken_beside_whoever_closes_the_gate():
    async def play():
        channels = Channels()
        gate = Gate(types.SimpleNamespace(dispatch_shell=None), channels, admits=lambda: True, on_end=lambda: None)
        taking = asyncio.create_task(gate.take())
        await asyncio.sleep(0)
        closing = asyncio.create_task(gate.close())
        await asyncio.sleep(0)
        for mark, waits in zip(channels.marks, (taking, closing), strict=True):
            assert not waits.done()
            await channels.dispatch([types.SimpleNamespace(bytes=mark)])
            await waits

    asyncio.run(play())


def test_only_the_end_of_the_gate_ends_the_wait_for_a_request():
    async def play():
        channels = Channels()
        gate = Gate(types.SimpleNamespace(dispatch_shell=None), channels, admits=lambda: True, on_end=lambda: None)
        running = asyncio.create_task(gate.run([[b"request"]]))
        for _ in range(2):
            await asyncio.sleep(0)
            running.cancel()  # as a cell does that cancels all tasks
        await asyncio.sleep(0)
        assert not running.done()
        assert not running.cancelling()
        gate.remove()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert channels.delivered == [[b"request"]]

    asyncio.run(play())


def test_what_is_held_can_be_let_pass_at_once():
    channels = Channels()
    gate = Gate(types.SimpleNamespace(dispatch_shell=None), channels, admits=lambda: True, on_end=lambda: None)
    gate.keep_cells()
    gate.held = [[b"one"], [b"two"]]
    gate.let_all()
    assert channels.delivered == [[b"one"], [b"two"]]
    assert gate.held == []


def test_what_is_held_is_delivered_when_the_channels_read_on():
    async def play():
        channels = Channels()
        channels.marks.append(b"an earlier one")
        gate = Gate(types.SimpleNamespace(dispatch_shell=None), channels, admits=lambda: True, on_end=lambda: None)
        closing = asyncio.create_task(gate.close())
        await asyncio.sleep(0)
        await channels.dispatch([types.SimpleNamespace(bytes=channels.marks[-1])])
        await closing
        gate.held.append([b"request"])
        gate.reopen()
        assert channels.delivered == [[b"request"]]

    asyncio.run(play())


def request(kind, *, sender=b"client", metadata=(), **content):
    """One of a client, signed by nobody."""
    parts = {"msg_type": kind}, {}, dict(metadata), content
    frames = [sender, b"<IDS|MSG>", b"", *(json.dumps(each).encode() for each in parts)]
    return [types.SimpleNamespace(bytes=frame) for frame in frames]


def kernel_with(answer):
    """One that answers so."""

    async def dispatch(message):
        answer(message)

    session = types.SimpleNamespace(session="kernel", feed_identities=lambda frames, **_: (frames[:1], frames[2:]))
    return types.SimpleNamespace(dispatch_shell=dispatch, session=session, execution_count=1)


CELL, OTHER = request("execute_request", code="cell"), request("execute_request", store_history=False)


@pytest.mark.parametrize(
    ("before", "after", "passes"),
    [(CELL, CELL, False), (CELL, OTHER, False), (OTHER, OTHER, False), (OTHER, CELL, True), (CELL, request("x"), True)],
)
def test_a_request_for_which_a_restart_would_wait_overtakes_none_that_is_held(before, after, passes):
    async def play():
        passed, held, channels = [], [False], Channels()
        gate = Gate(kernel_with(passed.append), channels, admits=lambda **_: held.pop(), on_end=lambda: None)
        await channels.dispatch(before)
        held.append(True)
        await channels.dispatch(after)
        assert passed == ([after] if passes else [])
        assert len(gate.held) == 2 - passes

    asyncio.run(play())


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize(
    ("message", "keys"),
    [
        (request("execute_request", metadata={"deletedCells": ["a", "b"]}), ["a", "b"]),
        (request("execute_request", metadata={"deletedCells": "a"}), None),
        (request("execute_request", sender=OWN, metadata={"deletedCells": ["a"]}), None),  # as it was sent once
        (request("kernel_info_request", metadata={"deletedCells": ["a"]}), None),
        (CELL, None),
    ],
)
def test_what_the_page_has_deleted_is_known_as_soon_as_it_says_so(message, keys, passes):
    channels, deleted = Channels(), []
    kernel = kernel_with(lambda _: None)
    Gate(kernel, channels, admits=lambda **_: passes, on_end=lambda: None, on_deleted=deleted.append)
    asyncio.run(channels.dispatch(message))
    assert deleted == ([keys] if keys else [])


@pytest.mark.parametrize("name", ["admits", "on_begin", "on_end", "on_done", "on_deleted"])
def test_whatever_fails_beside_a_request_it_is_answered_and_has_an_end(name, caplog):
    def fail(*_, **__):
        if gate:  # by then it is there
            raise ReferenceError

    gate, channels, answered = None, Channels(), []
    quiet = {"admits": lambda **_: True, "on_end": lambda: None}
    gate = Gate(kernel_with(answered.append), channels, **(quiet | {name: fail}))
    message = request("execute_request", metadata={"deletedCells": ["a"]}, code="cell")
    asyncio.run(channels.dispatch(message))
    assert answered == [message]
    assert gate.running == 0
    assert "ReferenceError" in caplog.text


def test_a_header_that_makes_no_sense_is_for_the_kernel_to_answer():
    channels, answered = Channels(), []
    gate = Gate(kernel_with(answered.append), channels, admits=lambda **_: True, on_end=lambda: None)
    message = request(["no", "kind"])
    asyncio.run(channels.dispatch(message))
    assert (answered, gate.running) == ([message], 0)
