"""The end of a kernel's children.

Exit functions come first: a cluster closes in order while its workers live, but starts new ones where they are killed.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
from collections.abc import Collection, Iterator
from typing import Any

from ipy_autorestart.pristine import Timer, os, time
from ipy_autorestart.reexec.exec import logged
from ipy_autorestart.reexec.trackers import left_to_multiprocessing, trackers

#: Seconds that exit functions have until the children are ended under them, for they may be waiting for one.
LEFT_MAX = 1.0

#: Seconds in which a cluster's workers learn that they are to be quiet.
QUIET_WITHIN = 0.3

#: Seconds that children get from SIGTERM to SIGKILL, and from that to their end; and between two looks.
END_MAX, LOOKED_AT = 0.5, 0.005

#: From ``linux/wait.h``: children of any kind.
WALL = 0x40000000


@contextlib.contextmanager
def left_to_exit_functions() -> Iterator[None]:
    """Leave the children to the exit functions that run within, as long as these don't wait for their end.

    That of multiprocessing waits for all that aren't daemons; those of clusters and pools may wait for what runs there.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util:  # 0 comes last of those that it calls before it waits
        util.Finalize(None, _end_under_exit_functions, exitpriority=0)
    _quiet_workers()
    _close_clients_first()
    timer = Timer(LEFT_MAX, _end_under_exit_functions)
    with contextlib.suppress(RuntimeError, MemoryError):  # a hard limit on memory leaves no room for a thread
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _close_clients_first() -> None:
    """Have Dask close its client before its clusters, or these warn of results that they lose and somebody holds."""
    close = getattr(sys.modules.get("distributed.client"), "_close_global_client", None)
    if close:  # it is registered, but for later
        atexit.unregister(close)
        atexit.register(close)


def _quiet_workers() -> None:
    """Have workers that end with this process say nothing of the tasks that end with them."""
    module: Any = sys.modules.get("distributed.client")
    for client in list(module.Client._instances) if module else ():  # noqa: SLF001  # it lists them nowhere else
        with contextlib.suppress(Exception):  # it is closed, or a worker is too busy to hear of it
            if getattr(client.cluster, "processes", client.cluster is not None) and not client.asynchronous:
                client.sync(client._run, logging.disable, logging.WARNING, callback_timeout=QUIET_WITHIN)  # noqa: SLF001


def _end_under_exit_functions() -> None:
    with logged("the kernel's children"):  # who has started them learns how they ended
        _end(besides=trackers() | left_to_multiprocessing())


def end_children() -> None:
    """End the children that exit functions have left."""
    if sys.platform == "linux" and not _has_children():  # to look for trackers takes longer
        return
    with logged("the kernel's children"):
        for pid in _end(besides=trackers()):
            with contextlib.suppress(ChildProcessError):  # a grandchild, or somebody else has waited for it
                os.waitpid(pid, os.WNOHANG)


def _end(*, besides: Collection[int]) -> list[int]:
    """End the children in the kernel's process group, as ipykernel does at shutdown (``kernelbase._at_shutdown``).

    A forked child would hold the kernel's ports, and the new image could not bind them. Returns their numbers.
    """
    if not _has_children_in(group := os.getpgrp(), besides=besides):
        return []
    import psutil  # type: ignore[import-untyped]  # ipykernel needs it too

    children = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(child.pid) == group and child.pid not in besides:
                child.terminate()
                children.append(child)
    for child in _alive_of(children):
        with contextlib.suppress(psutil.Error):
            child.kill()
    _alive_of(children)
    return [child.pid for child in children]


def _alive_of(children: Collection[Any]) -> list[Any]:
    """Wait for the end of these processes, and return those that are still there; nobody is waited for."""
    import psutil

    def is_alive(child: Any) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(child.status() != psutil.STATUS_ZOMBIE)
        return False

    deadline = time.monotonic() + END_MAX
    while (alive := list(filter(is_alive, children))) and time.monotonic() < deadline:
        time.sleep(LOOKED_AT)
    return alive


def _has_children_in(group: int, *, besides: Collection[int] = ()) -> bool:
    """Return whether other descendants of this process are in the group; True where that can't be told quickly."""
    if sys.platform != "linux":
        return True
    with contextlib.suppress(OSError):  # one has just ended
        pending = [os.getpid()] if _has_children() else []
        while pending:
            parent = pending.pop()
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as file:
                    children = list(map(int, file.read().split()))
                if any(os.getpgid(child) == group for child in children if child not in besides):
                    return True
                pending += children
        return False
    return True


def _has_children() -> bool:
    """Return whether there are any: to look for them takes milliseconds."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
    except ChildProcessError:
        return False
    return True
