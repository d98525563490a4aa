"""One run of a script: a fresh interpreter in a session of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from ipy_autorestart.script.reports import Reports
from ipy_autorestart.script.streams import Stream

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")

#: Environment variable by which the shim learns what to do; it takes it out before the script begins.
VARIABLE = "IPY_AUTORESTART_RUN"

SEPARATOR = "\x1f"

#: Seconds that a killed group may take to be gone; a process with much memory takes some.
LINGER = 1.0


class Run:
    """One execution of a script, from its start to the end of its whole process group.

    Parameters
    ----------
    command
        What follows the interpreter: script or ``-m module``, and arguments.
    cwd
        The folder it runs in, by path: it may have been made anew since the start.
    roots
        Folders, with a slash at the end, and files of which the run is to report what it reads and writes.

    Raises
    ------
    OSError
        If the interpreter can't be started.
    """

    def __init__(self, command: Sequence[str], *, cwd: str | None = None, roots: Sequence[str] = ()) -> None:
        reports, report = os.pipe()
        self.reports = Reports(reports)
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, *command],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(report, roots),
                pass_fds=[report],
                start_new_session=True,
            )
        except OSError:
            self.reports.close()
            raise
        finally:
            os.close(report)
        self._status: int | None = None
        self._ended_at = 0.0
        assert process.stdout is not None
        assert process.stderr is not None
        self.pid = process.pid
        self.streams = (
            Stream("stdout", os.dup(process.stdout.fileno())),
            Stream("stderr", os.dup(process.stderr.fileno())),
        )
        process.stdout.close()
        process.stderr.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        # The leader is reaped in `poll` only, so its number can't have gone to somebody else.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter of a group of zombies on macOS
            os.killpg(self.pid, number)

    def poll(self) -> int | None:
        """Return the exit status once the whole group is gone, None before.

        What the leader left behind is ended. The next run may need what it holds: a port, say, until it is really gone.
        """
        if self._status is None:
            if not self._has_ended():
                return None
            # The dead leader still holds the group's number: what it left behind can be ended without hitting others.
            self.signal(signal.SIGKILL)
            self._status = self._process.wait()
            self._ended_at = time.monotonic()
        return None if self.is_lingering else self._status

    def _has_ended(self) -> bool:
        if not hasattr(os, "waitid"):  # macOS before Python 3.13: the leader is reaped here and its number may be free
            return self._process.poll() is not None
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    @property
    def is_lingering(self) -> bool:
        """Whether the leader has ended and some of its group has not; after a second that is given up."""
        if self._status is None or time.monotonic() - self._ended_at > LINGER:
            return False
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # macOS says so of a group of zombies
            return False
        return True

    def close(self) -> None:
        """Give back the pipes."""
        self.reports.close()
        for stream in self.streams:
            stream.close()


def _environment(report: int, roots: Sequence[str]) -> dict[str, str]:
    """Return the environment in which a run finds the shim first."""
    # PYTHONPATH as it was travels with a mark, which tells an empty one from none.
    old = os.environ.get("PYTHONPATH")
    marked = "" if old is None else f"={old}"
    path = os.pathsep.join([SHIM, old] if old else [SHIM])
    return {**os.environ, "PYTHONPATH": path, VARIABLE: SEPARATOR.join([str(report), marked, *roots])}
