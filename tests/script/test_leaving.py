"""Runs that finish beside the next one, with real process groups."""

import os
import subprocess

import pytest
from waiting import eventually

from ipy_autorestart.script.leaving import KILLED_APART, Leaving


@pytest.fixture
def group():
    """A process in a group of its own that does not heed SIGTERM; it is reaped here."""
    process = subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; sleep 60"], start_new_session=True)
    yield process
    with_it = process.poll() is None
    assert not with_it, "it goes on"


def test_it_goes_on_until_its_time_is_over(group):
    leaving = Leaving()
    leaving.add(group.pid, until=10.0)
    leaving.keep_up(9.9)
    assert (leaving.groups, leaving.due_at()) == ((group.pid,), [10.0])
    assert group.poll() is None
    leaving.keep_up(10.0)
    group.wait()
    eventually(lambda: leaving.keep_up(10.1) or not leaving.groups)
    assert leaving.due_at() == []


def test_one_that_has_ended_is_forgotten(group):
    leaving = Leaving()
    leaving.add(group.pid, until=10.0)
    os.killpg(group.pid, 9)
    group.wait()
    eventually(lambda: leaving.keep_up(0.0) or not leaving.groups)


def test_one_that_is_killed_and_not_gone_yet_is_not_waited_for_without_a_pause(group):
    leaving = Leaving()
    leaving.add(group.pid, until=10.0)
    leaving.keep_up(10.5)  # nobody reaps it
    assert leaving.due_at() == [10.5 + KILLED_APART]
    group.wait()


def test_all_can_be_killed(group):
    leaving = Leaving()
    leaving.add(group.pid, until=10.0)
    leaving.kill()
    assert leaving.groups == ()
    group.wait()
