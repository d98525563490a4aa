"""The gate without a kernel, for what a real one does only once in a long while."""

import asyncio
import contextlib
import types

import pytest

from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.ipykernel import NotStill


class Channels:
    """Gives up at first, and takes note of each mark."""

    def __init__(self):
        self.marks = []

    def replace_dispatch(self, dispatch, on_idle):
        self.dispatch = dispatch
        on_idle()

    async def still(self, mark, marked):
        self.marks.append(mark)
        if len(self.marks) == 1:
            raise NotStill("busy")
        await marked(1)

    def read_on(self):
        pass


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
