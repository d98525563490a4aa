"""The terminal, which this process and a run have in turn: the run is a foreground job, as a shell would make it one.

So the run has all of it (``/dev/tty``, keys that send signals, job control) and nothing stands between. A session of
its own would be without a terminal, which a shell doesn't give up; another terminal would need each byte copied.

The file is a program, too: it puts the terminal back after this process was killed, and imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import termios
from collections.abc import Iterator, Sequence
from typing import Any

#: Switches off what a killed program can't: alternate screen, hidden cursor, mouse and focus reports, bracketed paste,
#: application keys. Each does nothing where nothing is on: 1049 goes to where the cursor was saved, in the other screen
#: when the program entered its own, else just now (xterm's ctlseqs).
PLAIN_SCREEN = b"\x1b7\x1b[?1049l\x1b[?25h\x1b[?1000;1002;1003;1004;1006;1015;2004;1l\x1b>"


class Foreground:
    """The controlling terminal of this process.

    While a run has it, this process is in the background, where it may do all that it does here.

    Parameters
    ----------
    fd
        Opened from ``/dev/tty``; closed by `close`.

    Attributes
    ----------
    given
        The process group of the run that has it, 0 for none.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._ours = os.getpgrp()
        self._modes = termios.tcgetattr(fd)
        self._held: list[Any] | None = None
        self.given = 0

    @classmethod
    def open(cls) -> Foreground | None:
        """Return the terminal, None if there is none, or if it is for other programs of a pipeline too (``| less``).

        Nor has a process it whose group is out of sight, as in a container that shares the session.
        """
        if any(_is_pipe(fd) for fd in range(3)) or not os.getpgrp():
            return None
        try:
            return cls(os.open("/dev/tty", os.O_RDWR))
        except (OSError, termios.error):
            return None

    def give(self, group: int) -> bool:
        """Let a run's process group have it, as it left it if it was suspended; return whether that was possible.

        It isn't while a shell has put this process in the background.
        """
        with _surely():
            if os.tcgetpgrp(self._fd) in (self._ours, self.given, group):
                os.tcsetpgrp(self._fd, group)
                self.given = group
                if self._held:
                    termios.tcsetattr(self._fd, termios.TCSANOW, self._held)
                    self._held = None
                return True
        return False

    def take(self, *, killed: bool = False) -> None:
        """Take it back from the run, if that has it; one that was ``killed`` may have left it in any state."""
        given, self.given, self._held = self.given, 0, None
        with _surely():
            if given:
                os.tcsetpgrp(self._fd, self._ours)
            if killed and os.tcgetpgrp(self._fd) == self._ours:
                _make_plain(self._fd)

    def suspend(self) -> None:
        """Take it back from a run that stops together with this process, with the modes that it had at first."""
        if self.given:
            with _surely():
                held = termios.tcgetattr(self._fd)
                self.take()
                termios.tcsetattr(self._fd, termios.TCSANOW, self._modes)
                self._held = held

    def resume(self, group: int) -> None:
        """Give it to the run again, if this process is in the foreground now, whoever put it there."""
        self.given = 0
        self.give(group)

    @property
    def is_gone(self) -> bool:
        """Whether it was closed."""
        try:
            os.tcgetpgrp(self._fd)
        except OSError:
            return True
        return False

    @property
    def way_back(self) -> list[str]:
        """A command that puts it back when this process is gone; the processes that were killed are still to be added.

        It has to run in this session.
        """
        *flags, special = self._modes
        modes = [*flags, *(ord(one) if isinstance(one, bytes) else one for one in special)]
        return [sys.executable, "-IS", __file__, str(self._ours), ",".join(map(str, modes))]

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def _is_pipe(fd: int) -> bool:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextlib.contextmanager
def unstopped() -> Iterator[None]:
    """Use the terminal without being stopped (SIGTTOU), though this process is in the background."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def _surely() -> Iterator[None]:
    with unstopped(), contextlib.suppress(OSError, termios.error):  # the terminal is gone
        yield


def _make_plain(fd: int) -> None:
    if os.environ.get("TERM", "dumb") != "dumb":
        os.write(fd, PLAIN_SCREEN)


def put_back(fd: int, ours: int, modes: Sequence[int], killed: Sequence[int]) -> None:
    """Put the terminal back after the run, with these groups and processes, and its supervisor were killed.

    Its foreground and modes are left alone if a shell has taken it meanwhile.
    """
    with _surely():
        if os.tcgetpgrp(fd) in killed:
            attributes: list[Any] = [*modes[:6], list(modes[6:])]
            termios.tcsetattr(fd, termios.TCSANOW, attributes)
            os.tcsetpgrp(fd, ours)
    with _surely():
        _make_plain(fd)


if __name__ == "__main__":
    with contextlib.suppress(OSError):  # the terminal is gone
        put_back(
            os.open("/dev/tty", os.O_RDWR),
            int(sys.argv[1]),
            list(map(int, sys.argv[2].split(","))),
            [abs(int(one)) for one in sys.argv[3:]],
        )
