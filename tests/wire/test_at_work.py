"""What a kernel is at work on, as its proxy reads it."""

import os
import signal
import threading

import pytest

from ipy_autorestart.wire.at_work import ENDED_MAX, AtWork, Work, read


@pytest.fixture
def at_work():
    at_work = AtWork()
    yield at_work
    at_work.close()


def test_it_is_what_has_begun_and_not_ended(at_work):
    assert read(at_work.fd) is None
    at_work.begin("a long key of a request", again=False)
    at_work.begin("b", again=True)
    assert read(at_work.fd) == Work({"a long key of a request": False, "b": True})
    at_work.end("a long key of a request")
    assert read(at_work.fd) == Work({"b": True}, ("a long key of a request",))
    for number in range(ENDED_MAX):
        at_work.end(f"{number}")
    at_work.end("b")
    assert read(at_work.fd) == Work({}, (*(f"{number}" for number in range(1, ENDED_MAX)), "b"))


def test_it_is_unknown_once_nothing_is_told_any_more(at_work):
    at_work.begin("a", again=False)
    at_work.tell_no_more()
    assert read(at_work.fd) is None
    at_work.begin("b", again=False)
    assert read(at_work.fd) == Work({"b": False})


@pytest.mark.parametrize("left", [b"", b"{", b'[{"a": fal', b"\0" * 100])
def test_what_was_half_written_tells_nothing(at_work, left):
    os.pwrite(at_work.fd, left, 0)
    assert read(at_work.fd) is None


def test_a_file_that_is_gone_is_no_error_of_the_request(at_work):
    os.close(at_work.fd)
    at_work.begin("a", again=False)
    at_work.end("a")
    at_work.tell_no_more()


def test_threads_lose_nothing_of_each_other(at_work):
    def work(name):
        for number in range(300):
            at_work.begin(f"{name}{number}", again=False)
            at_work.end(f"{name}{number}")
        at_work.begin(name, again=False)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(at_work.fd).begun == dict.fromkeys("abcd", False)


def test_it_is_there_when_the_process_was_killed(at_work):
    child = os.fork()
    if not child:
        at_work.begin("a", again=False)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert read(at_work.fd) == Work({"a": False})
