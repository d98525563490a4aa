"""The way from one image to the next, in real processes."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e

#: An image that hands itself over to one that shows what has come of it.
CODE = """
import atexit, dataclasses, json, os, signal, sys, threading
from ipy_autorestart.reexec.exec import Handover
from ipy_autorestart.reexec.start import CantRestart, ProcessStart, first_image
from ipy_autorestart.reexec.state import Carried, TerminalState

NEXT = '''
import json, os, signal, sys
from ipy_autorestart.reexec.state import Carried
fd = int(os.environ["IPY_AUTORESTART_STATE"])
carried = Carried.read(fd)
blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(json.dumps([carried.own.typed, carried.trouble, os.getcwd(), "LATE" in os.environ, list(map(int, blocked)),
                  signal.getitimer(signal.ITIMER_REAL)[0], sorted(map(int, os.listdir("/dev/fd")))[:-1], os.getpid(),
                  list(map(int, signal.sigpending()))]))
'''

class Start(ProcessStart):
    def check(self): pass
    def command(self): return [sys.executable, "-c", NEXT]

class Mine(Handover):
    closed = False
    def end_life(self):
        print("end of life", flush=True)
        super().end_life()
    def close(self):
        super().close()
        self.closed = True
    def own(self):
        return TerminalState(typed=f"closed: {self.closed}", cells=None)

start = Start(sys.executable, (1, 2), first_image(os.getcwd(), (1, 2)))
"""


def ran(code, folder, **options):
    return subprocess.run(
        [sys.executable, "-c", CODE + code], capture_output=True, text=True, cwd=folder, timeout=30, **options
    )


def test_the_next_image_stands_where_the_first_stood(tmp_path):
    ended = ran(
        """
atexit.register(print, "exit function", flush=True)
os.environ["LATE"] = "1"
os.chdir("/")
signal.setitimer(signal.ITIMER_REAL, 60)
leaked = os.open(os.devnull, os.O_RDONLY)
os.set_inheritable(leaked, True)
print(os.getpid(), flush=True)
Mine(start).exec([], hangup_ignored=False)
""",
        tmp_path,
    )
    pid, *acts, shown = ended.stdout.splitlines()
    assert acts == ["end of life", "exit function"]
    typed, trouble, folder, late, blocked, timer, fds, same, pending = json.loads(shown)
    assert (typed, trouble, folder, late, timer, same) == ("closed: True", "", str(tmp_path), False, 0.0, int(pid))
    assert blocked == [1, 2]  # SIGHUP and SIGINT, until there are handlers
    assert pending == []
    assert fds == [0, 1, 2]
    assert ended.stderr == ""


OTHER = "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"  # where SIGINT isn't blocked


@pytest.mark.parametrize("thread", ["", OTHER])
def test_an_interrupt_on_the_way_waits_for_the_next_image(tmp_path, thread):
    code = "atexit.register(os.kill, os.getpid(), signal.SIGINT)\nMine(start).exec([], hangup_ignored=False)\n"
    ended = ran(thread + code, tmp_path)
    assert json.loads(ended.stdout.splitlines()[-1])[-1] == [2]
    assert ended.stderr == ""


@pytest.mark.parametrize("thread", ["", OTHER])
def test_a_hangup_on_the_way_waits_for_the_next_image(tmp_path, thread):
    code = "atexit.register(os.kill, os.getpid(), signal.SIGHUP)\nMine(start).exec([], hangup_ignored=False)\n"
    ended = ran(thread + code, tmp_path)
    assert json.loads(ended.stdout.splitlines()[-1])[-1] == [1]
    assert ended.stderr == ""


#: Has a signal come just before the exec for a thread that gets no processor until the main thread waits.
LATE = """
import time
began = threading.Event()

def wait():
    os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
    began.set()
    threading.Event().wait()

class Late(Mine):
    def own(self):
        os.sched_setaffinity(0, [processor])
        os.kill(os.getpid(), SIGNUM)
        return super().own()

    def command(self):
        time.sleep(0.05)
        return super().command()

processor = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, [processor])
threading.Thread(target=wait, daemon=True).start()
began.wait()
Late(start).exec([], hangup_ignored=False)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads can't be held back here")
@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_a_thread_has_not_come_to_take_waits_for_the_next_image(tmp_path, signum):
    ended = ran(LATE.replace("SIGNUM", str(int(signum))), tmp_path)
    assert json.loads(ended.stdout.splitlines()[-1])[-1] == [signum]
    assert ended.stderr == ""


def test_an_interrupt_that_is_ignored_stays_so(tmp_path):
    ended = ran("signal.signal(signal.SIGINT, signal.SIG_IGN)\nMine(start).exec([], hangup_ignored=False)\n", tmp_path)
    assert json.loads(ended.stdout.splitlines()[-1])[4] == [1]


