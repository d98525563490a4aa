"""A kernel goes on whatever comes in the way of a checkpoint."""

import asyncio
import types

import pytest

from ipy_autorestart.kernel import parking as parking_module
from ipy_autorestart.kernel.ipykernel import NotStill
from ipy_autorestart.kernel.parking import Parking


class FakeGate:
    running = 0

    def __init__(self, error=None):
        self.error, self.calls = error, []

    def shut(self):
        self.calls.append("shut")

    async def close(self, *, within):
        self.calls.append("close")
        if self.error:
            raise self.error

    def reopen(self):
        self.calls.append("reopen")


class FakeHost:
    """A restarter that has nothing to do."""

    is_free, is_replaying = True, False

    def __init__(self, gate):
        self.gate, self.checks = gate, 0

    def check(self):
        self.checks += 1


class FakeCheckpoints:
    made, sorted_out, due = 0, 0, True

    def is_due(self, ledger):
        return self.due

    def put_off(self, ledger):
        pass

    def make(self, *_, **__):
        self.made += 1

    def sort_out(self, *_):
        self.sorted_out += 1


class Watcher:
    """A supervisor that is hushed."""

    pid = 0

    def __init__(self, error=None):
        self.error, self.listens = error, True

    def fds(self):
        return ()

    def hush(self):
        self.listens = False

    def listen_again(self):
        if self.error:
            raise self.error
        self.listens = True


def parking(host, *supervisors):
    """One that makes checkpoints of nothing."""
    shell = types.SimpleNamespace(kernel=None)
    recorder = types.SimpleNamespace(ledger=None, places=None)
    backups = types.SimpleNamespace(fds=tuple, leave=lambda: None)
    one = Parking(host, shell, None, recorder, supervisors, backups=backups, go_on=None, rehearsal=lambda: None)
    one._checkpoints = FakeCheckpoints()
    return one


def made(one, *, before=lambda: None):
    """Have it make a checkpoint in a task, and wait for that; return how often it has had the restarter go on."""

    async def make():
        assert one.begins(running=0)
        before()
        await asyncio.wait([one._task])
        await asyncio.sleep(0)
        assert not one.is_begun

    asyncio.run(make())
    return one._host.checks


@pytest.mark.parametrize("error", [NotStill("a request goes on"), RuntimeError("the loop is closed"), None])
def test_what_waits_for_a_checkpoint_goes_on_whatever_becomes_of_it(error):
    assert made(parking(FakeHost(FakeGate(error)))) == 1


def test_code_that_cancels_all_tasks_lets_what_waits_go_on():
    gate = FakeGate()
    one = parking(FakeHost(gate))
    assert made(one, before=lambda: one._task.cancel()) == 1
    assert gate.calls == ["shut", "reopen"]


def test_the_gate_is_open_again_though_a_supervisor_cannot_be_listened_to():
    one, other = Watcher(RuntimeError("no thread can be started")), Watcher()
    gate = FakeGate()
    assert made(parking(FakeHost(gate), one, other)) == 1
    assert gate.calls == ["shut", "close", "reopen"]
    assert other.listens


def test_none_is_made_where_more_runs_or_is_to_follow():
    host = FakeHost(FakeGate())
    one = parking(host)

    async def refused(**facts):
        for name, value in facts.items():
            setattr(host, name, value)
        return not one.begins(running=0)

    host.gate.running = 1
    assert asyncio.run(refused())
    host.gate.running = 0
    assert asyncio.run(refused(is_replaying=True))
    assert asyncio.run(refused(is_replaying=False, is_free=False))
    assert asyncio.run(refused(is_free=True, gate=None))
    assert one._checkpoints.made == 0


def test_one_is_made_between_two_cells_that_run_again():
    host = FakeHost(FakeGate())
    one = parking(host)

    async def between():
        assert not await one.between()
        assert one._checkpoints.made == 1
        await asyncio.sleep(0)
        assert host.checks == 1
        host.is_free = False
        assert not await one.between()
        assert one._checkpoints.made == 1

    asyncio.run(between())


def test_a_kernel_that_has_gone_on_runs_cells_again_before_it_sorts_out(monkeypatch):
    host = FakeHost(FakeGate())
    one = parking(host)
    one._checkpoints.due = False
    one.check()
    assert one._checkpoints.sorted_out == 1
    host.is_replaying = True
    one.renew(None)
    one.check()
    assert one._checkpoints.sorted_out == 1
    monkeypatch.setattr(parking_module, "UNSORTED", 0)  # they take long
    one.renew(None)
    one.check()
    assert one._checkpoints.sorted_out == 2
