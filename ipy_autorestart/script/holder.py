"""A process that shares a run's memory: with it, the end of the run doesn't wait until that is given back."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import NamedTuple


def read_proc(path: str, folder: int | None = None) -> bytes:
    """Return all of a file, of a folder that is open.

    Without a file object, which costs more than all the rest, while a stop is waited for.
    """
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return b"".join(iter(lambda: os.read(number, 1 << 16), b""))
    finally:
        os.close(number)


#: So many bytes of its own a run may have that the next one begins beside: the machine may not have room for both.
OWN_MAX_BYTES = 1 << 28


class Memory(NamedTuple):
    """What a process has in memory, in bytes.

    Attributes
    ----------
    own
        What is there and is no file's.
    other
        Mapped, and not for the process alone to write to: programs, files that are read, and what is shared.
    """

    own: int
    other: int


def may_overlap(before: Memory, now: Memory, *, shares: bool) -> bool:
    """Return whether the next run may begin before the memory of this one is given back.

    A mapping of a device or a file keeps that open, with what the device has in memory and with its lock (flock(2)).

    Parameters
    ----------
    before
        What the run had when it was forked ahead.
    now
        What it has when it is to end.
    shares
        Whether a new mapping of it can be seen by others; asked for only if there are new ones at all.
    """
    return now.own - before.own <= OWN_MAX_BYTES and (now.other == before.other or not shares)


PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Holder:
    """A child of this process, made by a run that waits to begin; see `shim/_ipy_autorestart_memory.py`.

    It ends by itself when the run has, some milliseconds later.

    Parameters
    ----------
    pid
        Its own.

    Raises
    ------
    OSError
        If it has ended.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        # Its own for ever: the number may be given to another once it has ended.
        self._folder = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._before = self._known = Memory(0, 0)
        self._shared: frozenset[bytes] = frozenset()
        with contextlib.suppress(OSError):  # `check` meets it again
            self._before = self._known = self._memory()
            self._shared = self._shared_mappings()

    def check(self) -> None:
        """Have the memory given back now, if it must be before the next run begins; call it before and after the end.

        Before, as the run may be told to end and then has to give it back itself; after, as it may have ended by
        itself, or have taken more since.
        """
        try:
            must_go = not self._may_overlap()
        except (ProcessLookupError, FileNotFoundError):  # it is gone
            return
        except OSError:  # nothing can be known of it
            must_go = True
        if must_go:
            self._end()

    def _may_overlap(self) -> bool:
        now = self._memory()
        if not now.other:  # the memory is being given back, nobody knows what
            return False
        shares = now.other != self._known.other and not self._shared.issuperset(self._shared_mappings())
        if may_overlap(self._before, now, shares=shares):
            self._known = now
            return True
        return False

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it was reaped as any orphan is
            signal.pidfd_send_signal(self._folder, signal.SIGKILL)  # it takes a folder of /proc, too
            os.waitpid(self._pid, 0)

    def _memory(self) -> Memory:
        """Return what it has in memory, which is the run's (proc_pid_statm(5))."""
        size, resident, shared, _, _, private, _ = map(int, read_proc("statm", self._folder).split())
        return Memory((resident - shared) * PAGE_BYTES, (size - private) * PAGE_BYTES)

    def _shared_mappings(self) -> frozenset[bytes]:
        """Return the mappings that others can see (proc_pid_maps(5)); the C library has one, too."""
        lines = read_proc("maps", self._folder).splitlines()
        return frozenset(line for line in lines if line[line.index(b" ") + 4 :][:1] == b"s")

    def close(self) -> None:
        """Have nothing more to do with it."""
        os.close(self._folder)
