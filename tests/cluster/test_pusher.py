"""The helper that pushes: in this process with a cluster that is a fake, and as a process."""

import asyncio
import os
import sys

import pytest
from waiting import eventually

from ipy_autorestart.cluster.helper import Helper
from ipy_autorestart.cluster.messages import Named, Wish, decode, encode
from ipy_autorestart.cluster.policy import CantPush
from ipy_autorestart.cluster.pusher import Pusher
from ipy_autorestart.decide.events import Pushed, PushFailed, Reached


class FakeCluster:
    """A cluster whose pushes end when they are let."""

    def __init__(self):
        self.let, self.pushed, self.shipped, self.closed = asyncio.Event(), [], 0, False
        self.error = self.refusal = None
        self.has_late = False

    def check(self):
        if self.error:
            raise self.error

    async def ship(self, tree):
        self.shipped += 1

    async def push(self, tree, *, within, lose_data, clients):
        self.pushed.append(tree)
        await self.let.wait()
        if self.refusal:
            raise self.refusal
        return "2 of 2"

    async def catch_up(self, *, within):
        self.has_late = False
        return "3 of 3"

    async def close(self):
        self.closed = True


@pytest.fixture
def src(tmp_path):
    (tmp_path / "a.py").write_text("A = 1\n")
    return tmp_path


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def played(act, src, **named):
    """Run an act with a pusher and its cluster; return what was said."""
    said = []

    async def play():
        cluster = FakeCluster()

        async def connect(where, project):
            cluster.check()
            return cluster

        pusher = Pusher(Named(where="tcp://there:1", roots=(str(src),), **named), said.append, connect)
        await act(pusher, cluster, said)
        await pusher.close()
        assert cluster.closed

    asyncio.run(play())
    return said


def test_messages_come_back_from_their_lines():
    named = Named(where="tcp://there:1", roots=("/p",), patterns=("*.toml",), lose_data=True)
    for one in (named, Wish(3), Reached("gone"), Pushed(3, "2 of 2"), PushFailed(3, "no")):
        assert decode(encode(one)) == one


def test_a_push_that_all_have_is_told(src):
    async def act(pusher, cluster, said):
        cluster.let.set()
        await pusher.wish(Wish())
        await until(lambda: cluster.shipped)
        await pusher.wish(Wish(1))
        await until(lambda: said)

    assert played(act, src) == [Pushed(1, "2 of 2")]


def test_a_later_push_takes_the_place_of_the_one_that_goes_on(src):
    async def act(pusher, cluster, said):
        await pusher.wish(Wish(1))
        await until(lambda: cluster.pushed)
        (src / "a.py").write_text("A = 2\n")
        await pusher.wish(Wish(2))
        await until(lambda: len(cluster.pushed) == 2)
        cluster.let.set()
        await until(lambda: said)
        assert cluster.pushed[0].version != cluster.pushed[1].version

    assert played(act, src) == [Pushed(2, "2 of 2")]


def test_what_the_cluster_refuses_is_told_in_its_words(src):
    async def act(pusher, cluster, said):
        cluster.let.set()
        cluster.refusal = CantPush("no nanny")
        await pusher.wish(Wish(1))
        await until(lambda: said)
        cluster.refusal = RuntimeError("what")
        await pusher.wish(Wish(2))
        await until(lambda: len(said) == 2)

    assert played(act, src) == [PushFailed(1, "no nanny"), PushFailed(2, "the push failed: RuntimeError: what")]


def test_a_file_that_was_whole_and_is_broken_is_not_sent(src):
    async def act(pusher, cluster, said):
        cluster.let.set()
        (src / "template.py").write_text("{{ name }} = (\n")
        await pusher.wish(Wish(1))
        await until(lambda: said)
        (src / "a.py").write_text("A = (\n")
        await pusher.wish(Wish(2))
        await until(lambda: len(said) == 2)
        assert len(cluster.pushed) == 1

    first, second = played(act, src)
    assert first == Pushed(1, "2 of 2")
    assert f"syntax error in {src}/a.py" in second.why


def test_a_cluster_that_is_lost_and_found_is_told(src):
    async def act(pusher, cluster, said):
        cluster.let.set()
        await pusher.wish(Wish(1))
        await until(lambda: said)
        watching = asyncio.create_task(pusher.watch())
        cluster.error = CantPush("it is gone")
        await until(lambda: len(said) == 2)
        await until(lambda: cluster.closed)
        cluster.error = None
        await until(lambda: len(said) == 3)
        watching.cancel()

    assert played(act, src)[1:] == [Reached("it is gone"), Reached("")]


def test_those_that_join_later_catch_up_and_that_is_told(src):
    async def act(pusher, cluster, said):
        cluster.let.set()
        watching = asyncio.create_task(pusher.watch())
        await pusher.wish(Wish(4))
        await until(lambda: said)
        cluster.has_late = True
        await until(lambda: len(said) == 2)
        watching.cancel()

    assert played(act, src) == [Pushed(4, "2 of 2"), Pushed(4, "3 of 3")]


NOTHING = "127.0.0.1:1"


@pytest.fixture
def helper(src):
    named = Named(where=NOTHING, roots=(str(src),))
    helper = Helper(named, python=sys.executable, environment=dict(os.environ), cwd=str(src))
    yield helper
    helper.close()


def said_by(helper, count=1):
    said = []
    eventually(lambda: said.extend(helper.receive()) or len(said) >= count)
    return said


@pytest.mark.e2e
def test_a_cluster_that_is_not_there_is_told(helper):
    helper.push(1)
    (failed,) = said_by(helper)
    assert failed.number == 1
    assert failed.why.startswith(f"no Dask scheduler answers at {NOTHING}")


@pytest.mark.e2e
def test_a_helper_that_dies_has_failed_and_the_next_push_has_another_one(helper):
    helper.push(1)
    os.kill(helper.pid, 9)
    assert said_by(helper) == [PushFailed(1, "the process that pushes has ended: it printed nothing")]
    assert (helper.pid, helper.fileno()) == (0, -1)
    helper.push(2)
    assert said_by(helper)[0].number == 2


@pytest.mark.e2e
def test_a_helper_without_dask_says_how_to_get_it(src, tmp_path):
    (tmp_path / "empty").mkdir()
    # An interpreter that sees nothing but the standard library.
    isolated = tmp_path / "python"
    isolated.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -I -S "$@"\n')
    isolated.chmod(0o755)
    helper = Helper(Named(where=NOTHING, roots=(str(src),)), python=str(isolated), environment={}, cwd=str(src))
    helper.push(1)
    said = said_by(helper)
    helper.close()
    assert said == [PushFailed(1, "--cluster: Dask is not installed here; pip install 'ipy-autorestart[dask]'")]
