"""A process in another's group that hears what the keyboard tells that group."""

import os
import signal
import subprocess

import psutil
import pytest
from waiting import eventually

from ipy_autorestart.script.ear import NAME, Ear


@pytest.fixture
def run():
    """A process that leads a group in this session, and cares for no signal but SIGKILL."""
    command = "trap '' INT QUIT TERM TSTP; echo; while :; do sleep 60; done"
    with subprocess.Popen(["sh", "-c", command], process_group=0, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("key", [signal.SIGINT, signal.SIGQUIT])
def test_a_key_that_the_group_is_told_of_is_heard(run, key):
    ear = Ear(run.pid)
    assert os.getpgid(ear.pid) == run.pid

    os.killpg(run.pid, key)

    assert ear.ended(os.waitpid(ear.pid, 0)[1]) == key


def test_it_may_have_heard_something_just_before_it_is_closed(run):
    ear = Ear(run.pid)
    os.killpg(run.pid, signal.SIGINT)
    eventually(lambda: psutil.Process(ear.pid).status() == psutil.STATUS_ZOMBIE)
    assert ear.close() == signal.SIGINT


def test_closed_it_has_heard_nothing(run):
    ear = Ear(run.pid)
    eventually(lambda: NAME in psutil.Process(ear.pid).cmdline())
    assert ear.close() == 0
    assert not psutil.pid_exists(ear.pid)


def test_one_that_was_reaped_by_others_has_heard_nothing(run):
    ear = Ear(run.pid)
    os.kill(ear.pid, signal.SIGKILL)
    os.waitpid(ear.pid, 0)
    assert ear.close() == 0


def test_a_group_that_is_gone_cannot_be_joined():
    with subprocess.Popen(["true"], process_group=0) as process:
        process.wait(10)
    with pytest.raises((PermissionError, ProcessLookupError)):
        Ear(process.pid)
