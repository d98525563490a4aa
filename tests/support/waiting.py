"""Wait for a condition, with a deadline."""

import threading
import time

#: Seconds that anything may take on a machine that is busy with much else; how soon it comes is no test's matter.
DEADLINE = 30.0


def eventually(condition, *, timeout=DEADLINE, what=""):
    """Wait until a condition holds; every wait of the tests that isn't for a kernel's message goes through here."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout} s for {what() if callable(what) else what or condition}"
        threading.Event().wait(0.005)
    return value


def pass_time(seconds):
    """Let time pass between two acts; how long is the case, not a wait for an outcome."""
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, timeout=seconds + 10)
