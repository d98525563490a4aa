"""Signals of the proxy: what is for the kernel is passed on, by whoever has the time."""

from __future__ import annotations

import os
import signal

#: Signals that a program may handle; a server, a person or a scheduler sends them to the process that it knows.
PASSED_ON = tuple(
    signum
    for signum in (signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCONT)
)


class Signals:
    """Takes signals, and wakes the loop for them; they are blocked until then, so that none is missed.

    Attributes
    ----------
    have_come
        Whether some have since they were taken last; to look for them takes longer.
    """

    def __init__(self) -> None:
        self.have_come = False
        self._read, self._write = os.pipe()
        for fd in (self._read, self._write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGCHLD, *PASSED_ON):
            if signum in (signal.SIGHUP, signal.SIGINT, signal.SIGCHLD) or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._note)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def _note(self, *_: object) -> None:
        self.have_come = True

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._read

    def take(self) -> list[int]:
        """Return the signals that have come, in their order."""
        self.have_come = False
        try:
            return list(os.read(self._read, 1 << 12))
        except BlockingIOError:
            return []
