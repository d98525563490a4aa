"""The state from which the next kernel goes on: of the kernel that leaves, or its backup if it dies."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import termios
from collections.abc import Sequence

from ipy_autorestart.wire.link import Link, TakeOver


class Backup:
    """That state, in a file, and the descriptors that it names; to be closed."""

    def __init__(self, fds: Sequence[int]) -> None:
        self._fds = list(fds)

    def replace(self, fds: Sequence[int]) -> None:
        """Take another state, which has come with a word of a kernel."""
        self.close()
        self._fds = list(fds)

    def hand_over(self, link: Link, word: TakeOver) -> None:
        """Have a kernel go on from it."""
        os.lseek(self._fds[0], 0, os.SEEK_SET)
        link.send(word, self._fds)

    def announces_hangup(self) -> bool:
        """Whether a supervisor has announced a SIGHUP, which the kernel has not heard of yet."""
        waiting = array.array("i", [0])
        for hangups in self._fds[2::2]:  # `SupervisorState.fds`
            with contextlib.suppress(OSError):
                fcntl.ioctl(hangups, termios.FIONREAD, waiting)
            if waiting[0]:
                return True
        return False

    def close(self) -> None:
        """Close all of it."""
        for fd in self._fds:
            os.close(fd)
        self._fds = []
