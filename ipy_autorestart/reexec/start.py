"""The start of a process, recorded to start it so again: command line, folder, environment, streams and signals."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipy_autorestart import catalogue
from ipy_autorestart.decide.change import Broken
from ipy_autorestart.decide.guard import compare
from ipy_autorestart.pristine import attribute_of, os, signal, time, wall_ns
from ipy_autorestart.reexec import STATE
from ipy_autorestart.reexec.commandline import BOOTSTRAP, split
from ipy_autorestart.reexec.process import ProcessState
from ipy_autorestart.reexec.state import Carried, ProgramState
from ipy_autorestart.reexec.surroundings import ignored_signals, read_all
from ipy_autorestart.text import relative

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class CantRestart(Exception):  # noqa: N818  # a refusal
    """A restart is impossible now, for this reason."""


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """The start of a process."""

    executable: str
    outputs: tuple[int, int]  # descriptors of the files that 1 and 2 were at the start
    first: ProcessState

    @classmethod
    def of(cls, shell: InteractiveShell) -> ProcessStart:
        """Record the start of a shell, as early as the extension is loaded."""
        kernel = getattr(shell, "kernel", None)  # which knows its streams even if they are being captured
        stdout, stderr = getattr(kernel, "_stdout", sys.stdout), getattr(kernel, "_stderr", sys.stderr)
        outputs = _original_fd(stdout, 1), _original_fd(stderr, 2)
        first = getattr(shell, FIRST, None) or first_image(getattr(shell, "starting_dir", os.getcwd()), outputs)
        return cls(sys.executable, outputs, first)

    def check(self) -> None:
        """Raise `CantRestart` if a new image could not start."""
        if not os.access(self.executable, os.X_OK):
            raise CantRestart(catalogue.INTERPRETER_GONE(path=self.executable))
        if not os.access(BOOTSTRAP, os.R_OK):
            raise CantRestart(catalogue.PACKAGE_GONE(path=BOOTSTRAP))
        if not split(self.first.argv[1:]).what:
            raise CantRestart(catalogue.START_UNKNOWN(argv=list(self.first.argv)))

    def command(self) -> list[str]:
        """Return the command line of the new image: the flags, the bootstrap, and what the bootstrap is to run."""
        line = split(self.first.argv[1:])
        how = [line.how] if line.how else []
        return [self.executable, *line.flags, BOOTSTRAP, *how, line.what, *line.args]

    def inherited_fds(self) -> list[int]:
        """Return the descriptors of other programs that the new image gets, too."""
        return []


#: Attribute of a shell in a new image: the `ProcessState` of the first.
FIRST = "_ipy_autorestart_first"


def first_image(folder: str, outputs: Sequence[int]) -> ProcessState:
    """Return the facts of this image, which is the first; nothing is watched yet."""
    return ProcessState(
        argv=tuple(sys.orig_argv),
        folder=folder,
        environment=first_environment(),
        surroundings=read_all(outputs),
        hangup_ignored=False,
        ignored=ignored_signals(),
        blocked=frozenset(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
    )


def first_environment() -> dict[str, str]:
    """Return the environment that the process was started with, as far as it can be told; at worst, it is today's.

    A title that the process gives itself (setproctitle) is written over its arguments in memory, and then over the
    environment, which lies behind them. So the system's word counts only while the arguments are what Python has read.
    """
    environment = dict(os.environ)
    with contextlib.suppress(OSError):  # not Linux
        arguments, block = (_read(f"/proc/self/{name}") for name in ("cmdline", "environ"))
        if arguments == [os.fsencode(word) for word in sys.orig_argv]:
            pairs = (os.fsdecode(pair).partition("=") for pair in block)
            environment = {name: value for name, sign, value in pairs if sign}
    environment.pop(STATE, None)
    return environment


def _read(path: str) -> list[bytes]:
    """Return the parts of a file, each of which ends with NUL."""
    with open(path, "rb") as file:
        return file.read().split(b"\0")[:-1]


def _original_fd(stream: object, fd: int) -> int:
    """Return a copy of descriptor 1 or 2 as it was at first (``iostream.OutStream._original_stdstream_copy``)."""
    copy = getattr(stream, "_original_stdstream_copy", None)
    return copy if isinstance(copy, int) else fd


@dataclass(frozen=True, slots=True)
class ProgramStart(ProcessStart):
    """The start of a plain program."""

    file: str  # the main module's; empty where there is none
    inherited: tuple[tuple[int, int, int], ...]  # descriptors from its parent, each with device and inode
    since_ns: int  # when this image began to read its files, since 1970
    is_next: bool = False  # whether another image was before this one

    @classmethod
    def of_program(cls, folder: str, carried: Carried | None) -> ProgramStart:
        """Record the start of a program, from its folder so far; a later image knows more from the one before."""
        file = main_file()
        outputs = (1, 2)
        if carried is None:
            first, inherited, since_ns = first_image(_first_folder(folder, file), outputs), _inheritable(), _began_ns()
        else:
            assert isinstance(carried.own, ProgramState)
            first, inherited, since_ns = carried.process, carried.own.inherited, carried.own.since_ns
        return cls(
            executable=sys.executable,
            outputs=outputs,
            first=first,
            file=file,
            inherited=inherited,
            since_ns=since_ns,
            is_next=carried is not None,
        )

    def check(self) -> None:
        """Raise `CantRestart` if a new image could not start."""
        if not os.access(self.executable, os.X_OK):
            raise CantRestart(catalogue.INTERPRETER_GONE(path=self.executable))
        if not os.path.isdir(self.first.folder):
            raise CantRestart(catalogue.START_FOLDER_GONE(path=self.first.folder))
        if not os.access(self.first.folder, os.X_OK) and not os.path.samefile(self.first.folder, os.curdir):
            raise CantRestart(catalogue.START_FOLDER_CLOSED(path=self.first.folder))
        if self.file and not os.access(self.file, os.R_OK):
            raise CantRestart(catalogue.PROGRAM_GONE(path=self.file))
        # The supervisor has checked the syntax before its signal; this is for files saved since, and a user's signals.
        for module in list(sys.modules.values()):
            path = attribute_of(module, "__file__")
            if not isinstance(path, str) or not path.endswith(".py"):
                continue
            with contextlib.suppress(OSError):
                status = os.stat(path)
                if max(status.st_mtime_ns, status.st_ctime_ns) <= self.since_ns:
                    continue
                with open(path, "rb") as file:
                    broken = compare(path, None, file.read())
                if isinstance(broken, Broken):
                    where = f"{from_here(path)}:{broken.line}"
                    raise CantRestart(catalogue.BROKEN_PROGRAM(place=where, error=broken.message))

    def command(self) -> list[str]:
        """Return the command line of the first image; the interpreter's path if its name leads elsewhere now."""
        name, *rest = self.first.argv
        path = self.first.environment.get("PATH", "")
        found = os.path.join(self.first.folder, name) if os.sep in name else shutil.which(name, path=path) or ""
        same = os.path.normpath(found) == os.path.normpath(self.executable)
        return [name if same else self.executable, *rest]

    def inherited_fds(self) -> list[int]:
        """Return the inherited descriptors that were neither closed nor used for another file."""
        return [fd for fd, *identity in self.inherited if _identity(fd) == tuple(identity)]


