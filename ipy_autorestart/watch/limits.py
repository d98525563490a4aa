"""Know the limits of the system: what is watched, which limit was met, and how to raise it."""

from __future__ import annotations

import contextlib
import errno
import os

_SYSCTL = "/proc/sys/fs/inotify/"


def sentence(error: Exception, *, watched: int, wanted: int) -> str:
    """Explain why events are missing, for the status line."""
    rest = f"{watched} of {wanted} folders send events, the rest is checked at intervals"
    match error.errno if isinstance(error, OSError) else None:
        case errno.ENOSPC:
            return f"inotify watch limit reached ({_advice('max_user_watches', 524288)}): {rest}"
        case errno.EMFILE if _descriptors_left():
            return f"inotify instance limit reached ({_advice('max_user_instances', 512)}): {rest}"
        case errno.EMFILE | errno.ENFILE:
            return f"too many open files (see: ulimit -n): {rest}"
        case _:
            return f"watching failed ({error}): {rest}"


def _advice(name: str, enough: int) -> str:
    try:
        with open(_SYSCTL + name, encoding="ascii") as file:
            now = int(file.read())
    except (OSError, ValueError):
        return f"fs.inotify.{name}; raise it with: sudo sysctl fs.inotify.{name}={enough}"
    return f"fs.inotify.{name} = {now}; raise it with: sudo sysctl fs.inotify.{name}={max(enough, 2 * now)}"


def _descriptors_left() -> bool:
    """Tell the two causes of EMFILE in inotify_init(2) apart: the process's own limit fails here too."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def inotify_descriptors() -> set[int]:
    """Descriptors of this process's inotify instances; empty where that can't be had."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:inotify":
                    found.add(int(name))
    return found


def watched_inodes() -> set[int]:
    """Inodes that this process watches, by proc_pid_fdinfo(5)."""
    found: set[int] = set()
    for descriptor in inotify_descriptors():
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
            found.update(int(line.split()[2][4:], 16) for line in lines if line.startswith("inotify "))
    return found
