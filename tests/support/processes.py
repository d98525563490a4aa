"""Find the processes that a test has started."""

import contextlib
import os

import psutil

from ipy_autorestart import pristine
from ipy_autorestart.script import ear, guardian

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


def guardian_of(supervisor):
    """Return the child that ends what runs if the supervisor is killed, None if there is none."""
    return next((child for child in supervisor.children() if _is(child, guardian.NAME)), None)


def runners(supervisor):
    """Return the living processes below a supervisor but its guardian and ear, the oldest first: fork servers, runs."""
    alive = []
    for child in supervisor.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and not _is(child, guardian.NAME, ear.NAME):
                alive.append((child.create_time(), child))
    return [child for _, child in sorted(alive, key=lambda pair: pair[0])]


def _is(process, *names):
    with contextlib.suppress(psutil.NoSuchProcess):
        return not set(names).isdisjoint(process.cmdline())
    return False


def our_threads(pid="self"):
    """Return how many threads of ours a process has, which the interpreter doesn't list."""
    found = 0
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/comm") as file:
                found += file.read().strip() == pristine.NAME
    return found
