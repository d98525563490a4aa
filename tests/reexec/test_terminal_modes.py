"""The terminal that a process was started in."""

import os
import signal
import subprocess
import sys

import pytest

from ipy_autorestart.reexec.tty import Terminal, give_hangups_back, hangup_handler

CHANGE = """
import termios
from ipy_autorestart.reexec.tty import Terminal
terminal = Terminal()
before = termios.tcgetattr(0)
changed = termios.tcgetattr(0)
changed[3] &= ~termios.ECHO
termios.tcsetattr(0, termios.TCSANOW, changed)
terminal.restore()
print(termios.tcgetattr(0) == before, changed != before, terminal.is_gone, terminal.is_ours, flush=True)
"""


@pytest.fixture
def terminal():
    """Both ends of one."""
    ours, theirs = os.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


@pytest.mark.e2e
def test_its_modes_are_restored(terminal):
    shown = subprocess.run([sys.executable, "-c", CHANGE], stdin=terminal[1], capture_output=True, text=True).stdout
    assert shown == "True True False True\n"


LOSE = """
import fcntl, os, signal, sys, termios, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if "its own" in sys.argv: fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from ipy_autorestart.reexec.tty import Terminal
terminal = Terminal()
print(terminal.is_gone, flush=True)
while os.isatty(0): time.sleep(0.01)
print(terminal.is_gone)
"""


@pytest.mark.e2e
def test_what_was_typed_can_be_forgotten(terminal):
    os.write(terminal[0], b"a line\nand a half")
    code = (
        "import os\nfrom ipy_autorestart.reexec.tty import Terminal\nTerminal().forget_input()\n"
        "os.set_blocking(0, False)\ntry: os.read(0, 100)\nexcept BlockingIOError: print('nothing')\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], stdin=terminal[1], capture_output=True, text=True).stdout
    assert shown == "nothing\n"


@pytest.mark.e2e
@pytest.mark.parametrize("whose", ["its own", "another's"])
def test_it_is_gone_when_its_other_end_is_closed_if_it_is_the_one_that_controls_the_process(whose):
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", LOSE, whose], stdin=theirs, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "False\n"
    os.close(theirs)
    os.close(ours)
    assert process.communicate(timeout=30)[0] == f"{whose == 'its own'}\n"


def test_a_process_without_one_has_nothing_to_lose():
    terminal = Terminal()
    terminal.restore()
    assert terminal.is_ours


class Hangups:
    """The bootstrap's, as far as it is asked."""

    noted = False

    def __init__(self, previous):
        self.previous = previous

    def note(self, *_):
        pass


def test_the_bootstraps_handler_stands_for_the_one_before():
    first = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, Hangups(signal.SIG_IGN).note)
    assert hangup_handler() is signal.SIG_IGN
    give_hangups_back(None)
    assert hangup_handler() is signal.SIG_DFL
    give_hangups_back(first)
    assert hangup_handler() == first
