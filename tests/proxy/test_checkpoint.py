"""Checkpoints as their proxy has them: here, programs that do what they are told."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from waiting import eventually

from ipy_autorestart.proxy.checkpoint import LOOKED_AT, Checkpoints, is_child
from ipy_autorestart.proxy.events import (
    Memory,
    NotForked,
    Parked,
    Started,
    Unparked,
)
from ipy_autorestart.script.orphans import adopt_orphans
from ipy_autorestart.wire.link import Connect, Link

pytestmark = pytest.mark.e2e

CHECKPOINT = """
import os, signal, socket, sys
from ipy_autorestart.wire.link import Forked, Link

def kernel(fd):
    read, write = os.pipe()
    if (between := os.fork()) == 0:
        if os.fork():
            os._exit(0)
        os.setsid()
        os.write(write, b"%d" % os.getpid())
        link.close()
        Link(socket.socket(fileno=fd)).wait_for_end()
        os._exit(0)
    os.waitpid(between, 0)
    return int(os.read(read, 20))

how, link = sys.argv[1], Link(socket.socket(fileno=int(sys.argv[2])))
while True:
    try:
        word, fds = link.receive()
    except EOFError:
        os._exit(0)
    if how == "dies":
        os._exit(1)
    if how == "babbles":
        os.write(link.fileno(), b"[]")
    link.send(Forked(word.number, 0 if how == "can't" else 1 if how == "lies" else kernel(fds[0])))
    for fd in fds:
        os.close(fd)
"""


class Lab:
    """Checkpoints, and what has happened."""

    def __init__(self):
        self.happened, self.made, self.looks = [], {}, []
        self.checkpoints = Checkpoints(self.happened.append, self._take_in, self._is_short)

    def _is_short(self):
        self.looks.append(time.monotonic())
        return len(self.looks) == 1

    def _take_in(self, number, pid, link):
        self.made[number] = pid, link

    def park(self, number, how="works"):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, "-c", CHECKPOINT, how, str(theirs.fileno())]
            process = subprocess.Popen(words, pass_fds=[theirs.fileno()], start_new_session=True)
        process.returncode = 0  # it is reaped here
        self.checkpoints.park(1, number, process.pid, Link(ours))
        assert self.happened.pop() == Parked(1, number)
        return process.pid

    def until(self, condition):
        """Play the proxy until a condition holds."""

        def turn():
            for fd in list(self.checkpoints.fds()):
                self.checkpoints.read(fd)
            while True:
                try:
                    pid, _ = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    break
                if not pid:
                    break
                self.checkpoints.note_end(pid)
            return condition()

        return eventually(turn)

    def has_ended(self, *pids):
        self.until(lambda: not any(map(is_child, pids)))


@pytest.fixture
def lab():
    lab = Lab()
    adopt_orphans(really=True)  # as a proxy does
    yield lab
    lab.checkpoints.close()
    for _, link in lab.made.values():
        link.close()
    adopt_orphans(really=False)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def test_one_makes_kernels_one_after_the_other_and_ends_with_its_link(lab):
    pid = lab.park(3)
    for number in (5, 6):
        lab.checkpoints.fork(3, number)
        made, link = lab.until(lambda number=number: lab.made.get(number))
        assert is_child(made)
        link.send(Connect(number))
    assert lab.happened == [Started(5, 3), Started(6, 3)]
    assert lab.checkpoints.drop(3) == []
    assert lab.happened[2:] == []  # it was decided by who is told of what happens
    assert list(lab.checkpoints.fds()) == []
    lab.has_ended(pid)
    assert all(is_child(made) for made, _ in lab.made.values())


@pytest.mark.parametrize("how", ["dies", "can't", "lies", "babbles"])
def test_what_cannot_be_made_is_told(lab, how):
    lab.park(3, how)
    lab.checkpoints.fork(3, 5)
    lab.until(lambda: NotForked(5) in lab.happened)
    ended = [Unparked(3)] if how in ("dies", "babbles") else []
    assert lab.happened == [Started(5, 3), *ended, NotForked(5)]
    assert not lab.made


def test_one_that_has_been_killed_is_told_once(lab):
    pid = lab.park(3)
    os.kill(pid, signal.SIGKILL)
    lab.until(lambda: lab.happened)
    lab.has_ended(pid)
    lab.checkpoints.note_end(pid)
    assert lab.happened == [Unparked(3)]


def test_one_that_does_not_hear_is_ended_with_what_it_was_asked_for(lab):
    pid = lab.park(3)
    os.kill(pid, signal.SIGSTOP)
    lab.checkpoints.fork(3, 5)
    lab.checkpoints.forget(5)
    lab.checkpoints.fork(3, 6)
    assert lab.checkpoints.drop(3) == [6]
    assert lab.happened == [Started(5, 3), Started(6, 3)]
    lab.has_ended(pid)


def test_a_kernel_that_is_not_wanted_any_more_ends(lab):
    pid = lab.park(3)
    lab.checkpoints.fork(3, 5)
    lab.checkpoints.forget(5)
    lab.checkpoints.fork(3, 6)  # answered after the other
    lab.until(lambda: lab.made)
    assert list(lab.made) == [6]
    lab.until(lambda: len(children()) == 2)
    assert children() == {pid, lab.made[6][0]}


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return set(map(int, file.read().split()))


def test_memory_is_looked_at_now_and_then(lab):

    def looked():
        lab.checkpoints.keep_up()
        return len(lab.looks) == 2

    eventually(looked)
    assert lab.happened == [Memory(is_short=True), Memory(is_short=False)]
    assert lab.looks[1] - lab.looks[0] >= LOOKED_AT


def test_one_of_the_same_number_takes_the_place(lab):
    first = lab.park(3)
    second = lab.park(3)
    assert lab.happened == []
    lab.has_ended(first)
    assert is_child(second)
