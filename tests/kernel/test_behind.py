"""A kernel behind a proxy asks those who watch its files."""

import asyncio
import os

import pytest

from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.kernel.behind import Answers
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
