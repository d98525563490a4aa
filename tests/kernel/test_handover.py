"""The end of a kernel's life, as far as there is no kernel in it."""

import subprocess
import sys

import pytest

from ipy_autorestart.kernel.handover import _Registered


def test_a_function_is_found_by_being_compared():
    met, missed = _Registered(print), _Registered(repr)
    assert print == met
    assert not print == missed  # noqa: SIM201  # as atexit compares
    assert (met.was_found, missed.was_found) == (True, False)


CHILDREN = """
import os, signal, subprocess, sys, time
from ipy_autorestart.kernel.handover import _end_children, _has_children_in
os.setpgid(0, 0)
apart = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
assert not _has_children_in(os.getpgrp())
gentle = subprocess.Popen(["sleep", "60"])
stubborn = subprocess.Popen(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], stdout=subprocess.PIPE)
stubborn.stdout.readline()
assert _has_children_in(os.getpgrp())
_end_children()
print(apart.poll(), gentle.wait(), stubborn.wait(), _has_children_in(os.getpgrp()))
apart.kill()
apart.wait()
"""


@pytest.mark.e2e
def test_children_in_the_kernels_own_group_are_ended_and_others_are_not():
    ended = subprocess.run([sys.executable, "-c", CHILDREN], capture_output=True, text=True, timeout=30)
    assert ended.stderr == ""
    alone, gentle, stubborn, left = ended.stdout.split()
    assert (alone, left) == ("None", "False")
    assert {gentle, stubborn} <= {"0", "-9", "-15"}  # psutil may have asked for the status first
