"""What the system says of this process, beside what it has."""

import _json
import contextlib
import ctypes
import fcntl
import mmap
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading

import pytest
from waiting import eventually

from ipy_autorestart.kernel import proc

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is read in /proc")


@contextlib.contextmanager
def waiting():
    """Yield a thread that waits in a system call, and a pipe's end by its number."""
    reader, writer = os.pipe()
    thread = threading.Thread(target=os.read, args=(reader, 1))
    thread.start()
    yield thread.native_id, reader
    os.write(writer, b"a")
    thread.join()
    os.close(reader)
    os.close(writer)


def test_the_threads_of_this_process():
    assert os.getpid() in proc.tasks()
    with waiting() as (number, _):
        assert number in proc.tasks()
        assert proc.name_of(number) == proc.name_of(os.getpid()) != ""
    eventually(lambda: number not in proc.tasks())
    assert proc.name_of(number) == ""


def test_a_thread_that_waits_says_in_what():
    with waiting() as (number, fd):
        eventually(lambda: proc.call_of(number)[1:2] == [fd])
    eventually(lambda: proc.call_of(number) == [])


def test_a_thread_of_python_stands_in_no_library():
    with waiting() as (number, fd):
        eventually(lambda: proc.call_of(number)[1:2] == [fd])
        assert proc.Maps().library_of(number) == ""


def test_children_are_listed_whether_they_run_or_have_ended():
    with subprocess.Popen(["sleep", "99"]) as running, subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        eventually(lambda: next(one.name for one in proc.children() if one.pid == running.pid) == "sleep")
        seen = {one.pid: one for one in proc.children()}
        assert seen[running.pid] == proc.ChildSeen(running.pid, "sleep", has_ended=False)
        assert seen[ended.pid].has_ended
        running.kill()
    assert not {running.pid, ended.pid} & {one.pid for one in proc.children()}


def test_a_child_of_another_thread_is_one_too():
    begun, end = threading.Event(), threading.Event()

    def start():
        with subprocess.Popen(["sleep", "99"]) as child:
            pids.append(child.pid)
            begun.set()
            end.wait()
            child.kill()

    pids = []
    thread = threading.Thread(target=start)
    thread.start()
    begun.wait()
    assert pids[0] in {one.pid for one in proc.children()}
    end.set()
    thread.join()


def test_open_files_are_listed_without_the_listing_itself(tmp_path):
    with (tmp_path / "a").open("w") as file:
        seen = {number: (status.st_ino, name) for number, status, name in proc.descriptors()}
        assert seen[file.fileno()] == (os.fstat(file.fileno()).st_ino, str(tmp_path / "a"))
        assert not [name for _, name in seen.values() if name.startswith("/proc/") and name.endswith("/fd")]


@pytest.mark.parametrize(
    ("lock", "is_locked"),
    [
        (lambda fd: fcntl.flock(fd, fcntl.LOCK_EX), True),
        (lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX), True),
        (lambda fd: fcntl.flock(fd, fcntl.LOCK_SH), False),
        (lambda fd: None, False),
    ],
)
def test_a_lock_against_all_others_is_seen(tmp_path, lock, is_locked):
    with (tmp_path / "a").open("w") as file:
        lock(file)
        assert proc.is_locked(file.fileno()) is is_locked


@pytest.mark.parametrize("is_owned", [False, True])
def test_one_open_file_is_told_from_two_of_one_name(tmp_path, is_owned):
    owner = os.getpid() if is_owned else 0
    (tmp_path / "a").touch()
    with (tmp_path / "a").open() as file, (tmp_path / "a").open() as other:
        again = os.dup(file.fileno())
        for one in (file, other):
            fcntl.fcntl(one, fcntl.F_SETOWN, owner)
        assert proc.is_same_file(file.fileno(), again)
        assert proc.is_same_file(again, file.fileno())
        assert not proc.is_same_file(other.fileno(), again)
        assert [fcntl.fcntl(fd, fcntl.F_GETOWN) for fd in (file, again, other)] == [owner] * 3
        os.close(again)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_the_ends_of_a_pair_know_each_other(kind):
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    inodes = [os.fstat(end.fileno()).st_ino for end in (one, other)]
    with one:
        with other:
            assert [proc.peer_of(inode) for inode in inodes] == inodes[::-1]
        assert proc.peer_of(inodes[0]) == 0
    assert proc.peer_of(inodes[0]) == 0


def test_what_an_epoll_waits_for():
    reader, writer = os.pipe()
    with select.epoll() as epoll:
        epoll.register(reader)
        epoll.register(writer)
        assert proc.watched_by(epoll.fileno()) == {reader, writer}
    assert proc.watched_by(reader) == set()
    os.close(reader)
    os.close(writer)


def test_shared_memory_is_the_same_asked_for_or_read(tmp_path):
    path = tmp_path / "a file"
    path.write_bytes(bytes(9999))
    with path.open("r+b") as file, mmap.mmap(-1, 5000), mmap.mmap(file.fileno(), 0):
        read_only = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        asked, read = proc.shared(), list(proc.Maps().shared())
        read_only.close()
    assert sorted(asked) == sorted(read)
    assert ("/dev/zero (deleted)", 8192) in [(name, size) for _, size, name in asked]
    assert [size for _, size, name in asked if name == str(path)] == [12288]
    assert str(path) not in [name for _, _, name in proc.shared()]


def test_libraries_are_listed_anew_when_there_are_others(tmp_path):
    libraries = proc.Libraries()
    first = libraries.paths()
    assert any("/libc.so" in path for path in first)
    assert libraries.paths() is first
    library = tmp_path / "copied.so"
    shutil.copy(_json.__file__, library)
    ctypes.CDLL(str(library))
    assert str(library) in libraries.paths()


def test_timers_signals_and_tracers():
    assert not proc.has_posix_timers()
    libc, timer = ctypes.CDLL(None), ctypes.c_void_p()
    assert libc.timer_create(0, None, ctypes.byref(timer)) == 0
    assert proc.has_posix_timers()
    libc.timer_delete(timer)
    assert not proc.has_posix_timers()

    assert proc.tracer_and_signals() == (0, False)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)  # of the process, another thread would die of it
    assert proc.tracer_and_signals() == (0, True)
    assert signal.sigwait([signal.SIGUSR1]) == signal.SIGUSR1
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert proc.tracer_and_signals() == (0, False)


def test_what_a_copy_lacks_is_told_from_what_was_made_since():
    waits, ends = os.pipe()
    with mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE) as memory:
        pid = os.fork()
        if pid == 0:
            os.close(ends)
            os.read(waits, 1)
            os._exit(0)
        with mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE):
            assert not proc.Maps().is_kept_from(proc.Maps(pid))
        os.write(ends, b"a")
        os.waitpid(pid, 0)

        memory.madvise(mmap.MADV_DONTFORK)
        pid = os.fork()
        if pid == 0:
            os.read(waits, 1)
            os._exit(0)
        assert proc.Maps().is_kept_from(proc.Maps(pid))
        os.write(ends, b"a")
        os.waitpid(pid, 0)
    for end in (waits, ends):
        os.close(end)