def test_what_fails_on_the_way_is_carried_and_does_not_stop_it(tmp_path):
    ended = ran(
        """
class Failing(Mine):
    def close(self): raise ValueError("no way")
Failing(start).exec([], hangup_ignored=False)
""",
        tmp_path,
    )
    typed, trouble, *_ = json.loads(ended.stdout.splitlines()[-1])
    assert (typed, trouble) == ("closed: False", "ValueError: no way")


def test_an_error_at_the_very_end_is_written_to_the_real_stderr_with_a_status_of_its_own(tmp_path):
    ended = ran(
        """
class Failing(Mine):
    def own(self): raise ValueError("nothing to hand over")
Failing(start).exec([], hangup_ignored=False)
""",
        tmp_path,
    )
    assert ended.returncode == 70
    assert ended.stderr.endswith("ValueError: nothing to hand over\n")


def test_a_supervisor_that_cannot_be_detached_is_left_behind(tmp_path):
    ended = ran(
        """
class Lost:
    def detach(self): raise OSError("gone")
Mine(start).exec([Lost()], hangup_ignored=False)
""",
        tmp_path,
    )
    assert json.loads(ended.stdout.splitlines()[-1])[0] == "closed: True"
    assert "can't end a watch properly" in ended.stderr


def test_without_room_for_the_state_nothing_has_happened(tmp_path):
    ended = ran(
        """
def fail(*_): raise OSError("no memory")
from ipy_autorestart.pristine import os
os.memfd_create = fail
try: Mine(start)
except CantRestart as refusal: print(refusal)
""",
        tmp_path,
    )
    assert ended.stdout == "no room for what the restart hands over (no memory); close files, or free memory\n"


FAILING = """
import os
from ipy_autorestart.reexec.exec import FAILED, or_end
with or_end():
    ends = True
assert ends
for close in (False, True):
    if os.fork() == 0:
        try:
            with or_end():
                if close:
                    os.close(2)
                raise KeyboardInterrupt("the reason")
        finally:
            os._exit(0)  # it has left
    assert os.waitstatus_to_exitcode(os.wait()[1]) == FAILED
"""


def test_a_process_ends_by_what_fails_even_if_it_cannot_say_so():
    ended = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("KeyboardInterrupt: the reason") == 1


def test_given_up_it_leaves_nothing_open(tmp_path):
    ended = ran(
        "before = os.listdir('/dev/fd'); Mine(start).give_up(); print(os.listdir('/dev/fd') == before)", tmp_path
    )
    assert ended.stdout == "True\n"


#: Changes what an exec keeps, as a program or a cell may; what only root can undo, only as root.
CHANGES = """
import ctypes, psutil, resource
from ipy_autorestart.reexec.surroundings import read_all
print(json.dumps(read_all((1, 2))), flush=True)
libc = ctypes.CDLL(None)
os.umask(0o077)
os.set_blocking(0, False)
os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
for option, value in ((1, signal.SIGUSR1), (29, 70_000), (36, 1), (41, 1)):
    assert libc.prctl(option, value, 0, 0, 0) == 0
libc.personality(0x0040000)
psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
for name, value in (("coredump_filter", "0x1"), ("oom_score_adj", "500")):
    with open("/proc/self/" + name, "w") as file: file.write(value)
if os.geteuid() == 0:
    os.nice(3)
    os.setegid(12345)
    os.seteuid(12345)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
with open("/proc/self/statm") as file: used = int(file.read().split()[0]) * resource.getpagesize()

class Start(Start):
    def command(self): return [sys.executable, "-c", SHOW]

SHOW = "import json, signal; from ipy_autorestart.reexec.surroundings import read_all;"
SHOW += "print(json.dumps([read_all((1, 2)), list(map(int, signal.sigpending()))]))"
start = Start(*[getattr(start, name) for name in ("executable", "outputs", "first")])
handover = Mine(start)
resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000, hard))  # no room for a thread
handover.exec([], hangup_ignored=False)
"""


def test_what_an_exec_keeps_is_as_it_was_at_the_start(tmp_path):
    ended = ran(CHANGES, tmp_path, input="")
    assert ended.stderr == ""
    before, *_, after = map(json.loads, filter(lambda line: line[0] in "[{", ended.stdout.splitlines()))
    assert after == [before, []]


def test_a_hard_limit_that_leaves_no_room_for_a_thread_does_not_keep_it_from_the_exec(tmp_path):
    ended = ran(
        """
import resource
with open("/proc/self/statm") as file: used = int(file.read().split()[0]) * resource.getpagesize()
handover = Mine(start)
resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000, used + 1_000_000))
handover.exec([], hangup_ignored=False)
""",
        tmp_path,
    )
    assert json.loads(ended.stdout.splitlines()[-1])[0] == "closed: True"
