"""Private memory of real processes, and limits as the system writes them."""

import contextlib
import gc
import mmap
import os

import psutil
import pytest

from ipy_autorestart.kernel.memory import (
    available_bytes,
    groups_of,
    headrooms,
    private_bytes,
    private_bytes_at_most,
    private_bytes_of,
)

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


def test_no_more_is_available_than_there_is():
    assert 0 < available_bytes() <= psutil.virtual_memory().total


@pytest.fixture
def mount(tmp_path):
    """Folders of cgroups, version 2, with nothing in them."""
    (tmp_path / "user/app").mkdir(parents=True)
    return tmp_path


def write(group, **contents):
    for name, content in contents.items():
        (group / f"memory.{name}").write_text(f"{content}\n")


def test_a_group_may_have_what_its_limits_leave(mount):
    write(mount, max="max", high="max", current=500, stat="anon 1\ninactive_file 70\nactive_file 9")
    assert list(headrooms(str(mount))) == []
    write(mount, max=1000)
    assert list(headrooms(str(mount))) == [570]
    write(mount, high=900)
    assert sorted(headrooms(str(mount))) == [470, 570]
    assert list(headrooms(str(mount / "user"))) == []


def test_a_group_of_version_1_may_have_what_its_limit_leaves(mount):
    write(mount, limit_in_bytes=1000, usage_in_bytes=500, stat="inactive_file 1\ntotal_inactive_file 70")
    assert list(headrooms(str(mount))) == [570]


def test_each_group_around_a_process_counts(mount):
    def found(lines):
        return [os.path.relpath(folder, mount) for folder in groups_of(lines, str(mount))]

    assert found("0::/user/app\n") == ["user/app", "user", "."]
    assert found("0::/\n") == ["."]
    assert found("0::/docker/of/outside\n") == ["."]
    assert found("3:cpu:/user\n2:name=systemd:/user:x\n") == []
    (mount / "memory/user").mkdir(parents=True)
    assert found("4:memory:/user/app\n3:cpu:/user\n") == ["memory/user", "memory"]
    assert found("4:cpu,memory:/user\n") == ["memory/user", "memory"]
    (mount / "unified/user").mkdir(parents=True)
    assert found("0::/user\n") == ["user", ".", "unified/user", "unified"]
