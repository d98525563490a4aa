"""The supervisor's process, as whoever started it has it, and the thread that listens to it."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from collections.abc import Callable
from typing import IO, Self

from ipy_autorestart.pristine import Thread, os, signal
from ipy_autorestart.protocol.link import Link, ready
from ipy_autorestart.protocol.messages import Record
from ipy_autorestart.protocol.request import LINK

log = logging.getLogger(__name__)

#: Seconds that it may take to end what is being shown.
STOP_MAX = 2.0

#: The package itself, whatever else is installed under its name.
PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "__main__.py")


class Process:
    """A child of this process, known by its number alone once the kernel's exec has come between."""

    def __init__(self, pid: int, errors: IO[bytes] | None = None) -> None:
        self.pid = pid
        self._errors = errors

    @classmethod
    def start(cls, *, link: int) -> Self:
        """Start a supervisor with its end of the link as its standard input; raises OSError."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the process
        try:
            # Not through Popen: after the kernel's exec there is only the number. In a session of its own, so that
            # the interrupt button, which signals the kernel's group, doesn't reach it.
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", PROGRAM, LINK],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, link, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
                ],
                setsid=True,
                setsigmask=[],
            )
        except OSError:
            errors.close()
            raise
        return cls(pid, errors)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> str:
        """Wait for its end, and return the last line that it wrote to standard error, if it is known."""
        with contextlib.suppress(ChildProcessError):  # the user's own os.wait() was first
            os.waitpid(self.pid, 0)
        if self._errors is None:
            return ""
        with self._errors:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line), "")


class Listener:
    """Hears what a supervisor says, from the start until it is gone or `stop` is called.

    Parameters
    ----------
    link
        Read by nobody else meanwhile.
    on_record
        Called in the thread with each record.
    on_end
        Called in the thread when the other side is gone, at last.
    """

    def __init__(self, link: Link, *, on_record: Callable[[Record], None], on_end: Callable[[], None]) -> None:
        self._link = link
        self._on_record = on_record
        self._on_end = on_end
        self._asleep, self._alarm = os.pipe()
        self.thread = Thread(self._listen)

    def stop(self) -> None:
        """Stop listening; the link stays open, and `on_end` is not called if it wasn't already."""
        with contextlib.suppress(OSError):  # the other side was gone first
            os.write(self._alarm, b"x")
        self.thread.join(STOP_MAX)  # a screen of somebody's own may hang

    def _listen(self) -> None:
        asleep, alarm = self._asleep, self._alarm
        try:
            while asleep not in ready([self._link, asleep], [self._link] if self._link.backlog else [], None):
                self._link.flush()
                for record in self._link.receive():
                    try:
                        self._on_record(record)
                    except Exception:  # the border: what shows it may fail, the rest goes on
                        log.exception("can't show %s", record)
        except EOFError:
            self._on_end()
        finally:
            self._asleep = self._alarm = -1  # first, lest `stop` writes to what gets these descriptors next
            os.close(asleep)
            os.close(alarm)
