"""Nothing outlives a supervisor that is killed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from processes import has_ended
from waiting import DEADLINE, eventually

from ipy_autorestart.script.guardian import Guardian


@pytest.fixture
def sleeper():
    """A process that leads a group of its own."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


@contextlib.contextmanager
def supervisor(act, **how):
    """Fork a process that has a guardian, and acts; it is killed at the end."""
    done, doing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            guardian = Guardian(**how)
            act(guardian)
            os.write(doing, b"%d\n" % guardian.pid)
            signal.pause()
        finally:
            os._exit(1)
    try:
        with open(done) as lines:
            yield int(lines.readline())
    finally:
        os.close(doing)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def is_gone(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return has_ended(psutil.Process(pid))
    return True


def test_the_group_that_runs_is_killed_with_the_supervisor(sleeper):
    with supervisor(lambda guardian: guardian.guard(sleeper.pid)):
        assert sleeper.poll() is None

    assert sleeper.wait(DEADLINE) == -signal.SIGKILL


PARENT = """
import subprocess
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def family():
    """A process that leads a group, and its child, which has a session of its own."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        yield parent, child
        parent.kill()
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in (*child.children(), child):
                one.kill()


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="descendants are listed by proc(5)")
def test_descendants_are_killed_with_it_whatever_their_session(family):
    parent, child = family
    with supervisor(lambda guardian: guardian.guard(parent.pid)):
        pass
    assert parent.wait(DEADLINE) == -signal.SIGKILL
    eventually(lambda: is_gone(child.pid))


@pytest.mark.e2e
def test_descendants_with_sessions_of_their_own_may_be_left_alone(family):
    parent, child = family
    with supervisor(lambda guardian: guardian.guard(parent.pid), leave_daemons=True):
        pass
    assert parent.wait(DEADLINE) == -signal.SIGKILL
    assert not is_gone(child.pid)


def test_processes_besides_are_killed_without_any_group(sleeper):
    with supervisor(lambda guardian: guardian.guard(0, [sleeper.pid])):
        assert sleeper.poll() is None

    assert sleeper.wait(DEADLINE) == -signal.SIGKILL


def test_it_can_be_had_to_act_at_once(sleeper):
    guardian = Guardian()
    guardian.guard(sleeper.pid)
    os.kill(guardian.pid, signal.SIGSTOP)

    guardian.act()

    assert sleeper.wait(DEADLINE) == -signal.SIGKILL
    guardian.close()


def test_a_group_that_has_ended_is_forgotten(sleeper):
    def act(guardian):
        guardian.guard(sleeper.pid)
        guardian.guard(0)

    with supervisor(act) as guardian:
        pass

    eventually(lambda: is_gone(guardian))
    assert sleeper.poll() is None


def test_an_orderly_end_kills_nothing(sleeper):
    def act(guardian):
        guardian.guard(sleeper.pid)
        pid = guardian.pid
        guardian.close()
        guardian.pid = pid  # to be told

    with supervisor(act) as guardian:
        eventually(lambda: is_gone(guardian))

    assert sleeper.poll() is None


def test_a_guardian_that_was_killed_is_replaced(sleeper):
    def act(guardian):
        guardian.guard(sleeper.pid)
        os.kill(guardian.pid, signal.SIGKILL)
        first = guardian.pid
        eventually(lambda: guardian.keep_up() or guardian.pid != first)

    with supervisor(act):
        assert sleeper.poll() is None

    assert sleeper.wait(DEADLINE) == -signal.SIGKILL


def test_a_guardian_that_was_reaped_by_others_is_replaced():
    guardian = Guardian()
    os.kill(guardian.pid, signal.SIGKILL)
    os.waitpid(guardian.pid, 0)

    guardian.keep_up()

    assert not is_gone(guardian.pid)
    guardian.close()


def ignored(pid):
    """Return the signals that a process ignores, by proc(5)."""
    [mask] = re.findall(r"SigIgn:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
    return {signum for signum in signal.valid_signals() if int(mask, 16) >> (signum - 1) & 1}


@pytest.mark.skipif(sys.platform != "linux", reason="what it holds is told by proc(5)")
def test_a_guardian_keeps_no_terminal_and_obeys_none():
    guardian = Guardian()
    pid = guardian.pid
    eventually(lambda: ignored(pid) >= {signal.SIGINT, signal.SIGHUP, signal.SIGTERM})
    files = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert (files[1], files[2]) == (os.devnull, os.devnull)
    assert list(files.values()).count(files[0]) == 1, "not the other end of its pipe"
    assert os.getsid(pid) == pid
    guardian.close()


def test_a_guardian_that_was_stopped_is_gone_and_reaped_when_it_is_closed():
    guardian = Guardian()
    pid = guardian.pid
    os.kill(pid, signal.SIGSTOP)

    guardian.close()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
