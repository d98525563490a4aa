"""Processes that runs leave behind, among the children of this process."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from starting import adopted
from waiting import eventually

from ipy_autorestart.script.orphans import Orphans, ask_to_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")


@pytest.fixture
def adopts():
    with adopted():
        yield


def leave(*words):
    """Have a process started by another, which then ends; return it."""
    code = f"import subprocess; print(subprocess.Popen({words!r}, start_new_session=True, stdout=-3).pid)"
    return psutil.Process(int(subprocess.check_output([sys.executable, "-c", code], start_new_session=True)))


def test_what_has_lost_its_parent_is_found_whatever_its_session(adopts):
    orphans = Orphans()
    left = leave("sleep", "60")

    assert orphans.of(0) == {left.pid}

    ask_to_end(left.pid, signal.SIGTERM)
    eventually(lambda: orphans.reap(besides=0) or not left.is_running())
    assert orphans.of(0) == set()


def test_with_daemons_left_alone_only_what_is_in_the_runs_session_is_found(adopts):
    orphans = Orphans(leave_daemons=True)
    left = leave("sleep", "60")

    assert orphans.of(0) == set()
    assert orphans.of(os.getsid(left.pid)) == set(), "its group, which is left to others"

    left.kill()
    eventually(lambda: orphans.reap(besides=0) or not left.is_running())


def test_what_serves_this_process_or_was_there_before_is_left_alone(adopts):
    before = leave("sleep", "60")
    ours = []
    orphans = Orphans(lambda: ours)
    helper, left = leave("sleep", "60"), leave("sleep", "60")
    ours.append(helper.pid)

    assert orphans.of(0) == {left.pid}

    orphans.leave()
    assert orphans.of(0) == set()
    for process in (before, helper, left):
        process.kill()
        eventually(lambda process=process: orphans.reap(besides=0) or not process.is_running())


def test_the_runs_group_is_found_only_as_part_of_the_whole(adopts):
    orphans = Orphans()
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as run:
        assert orphans.of(run.pid) == set()
        assert orphans.of(run.pid, whole=True) == {run.pid}
        run.kill()
        eventually(lambda: psutil.Process(run.pid).status() == psutil.STATUS_ZOMBIE)
        orphans.reap(besides=run.pid)
        assert run.wait(10) == -signal.SIGKILL, "it was left to whoever waits for it"


def test_children_in_the_group_of_this_process_are_nobodys(adopts):
    orphans = Orphans()
    with subprocess.Popen(["sleep", "60"]) as own:
        assert orphans.of(0) == set()
        own.kill()


def test_what_was_stopped_ends_too_when_it_is_asked_to():
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        os.kill(process.pid, signal.SIGSTOP)
        eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)

        ask_to_end(process.pid, signal.SIGTERM)

        assert process.wait(10) == -signal.SIGTERM


def test_what_is_gone_can_be_asked_in_vain():
    with subprocess.Popen(["true"]) as process:
        process.wait(10)
        ask_to_end(process.pid, signal.SIGTERM)
