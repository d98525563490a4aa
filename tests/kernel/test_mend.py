"""What is made anew in a copy, one by one; what real copies do with it is in test_trust."""

import asyncio
import ctypes
import fcntl
import io
import mmap
import multiprocessing
import os
import socket
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import eventually

from ipy_autorestart.kernel import mend, proc

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="copies are made there only")


def copied(act):
    """Return what a copy of this process says; it must end well."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(tell, repr(act()).encode())
        finally:
            os._exit(0)
    os.close(tell)
    said = os.read(told, 1 << 16)
    os.close(told)
    os.waitpid(pid, 0)
    return said.decode()


def inode(fd):
    return os.fstat(fd).st_ino


def test_a_renewed_file_has_a_place_of_its_own(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    with path.open("rb", buffering=0) as file:
        path.unlink()
        assert file.read(1) == b"a"
        seen = mend.File([file.fileno()], inode(file.fileno()))
        assert copied(lambda: seen.mend() or file.read()) == "b'bc'"
        assert file.read() == b"bc"
        seen.mend()
        assert file.read() == b"bc"


def test_a_renewed_file_has_one_place_by_whichever_descriptor(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abcd")
    with path.open("rb", buffering=0) as file:
        again, closed = os.dup(file.fileno()), os.dup(file.fileno())
        seen = mend.File([file.fileno(), again, closed], inode(again))
        os.close(closed)
        assert copied(lambda: seen.mend() or (os.read(again, 1), file.read(1))) == "(b'a', b'b')"
        assert file.read() == b"abcd"
        os.close(again)


def test_a_file_is_renewed_however_it_was_opened(tmp_path):
    """SQLite follows no links; what the system shows of an open file is one."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    mend.File([fd], inode(fd)).mend()
    assert os.read(fd, 9) == b"abc"
    assert not os.get_blocking(fd)
    os.close(fd)


def test_who_has_a_renewed_folder_has_not_its_lock(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    original = os.dup(fd)
    mend.File([fd], inode(fd)).mend()
    os.close(original)
    again = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)
    os.close(fd)


@pytest.mark.parametrize("size", [0, 1, 65536])
def test_a_pipe_is_looked_into_and_left_alone(size):
    reader, writer = os.pipe()
    os.write(writer, b"a" * size)
    for _ in range(2):
        assert mend.unread_in(reader) == b"a" * size
    os.close(writer)
    assert os.read(reader, 1 << 17) == b"a" * size
    os.close(reader)


def test_a_renewed_pipe_is_as_the_old_one_and_not_it():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_inheritable(writer, True)  # noqa: FBT003
    pipe = mend.Pipe([reader], [writer], old := inode(reader), b"ab")
    for _ in range(2):  # in a copy, and in its copy
        pipe.mend()
        assert inode(reader) == inode(writer) != old
        assert (os.get_blocking(reader), os.get_blocking(writer)) == (False, True)
        assert (os.get_inheritable(reader), os.get_inheritable(writer)) == (False, True)
        assert os.read(reader, 9) == b"ab"
    os.close(reader)
    os.close(writer)


def test_a_renewed_pipe_without_writers_is_at_its_end():
    reader, writer = os.pipe()
    os.close(writer)
    mend.Pipe([reader], [], inode(reader), b"ab").mend()
    assert [os.read(reader, 9), os.read(reader, 9)] == [b"ab", b""]
    os.close(reader)


def test_a_renewed_pair_is_as_the_old_one_and_not_it():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other, one.dup() as again:
        one.settimeout(0)
        numbers = [one.fileno(), again.fileno()], [other.fileno()]
        pair = mend.Pair(*((end, inode(end[0])) for end in numbers))
        assert copied(lambda: pair.mend() or other.send(b"a")) == "1"
        with pytest.raises(BlockingIOError):
            one.recv(9)
        for _ in range(2):
            pair.mend()
            other.send(b"a")
            other.send(b"b")
            assert (one.recv(9), again.recv(9)) == (b"a", b"b")


def test_a_renewed_semaphore_is_a_copys_own():
    lock = multiprocessing.get_context("fork").Lock()
    address, *_ = found = next(one for one in proc.shared() if one[0] <= lock._semlock.handle < one[0] + one[1])
    assert address == lock._semlock.handle
    semaphore = mend.Semaphore(*found)

    def use():
        semaphore.mend()
        first = lock.acquire(block=False)
        semaphore.mend()  # as in a copy of the copy
        return first, lock.acquire(block=False), lock.acquire(block=False)

    assert copied(use) == "(True, True, False)"
    assert lock.acquire(block=False)


