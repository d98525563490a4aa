"""Processes that clean up after this one: the resource trackers of multiprocessing and loky, and others.

A tracker reads from a pipe what the process and its children have made, such as shared memory, and removes what is left
of it at the end of the pipe. It ignores SIGTERM; killed, it leaves all of that behind, and another is started in its
place that complains of what it doesn't know.
"""

from __future__ import annotations

import sys
from typing import Any

from ipy_autorestart.pristine import os, time

#: Seconds in which a tracker must have cleaned up. A child that has detached itself may hold its pipe for ever.
CLEANED_MAX = 0.5


def _trackers() -> list[Any]:
    """Return the trackers of this process: there is one for each copy of the module."""
    modules = [module for name, module in list(sys.modules.items()) if name.endswith(".resource_tracker")]
    found = [getattr(module, "_resource_tracker", None) for module in modules]
    # One without a number is the parent's.
    return [one for one in found if getattr(one, "_pid", None) is not None and getattr(one, "_fd", None) is not None]


def trackers() -> set[int]:
    """Return the processes that clean up at the end of their pipes."""
    return {tracker._pid for tracker in _trackers()}  # noqa: SLF001


def left_to_multiprocessing() -> set[int]:
    """Return the children that multiprocessing ends in its exit function: servers of managers, workers of pools.

    Such a server cleans up then, and a pool whose workers were killed waits for a lock that one of them has held.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    managers: Any = sys.modules.get("multiprocessing.managers")
    pools: Any = sys.modules.get("multiprocessing.pool")
    found = set()
    for finalizer in list(util._finalizer_registry.values()) if util else ():  # noqa: SLF001
        callback, args = finalizer._callback, finalizer._args  # noqa: SLF001
        if managers and callback == managers.BaseManager._finalize_manager:  # noqa: SLF001
            found.add(args[0].pid)
        elif pools and getattr(callback, "__func__", None) is pools.Pool._terminate_pool.__func__:  # noqa: SLF001
            found.update(pid for worker in args[3] if isinstance(pid := getattr(worker, "pid", None), int))
    return found


def end_trackers() -> None:
    """End the trackers and wait until they have cleaned up: the next image may give its own the same names."""
    ending = set()
    for tracker in _trackers():
        tracker._send = lambda *_: None  # noqa: SLF001  # what other threads still say would start another
        fd, tracker._fd = tracker._fd, None  # noqa: SLF001
        os.close(fd)
        ending.add(tracker._pid)  # noqa: SLF001
    deadline = time.monotonic() + CLEANED_MAX
    while (ending := {pid for pid in ending if _is_running(pid)}) and time.monotonic() < deadline:
        time.sleep(0.001)


def forget_trackers() -> None:
    """Have the next thing that is to be cleaned up start another tracker, in a copy of the process that has these."""
    for tracker in _trackers():
        fd, tracker._fd, tracker._pid = tracker._fd, None, None  # noqa: SLF001
        os.close(fd)


def _is_running(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False
