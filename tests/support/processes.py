"""Find the processes that a test has started."""

import contextlib
import os

import psutil
from waiting import eventually

from ipy_autorestart import pristine
from ipy_autorestart.script import ear, guardian

#: A variable in the environment of all that a test starts; each test has a value of its own.
MARK = "IPY_AUTORESTART_TEST"


def newest_process():
    """Return the number that the machine has given away last, to a process or thread; 0 where it doesn't say."""
    with contextlib.suppress(OSError), open("/proc/loadavg") as file:
        return int(file.read().split()[-1])
    return 0


def marked_processes(mark, *, after=0):
    """Return the processes that descend from the test with this mark, of those with higher numbers than another."""
    newest = newest_process()
    if 0 < newest == after:
        return []
    found, after = [], after if after < newest else 0  # the numbers may have begun anew
    for pid in psutil.pids():
        if pid <= after or pid == os.getpid():
            continue
        with contextlib.suppress(OSError, psutil.Error):
            if _has(pid, mark):
                found.append(psutil.Process(pid))
    return found


def _has(pid, mark):
    if os.path.isdir("/proc/self"):  # each test asks, and psutil would parse what it reads
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return f"{MARK}={mark}".encode() in file.read()
    return psutil.Process(pid).environ().get(MARK) == mark


def guardian_of(supervisor):
    """Return the child that ends what runs if the supervisor is killed, None if there is none."""
    return next((child for child in supervisor.children() if _is(child, guardian.NAME)), None)


def status_of(process):
    """Return the status of a process, "" if it is gone: perhaps since it was found."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status()
    return ""


def has_ended(process):
    """Return whether a process has ended; nobody may have waited for its end."""
    return status_of(process) in ("", psutil.STATUS_ZOMBIE)


def words_of(process):
    """Return the words of a process's command line, none if it is gone: perhaps since it was found."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def children_with(word, pid):
    """Return the children of a process that have a word in their command lines, as far as these are still there."""
    return [child for child in psutil.Process(pid).children() if any(word in one for one in words_of(child))]


def kill(processes):
    """Kill processes, as far as they are still there: some are only between a fork server and what it forks."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def supervisors(pid):
    """Return the supervisors that a process has started."""
    return children_with("--link", pid)


def until_warm(pid):
    """Wait until the one supervisor that a process has started has a run of ``main.py`` that was forked ahead."""
    [supervisor] = supervisors(pid)
    eventually(lambda: any(map(is_parked, runners(supervisor))), what="a parked run")


def is_parked(process, what="main.py"):
    """Return whether it is a run that waits to begin: it has the run's command line, and reads a pipe."""
    with contextlib.suppress(OSError), open(f"/proc/{process.pid}/wchan") as file:
        return "pipe_read" in file.read() and what in " ".join(words_of(process))
    return False


def runners(supervisor):
    """Return the living processes below a supervisor but its guardian and ear, the oldest first: fork servers, runs."""
    alive = []
    for child in supervisor.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and not _is(child, guardian.NAME, ear.NAME):
                alive.append((child.create_time(), child))
    return [child for _, child in sorted(alive, key=lambda pair: pair[0])]


def _is(process, *names):
    return not set(names).isdisjoint(words_of(process))


def all_tasks(pid="self"):
    """Return the numbers of all threads of a process."""
    with contextlib.suppress(OSError):
        return os.listdir(f"/proc/{pid}/task")
    return []


def our_threads(pid="self", *, besides=()):
    """Return how many threads of ours a process has, which the interpreter doesn't list, besides some."""
    found = 0
    for task in set(all_tasks(pid)).difference(besides):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/comm") as file:
            found += file.read().strip() == pristine.NAME
    return found
