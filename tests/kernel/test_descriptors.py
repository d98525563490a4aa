"""What is said of each open file, by itself; a kernel's are in test_trust_kernel."""

import contextlib
import fcntl
import io
import logging
import os
import select
import socket
import sys
import tempfile

import pytest

from ipy_autorestart.kernel.descriptors import Descriptors, of_loops
from ipy_autorestart.kernel.mend import Mending
from ipy_autorestart.kernel.trust_policy import Kind

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="they are listed in /proc")


def numbers():
    return {int(one) for one in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{one}")}


@pytest.fixture
def seen():
    """Return a function that looks at what was opened since, by its number."""
    before = numbers()

    def look(mending=None):
        found = Descriptors(None, mending or Mending(None), contexts=[], epolls=set())
        return {one.number: one for one in found.besides(before)}

    return look


def test_a_file_is_told_with_how_it_may_be_written(seen, tmp_path):
    (tmp_path / "a").touch()
    with (tmp_path / "a").open("r+") as both, (tmp_path / "a").open() as read, (tmp_path / "a").open("a") as end:
        found = seen()
        assert [found[file.fileno()].writes for file in (both, read, end)] == [True, False, True]
        assert {one.kind for one in found.values()} == {Kind.FILE}
        assert {one.name for one in found.values()} == {str(tmp_path / "a")}


@pytest.mark.parametrize("mode", ["a", "w"])
def test_a_log_holds_nothing_back_and_has_one_place_in_all_processes(seen, tmp_path, mode):
    with contextlib.closing(logging.FileHandler(tmp_path / "a", mode, encoding="utf-8")) as log:
        log.stream.write("held back")
        [one] = seen(mending := Mending(None)).values()
        assert (tmp_path / "a").read_text() == "held back"
        assert not one.writes
        assert mending.others == []


class Own(io.TextIOWrapper):
    """The user's own kind of file, whose code isn't run between cells."""

    flushed = False

    def flush(self):
        self.flushed = True
        super().flush()


def test_a_log_of_another_kind_of_file_is_a_file_like_others(seen, tmp_path):
    with Own((tmp_path / "a").open("ab")) as file, contextlib.closing(logging.StreamHandler(file)):
        [one] = seen().values()
        assert one.writes
        assert not file.flushed


def test_only_folders_and_files_that_are_not_written_get_a_place_of_their_own(seen, tmp_path):
    folder, name = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_PATH)
    with tempfile.TemporaryFile(), open(__file__), open("/proc/self/status"):
        seen(mending := Mending(None))
        assert [type(one).__name__ for one in mending.others] == ["File"] * 2
    os.close(folder)
    os.close(name)


def test_descriptors_of_one_open_file_are_renewed_together(seen, tmp_path):
    (tmp_path / "a").touch()
    with (tmp_path / "a").open() as one, (tmp_path / "a").open() as other:
        again = os.dup(one.fileno())
        for owner in (0, os.getpid()):
            fcntl.fcntl(one, fcntl.F_SETOWN, owner)
            seen(mending := Mending(None))
            assert sorted(len(file.fds) for file in mending.others) == [1, 2]
            assert [fcntl.fcntl(fd, fcntl.F_GETOWN) for fd in (one, again, other)] == [owner, owner, 0]
        os.close(again)


def test_a_folder_may_be_locked(seen, tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert seen()[folder].is_locked
    fcntl.flock(folder, fcntl.LOCK_UN)
    assert not seen()[folder].is_locked
    os.close(folder)


def test_a_pipe_is_one_thing_however_many_ends_it_has(seen):
    reader, writer = os.pipe()
    again = os.dup(reader)
    (one,) = seen().values()
    assert (one.kind, one.is_inner, one.is_dead, one.is_renewable) == (Kind.PIPE, True, False, True)
    os.close(writer)
    (one,) = seen(mending := Mending(None)).values()
    assert (one.is_inner, one.is_dead, one.is_renewable) == (False, True, True)
    assert len(mending.others) == 1
    os.close(again)
    os.close(reader)


def test_a_pipe_whose_other_end_is_elsewhere_is_not_renewed(seen):
    reader, writer = os.pipe()
    waits, ends = os.pipe()
    if not (pid := os.fork()):
        os.close(ends)
        os.read(waits, 1)
        os._exit(0)
    os.close(waits)
    os.close(reader)
    assert [(one.is_inner, one.is_dead, one.is_renewable) for one in seen().values()] == [(False, False, False)] * 2
    os.close(ends)
    os.waitpid(pid, 0)
    assert [one.is_renewable for one in seen().values()] == [True]
    os.close(writer)


def test_a_pair_is_known_by_its_ends(seen):
    one, other = socket.socketpair()
    with one, other:
        mending = Mending(None)
        assert [(found.is_inner, found.is_renewable) for found in seen(mending).values()] == [(True, True)] * 2
        assert len(mending.others) == 1
        one.send(b"a")
        assert [found.is_renewable for found in seen().values()] == [False, False]


def test_addresses_are_written_as_people_write_them(seen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as four, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0it")
        abstract.listen()
        with socket.create_connection(four.getsockname()) as client:
            found = seen()
            assert found[four.fileno()].name == found[client.fileno()].name == f"127.0.0.1:{four.getsockname()[1]}"
            assert (found[four.fileno()].kind, found[client.fileno()].kind) == (Kind.LISTENER, Kind.CONNECTION)
            assert found[abstract.fileno()].name == "@it"


def test_what_wakes_event_loops_is_told(seen):
    with select.epoll() as epoll:
        event = os.eventfd(0)
        assert {number: one.kind for number, one in seen().items()} == {epoll.fileno(): Kind.EPOLL, event: Kind.EVENT}
        os.close(event)


def test_the_descriptors_of_a_loop():
    import asyncio

    before = numbers()
    loop = asyncio.new_event_loop()
    assert set(of_loops([None, loop])) == numbers() - before
    loop.close()
    assert list(of_loops([loop])) == []
