"""Private memory of real processes."""

import contextlib
import gc
import mmap
import os

import pytest

from ipy_autorestart.kernel.memory import held_by, private_bytes_at_most, waiting
from ipy_autorestart.memory import ENDED_FIRST

MB = 1 << 20


@pytest.fixture(autouse=True)
def no_collection():
    """Collect no garbage: it writes to all objects, and what is written to after a fork is shared no more."""
    gc.disable()
    yield
    gc.enable()


@contextlib.contextmanager
def written(size_bytes):
    """Private memory, in small pages."""
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        touch(memory, size_bytes)
        yield memory


@contextlib.contextmanager
def copied(act=lambda: None):
    """A fork of this process, which has done something; it lasts as long as this wants."""
    began, begins = os.pipe()
    ended, ends = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.close(ends)
            act()
            os.write(begins, b"x")
            os.read(ended, 1)
        os._exit(0)
    os.close(ended)
    try:
        assert os.read(began, 1)
        yield pid
    finally:
        for end in (began, begins, ends):
            os.close(end)
        os.waitpid(pid, 0)


@contextlib.contextmanager
def copied_with_one_ahead():
    """A fork of this process, and one of that, which ends with it."""
    forks = contextlib.ExitStack()
    with mmap.mmap(-1, mmap.PAGESIZE) as ahead:

        def fork():
            ahead[:4] = forks.enter_context(copied()).to_bytes(4, "little")

        with copied(fork) as pid:
            yield pid, int.from_bytes(ahead[:4], "little")


def touch(memory, size_bytes):
    for place in range(0, size_bytes, mmap.PAGESIZE):
        memory[place] = memory[place] ^ 1


def held(*parked, ahead=()):
    return list(held_by(parked, ahead=ahead, live=os.getpid()).values())


def about(*sizes):
    return pytest.approx(sizes, abs=10 * MB)


def test_a_copy_holds_what_it_or_the_original_has_written_since():
    with written(60 * MB) as memory:
        with copied() as pid:
            assert held(pid) == about(0)
            touch(memory, 40 * MB)
            assert held(pid) == about(40 * MB)
        with copied(lambda: touch(memory, 40 * MB)) as pid:
            assert held(pid) == about(40 * MB)


def test_what_a_copy_shares_with_one_that_was_made_of_it_is_held_all_the_same():
    with written(60 * MB) as memory, copied_with_one_ahead() as (pid, ahead):
        touch(memory, 40 * MB)
        assert held(pid, ahead=[ahead]) == about(40 * MB)


def test_what_copies_share_is_held_once():
    with written(90 * MB) as memory, copied() as older:
        touch(memory, 30 * MB)
        with copied() as newer:
            assert held(older, newer) == about(30 * MB, 0)
            touch(memory, 60 * MB)  # of the second half both have the same
            assert held(older, newer) == about(30 * MB, 60 * MB)
            with copied() as newest:
                assert sum(held(older, newer, newest)) == pytest.approx(90 * MB, abs=20 * MB)
                assert held(older, newer, newest)[-1:] == about(0)


def test_the_older_of_two_with_one_ahead_holds_what_the_newer_one_has_no_more():
    with written(60 * MB) as memory, copied_with_one_ahead() as (older, ahead):
        touch(memory, 40 * MB)
        with written(80 * MB), copied() as newer:
            assert held(older, newer, ahead=[ahead]) == about(40 * MB, 0)


def test_one_that_has_ended_holds_nothing():
    with copied() as pid:
        pass
    assert held(pid) == [0]
    assert private_bytes_at_most(pid) == 0
    assert held() == []


def test_a_close_look_is_taken_only_where_all_may_be_too_large():
    with written(40 * MB), copied() as one, copied() as other:
        most = {pid: private_bytes_at_most(pid) for pid in (one, other)}
        assert min(most.values()) > 40 * MB
        found = held_by((one, other), ahead=(), live=os.getpid(), budget_bytes=sum(most.values()) + MB)
        assert found == pytest.approx(most, abs=MB)
        found = held_by((one, other), ahead=(), live=os.getpid(), budget_bytes=sum(most.values()) - MB)
        assert list(found.values()) == about(0, 0)


def test_what_waits_is_known_by_being_the_first_to_end():
    with copied() as pid, copied():
        with open(f"/proc/{pid}/oom_score_adj", "w") as file:
            file.write(str(ENDED_FIRST))
        assert waiting(os.getpid()) == {pid}
    assert waiting(2**22 + 1) == set()  # no process has such a number
