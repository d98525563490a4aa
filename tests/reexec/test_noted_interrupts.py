"""SIGINT, noted while nothing can act on it."""

import os
import signal
import time

import pytest

from ipy_autorestart.reexec.interrupts import Interrupts, current


@pytest.fixture(autouse=True)
def handler():
    handler = signal.getsignal(signal.SIGINT)
    yield handler
    assert signal.getsignal(signal.SIGINT) == handler


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_is_noted_until_it_is_forgotten():
    interrupts = Interrupts()
    assert not interrupts.noted
    interrupt()
    interrupts.forget(before=time.monotonic() - 60)
    assert interrupts.noted
    interrupts.forget()
    assert not interrupts.noted
    interrupts.end()
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_the_next_one_takes_the_notes_over_and_the_one_before_takes_nothing_back(handler):
    first = Interrupts()
    interrupt()
    second = Interrupts()
    assert current() is second
    assert second.noted
    assert second.previous == handler
    first.end()
    assert current() is second
    second.end()
    assert current() is None


def test_a_cell_can_be_interrupted_meanwhile():
    interrupts = Interrupts()
    interrupted = []
    with interrupts.let_through():
        try:
            interrupt()
        except KeyboardInterrupt:
            interrupted.append(True)
    assert interrupted
    assert not interrupts.noted
    with interrupts.let_through():
        interrupt()  # outside of its code
    assert interrupts.noted
    interrupts.end()


def test_a_handler_that_somebody_has_set_since_stays(handler):
    interrupts = Interrupts()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.end()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, handler)
