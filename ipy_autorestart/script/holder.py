"""A process that shares a run's memory: with it, the end of the run doesn't wait until that is given back."""

from __future__ import annotations

import contextlib
import os
import signal

from ipy_autorestart.decide.memory import Memory, may_overlap
from ipy_autorestart.script.proc import read

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Holder:
    """A child of this process, made by a run that waits to begin; see `shim/_ipy_autorestart_memory.py`.

    It ends by itself when the run has.

    Parameters
    ----------
    pid
        Its own.
    run
        The run's.
    """

    def __init__(self, pid: int, run: int) -> None:
        self._pid, self._run = pid, run
        self._before = _memory(run)
        self._shared = _shared(run)

    def before_end(self) -> None:
        """Let go before the run is told to end, if its memory must be given back before the next one begins."""
        try:
            now = _memory(self._run)
            shares = now.other != self._before.other and not self._shared.issuperset(_shared(self._run))
        except OSError:  # it has ended
            return
        if not may_overlap(self._before, now, shares=shares):
            self._end()

    def _end(self) -> None:
        with contextlib.suppress(ChildProcessError):  # it has ended, and was reaped as any orphan is
            if os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)


def _memory(pid: int) -> Memory:
    """Return what a process has in memory (proc_pid_statm(5))."""
    size, resident, shared, _, _, private, _ = map(int, read(f"/proc/{pid}/statm").split())
    return Memory((resident - shared) * PAGE_BYTES, (size - private) * PAGE_BYTES)


def _shared(pid: int) -> frozenset[bytes]:
    """Return the mappings of a process that others can see (proc_pid_maps(5)); the C library has one, too."""
    lines = read(f"/proc/{pid}/maps").splitlines()
    return frozenset(line for line in lines if line[line.index(b" ") + 4 :][:1] == b"s")
