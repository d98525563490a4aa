"""The checkpoints behind the proxy: parked copies of kernels, of which others are made."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ipy_autorestart.memory import ENDED_FIRST, expose, is_short
from ipy_autorestart.proxy import events
from ipy_autorestart.proxy.backend import kill_group
from ipy_autorestart.wire.link import Fork, Forked, Link

#: Seconds between two looks at the memory.
LOOKED_AT = 1.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A process that waits; it is a child of the proxy by adoption, and leads a session of its own."""

    number: int
    pid: int
    link: Link


class Checkpoints:
    """The checkpoints; each ends at the end of its link, and with the proxy.

    Parameters
    ----------
    happen
        Called with what happens.
    take_in
        Called with the number, the process and the link of each kernel that has been made.
    is_short
        Returns whether memory is short.
    """

    def __init__(
        self,
        happen: Callable[[events.Event], None],
        take_in: Callable[[int, int, Link], None],
        is_short: Callable[[], bool] = is_short,
    ) -> None:
        self._happen = happen
        self._take_in = take_in
        self._is_short = is_short
        self._parked: dict[int, Checkpoint] = {}
        self._asked: dict[int, tuple[Checkpoint, Link]] = {}  # kernels that are to be made, by their numbers
        self._look_at = 0.0
        self._was_short = False

    def park(self, kernel: int, number: int, pid: int, link: Link) -> None:
        """Add a checkpoint of a kernel; one of the same number is another kernel's, which has ended."""
        lost = self.drop(number) if number in self._parked else []
        self._parked[number] = Checkpoint(number, pid, link)
        expose(pid, ENDED_FIRST)
        for one in lost:
            self._happen(events.NotForked(one))
        self._happen(events.Parked(kernel, number))

    def fork(self, number: int, kernel: int) -> None:
        """Ask a checkpoint to make a kernel of this number."""
        self._happen(events.Started(kernel, number))
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:  # no descriptors are to be had
            self._happen(events.NotForked(kernel))
            return
        checkpoint = self._parked[number]
        self._asked[kernel] = checkpoint, Link(ours)
        with theirs:
            checkpoint.link.send(Fork(kernel), [theirs.fileno()])  # if it is gone, its link tells

    def forget(self, kernel: int) -> None:
        """Make nothing of a kernel that is to be made: it ends at the end of its link."""
        if asked := self._asked.pop(kernel, None):
            asked[1].close()

    def drop(self, number: int) -> list[int]:
        """End a checkpoint, as has been decided; return the kernels that were to be made of it, and will not be."""
        return self._release(self._parked[number])

    def fds(self) -> Iterator[int]:
        """Yield descriptors to wait for."""
        for one in self._parked.values():
            yield one.link.fileno()

    def read(self, fd: int) -> None:
        """Hear what comes from a descriptor, if it is one of these."""
        for one in list(self._parked.values()):
            if one.link.fileno() == fd:
                self._hear(one)

    def has(self, pid: int) -> bool:
        """Whether this process is one of them."""
        return any(one.pid == pid for one in self._parked.values())

    def note_end(self, pid: int) -> None:
        """Note that this process has ended, if it is one of them."""
        for one in list(self._parked.values()):
            if one.pid == pid:
                self._hear(one)  # its last words
                self._end(one)

    def keep_up(self) -> None:
        """Look at the memory when it is time to: while a cell runs, nobody else could."""
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + LOOKED_AT
            was_short, self._was_short = self._was_short, self._is_short()
            if was_short or self._was_short:
                self._happen(events.Memory(self._was_short))

    def close(self) -> None:
        """End all of them; nothing happens by that any more."""
        for kernel in list(self._asked):
            self.forget(kernel)
        for one in list(self._parked.values()):
            self._release(one)

    def _hear(self, checkpoint: Checkpoint) -> None:
        """Take all words that a checkpoint has said by now."""
        while self._parked.get(checkpoint.number) is checkpoint:
            try:
                word, fds = checkpoint.link.receive(wait=False)
            except BlockingIOError:
                return
            except (EOFError, ValueError):
                self._end(checkpoint)
                return
            for fd in fds:
                os.close(fd)
            if isinstance(word, Forked) and (asked := self._asked.pop(word.number, None)):
                # One that was reaped before this word came has died, and its number may be another's.
                if word.pid and is_child(word.pid):
                    self._take_in(word.number, word.pid, asked[1])
                else:
                    asked[1].close()
                    self._happen(events.NotForked(word.number))

    def _end(self, checkpoint: Checkpoint) -> None:
        if self._parked.get(checkpoint.number) is not checkpoint:
            return
        lost = self._release(checkpoint)
        self._happen(events.Unparked(checkpoint.number))
        for kernel in lost:
            self._happen(events.NotForked(kernel))

    def _release(self, checkpoint: Checkpoint) -> list[int]:
        del self._parked[checkpoint.number]
        lost = [kernel for kernel, (one, _) in self._asked.items() if one is checkpoint]
        for kernel in lost:
            self.forget(kernel)
        checkpoint.link.close()
        if is_child(checkpoint.pid):  # it may be stopped, or no longer hear
            kill_group(checkpoint.pid)
        return lost


def is_child(pid: int) -> bool:
    """Return whether a process is a child of this one that was not reaped: until then nobody else has its number."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    return False
