"""How the tests wait: for a condition, never for a while."""

import threading
import time


def eventually(condition, *, timeout=10.0, what=""):
    """Wait until a condition holds; every wait of the tests that isn't for a kernel's message goes through here."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout} s for {what() if callable(what) else what or condition}"
        threading.Event().wait(0.005)
    return value
