"""The thread that listens to a supervisor, and the process itself."""

import contextlib
import logging
import os
import socket
import sys

import pytest
from waiting import DEADLINE, eventually

from ipy_autorestart.client.process import Listener, Process
from ipy_autorestart.protocol.link import Link
from ipy_autorestart.protocol.messages import Began, Output


@pytest.fixture
def ends():
    a, b = socket.socketpair()
    with contextlib.closing(Link(a)) as one, contextlib.closing(Link(b)) as other:
        yield one, other


@pytest.fixture
def listen(ends):
    """Listen at an end; the records that come, and whether the other end is gone."""
    listeners = []

    def begin(on_record=None):
        heard, ended = [], []
        listener = Listener(ends[0], on_record=on_record or heard.append, on_end=lambda: ended.append(True))
        listeners.append(listener)
        return listener, heard, ended

    yield begin
    for listener in listeners:
        if listener.thread.is_alive:
            listener.stop()


def test_records_are_heard_until_the_other_side_is_gone(ends, listen):
    listener, heard, ended = listen()
    ends[1].send(Began(1))
    eventually(lambda: heard == [Began(1)])
    assert (listener.thread.is_alive, ended) == (True, [])
    ends[1].close()
    listener.thread.join(DEADLINE)
    assert (listener.thread.is_alive, ended) == (False, [True])


def test_stopping_leaves_the_link_open_and_says_nothing_of_an_end(ends, listen):
    listener, heard, ended = listen()
    listener.stop()
    assert (listener.thread.is_alive, ended) == (False, [])
    ends[1].send(Began(1))
    assert list(ends[0].receive()) == [Began(1)]
    assert heard == []


def test_a_record_that_cannot_be_shown_does_not_keep_the_next_from_it(ends, listen, caplog):
    heard = []

    def show(record):
        heard.append(record)
        raise RuntimeError("no room")

    listen(show)
    ends[1].send(Began(1))
    ends[1].send(Began(2))
    eventually(lambda: heard == [Began(1), Began(2)])
    eventually(lambda: len(caplog.records) == 2)
    assert caplog.records[0].levelno == logging.ERROR


def test_what_the_socket_did_not_take_at_once_is_sent_while_listening(ends, listen):
    big = Output(1, "stdout", "x" * (4 << 20))
    ends[0].send(big)
    assert ends[0].backlog
    listen()
    received = []

    def whole():
        received.extend(ends[1].receive())
        return received == [big]

    eventually(whole)
    assert not ends[0].backlog


@pytest.mark.e2e
def test_a_process_that_fails_is_known_by_its_last_line():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = Process.start(link=theirs.fileno())
        ours.sendall(b"{}\n")
        assert process.wait().startswith("not a Launch")


@pytest.mark.e2e
def test_a_process_ends_when_it_is_killed_and_is_harmless_after():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = Process.start(link=theirs.fileno())
        process.kill()
        assert process.wait() == ""
        process.kill()


@pytest.mark.e2e
def test_of_a_process_of_another_image_there_is_only_the_pid():
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", "raise SystemExit('bye')"],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)],
    )
    hangups, told = os.pipe()
    os.close(told)
    process = Process(pid, hangups=hangups)
    assert process.wait() == ""
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)
