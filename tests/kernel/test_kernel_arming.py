"""Parts of the way behind a proxy; the whole of it is tested with real kernels, beside the proxy's tests."""

import contextlib
import functools
import multiprocessing.resource_tracker
import os
import signal
import socket
import threading
import time
import types

import pytest
from waiting import eventually

from ipy_autorestart.kernel import arming
from ipy_autorestart.kernel.arming import LIVES, Arming, Beginning, Hangups, KernelArming
from ipy_autorestart.kernel.copy import Copy
from ipy_autorestart.reexec.exec import FAILED
from ipy_autorestart.wire.link import NAME, Connect, Link, TakeOver, TookOver


def test_the_copy_waits_for_the_proxy(tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(arming._connected(str(tmp_path))))
    thread.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{tmp_path}/{NAME}")
        listener.listen()
        accepted, _ = listener.accept()
    thread.join()
    proxy = Link(accepted)
    proxy.send(Connect(1))
    assert found[0].receive() == (Connect(1), [])
    for one in (proxy, *found):
        one.close()


def test_it_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(arming, "PROXY_MAX", 0.0)
    with pytest.raises(FileNotFoundError):
        arming._connected(str(tmp_path))


def test_modules_are_told_by_their_files_in_the_order_of_their_import():
    found = arming._installed()
    assert found.index(os.__file__) < found.index(pytest.__file__)
    assert arming.__file__ not in found  # a project's own, here
    assert __file__ not in found


# -- the beginning of a copy -------------------------------------------------------------------------------------------


def forked(act):
    """Call a function in a forked process, which ends by itself; return its number."""
    if pid := os.fork():
        return pid
    try:
        act()
    finally:
        os._exit(1)


def says(beginning, *words):
    beginning.say(*words)
    time.sleep(60)


@pytest.mark.parametrize(
    ("act", "doubts"),
    [
        (lambda beginning: says(beginning, LIVES), ()),
        (lambda beginning: beginning.say("one", "other"), ("one; other",)),
        (lambda beginning: None, ("the copy has failed; its standard error tells why",)),
        (lambda beginning: says(beginning, "é" * 9999), ("é" * 2048,)),
    ],
)
def test_a_copy_says_whether_it_lives(act, doubts):
    with Beginning() as beginning:
        pid = forked(functools.partial(act, beginning))
        assert beginning.doubts() == doubts
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_copy_that_says_nothing_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(arming, "BEGIN_MAX", 0.01)
    with Beginning() as beginning:
        pid = forked(lambda: time.sleep(60))
        assert beginning.doubts() == ("the copy takes too long to begin",)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def waiting_copy(loop=None):
    """Return what makes copies of this process, as if it were a copy that waits."""
    copy = Copy.__new__(Copy)
    copy._is_alive, copy._io_loop, copy._machinery = False, loop, types.SimpleNamespace(close=lambda: None)
    return copy


def test_a_copy_that_fails_never_returns():
    """Not even if it can't say why: there would be two kernels."""

    def repair():
        os.close(2)
        raise OSError

    here = os.getpid()
    try:
        pid = waiting_copy().fork(lambda: None, repair=repair)
    finally:
        if os.getpid() != here:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == FAILED


@pytest.fixture
def arms(tmp_path):
    """An arming of no kernel, with a folder."""
    arms = Arming(None, lives=lambda *_: None)
    arms.folder = str(tmp_path / "folder")
    os.mkdir(arms.folder)
    return arms


@pytest.mark.parametrize("ignored", [False, True], ids=["waited for by another", "ignored"])
def test_it_is_undone_whoever_waits_for_children(arms, ignored):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        arms._pid = forked((lambda: time.sleep(60)) if ignored else (lambda: None))
        if not ignored:
            os.waitpid(arms._pid, 0)
        arms.undo()
        arms.undo()
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert not os.path.exists(arms.folder)


# -- signals on the way ------------------------------------------------------------------------------------------------


@pytest.fixture
def heard():
    """What SIGHUP has come to in this process."""
    heard = []
    before = signal.signal(signal.SIGHUP, lambda *_: heard.append(True))
    yield heard
    signal.signal(signal.SIGHUP, before)


def hang_up():
    os.kill(os.getpid(), signal.SIGHUP)


def test_a_hangup_on_the_way_comes_once_more_if_all_is_undone(arms, heard):
    arms.hangups = Hangups()
    hang_up()
    eventually(lambda: arms.hangups.noted)
    assert not heard
    arms.undo()
    eventually(lambda: heard == [True])
    arms.undo()
    hang_up()
    eventually(lambda: heard == [True, True])


def test_hangups_are_left_to_who_has_taken_them_since(heard):
    hangups = Hangups()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hangups.end()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_the_proxy_passes_on_what_came_since_the_copy_was_made(arms, heard):
    becomes = KernelArming.__new__(KernelArming)
    becomes._arming, becomes._interrupts, becomes._hung_up = arms, None, False
    assert list(becomes.noted()) == []
    arms.hangups = Hangups()
    assert list(becomes.noted()) == []
    arms.hangups.noted = True
    assert list(becomes.noted()) == [signal.SIGHUP]
    arms.hangups.end()


def test_a_kernel_does_not_leave_before_it_has_taken_over(arms, heard):
    """The proxy would not heed it."""
    told = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    proxy, arms._link = Link(theirs), Link(ours)
    arms._lives = lambda link, interrupted: told.append((link, interrupted, list(heard)))
    arms.hangups = Hangups()
    hang_up()
    eventually(lambda: arms.hangups.noted)
    proxy.send(TakeOver(interrupted=True))
    arms._hear()
    assert told == [(arms._link, True, [])]
    assert proxy.receive() == (TookOver(), [])
    eventually(lambda: heard)
    for one in (proxy, arms._link):
        one.close()


def test_a_copy_that_cannot_take_over_ends(arms):
    def fail(*_):
        os.close(2)
        raise OSError

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.closing(Link(theirs)) as proxy, contextlib.closing(Link(ours)) as arms._link:
        arms._lives = fail
        proxy.send(TakeOver())
        assert os.waitstatus_to_exitcode(os.waitpid(forked(arms._hear), 0)[1]) == FAILED


def test_trackers_are_left_to_the_copy():
    """It holds their pipes, so that their end would be waited for in vain."""
    tracker = multiprocessing.resource_tracker._resource_tracker
    tracker.ensure_running()
    fd, pid = tracker._fd, tracker._pid
    KernelArming.__new__(KernelArming).end_trackers()
    assert (tracker._fd, os.waitpid(pid, os.WNOHANG)) == (fd, (0, 0))
    tracker._stop()
