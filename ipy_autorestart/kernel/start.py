"""What a process was started with, to start it so again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipy_autorestart.kernel.commandline import split

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Environment variable that tells the new image where to read what is carried; gone before the user's code runs.
STATE = "IPY_AUTORESTART_STATE"

BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")


class CantLeave(Exception):  # noqa: N818  # a refusal
    """Why there can be no restart now."""


@dataclass(frozen=True, slots=True)
class Start:
    """The start of a process.

    Attributes
    ----------
    executable, words, folder, environment
        As exec takes them; the words are those after the executable.
    outputs
        Where descriptors 1 and 2 led.
    ignored, blocked
        Signals.
    """

    executable: str
    words: tuple[str, ...]
    folder: str
    environment: Mapping[bytes, bytes]
    outputs: tuple[int, int]
    ignored: frozenset[int]
    blocked: frozenset[int]

    @classmethod
    def of(cls, shell: InteractiveShell) -> Start:
        """Take it down, as early as the extension is there."""
        kernel = getattr(shell, "kernel", None)  # which knows its streams, whatever captures them just now
        stdout, stderr = getattr(kernel, "_stdout", sys.stdout), getattr(kernel, "_stderr", sys.stderr)
        return cls(
            executable=sys.executable,
            words=tuple(sys.orig_argv[1:]),
            folder=getattr(shell, "starting_dir", os.getcwd()),
            environment=first_environment(),
            outputs=(_original_descriptor(stdout, 1), _original_descriptor(stderr, 2)),
            ignored=frozenset(number for number in signals() if signal.getsignal(number) is signal.SIG_IGN),
            blocked=frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        )

    def check(self) -> None:
        """Raise `CantLeave` if a new image could not start."""
        if not os.access(self.executable, os.X_OK):
            raise CantLeave(f"the interpreter {self.executable!r} is gone or can't be run; restart the kernel by hand")
        if not os.access(BOOTSTRAP, os.R_OK):
            raise CantLeave(f"{BOOTSTRAP!r} is gone; install ipy_autorestart again and restart the kernel by hand")
        if not split(self.words).what:
            raise CantLeave(f"it is not known how this process was started, {list(self.words)}; restart it by hand")

    def command(self) -> list[str]:
        """Return the words of the new image: its flags, the bootstrap, and what the bootstrap runs."""
        line = split(self.words)
        how = [line.how] if line.how else []
        return [self.executable, *line.flags, BOOTSTRAP, *how, line.what, *line.args]


def signals() -> set[int]:
    """Return the signals whose handling can be changed, but for those which Python itself ignores."""
    return set(map(int, signal.valid_signals())) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}


def first_environment() -> dict[bytes, bytes]:
    """Return the environment that the process was started with, as far as it can be known."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = [pair.partition(b"=") for pair in file.read().split(b"\0")]
        environment = {name: value for name, sign, value in pairs if sign}
    except OSError:  # not Linux
        environment = dict(os.environb)
    environment.pop(STATE.encode(), None)
    return environment


def _original_descriptor(stream: object, number: int) -> int:
    """Return where descriptor 1 or 2 led when the kernel started (``iostream.OutStream._original_stdstream_copy``)."""
    copy = getattr(stream, "_original_stdstream_copy", None)
    return copy if isinstance(copy, int) else number
