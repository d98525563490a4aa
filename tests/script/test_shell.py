"""A shell that waits at a pipe."""

import os
import signal
import subprocess

import psutil
import pytest
from waiting import eventually

from ipy_autorestart.script.shell import start_shell

WAIT = "read line; exit ${line:-0}"


def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_it_reads_what_is_written_and_is_known_by_its_name():
    pid, write = start_shell(WAIT, "a name", "an argument")
    eventually(lambda: psutil.Process(pid).cmdline()[-2:] == ["a name", "an argument"])
    os.write(write, b"7\n")
    os.close(write)
    assert status_of(pid) == 7


def test_it_has_a_session_of_its_own_or_joins_a_group():
    pid, write = start_shell(WAIT, "a name")
    other, its = start_shell(WAIT, "a name", group=0)
    assert os.getsid(pid) == pid
    assert (os.getpgid(other), os.getsid(other)) == (other, os.getsid(0))
    for fd in (write, its):
        os.close(fd)
    assert (status_of(pid), status_of(other)) == (0, 0)


def test_signals_that_are_ignored_here_can_end_it():
    kept = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        pid, write = start_shell(WAIT, "a name", defaults=[signal.SIGUSR1])
    finally:
        signal.signal(signal.SIGUSR1, kept)
    os.kill(pid, signal.SIGUSR1)
    assert status_of(pid) == -signal.SIGUSR1
    os.close(write)


def test_what_can_not_be_started_leaves_nothing_open():
    with subprocess.Popen(["true"], process_group=0) as process:
        process.wait(10)
    before = os.listdir("/dev/fd")
    with pytest.raises((PermissionError, ProcessLookupError)):
        start_shell(WAIT, "a name", group=process.pid)
    assert os.listdir("/dev/fd") == before
