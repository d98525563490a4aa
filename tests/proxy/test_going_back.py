"""A proxy has kernels follow each other that are made of checkpoints: here, of copies that do just what that takes."""

import os
import signal
from pathlib import Path

import parking
import psutil
import pytest
from behind import Behind
from waiting import eventually

pytestmark = pytest.mark.e2e

KERNEL = f"""#| rerun: false
import sys; sys.path.append({os.path.dirname(parking.__file__)!r})
import os, parking
kernel = parking.Kernel(get_ipython().kernel)"""

WAITING = "__import__('ipy_autorestart.kernel.memory', fromlist=['_']).waiting(os.getppid())"


class GoingBack:
    """A kernel behind a proxy, and what its cells say of it."""

    def __init__(self, kernel, project):
        self.kernel = kernel
        behind = Behind(kernel, project, value=None)
        behind.until_armed()

    def ask(self, code):
        """Return the value of an expression in the live kernel."""
        cell = self.kernel.run(f"#| rerun: false\n{code}")
        assert not cell.error, cell.error
        return eval(cell.text) if cell.text else None

    def crash(self):
        cell = self.kernel.send("#| rerun: false\nos._exit(3)")
        self.kernel.wait(lambda: cell.done)
        assert cell.error.startswith("KernelDied")

    def until_ended(self, *pids):
        eventually(lambda: not any(map(psutil.pid_exists, pids)), what="the end of all of them")

    def made(self, origin):
        """Return the kernel that was made of a checkpoint."""
        path = Path(f"made of {origin}")
        return int(eventually(lambda: path.exists() and path.read_text()))


@pytest.fixture
def back(kernel, project):
    return GoingBack(kernel, project)


def oom_score_adj(pid):
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_the_next_kernel_is_made_of_what_is_wanted_or_a_fresh_one(back, kernel):
    kernel.run(KERNEL)
    first = back.ask("kernel.park(1), kernel.park(2)")
    assert [oom_score_adj(pid) for pid in first] == [1000, 1000]

    back.crash()
    assert back.ask("kernel.origin") == 2
    assert back.ask("os.getppid()") == kernel.pid
    assert back.ask("kernel.word.died") == "ended with status 3"
    assert oom_score_adj(back.ask("os.getpid()")) == oom_score_adj(os.getpid())

    # Numbers are given again; one that can't be a kernel, and one that dies as it takes over, are passed over.
    newer = back.ask("kernel.park(3), kernel.park(4, 'dies'), kernel.park(5, 'cannot'), kernel.leave(9, 5, 4, 3)")[:3]
    assert back.ask("kernel.origin, kernel.word.died") == (3, "")
    back.until_ended(*newer[1:])
    again = back.ask("kernel.park(4)")

    # Only what is kept stays, and a kernel is made ahead of the likely one.
    Path("made of 2").unlink()
    back.ask("kernel.keep(4, 2, likely=2)")
    back.until_ended(first[0], newer[0])
    ahead = back.made(2)
    assert back.ask(f"sorted({WAITING})") == sorted([first[1], again, ahead])
    assert back.ask("kernel.leave(2)") is None
    assert back.ask("kernel.origin, os.getpid()") == (2, ahead)
    assert oom_score_adj(ahead) == oom_score_adj(os.getpid())
    back.until_ended(again)

    # Where none is there any more, a fresh one takes over.
    assert back.ask("kernel.keep(2)") is None  # but none ahead
    os.kill(first[1], signal.SIGKILL)
    back.until_ended(first[1])
    back.ask("kernel.leave(2)")
    assert kernel.run("'kernel' in globals()").text == "False"

    # A cold one is always fresh.
    kernel.run(KERNEL)
    pids = back.ask("kernel.park(1), kernel.pids")[1]
    back.crash()
    assert back.ask("kernel.leave(1, cold=True)") is None
    assert kernel.run("'kernel' in globals()").text == "False"
    back.until_ended(*pids.values())


def test_a_fresh_one_follows_a_crash_where_a_hangup_has_come(back, kernel):
    kernel.run(KERNEL)
    assert back.ask("kernel.park(1)")
    back.crash()
    pids = back.ask("kernel.park(2), kernel.pids")[1]
    os.kill(kernel.pid, signal.SIGHUP)
    assert back.ask("kernel.origin") == 1  # which doesn't heed it
    back.crash()
    assert kernel.run("'kernel' in globals()").text == "False"
    back.until_ended(*pids.values())


def test_nothing_outlives_a_proxy_that_is_killed(back, kernel):
    kernel.run(KERNEL)
    back.ask("kernel.park(1), kernel.park(2)")
    back.crash()
    pids = back.ask("kernel.keep(2, 1, likely=1), kernel.pids")[1].values()
    ours = {*pids, back.made(1), back.ask("os.getpid()")}
    assert len(ours) == 4
    os.kill(kernel.pid, signal.SIGKILL)
    back.until_ended(*ours)
