"""The terminal that a process was started in, whether it is still there, and SIGHUP in a new image."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
from typing import Any


class Terminal:
    """The terminal of this process, as it was at first."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._leader = os.getsid(0)
        self._ttys = [number for number in range(3) if os.isatty(number)]
        self._modes = {number: termios.tcgetattr(number) for number in self._ttys}

    @property
    def is_gone(self) -> bool:
        """Whether it was closed. The signal itself can't tell: shells send it on by kill(2), as a person does."""
        waiting = select.poll()
        for number in self._ttys:
            waiting.register(number, 0)
        gone = any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in waiting.poll(0))
        return gone or (bool(self._ttys) and os.getppid() != self._parent and not self._has_session)

    @property
    def _has_session(self) -> bool:
        """Whether the session's leader is still there: of ``(program &)`` only a shell in between has ended."""
        if self._leader == self._parent:
            return False
        try:
            os.kill(self._leader, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    @property
    def is_ours(self) -> bool:
        """Whether it is this process's turn to have it: its group is in the foreground."""
        try:
            return not self._ttys or os.tcgetpgrp(self._ttys[0]) == os.getpgrp()
        except OSError:  # it is not the one that controls this process, and nobody takes turns
            return True

    def restore(self) -> None:
        """Put its modes back; in the background they are another program's, and to touch them would stop this one."""
        if not self.is_ours:
            return
        for number, modes in self._modes.items():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(number, termios.TCSANOW, modes)

    def give_back(self) -> None:
        """Leave it as it was; end with it if it was closed just after a shell has sent the signal."""
        self.restore()
        if self.is_gone:
            end_as_ever()


def end_as_ever(number: signal.Signals | None = None) -> None:
    """Do what a signal, SIGHUP by default, does to a program that doesn't handle it."""
    number = number or signal.SIGHUP  # which not every platform has
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)


def hangup_handler() -> Any:  # what signal.getsignal returns
    """Return the handler of SIGHUP; in a new image the one that the bootstrap's `Hangups` has replaced."""
    handler = signal.getsignal(signal.SIGHUP)
    owner: Any = getattr(handler, "__self__", None)
    return owner.previous if hasattr(owner, "noted") and hasattr(owner, "previous") else handler


def give_hangups_back(handler: Any) -> None:
    """Set a handler of SIGHUP that was there before; None was set by something that isn't Python, and is lost."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL if handler is None else handler)
