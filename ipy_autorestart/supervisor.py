"""The supervisor as its front sees it: a process that keeps one target running, and the thread that listens to it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import select
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any, Protocol, Self

import ipy_autorestart
from ipy_autorestart.command import KERNEL, LINK
from ipy_autorestart.kernel.host import NO_KERNEL, current_host
from ipy_autorestart.kernel.restarter import Restarter
from ipy_autorestart.link import Began, Goodbye, Link, Output, Record, Restart, Status
from ipy_autorestart.options import BadInput, Options
from ipy_autorestart.request import Kernel, Request, Script, parse

log = logging.getLogger(__name__)


class Screen(Protocol):
    """Where a target shows itself; called from the listening thread."""

    def show(self, status: Status) -> None:
        """Show the status in place of the one before."""

    def begin(self, run: int) -> None:
        """Make room for what a new run prints."""

    def write(self, stream: str, text: str) -> None:
        """Show what the run wrote to "stdout" or "stderr"."""

    def to_state(self) -> Mapping[str, Any]:
        """Return, as plain data, what a screen at the same place needs after the kernel's exec."""


class Supervisor:
    """Keeps one target running as files change.

    Parameters
    ----------
    target
        `Script` or `Kernel`.
    paths
        Folders and files to watch; by default the script's folder. The script itself is always watched.
    options
        How.
    screen
        Where the target shows itself; by default only `status` tells.
    label
        Whatever its front knows it by.
    cwd
        The folder that relative paths start from; the current one by default.

    Raises
    ------
    BadInput
        If a path can't be watched, the target is the kernel and this is none, or the platform has no SIGHUP.

    Examples
    --------
    >>> with Supervisor(Script("main.py"), ["src/"]) as supervisor:
    ...     supervisor.status.state
    'starting'
    """

    def __init__(
        self,
        target: Script | Kernel,
        paths: Sequence[str | os.PathLike[str]] = (),
        *,
        options: Options | None = None,
        screen: Screen | None = None,
        label: str = "",
        cwd: str | os.PathLike[str] = "",
    ) -> None:
        check_platform()
        folder = os.path.abspath(cwd or os.curdir)
        self.request = Request(target, tuple(os.fspath(path) for path in paths), options or Options(), folder)
        self.request.check()
        self.screen = screen
        self.label = label
        self.status = Status()
        self._link: Link | None = None
        self._pid = 0
        self._errors: IO[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._asleep, self._alarm = -1, -1
        self._parting = False
        self._host = current_host()
        self._restarter = self._find_restarter()

    def _find_restarter(self) -> Restarter | None:
        """Return who restarts the target, if it is the kernel; raises `BadInput` outside a kernel."""
        if isinstance(self.request.target, Script):
            return None
        if self._host is None or self._host.restarter is None:
            raise BadInput(NO_KERNEL)
        return self._host.restarter

    @property
    def is_alive(self) -> bool:
        """Whether the supervisor's process is there and heard."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the process; returns at once, and the target starts as soon as the process is up."""
        if self._restarter:
            self._restarter.arm(self, then=self._launch)
        else:
            self._launch()

    def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        kernel = [KERNEL] if isinstance(self.request.target, Kernel) else []
        words = [LINK, self.request.cwd, *kernel, *self.request.to_argv()]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the process
        with theirs:
            self._pid = _spawn(words, link=theirs.fileno(), errors=self._errors.fileno())
        self._listen(Link(ours))
        if self._host:
            self._host.guests.append(self)

    def restart(self) -> None:
        """Restart the target without a change."""
        self.send(Restart())

    def send(self, record: Record) -> None:
        """Say something to the process; lost if it is gone."""
        if self._link:
            self._link.send(record)

    def stop(self) -> None:
        """Stop the target and the process and wait for both; at most a second longer than the stop timeout."""
        self._parting = True
        self.send(Goodbye())
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(self.request.options.stop_timeout + 1)
            if self._thread.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
                self._thread.join()
        if self._restarter:  # once more: here it may be the main thread, which needn't wait for its loop
            self._restarter.disarm(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- over the kernel's exec ----------------------------------------------------------------------------------------

    def detach(self) -> dict[str, Any]:
        """Stop listening and return, as plain data, what `attach` needs to go on in another image of this process."""
        assert self._link
        assert self._thread
        os.write(self._alarm, b"x")
        self._thread.join()
        received = self._link.received.decode("latin-1")
        return {
            "link": self._link.detach(),
            "received": received,
            "pid": self._pid,
            "kernel": isinstance(self.request.target, Kernel),
            "name": self.request.target.name,
            "words": self.request.to_argv(),
            "cwd": self.request.cwd,
            "label": self.label,
            "screen": self.screen.to_state() if self.screen else None,
        }

    @classmethod
    def attach(cls, state: Mapping[str, Any], *, screen: Screen | None = None) -> Self:
        """Go on where `detach` left off."""
        self = cls.__new__(cls)
        self.request = parse(state["words"], defaults=Options(), cwd=state["cwd"], kernel=state["kernel"])
        self.screen = screen
        self.label = state["label"]
        self.status = Status()
        self._errors = None
        self._pid = state["pid"]
        self._parting = False
        self._host = current_host()
        self._restarter = self._find_restarter()
        if self._host:
            self._host.guests.append(self)
        self._listen(Link(socket.socket(fileno=state["link"]), state["received"].encode("latin-1")))
        return self

    # -- the listening thread ------------------------------------------------------------------------------------------

    def _listen(self, link: Link) -> None:
        self._link = link
        self._asleep, self._alarm = os.pipe()
        name = f"ipy_autorestart {self.request.target.name}"
        self._thread = threading.Thread(target=self._hear, args=(link,), name=name, daemon=True)
        self._thread.start()

    def _hear(self, link: Link) -> None:
        waiting = select.poll()
        waiting.register(link, select.POLLIN)
        waiting.register(self._asleep, select.POLLIN)
        try:
            while True:
                if any(fd == self._asleep for fd, _ in waiting.poll()):
                    return
                for record in link.receive():
                    self._take(record)
        except EOFError:
            self._end(link)
        finally:
            os.close(self._asleep)
            os.close(self._alarm)

    def _take(self, record: Record) -> None:
        if isinstance(record, Status):
            self.status = record
        if self.screen is None:
            return
        match record:
            case Status():
                self.screen.show(record)
            case Began(run):
                self.screen.begin(run)
            case Output(_, stream, text):
                self.screen.write(stream, text)
            case _:
                log.warning("unexpected from the supervisor: %s", record)

    def _end(self, link: Link) -> None:
        """Tidy up after the process, which has closed its end."""
        link.close()
        with contextlib.suppress(ChildProcessError):  # the user's own os.wait() was first
            os.waitpid(self._pid, 0)
        message = "" if self._parting else f"the supervisor has ended; {self._last_words()}"
        if self.status.pid and isinstance(self.request.target, Script):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.status.pid, signal.SIGKILL)
        if self._errors:
            self._errors.close()
        if self._host and self in self._host.guests:
            self._host.guests.remove(self)
        if self._restarter:
            self._restarter.disarm(self)
        self._take(dataclasses.replace(self.status, state="ended", message=message, pid=0))

    def _last_words(self) -> str:
        if self._errors is None:
            return "nothing is watched any more"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing is watched any more"


def check_platform() -> None:
    """Raise `BadInput` where restarting by signal is impossible."""
    if not hasattr(signal, "SIGHUP"):
        raise BadInput("this platform has no SIGHUP, by which a restart is asked for; use Linux, macOS or WSL")


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
