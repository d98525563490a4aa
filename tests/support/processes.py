"""Find the processes that a test has started."""

import os

import psutil

#: A variable in the environment of all that a test starts; each test has a value of its own.
MARK = "IPY_AUTORESTART_TEST"


def marked_processes(mark):
    """Return all processes on the machine that descend from the test with this mark."""
    found = []
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid) if pid != os.getpid() and _has(pid, mark) else None
        except (OSError, psutil.Error):
            continue
        if process is not None:
            found.append(process)
    return found


def _has(pid, mark):
    if os.path.isdir("/proc/self"):  # each test asks, and psutil would parse what it reads
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return f"{MARK}={mark}".encode() in file.read()
    return psutil.Process(pid).environ().get(MARK) == mark
