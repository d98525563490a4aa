"""A kernel goes behind a proxy when it may, and goes on as it is where that is refused."""

import asyncio
import sys
import time
import types

import pytest
from fakes import ClosingGate

from ipy_autorestart.ipython.ledger import Cell, Ledger
from ipy_autorestart.ipython.policy import Batch, OnBusy
from ipy_autorestart.kernel import way_behind
from ipy_autorestart.kernel.ipykernel import NotStill
from ipy_autorestart.kernel.way_behind import NEVER, WayBehind, why_no_proxy


class FakeHost:
    """A restarter that has nothing to do."""

    is_free, wants_proxy = True, True
    start = types.SimpleNamespace(check=lambda: None)

    def __init__(self):
        self.gate, self.checks, self.handed_over = ClosingGate(), 0, 0

    @property
    def batch(self):
        running, pace = self.gate.running, self.gate.pace
        return Batch(pending=None, running=running, pace=pace, on_busy=OnBusy.WAIT, timeout=5)

    def to_hand_over(self):
        self.handed_over += 1
        return {}

    def live_on(self, proxy, interrupted):
        raise AssertionError("there is no copy")

    def check(self):
        self.checks += 1


class Way:
    """A kernel's that is none, and so always refused at last."""

    def __init__(self):
        self.host, self.supervisor = FakeHost(), FakeSupervisor()
        self.kernel = types.SimpleNamespace(parent=None, _aborting=False)
        self.recorder = types.SimpleNamespace(ledger=Ledger())
        shell = types.SimpleNamespace(kernel=self.kernel)
        self.way = WayBehind(self.host, shell, self.recorder, [self.supervisor])

    def worked(self, seconds):
        self.recorder.ledger = Ledger((Cell("cell", 1, "", {}, {}, seconds, last=1),), 1)

    def want(self):
        self.way.want(asyncio.get_running_loop())

    async def until_refused(self):
        while self.way.is_begun:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert self.host.gate.is_open


class FakeSupervisor:
    pid, listens = 0, True

    def fds(self):
        return ()

    def hush(self):
        self.listens = False

    def listen_again(self):
        self.listens = True


def run(act):
    async def main():
        await act(Way())

    asyncio.run(main())


def test_an_idle_kernel_tries_it_a_few_times(monkeypatch):
    monkeypatch.setattr(way_behind, "AGAIN", 0)
    tries = []

    async def busy():
        tries.append(True)
        raise NotStill("a thread is busy")

    async def act(played):
        played.host.gate.close = busy
        played.want()
        while len(tries) < way_behind.TRIES:
            await asyncio.sleep(0)
        await played.until_refused()
        for _ in range(5):
            await asyncio.sleep(0)
        assert played.way.since == NEVER
        assert len(tries) == way_behind.TRIES == played.host.checks

    run(act)


def test_all_is_as_before_where_there_is_no_copy():
    async def act(played):
        played.host.gate.closed.set()
        played.want()
        assert played.way.is_begun
        await played.until_refused()  # this is no kernel
        assert played.supervisor.listens
        assert (played.host.checks, played.host.handed_over) == (1, 0)

    run(act)


def test_one_that_has_something_to_do_does_not_begin():
    async def act(played):
        played.host.gate.running = 1
        played.want()
        assert not played.way.is_begun
        played.host.gate.running, played.host.is_free = 0, False
        played.way.check()
        assert not played.way.is_begun
        played.host.is_free = True
        played.way.end()  # the watch
        played.way.check()
        assert not played.way.is_begun

    run(act)


def test_a_watch_that_ends_meanwhile_wants_no_proxy():
    async def act(played):
        played.want()
        await played.host.gate.begun.wait()
        played.way.end()
        played.host.wants_proxy = False
        played.host.gate.closed.set()
        await played.until_refused()
        assert played.way.since is None  # the next one tries again

    run(act)


async def begin_between(played):
    played.host.gate.running = 1
    played.want()
    assert not played.way.begins_between()
    played.worked(1.0)
    assert played.way.begins_between()
    assert not played.host.gate.is_open


def test_a_cell_that_need_not_wait_any_more_is_not_kept_waiting_soon_again():
    async def act(played):
        since = time.monotonic()
        played.host.gate.closed.set()
        await begin_between(played)
        await played.until_refused()
        assert since <= played.way.since <= time.monotonic()  # when nothing runs, it is tried again
        assert not played.way.begins_between()
        played.worked(2.0)
        played.kernel._aborting = True
        assert not played.way.begins_between()
        played.kernel._aborting = False
        assert played.way.begins_between()
        await played.until_refused()

    run(act)


@pytest.mark.parametrize("steps", [0, 2])
def test_code_that_cancels_all_tasks_lets_the_cell_that_waits_pass(steps):
    async def act(played):
        await begin_between(played)
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await played.until_refused()
        assert played.way.since <= time.monotonic()
        assert played.host.checks == 1

    run(act)


def test_it_is_told_where_there_can_be_no_proxy(monkeypatch):
    kernel = types.SimpleNamespace(eventloop=None)
    assert why_no_proxy(kernel) == ""
    kernel.eventloop = object()
    assert why_no_proxy(kernel) == "a %gui loop runs"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "only Linux" in why_no_proxy(kernel)
