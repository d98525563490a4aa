"""The end of a kernel's children, in processes that have some."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e

PRELUDE = """
import atexit, multiprocessing, os, signal, subprocess, sys, threading, time
from ipy_autorestart.kernel import children
os.setpgid(0, 0)

def end_life():
    with children.left_to_exit_functions():
        atexit._run_exitfuncs()
    children.end_children()

def until_asleep():
    time.sleep(60)
"""


def output_of(program):
    """Return what a program has printed, which prints nothing on standard error."""
    ended = subprocess.run([sys.executable, "-c", PRELUDE + program], capture_output=True, text=True, timeout=30)
    assert ended.stderr == ""
    return ended.stdout.split()


ALL = """
apart = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
assert children._has_children()
assert not children._has_children_in(os.getpgrp())
gentle = subprocess.Popen(["sleep", "60"])
stubborn = subprocess.Popen(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], stdout=subprocess.PIPE)
stubborn.stdout.readline()
assert children._has_children_in(os.getpgrp())
children.end_children()
print(apart.poll(), gentle.wait(), stubborn.wait(), children._has_children_in(os.getpgrp()))
apart.kill()
apart.wait()
assert not children._has_children()
"""


def test_children_in_the_kernels_own_group_are_ended_and_others_are_not():
    alone, gentle, stubborn, left = output_of(ALL)
    assert (alone, left) == ("None", "False")
    assert {gentle, stubborn} <= {"0", "-9", "-15"}  # who waits first gets the status


ORDER = """
children.LEFT_MAX = 60.0
worker = multiprocessing.get_context("fork").Process(target=until_asleep)
worker.start()
atexit.register(lambda: print("alive" if worker.is_alive() else "dead"))
end_life()  # multiprocessing waits for it
print("dead" if not worker.is_alive() else "alive", children._has_children_in(os.getpgrp()))
"""


def test_exit_functions_find_the_children_alive_and_multiprocessing_waits_for_none():
    assert output_of(ORDER) == ["alive", "dead", "False"]


WAITING = """
children.LEFT_MAX = 0.1
child = subprocess.Popen(["sleep", "60"])
pool = multiprocessing.get_context("fork").Pool(1)
pid = pool.apply(os.getpid)
def wait():
    print(child.wait())  # who waits for a child learns how it ended
    os.kill(pid, 0)
    print("pool")
atexit.register(wait)
end_life()
print(children._has_children_in(os.getpgrp()))
"""


def test_a_child_that_an_exit_function_waits_for_is_ended_under_it_and_a_pool_is_left_to_multiprocessing():
    assert output_of(WAITING) == ["-15", "pool", "False"]
