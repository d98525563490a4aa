"""The terminal of this process, lent to a run's process group."""

import os
import pty
import signal
import sys
import termios
import traceback

import pytest
from waiting import eventually

from ipy_autorestart.script.foreground import PLAIN_SCREEN, Foreground, put_back

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a terminal of one's own is made as on Linux")


#: Of the process that acts.
jobs = []


def in_a_terminal(act):
    """Have a process act that leads the session of a terminal; return what was shown, and fail if it does."""
    pid, fd = pty.fork()
    if pid == 0:
        status = 1
        try:
            os.environ["TERM"] = "xterm"
            act()
            status = 0
        except Exception:  # noqa: BLE001  # it is not to go on in the test's own code
            traceback.print_exc()
        finally:
            for one in jobs:
                os.kill(one, signal.SIGKILL)
            os._exit(status)
    shown = b""

    def has_ended():
        nonlocal shown
        try:
            shown += os.read(fd, 1000)
        except OSError:  # the other end is closed
            return True
        return False

    eventually(has_ended)
    os.close(fd)
    assert os.waitpid(pid, 0)[1] == 0, shown.decode()
    return shown


def job():
    """Fork a process with a group of its own that waits to be killed."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    jobs.append(pid)
    os.setpgid(pid, pid)
    return pid


def raw(fd):
    """Switch the echo off, as nobody does who is not in the foreground."""
    modes = termios.tcgetattr(fd)
    modes[3] &= ~termios.ECHO
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    termios.tcsetattr(fd, termios.TCSANOW, modes)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTTOU])


def echoes(fd):
    return bool(termios.tcgetattr(fd)[3] & termios.ECHO)


def test_it_is_given_and_taken_without_stopping_anybody():
    def act():
        terminal, group = Foreground.open(), job()
        for _ in range(2):
            assert terminal.give(group)
            assert (os.tcgetpgrp(0), terminal.given) == (group, group)
            terminal.take()
            assert (os.tcgetpgrp(0), terminal.given) == (os.getpgrp(), 0)
        terminal.close()

    assert PLAIN_SCREEN not in in_a_terminal(act)


def test_it_is_not_given_while_a_shell_has_put_this_process_in_the_background():
    def act():
        terminal, group, shell = Foreground.open(), job(), job()
        terminal.give(shell)
        terminal.given = 0
        assert not terminal.give(group)
        terminal.take(killed=True)
        assert os.tcgetpgrp(0) == shell, "it was not this one's to take"

    assert PLAIN_SCREEN not in in_a_terminal(act)


def test_after_a_run_that_was_killed_the_screen_is_plain():
    def act():
        terminal = Foreground.open()
        terminal.give(job())
        terminal.take(killed=True)

    assert in_a_terminal(act) == PLAIN_SCREEN


def test_a_suspended_run_finds_it_as_it_left_it():
    def act():
        terminal, group = Foreground.open(), job()
        terminal.give(group)
        raw(0)
        terminal.suspend()
        assert os.tcgetpgrp(0) == os.getpgrp()
        assert echoes(0)
        terminal.resume(group)
        assert os.tcgetpgrp(0) == group
        assert not echoes(0)
        terminal.take()

    in_a_terminal(act)


def test_in_a_pipeline_and_without_a_terminal_there_is_none():
    def act():
        _, writing = os.pipe()
        os.dup2(writing, 1)
        assert Foreground.open() is None

    in_a_terminal(act)

    pid = os.fork()
    if pid == 0:
        os.setsid()
        os._exit(0 if Foreground.open() is None else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize("taken", [False, True])
def test_it_is_put_back_after_both_were_killed_unless_a_shell_has_taken_it(taken):
    def act():
        terminal, group, shell = Foreground.open(), job(), job()
        *_, modes = terminal.way_back
        terminal.give(shell if taken else group)
        raw(0)
        put_back(0, os.getpgrp(), list(map(int, modes.split(","))), [group])
        assert os.tcgetpgrp(0) == (shell if taken else os.getpgrp())
        assert echoes(0) is not taken

    assert in_a_terminal(act) == PLAIN_SCREEN
