"""Find the processes that a test has started."""

import os

import psutil

#: A variable in the environment of all that a test starts; each test has a value of its own.
MARK = "IPY_AUTORESTART_TEST"


def marked_processes(mark):
    """Return all processes on the machine that descend from the test with this mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found
