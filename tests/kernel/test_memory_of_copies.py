"""Private memory of real processes."""

import contextlib
import gc
import mmap
import os

import pytest

from ipy_autorestart.kernel.memory import private_bytes, private_bytes_at_most, private_bytes_of

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
    """A fork of this process, which has done something."""
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


def touch(memory, size_bytes):
    for place in range(0, size_bytes, mmap.PAGESIZE):
        memory[place] = memory[place] ^ 1


def test_a_copy_has_for_itself_what_it_or_the_original_has_written_since():
    with written(40 * MB) as memory:
        with copied() as pid:
            before = private_bytes(pid)
            assert before < 20 * MB
            assert private_bytes_at_most(pid) > 40 * MB
            touch(memory, 30 * MB)
            assert 25 * MB < private_bytes(pid) - before < 35 * MB
        with copied(lambda: touch(memory, 30 * MB)) as pid:
            assert private_bytes(pid) > 30 * MB


def test_what_is_certain_is_never_more_than_what_may_be():
    with copied() as pid:
        for one in (pid, os.getpid()):
            assert 0 < private_bytes(one) <= private_bytes_at_most(one)


def test_one_that_has_ended_has_none():
    with copied() as pid:
        pass
    assert (private_bytes(pid), private_bytes_at_most(pid)) == (0, 0)


def test_a_close_look_is_taken_only_where_all_may_be_too_large():
    with written(40 * MB) as memory, copied(lambda: touch(memory, 40 * MB)) as one, copied() as other:
        most = {pid: private_bytes_at_most(pid) for pid in (one, other)}
        assert private_bytes_of((one, other), sum(most.values()) + MB) == pytest.approx(most, abs=MB)
        exact = private_bytes_of((one, other), 0)
        assert [exact[one], exact[other]] == pytest.approx([40 * MB, 0], abs=10 * MB)
        some = private_bytes_of((one, other), sum(most.values()) - MB)
        assert sum(some.values()) < sum(most.values()) - MB
    assert private_bytes_of((), 0) == {}
