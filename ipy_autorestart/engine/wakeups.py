"""Wake the one loop of a supervisor: by signals, by hints, and by the end of the parent, not to be outlived."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from types import FrameType

from ipy_autorestart.decide.change import Hint


class Wakeups:
    """Signals and hints that wait for the loop, and a socket that wakes it.

    A set and a list keep them; the socket only wakes. It holds few bytes, so nothing may depend on one more fitting
    in, and a single one is enough for all hints that wait.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self._read, self._write = socket.socketpair()
        self._read.settimeout(0)
        self._write.settimeout(0)
        self._hints: list[tuple[Hint, float]] = []
        self._lock = threading.Lock()
        self._received: set[int] = set()
        self._expects = self._hung_up = False
        # For a signal that comes between a look at those received and the wait.
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        # An inherited SIG_IGN, as of nohup, stays, for the runs as well.
        self._takes_hangups = signal.SIGHUP in signals and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        for signum in signals:
            if signum != signal.SIGHUP or self._takes_hangups:
                signal.signal(signum, self._note)

    def _note(self, signum: int, _: FrameType | None) -> None:  # between two bytecodes of the main thread: it is safe
        if signum == signal.SIGHUP and self._expects:
            self._expects, self._hung_up = False, True
        else:
            self._received.add(signum)

    def hang_up(self) -> None:
        """Send this process SIGHUP; `has_hung_up` tells of it, and `signals` only of those from elsewhere."""
        if not self._takes_hangups:
            self._hung_up = True
            return
        self._expects = True
        # To the process, never raise_signal: the main thread must wake from its wait.
        os.kill(os.getpid(), signal.SIGHUP)

    def has_hung_up(self) -> bool:
        """Return whether the SIGHUP of `hang_up` has come since this was asked last."""
        hung_up, self._hung_up = self._hung_up, False
        return hung_up

    def hint(self, hint: Hint) -> None:
        """Add a hint, from any thread."""
        with self._lock:
            first = not self._hints
            self._hints.append((hint, time.monotonic()))
        if first:
            self.wake()

    def wake(self) -> None:
        """Wake the loop, from any thread."""
        with contextlib.suppress(OSError):  # full, which wakes as well, or closed
            self._write.send(b"\0")

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._read.fileno()

    @property
    def waits(self) -> bool:
        """Whether a signal or hint waits to be taken."""
        return bool(self._hints or self._received or self._hung_up)

    def take(self) -> tuple[set[int], list[tuple[Hint, float]]]:
        """Return the signals and hints that wait; these with the moments at which they came, in seconds."""
        signums = self.signals() | self._received  # SIGCHLD
        self._received -= signums
        with self._lock:
            hints, self._hints = self._hints, []
        return signums, hints

    def signals(self) -> set[int]:
        """Return the signals that wait, but for SIGCHLD, which is for the turn that looks at the children next.

        The socket is emptied, of what woke for hints too: ask `waits` before the next wait.
        """
        with contextlib.suppress(BlockingIOError):
            self._read.recv(1 << 16)
        received = self._received - {signal.SIGCHLD}
        self._received -= received
        return received

    def close(self) -> None:
        """Close the descriptors."""
        signal.set_wakeup_fd(-1)
        self._read.close()
        self._write.close()


class Parent:
    """The process that this one ends with, which is noticed even if a process that it forked holds the link open.

    Parameters
    ----------
    pid
        The parent of this process by default; else one that becomes that, for the parent itself is to be replaced.
    """

    def __init__(self, pid: int = 0) -> None:
        self.pid = pid or os.getppid()
        self._others = {os.getppid()} - {self.pid}  # which may end
        self._pidfd = -1
        with contextlib.suppress(AttributeError, OSError):  # not Linux, or older than 5.3, or the parent is gone
            self._pidfd = os.pidfd_open(self.pid)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return os.getppid() not in (self.pid, *self._others)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable at its end, -1 if only `is_gone` tells."""
        return self._pidfd

    def close(self) -> None:
        """Close the descriptor."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