def test_a_semaphore_is_known_as_one_when_it_is_a_copys_own_and_other_memory_is_none():
    lock = multiprocessing.get_context("fork").Lock()
    address = lock._semlock.handle

    def kinds():
        return [mend.is_semaphore(name) for at, _, name in proc.shared() if at == address]

    def renew():
        mend.Semaphore(*next(one for one in proc.shared() if one[0] == address)).mend()
        return kinds()

    assert kinds() == [True]
    assert copied(renew) == "[True]"
    with mmap.mmap(-1, 4096), open(memfd := os.memfd_create("mine"), "w+b") as file:
        file.truncate(4096)
        with mmap.mmap(memfd, 4096):
            others = {name for _, _, name in proc.shared() if name.startswith(("/dev/zero", "/memfd:mine"))}
            assert len(others) == 2
            assert not any(map(mend.is_semaphore, others))


def test_what_is_gone_is_left_alone(tmp_path):
    """Between the look and the fork it was closed or freed, and its number or place may be another's."""
    reader, writer = os.pipe()
    one, other = socket.socketpair()
    lost = [
        mend.File([os.open(os.devnull, os.O_RDONLY)], inode(reader)),
        mend.Pipe([reader], [writer], inode(reader) + 1, b"ab"),
        mend.Pair(([one.fileno()], inode(one.fileno())), ([other.fileno()], 1)),
        mend.Semaphore(
            ctypes.addressof(memory := ctypes.create_string_buffer(b"ab", 2)), 2, "/dev/shm/sem.x (deleted)"
        ),
    ]
    os.close(lost[0].fds[0])
    memory.raw = b"xy"
    before = [inode(fd) for fd in (reader, writer, one.fileno(), other.fileno())]
    for each in lost:
        each.mend()
    assert [inode(fd) for fd in (reader, writer, one.fileno(), other.fileno())] == before
    assert memory.raw == b"xy"
    for end in (reader, writer):
        os.close(end)
    one.close()
    other.close()


def test_a_copied_loop_is_closed_and_that_of_the_original_goes_on():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert copied(lambda: mend.close_copied(loop) or (loop.is_closed(), loop.close())) == "(True, None)"
    called = threading.Event()
    loop.call_soon_threadsafe(called.set)
    assert called.wait(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def frame_of(thread):
    return sys._current_frames()[thread.ident]


def test_a_worker_is_at_rest_when_it_waits_for_work():
    go = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(str).result()
        executors, (worker,) = mend.Executors(), pool._threads
        assert executors.owns(worker)
        assert not executors.owns(threading.main_thread())
        eventually(lambda: executors.is_at_rest(worker, frame_of(worker)))
        work = pool.submit(go.wait)
        eventually(work.running)
        assert not executors.is_at_rest(worker, frame_of(worker))
        go.set()
        eventually(lambda: executors.is_at_rest(worker, frame_of(worker)))


def test_the_thread_of_scripts_is_at_rest_when_none_runs():
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    magics = types.SimpleNamespace(event_loop=loop)
    shell = types.SimpleNamespace(magics_manager=types.SimpleNamespace(registry={"ScriptMagics": magics}))
    scripts = mend.Scripts(shell)
    assert scripts.owns(thread)
    eventually(lambda: scripts.is_at_rest(thread, frame_of(thread)))
    task = asyncio.run_coroutine_threadsafe(asyncio.sleep(99), loop)
    eventually(lambda: asyncio.all_tasks(loop))
    assert not scripts.is_at_rest(thread, frame_of(thread))
    task.cancel()
    eventually(lambda: scripts.is_at_rest(thread, frame_of(thread)))
    assert copied(lambda: scripts.mend() or (magics.event_loop, loop.is_closed())) == "(None, True)"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_there_is_no_thread_of_scripts_without_a_shell():
    assert not mend.Scripts(None).owns(threading.main_thread())


def test_a_bars_monitor_is_at_rest_but_with_the_lock():
    bars = pytest.importorskip("tqdm").tqdm
    bars(total=1, file=io.StringIO()).close()
    monitors, monitor = mend.Monitors(), bars.monitor
    assert monitors.owns(monitor)
    eventually(lambda: monitors.is_at_rest(monitor, frame_of(monitor)))
    assert copied(lambda: monitors.mend() or bars.monitor) == "None"
    monitor.exit()
    bars.monitor = None


def test_processes_are_those_of_a_copy_and_of_its_copy():
    ended = multiprocessing.get_context("fork").Process(target=str)
    ended.start()
    ended.join()
    mending = mend.Mending(None)

    def go_on():
        return mending.mend(), ended.is_alive(), ended.join()

    assert copied(lambda: (go_on(), copied(go_on))) == str((((), False, None), "((), False, None)"))
    assert ended.join() is None


def test_what_cannot_be_made_anew_is_told():
    class Stubborn:
        words = "a pipe"

        def mend(self):
            raise OSError

    mending = mend.Mending(None)
    mending.others.append(Stubborn())
    assert mending.mend() == ("a pipe can't be made anew",)
