"""The terminal that a process was started in, and the handler of SIGHUP."""

from __future__ import annotations

import contextlib
import termios
from typing import Any

from ipy_autorestart.pristine import os, select, signal


class Terminal:
    """The terminal of this process, with its modes at the start."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._leader = os.getsid(0)
        self._ttys = [fd for fd in range(3) if os.isatty(fd)]
        self._modes = {fd: termios.tcgetattr(fd) for fd in self._ttys}
        self._controls = any(map(_is_controlling, self._ttys))

    @property
    def is_gone(self) -> bool:
        """Whether it was closed, which a SIGHUP tells the processes that it controls.

        The signal itself doesn't say so: shells pass it on by kill(2), as a user sends it.
        """
        if not self._controls:
            return False
        waiting = select.poll()
        for fd in self._ttys:
            waiting.register(fd, 0)
        gone = any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in waiting.poll(0))
        return gone or (os.getppid() != self._parent and not self._has_session)

    @property
    def _has_session(self) -> bool:
        """Whether the session's leader is alive: for ``(program &)``, only a shell in between has ended."""
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
        """Whether this process may use it now: its group is in the foreground."""
        try:
            return not self._ttys or os.tcgetpgrp(self._ttys[0]) == os.getpgrp()
        except OSError:  # not this process's controlling terminal: there is no foreground
            return True

    def restore(self) -> None:
        """Restore its modes, but not in the background: there they are another program's."""
        if not self.is_ours:
            return
        for fd, modes in self._modes.items():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(fd, termios.TCSANOW, modes)

    def forget_input(self) -> None:
        """Forget what was typed and nobody has read, a half line too; but not in the background."""
        if self.is_ours:
            for fd in self._ttys:
                with contextlib.suppress(termios.error):
                    termios.tcflush(fd, termios.TCIFLUSH)

    def give_back(self, *, survives: bool) -> None:
        """Restore its modes; unless this process is to survive that, end it if the terminal was closed meanwhile.

        A shell that exits may send SIGHUP before it closes the terminal.
        """
        self.restore()
        if self.is_gone and not survives:
            end_as_ever()


def _is_controlling(fd: int) -> bool:
    """Return whether a terminal is the one that controls this process's session."""
    try:
        os.tcgetpgrp(fd)
    except OSError:
        return False
    return True


def end_as_ever(signum: signal.Signals | None = None) -> None:
    """End this process as a signal, SIGHUP by default, ends a program that doesn't handle it."""
    signum = signum or signal.SIGHUP  # which not every platform has
    signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signum])
    os.kill(os.getpid(), signum)


def hangup_handler() -> Any:  # what signal.getsignal returns
    """Return the handler of SIGHUP; in a new image, the one that the bootstrap's `Hangups` has replaced."""
    handler = signal.getsignal(signal.SIGHUP)
    owner: Any = getattr(handler, "__self__", None)
    return owner.previous if hasattr(owner, "noted") and hasattr(owner, "previous") else handler


def give_hangups_back(handler: Any) -> None:
    """Restore a handler of SIGHUP; None stands for one that isn't Python's, which is lost."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL if handler is None else handler)
