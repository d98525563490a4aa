"""What an image finds that the one before has left."""

import os
import signal
import socket
import threading
from dataclasses import replace

import pytest
from carried import PROCESS

from ipy_autorestart.program.kept import Kept
from ipy_autorestart.protocol.messages import Status
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.request import Kernel, Request
from ipy_autorestart.reexec.state import Carried, ProgramState, SupervisorState, TerminalState

REQUEST = Request(Kernel("main.py"), ("src",), Options(), "/")


def supervisor(link):
    return SupervisorState(
        link=link,
        hangups=os.open(os.devnull, os.O_RDONLY),
        received=b"",
        pid=1,
        request=REQUEST,
        label="",
        screen=None,
        status=Status(),
        runs=(),
        decisions=(),
    )


def program(*kept, pid=None):
    return ProgramState(pid=pid or os.getpid(), inherited=(), kept=kept, since_ns=0)


@pytest.fixture
def leave(monkeypatch):
    """Leave a state as an exec does, and return what is found of it."""

    def left(own, *supervisors, hangup_ignored=False):
        fd = os.memfd_create("state")
        process = replace(PROCESS, hangup_ignored=hangup_ignored, blocked=frozenset({signal.SIGHUP}))
        Carried(process, supervisors, own).write(fd)
        monkeypatch.setenv("IPY_AUTORESTART_STATE", str(fd))
        kept = Kept()
        assert "IPY_AUTORESTART_STATE" not in os.environ
        return kept

    return left


@pytest.fixture
def pair():
    """A descriptor of ours that is another's to close, and its other end."""
    ours, theirs = socket.socketpair()
    with theirs:
        yield ours.detach(), theirs


def is_closed(other_end):
    return other_end.recv(1) == b""


def test_at_the_first_start_there_is_nothing():
    kept = Kept()
    assert kept.carried is None
    assert kept.claim() == []
    kept.drop()
    kept.forget()


def test_sockets_are_claimed_once(leave, pair):
    fd, other_end = pair
    kept = leave(program(fd))
    [claimed] = kept.claim()
    assert kept.claim() == []
    kept.drop()
    with claimed:
        claimed.send(b"x")
        assert other_end.recv(1) == b"x"


def test_what_nobody_claims_is_closed(leave, pair):
    fd, other_end = pair
    leave(program(fd)).drop()
    assert is_closed(other_end)


def test_a_supervisor_is_taken_by_the_same_request_only(leave, pair):
    fd, other_end = pair
    kept = leave(program(), supervisor(fd))
    assert kept.take_supervisor(Request(Kernel("other.py"), ("src",), Options(), "/")) is None
    taken = kept.take_supervisor(REQUEST)
    assert taken.link == fd
    assert kept.take_supervisor(REQUEST) is None
    kept.drop()
    other_end.settimeout(0)
    with pytest.raises(BlockingIOError):
        other_end.recv(1)
    for one in taken.fds:
        os.close(one)


def test_a_supervisor_that_nobody_takes_ends_with_its_link(leave, pair):
    fd, other_end = pair
    leave(program(), supervisor(fd)).drop()
    assert is_closed(other_end)


def test_the_state_of_another_process_is_none(leave):
    assert leave(program(pid=1)).carried is None
    assert leave(TerminalState(typed="", cells=None)).carried is None


@pytest.mark.parametrize("value", ["", "x", "-1", "999999"])
def test_an_environment_that_names_no_state_is_none(monkeypatch, value):
    monkeypatch.setenv("IPY_AUTORESTART_STATE", value)
    assert Kept().carried is None


def test_a_file_of_the_programs_own_is_left_alone(monkeypatch, tmp_path):
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setenv("IPY_AUTORESTART_STATE", str(file.fileno()))
        assert Kept().carried is None
        file.write("open")


def test_forgotten_it_discards_a_pending_hangup_and_gives_the_handler_back(leave):
    handler = signal.getsignal(signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)  # to this thread, for others don't block it
    kept = leave(program())
    kept.forget()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])  # else it would end this process now
    assert signal.getsignal(signal.SIGHUP) == handler
    assert kept.carried is None
