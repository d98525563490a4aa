"""The supervisor's process, as whoever started it has it, and the thread that listens to it."""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
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
    """A child of this process, known by its numbers alone once the kernel's exec has come between.

    Attributes
    ----------
    pid
        Its own.
    hangups
        The descriptor of a pipe, into which it writes a byte before each SIGHUP that it sends; -1 once it has ended.
    """

    def __init__(self, pid: int, *, hangups: int, errors: IO[bytes] | None = None) -> None:
        self.pid = pid
        self.hangups = hangups
        self._errors = errors

    @classmethod
    def start(cls, *, link: int) -> Self:
        """Start a supervisor with its end of the link as its standard input; raises OSError.

        Its standard output is the pipe of `hangups`.
        """
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as done:
            errors = undo.enter_context(tempfile.TemporaryFile())  # it lives as long as the process
            hangups, told = os.pipe()
            undo.callback(os.close, hangups)
            done.callback(os.close, told)
            for end in (hangups, told):
                os.set_blocking(end, False)
            # Not through Popen: after the kernel's exec there is only the number. In a session of its own, so that
            # the interrupt button, which signals the kernel's group, doesn't reach it.
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", PROGRAM, LINK],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate((link, told, errors.fileno()))
                ],
                setsid=True,
                setsigmask=[],
            )
            undo.pop_all()
        return cls(pid, hangups=hangups, errors=errors)

    def fds(self) -> Iterator[int]:
        """Yield the descriptors that this process has of it."""
        if self.hangups >= 0:
            yield self.hangups
        if self._errors and not self._errors.closed:
            yield self._errors.fileno()

    def has_hung_up(self) -> bool:
        """Return whether it has sent a SIGHUP since this was asked last; also in a signal handler."""
        try:
            return bool(os.read(self.hangups, 1 << 10))
        except OSError:  # it has not, or it has ended
            return False

    def kill(self) -> None:
        """End it at once, unless it has been reaped: its number may be another's."""
        if self.hangups >= 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it, and reap it."""
        self.kill()
        self.wait()

    def leave(self) -> None:
        """Close what this process has of it, which goes on with another one."""
        if self.hangups >= 0:
            os.close(self.hangups)
            self.hangups = -1
        if self._errors:
            self._errors.close()

    def wait(self) -> str:
        """Wait for its end, and return the last line that it wrote to standard error, if it is known."""
        with contextlib.suppress(ChildProcessError):  # the user's own os.wait() was first
            os.waitpid(self.pid, 0)
        hangups, self.hangups = self.hangups, -1  # first, lest a handler reads what gets this descriptor next
        os.close(hangups)
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
        try:
            self.thread = Thread(self._listen)
        except RuntimeError:  # no more threads can be had
            self._close()
            raise

    def stop(self) -> None:
        """Stop listening; the link stays open, and `on_end` is not called if it wasn't already."""
        with contextlib.suppress(OSError):  # the other side was gone first
            os.write(self._alarm, b"x")
        self.thread.join(STOP_MAX)  # a screen of somebody's own may hang

    def fds(self) -> Iterator[int]:
        """Yield its descriptors, besides the link's."""
        yield from (fd for fd in (self._asleep, self._alarm) if fd >= 0)

    def _listen(self) -> None:
        asleep = self._asleep
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
            self._close()

    def _close(self) -> None:
        asleep, alarm = self._asleep, self._alarm
        self._asleep = self._alarm = -1  # first, lest `stop` writes to what gets these descriptors next
        os.close(asleep)
        os.close(alarm)
