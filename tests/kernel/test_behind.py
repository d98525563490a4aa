"""A kernel behind a proxy asks those who watch its files, and goes on whatever comes in the way of a checkpoint."""

import asyncio
import os
import types

import pytest

from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.kernel.behind import Answers, Behind
from ipy_autorestart.kernel.ipykernel import NotStill
from ipy_autorestart.protocol.messages import Changed

A, B = (Change(f"/src/{name}.py", Kind.MODIFIED) for name in "ab")


def answered(owners, *told):
    async def ask():
        answers = Answers(owners)
        for owner, record in told:
            answers.take(owner, record)
        return answers.all.done() and answers.all.result()

    return asyncio.run(ask())


def changed(*changes, reason=Reason.CHANGE, pid=None):
    return Changed(pid or os.getpid(), reason, changes)


def test_all_are_waited_for():
    one, other = object(), object()
    assert answered([one, other], (one, changed(A))) is False
    assert answered([one, other], (one, changed(A)), (other, changed(B))) == [changed(A), changed(B)]
    assert answered([one, other], (one, changed(A)), (one, changed(A))) is False


@pytest.mark.parametrize("pid", [1, 2**22 + 1])
def test_an_answer_to_the_kernel_before_is_none(pid):
    one = object()
    assert answered([one], (one, changed(A, pid=pid))) is False


class FakeGate:
    def __init__(self, error=None):
        self.error, self.calls = error, []

    async def close(self, *, within):
        self.calls.append("close")
        if self.error:
            raise self.error

    def reopen(self):
        self.calls.append("reopen")


class FakeCheckpoints:
    def put_off(self, ledger):
        pass

    def make(self, *_, **__):
        pass


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


def behind(*supervisors):
    """One that makes checkpoints of nothing."""
    shell = types.SimpleNamespace(kernel=None)
    recorder = types.SimpleNamespace(ledger=None, places=None)
    one = Behind(shell, None, recorder, supervisors, state=None, go_on=None)
    one._checkpoints = FakeCheckpoints()
    return one


def parked(one, gate):
    """Have it make a checkpoint in a task; return what is called then, once that has ended."""
    called = []

    async def park():
        one.park_soon(gate, then=lambda: called.append("then"))
        await asyncio.wait([one._parking])
        await asyncio.sleep(0)
        assert not one.is_parking

    asyncio.run(park())
    return called


@pytest.mark.parametrize("error", [NotStill("a request goes on"), RuntimeError("the loop is closed"), None])
def test_what_waits_for_a_checkpoint_goes_on_whatever_becomes_of_it(error):
    assert parked(behind(), FakeGate(error)) == ["then"]


def test_the_gate_is_open_again_though_a_supervisor_cannot_be_listened_to():
    one, other = Watcher(RuntimeError("no thread can be started")), Watcher()
    gate = FakeGate()
    assert parked(behind(one, other), gate) == ["then"]
    assert gate.calls == ["close", "reopen"]
    assert other.listens