def from_here(path: str) -> str:
    """Return an absolute path as seen from the current folder if it lies below; as it is where that is gone."""
    try:
        return relative(path, os.getcwd())
    except OSError:
        return path


def main_file() -> str:
    """Return the absolute path of the main module's file; empty where there is none, as for ``-c`` or an archive."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.abspath(file) if file and os.path.isfile(file) else ""


def is_repeatable(argv: Iterable[str]) -> bool:
    """Return whether an interpreter's arguments say what runs: not a prompt, and not code from a pipe."""
    return split(list(argv)).what not in ("", "-")


def _first_folder(folder: str, file: str) -> str:
    """Return the folder in which the process was started, though the program may have changed it since.

    CPython has made a script's path absolute there (``config_run_filename_abspath``).
    """
    line = split(sys.orig_argv[1:])
    tail = os.sep + line.what
    named = getattr(sys.modules["__main__"], "__file__", "") if file and not line.how else ""
    if named.endswith(tail) and not os.path.isabs(line.what):
        return named.removesuffix(tail) or os.sep
    return folder


def _inheritable() -> tuple[tuple[int, int, int], ...]:
    """Return the descriptors that an exec keeps, except the standard ones, each with device and inode."""
    found = []
    for fd in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the listing's own
            if fd > 2 and os.get_inheritable(fd) and (identity := _identity(fd)):
                found.append((fd, *identity))
    return tuple(found)


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _began_ns() -> int:
    """Return when the process began, to the next hundredth of a second: the system knows no better."""
    now = wall_ns()
    with contextlib.suppress(OSError, AttributeError):  # not Linux: what was saved before now is missed
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        per_second = os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - (ticks + 1) * 1_000_000_000 // per_second
        return now - max(age, 0)
    return now
