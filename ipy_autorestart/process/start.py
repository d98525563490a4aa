"""What a program was started with: its own command line, to the letter."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ipy_autorestart.decide.guard import compare
from ipy_autorestart.decide.words import relative
from ipy_autorestart.kernel.commandline import split
from ipy_autorestart.kernel.start import CantLeave, Start, first_environment, signals


@dataclass(frozen=True, slots=True)
class ProcessStart(Start):
    """The start of a plain program.

    Attributes
    ----------
    file
        The main module's; empty where there is none.
    inherited
        Descriptors that came from whoever started the process, with device and inode of their files.
    since_ns
        When this image began to read its files, in nanoseconds since 1970.
    """

    file: str
    inherited: tuple[tuple[int, int, int], ...]
    since_ns: int

    @classmethod
    def taken_down(cls, folder: str, carried: Mapping[str, Any] | None) -> ProcessStart:
        """Take it down; what this image can't know any more has come from the one before.

        Parameters
        ----------
        folder
            The current one, as early as it is known.
        carried
            What the image before has left; None at the first start.
        """
        file = main_file()
        first = carried or {
            "folder": _first_folder(folder, file),
            "ignored": [number for number in signals() if signal.getsignal(number) is signal.SIG_IGN],
            "blocked": signal.pthread_sigmask(signal.SIG_BLOCK, []),
            "inherited": _inheritable(),
            "since_ns": _began_ns(),
        }
        return cls(
            executable=sys.executable,
            words=tuple(sys.orig_argv[1:]),
            folder=first["folder"],
            environment=first_environment(),
            outputs=(1, 2),
            ignored=frozenset(map(int, first["ignored"])),
            blocked=frozenset(map(int, first["blocked"])),
            file=file,
            inherited=tuple((number, device, inode) for number, device, inode in first["inherited"]),
            since_ns=first["since_ns"],
        )

    def check(self) -> None:
        """Raise `CantLeave` if a new image could not start."""
        if not os.access(self.executable, os.X_OK):
            raise CantLeave(f"the interpreter {self.executable!r} is gone or can't be run; restart it by hand")
        if not os.path.isdir(self.folder):
            raise CantLeave(f"the folder {self.folder!r}, in which it was started, is gone; make it again")
        if self.file and not os.access(self.file, os.R_OK):
            raise CantLeave(f"{self.file!r} is gone or can't be read; put it back")
        if wrong := self._syntax_error():
            raise CantLeave(wrong)

    def _syntax_error(self) -> str:
        """Return what is wrong with a file that was imported and has changed since, or nothing.

        The supervisor has looked before it asked; this is for what was saved since then, and for a person's own signal.
        """
        for module in list(sys.modules.values()):
            path = getattr(module, "__dict__", {}).get("__file__")
            if not isinstance(path, str) or not path.endswith(".py"):
                continue
            with contextlib.suppress(OSError):
                status = os.stat(path)
                if max(status.st_mtime_ns, status.st_ctime_ns) <= self.since_ns:
                    continue
                with open(path, "rb") as file:
                    broken = compare(path, None, file.read()).broken
                if broken:
                    return f"syntax error at {relative(path, os.getcwd())}:{broken.line}: {broken.message}"
        return ""

    def command(self) -> list[str]:
        """Return the words of the new image: those of the first."""
        return [self.executable, *self.words]

    def still_inherited(self) -> list[int]:
        """Return the descriptors that came from outside and have been neither closed nor used for something else."""
        return [number for number, *identity in self.inherited if _identity(number) == identity]

    def to_plain(self) -> dict[str, Any]:
        """Return what the next image can't know of itself."""
        return {
            "folder": self.folder,
            "ignored": sorted(self.ignored),
            "blocked": sorted(self.blocked),
            "inherited": self.inherited,
        }


def main_file() -> str:
    """Return the absolute path of the main module's file; empty where there is none, as in an archive or for ``-c``."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.abspath(file) if file and os.path.isfile(file) else ""


def is_known(words: Iterable[str]) -> bool:
    """Whether the words after the interpreter say what runs: no prompt, and nothing that was read from a pipe."""
    return split(list(words)).what not in ("", "-")


def _first_folder(folder: str, file: str) -> str:
    """Return the folder in which the process was started, though it may have gone elsewhere since.

    A script's path was made absolute there (CPython's ``config_run_filename_abspath``).
    """
    line = split(sys.orig_argv[1:])
    tail = os.sep + line.what
    named = getattr(sys.modules["__main__"], "__file__", "") if file and not line.how else ""
    if named.endswith(tail) and not os.path.isabs(line.what):
        return named.removesuffix(tail) or os.sep
    return folder


def _inheritable() -> list[tuple[int, int, int]]:
    """Return the descriptors that exec keeps, but for the standard ones, with their identity."""
    found = []
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the listing's own
            if number > 2 and os.get_inheritable(number):
                device, inode = _identity(number)
                found.append((number, device, inode))
    return found


def _identity(number: int) -> list[int]:
    try:
        status = os.fstat(number)
    except OSError:
        return []
    return [status.st_dev, status.st_ino]


def _began_ns() -> int:
    """Return when the process began, a little later than the system tells it: it does so in hundredths of a second."""
    now = time.time_ns()
    with contextlib.suppress(OSError, AttributeError):  # not Linux: what was saved before this moment is not seen
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        per_second = os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - (ticks + 1) * 1_000_000_000 // per_second
        return now - max(age, 0)
    return now
