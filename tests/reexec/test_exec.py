"""The way from one image to the next, in real processes."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e

#: An image that hands itself over to one that shows what has come of it.
CODE = """
import atexit, dataclasses, json, os, signal, sys, threading
from ipy_autorestart.reexec.exec import Handover
from ipy_autorestart.reexec.start import CantRestart, ProcessStart
from ipy_autorestart.reexec.state import Carried, TerminalState

NEXT = '''
import json, os, signal, sys
from ipy_autorestart.reexec.state import Carried
fd = int(os.environ["IPY_AUTORESTART_STATE"])
carried = Carried.read(fd)
blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(json.dumps([carried.own.typed, carried.trouble, os.getcwd(), "LATE" in os.environ, list(map(int, blocked)),
                  signal.getitimer(signal.ITIMER_REAL)[0], sorted(map(int, os.listdir("/dev/fd")))[:-1], os.getpid()]))
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

start = Start(sys.executable, tuple(sys.orig_argv), os.getcwd(), dict(os.environb), (1, 2), frozenset(), frozenset())
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
    typed, trouble, folder, late, blocked, timer, fds, same = json.loads(shown)
    assert (typed, trouble, folder, late, timer, same) == ("closed: True", "", str(tmp_path), False, 0.0, int(pid))
    assert blocked == [1]  # SIGHUP, until there is a handler
    assert fds == [0, 1, 2]
    assert ended.stderr == ""


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
os.memfd_create = fail
try: Mine(start)
except CantRestart as refusal: print(refusal)
""",
        tmp_path,
    )
    assert ended.stdout == "there is no room for what is carried over (no memory); close files, or free memory\n"


def test_given_up_it_leaves_nothing_open(tmp_path):
    ended = ran(
        "before = os.listdir('/dev/fd'); Mine(start).give_up(); print(os.listdir('/dev/fd') == before)", tmp_path
    )
    assert ended.stdout == "True\n"
