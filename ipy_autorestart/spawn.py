"""The supervisor's process, as its front has it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from typing import IO, Self

import ipy_autorestart


class Process:
    """A child of this process, known by its number alone once the kernel's exec has come between.

    Attributes
    ----------
    pid
        Its process id.
    """

    def __init__(self, pid: int, errors: IO[bytes] | None = None) -> None:
        self.pid = pid
        self._errors = errors

    @classmethod
    def start(cls, words: Sequence[str], *, link: int) -> Self:
        """Start the supervisor with words for it, and the descriptor of its end of the link; raises OSError."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the process
        try:
            return cls(_spawn(words, link=link, errors=errors.fileno()), errors)
        except OSError:
            errors.close()
            raise

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


def _spawn(words: Sequence[str], *, link: int, errors: int) -> int:
    """Start the supervisor and return its process id.

    Not through Popen: after the kernel's exec there is only the number. In a session of its own, so that the interrupt
    button, which signals the kernel's group, doesn't reach it.
    """
    program = os.path.join(os.path.dirname(os.path.abspath(ipy_autorestart.__file__)), "__main__.py")
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", program, *words],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, link, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, errors, 2),
        ],
        setsid=True,
        setsigmask=[],
    )
