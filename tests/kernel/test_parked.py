"""A parked copy makes kernels as it is asked to, and ends with its link or with the proxy."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from processes import has_ended
from waiting import eventually

# A proxy in small: it forks a process that parks, asks it for kernels, and tells what they say.
PROXY = """
import json, os, signal, socket, sys
from ipy_autorestart.kernel.copy import _fork_apart
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.kernel.parked import ParkedKernel
from ipy_autorestart.reexec.exec import or_end
from ipy_autorestart.script.orphans import adopt_orphans
from ipy_autorestart.wire.link import Connect, Fork, Forked, Link, Ready, TakeOver, TookOver

proxy = os.getpid()
adopt_orphans(really=True)

class Copy:
    def fork(self, live, *, repair, apart):
        assert apart
        if fails:
            raise CantCopy("no room")
        if pid := _fork_apart():
            return pid
        with or_end():
            repair()
            live()
        return 0

    def revive(self, address):
        state.append(address("shell"))

def say(what):
    os.write(1, json.dumps(what).encode() + b"\\n")  # in one piece

def pair():
    return [Link(one) for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]

state, fails, doubts = [], len(sys.argv) > 1 and sys.argv[1] == "fails", ("lost",) if "doubts" in sys.argv else ()
rehearsed, done = os.pipe()

def rehearse():
    state.append("rehearsed")
    os.write(done, b".")
    raise ValueError("which is no harm")

ours, theirs = pair()
parked = _fork_apart()
if not parked:
    with or_end():
        ours.close()
        state.append("parked")
        how = {"repair": lambda: doubts, "rehearse": rehearse, "link": theirs, "proxy": proxy, "folder": "/there"}
        turn = ParkedKernel(Copy(), **how).wait()
        [fd] = turn.fds
        turn.link.send(TookOver())
        say([os.getpid(), os.getppid(), state, turn.word.died, os.read(fd, 9).decode(), os.listdir()])
        signal.pause()
theirs.close()
say(parked)
for line in sys.stdin:
    if line == "leave\\n":
        ours.close()
        continue
    number = int(line)
    link, end = pair()
    ours.send(Fork(number), [end.fileno()])
    end.close()
    word, _ = ours.receive()
    assert isinstance(word, Forked) and word.number == number
    if word.pid and not doubts:
        link.send(Connect(number))
        assert isinstance(link.receive()[0], Ready)
        if "ahead" in sys.argv:
            os.read(rehearsed, 1)
        read, write = os.pipe()
        os.write(write, b"state")
        link.send(TakeOver(died="well"), [read])
        assert isinstance(link.receive()[0], TookOver)
    say(word.pid)
"""


class Proxy:
    def __init__(self, *how, cwd):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROXY, *how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd
        )
        self.parked = self.read()

    def read(self):
        return json.loads(self.process.stdout.readline())

    def make(self, number):
        """Have a kernel made, and return what it tells when its turn has come."""
        self.ask(number)
        return next(told for told in (self.read(), self.read()) if isinstance(told, list))

    def ask(self, what):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.communicate()


def is_gone(pid):
    try:
        return has_ended(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def start(tmp_path):
    started = []

    def start(*how, cwd=tmp_path):
        started.append(Proxy(*how, cwd=cwd))
        return started[-1]

    yield start
    for proxy in started:
        proxy.close()


@pytest.mark.e2e
def test_a_kernel_that_is_made_ahead_rehearses_its_turn(start):
    _, _, state, *_ = start("ahead").make(7)
    assert state == ["parked", "ipc:///there/7-shell", "rehearsed"]


@pytest.mark.e2e
@pytest.mark.parametrize("how", ["at once", "ahead"])
def test_a_kernel_enters_the_folder_that_stands_where_its_own_stood(start, tmp_path, how):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    proxy = start(how, cwd=folder)
    assert proxy.make(7)[-1] == []
    folder.rmdir()  # as git does where another branch has none
    folder.mkdir()
    (folder / "here").touch()
    assert proxy.make(8)[-1] == ["here"]


@pytest.mark.e2e
def test_it_makes_one_kernel_after_the_other_each_from_its_own_state(start):
    proxy = start()
    made = []
    for number in (7, 8):
        pid, parent, state, died, carried, _ = proxy.make(number)
        assert (parent, died, carried) == (proxy.process.pid, "well", "state")
        assert state == ["parked", f"ipc:///there/{number}-shell"]
        made.append(pid)
    assert len({*made, proxy.parked}) == 3
    proxy.ask("leave")
    eventually(lambda: is_gone(proxy.parked))
    assert not any(map(is_gone, made))
    proxy.process.kill()
    eventually(lambda: all(map(is_gone, made)))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_do_not_reach_it(start, signum):
    proxy = start("fails")
    for _ in range(2):
        proxy.ask(7)
        assert proxy.read() == 0  # it could not, and waits on
        os.kill(proxy.parked, signum)
    assert not is_gone(proxy.parked)
    proxy.process.kill()
    eventually(lambda: is_gone(proxy.parked))


def test_a_kernel_that_would_not_be_the_same_ends(start):
    proxy = start("can", "doubts")
    proxy.ask(7)
    pid = proxy.read()
    assert pid
    eventually(lambda: is_gone(pid))
    assert not is_gone(proxy.parked)
