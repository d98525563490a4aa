"""Processes that runs leave behind: this process adopts them, as a child subreaper does, and ends them (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator

#: From ``linux/prctl.h``.
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans(*, really: bool) -> None:
    """Become the parent of what runs leave behind, to find it and to notice its end (prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(really), 0, 0, 0)


class Orphans:
    """Processes of a run whose parents have ended, outside of its process group.

    A shell with job control and `timeout` make groups of their own, and daemons sessions. All of them come here in the
    end, however they were started: whoever is still somebody's child comes when that process ends.

    Parameters
    ----------
    ours
        Returns the children of this process that serve it.
    leave_daemons
        Leave alone those that have made a session of their own.
    """

    def __init__(self, ours: Callable[[], Collection[int]] = tuple, *, leave_daemons: bool = False) -> None:
        self._ours = ours
        self._leave_daemons = leave_daemons
        self._group, self._session = os.getpgrp(), os.getsid(0)
        self.leave()  # what this process was before an exec may have had children: ``server & exec …``

    def leave(self) -> None:
        """Leave the present children of this process to themselves."""
        self._left = frozenset(_children())

    def of(self, group: int, *, whole: bool = False) -> frozenset[int]:
        """Return those of the run with this process group; ``whole`` with the children of this process that are in it.

        Ended ones that have not been reaped are among them.
        """
        found = {pid for pid in _children() if pid not in self._left and self._may_be_of(pid, group, whole=whole)}
        return frozenset(found.difference(self._ours())) if found else frozenset()

    def _may_be_of(self, pid: int, group: int, *, whole: bool) -> bool:
        try:
            its = os.getpgid(pid)
            if its == group:
                return whole
            return its != self._group and not (self._leave_daemons and os.getsid(pid) not in (group, self._session))
        except ProcessLookupError:
            return False

    def reap(self, *, besides: int) -> None:
        """Reap those that have ended, but none of the group ``besides``, which is left to `Run.poll`."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13, where orphans don't come here
            return
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or os.getpgid(ended.si_pid) == besides != 0:  # its signal wakes the loop again
                return
            os.waitpid(ended.si_pid, 0)


def ask_to_end(pid: int, signum: int) -> None:
    """Send a process a signal, with the group that it leads if it leads one, though it may have been stopped."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # another user's (``sudo``), or gone
        send = os.killpg if os.getpgid(pid) == pid else os.kill
        send(pid, signum)
        send(pid, signal.SIGCONT)


def children_in(groups: Collection[int]) -> Iterator[int]:
    """Yield the children of this process that are in one of these process groups."""
    for pid in _children() if groups else ():
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) in groups:
                yield pid


def _children() -> list[int]:
    """Return the children of this process, where the system lists them: proc_pid_task_children(5)."""
    with contextlib.suppress(OSError):
        # A file object would cost more than all the rest, in the middle of a stop.
        fd = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return list(map(int, b"".join(iter(lambda: os.read(fd, 1 << 16), b"")).split()))
        finally:
            os.close(fd)
    return []
