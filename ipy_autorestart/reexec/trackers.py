"""Processes that clean up after this one: the resource trackers of multiprocessing and loky, and managers' servers.

A tracker reads from a pipe what the process and its children have made, such as shared memory, and removes what is left
of it at the end of the pipe. It ignores SIGTERM; killed, it leaves all of that behind, and another is started in its
place that complains of what it doesn't know. The server of a manager ends in an exit function, and removes its folder.
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


def managers() -> set[int]:
    """Return the processes that multiprocessing ends in its exit function, and that clean up then."""
    module: Any = sys.modules.get("multiprocessing.managers")
    if module is None:
        return set()
    finalizers = list(module.util._finalizer_registry.values())  # noqa: SLF001
    own = module.BaseManager._finalize_manager  # noqa: SLF001
    return {one._args[0].pid for one in finalizers if one._callback == own}  # noqa: SLF001


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


def _is_running(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False
