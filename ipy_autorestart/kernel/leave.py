"""In the kernel: end the old life as an interpreter would, and exec.

What touches the insides of ipykernel stands here, with the name that it relies on. From `leave` on there is no way
back: an error ends the process with a status, so that the server's own restarter takes over.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import posix
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ipy_autorestart.kernel.commandline import split

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Environment variable that tells the new image where to read what is carried; gone before the user's code runs.
STATE = "IPY_AUTORESTART_STATE"

BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")

#: Seconds that the user's exit functions and the closing of the sockets may take together.
LAST_ACTS = 5.0

#: Seconds that the kernel's own children have from SIGTERM to SIGKILL.
CHILDREN_END = 0.5

#: Exit status after an internal error, see sysexits.h.
EX_SOFTWARE = 70


class CantLeave(Exception):  # noqa: N818  # a refusal
    """Why the kernel can't restart now."""


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """What the kernel was started with, to start it so again."""

    executable: str
    words: tuple[str, ...]
    folder: str
    environment: Mapping[bytes, bytes]
    outputs: tuple[int, int]

    @classmethod
    def now(cls, shell: InteractiveShell) -> StartingPoint:
        """Take it down as early as the extension is there."""
        words = tuple(sys.orig_argv[1:])
        folder = getattr(shell, "starting_dir", os.getcwd())
        outputs = (_original_descriptor(sys.stdout, 1), _original_descriptor(sys.stderr, 2))
        return cls(sys.executable, words, folder, _first_environment(), outputs)

    def check(self) -> None:
        """Raise `CantLeave` if a new image could not start."""
        if not os.access(self.executable, os.X_OK):
            raise CantLeave(f"the interpreter {self.executable!r} is gone or can't be run; restart the kernel by hand")
        if not os.access(BOOTSTRAP, os.R_OK):
            raise CantLeave(f"{BOOTSTRAP!r} is gone; install ipy_autorestart again and restart the kernel by hand")
        if not split(self.words).what:
            raise CantLeave(f"it is not known how this kernel was started: {list(self.words)}")

    def command(self) -> list[str]:
        """Return the words of the new image: its flags, the bootstrap, and what the bootstrap runs."""
        line = split(self.words)
        how = [line.how] if line.how else []
        return [self.executable, *line.flags, BOOTSTRAP, *how, line.what, *line.args]


def _first_environment() -> dict[bytes, bytes]:
    """Return the environment that the process was started with, as far as it can be known."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = [pair.partition(b"=") for pair in file.read().split(b"\0")]
        environment = {name: value for name, sign, value in pairs if sign}
    except OSError:  # not Linux
        environment = dict(os.environb)
    environment.pop(STATE.encode(), None)
    return environment


@dataclass(frozen=True, slots=True)
class Carried:
    """What goes over the exec: the supervisors, and whether SIGHUP is ignored when nobody watches (``nohup``)."""

    guests: Sequence[Mapping[str, Any]]
    ignored: bool


def leave(shell: InteractiveShell, start: StartingPoint, carried_along: Carried) -> NoReturn:
    """Replace the kernel by a new image of itself; the guests' links stay open."""
    # From here to the new image's own handler a SIGHUP stays pending; its default would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    late = threading.Timer(LAST_ACTS, _exec_or_die, [start, carried_along])
    late.daemon = True
    late.start()
    try:
        _end_life(shell, start)
        late.cancel()
    finally:
        _exec_or_die(start, carried_along)


def _exec_or_die(start: StartingPoint, carried_along: Carried) -> NoReturn:
    try:
        _exec(start, carried_along)
    except BaseException:  # noqa: BLE001  # the border: half a kernel must not go on
        os.write(start.outputs[1], traceback.format_exc().encode())
    finally:
        os._exit(EX_SOFTWARE)


def _end_life(shell: InteractiveShell, start: StartingPoint) -> None:
    """Do what the end of an interpreter does, in its order; what fails is logged, and the rest is done."""
    kernel: Any = shell.kernel  # type: ignore[attr-defined]
    app = kernel.parent
    with _logged("the history"):
        if shell.history_manager is not None:
            shell.history_manager.end_session()
    with _logged("the kernel's children"):
        _end_children()
    # ipykernel's own: they would delete the connection file that the new image needs, and close what is closed below.
    for function in (app.cleanup_connection_file, app.close, kernel.iopub_thread.stop):
        atexit.unregister(function)
    atexit._run_exitfuncs()  # noqa: SLF001  # the only way to run them before exec
    for stream in (sys.stdout, sys.stderr):
        with _logged("the last output"):
            stream.flush()
    # ipykernel puts pipes of its own on 1 and 2, iostream.OutStream._setup_stream_redirects; they end with this image.
    for original, number in zip(start.outputs, (1, 2), strict=True):
        os.dup2(original, number)
    with _logged("the sockets"):
        app.close()  # closes each in order and waits until all that was sent has left


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except Exception:  # the border: a new image mends it, a half-ended one doesn't
        log.exception("can't end %s properly", what)


def _end_children() -> None:
    """End the children in the kernel's own process group, as ipykernel does at shutdown, ``kernelbase._at_shutdown``.

    A forked child would hold the kernel's ports open, and the new image could not have them.
    """
    import psutil  # type: ignore[import-untyped]  # ipykernel needs it too

    group = os.getpgrp()
    children = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(child.pid) == group:
                child.terminate()
                children.append(child)
    _, alive = psutil.wait_procs(children, timeout=CHILDREN_END)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, timeout=CHILDREN_END)


def _original_descriptor(stream: object, number: int) -> int:
    """Return where descriptor 1 or 2 led when the kernel started."""
    copy = getattr(stream, "_original_stdstream_copy", None)
    return copy if isinstance(copy, int) else number


def _exec(start: StartingPoint, carried_along: Carried) -> NoReturn:
    folder = start.folder if os.path.isdir(start.folder) else os.path.expanduser("~")
    kept = [guest["link"] for guest in carried_along.guests]
    carried = _carry({"words": start.words, "guests": list(carried_along.guests), "ignored": carried_along.ignored})
    environment = {**start.environment, STATE.encode(): str(carried).encode()}
    for number in map(int, os.listdir("/dev/fd")):
        if number > 2:
            _set_inheritable(number, inheritable=number in kept or number == carried)
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    if threading.current_thread() is threading.main_thread():
        _reset_signals()
    os.chdir(folder)
    # An attached debugger replaces os.exec* by functions of its own.
    posix.execve(start.executable, start.command(), environment)


def _carry(state: Mapping[str, Any]) -> int:
    """Return the descriptor of a file without a name that holds the state."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("ipy_autorestart")
    else:
        import tempfile

        number, path = tempfile.mkstemp()
        os.unlink(path)
    os.write(number, json.dumps(state).encode())
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _set_inheritable(number: int, *, inheritable: bool) -> None:
    try:
        os.set_inheritable(number, inheritable)
    except OSError:  # closed meanwhile, as the listing's own
        return


def _reset_signals() -> None:
    """Give back what is ignored and blocked, which exec keeps, but for SIGINT: an interrupt must not hit the start."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGHUP}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGHUP])
