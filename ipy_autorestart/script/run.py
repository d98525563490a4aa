"""One run of a script: a fresh interpreter in a session of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from ipy_autorestart.script.reports import Reports
from ipy_autorestart.script.streams import Stream

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")

#: Environment variable by which the shim learns what to do; it takes it out before the script begins.
VARIABLE = "IPY_AUTORESTART_RUN"

SEPARATOR = "\x1f"


class Run:
    """One execution of a script, from its start to the end of its whole process group.

    Parameters
    ----------
    command
        What follows the interpreter: script or ``-m module``, and arguments.
    roots
        Folders, with a slash at the end, and files of which the run is to report what it reads and writes.

    Raises
    ------
    OSError
        If the interpreter can't be started.
    """

    def __init__(self, command: Sequence[str], *, roots: Sequence[str] = ()) -> None:
        reports, report = os.pipe()
        self.reports = Reports(reports)
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, *command],
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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def poll(self) -> int | None:
        """Return the exit status once the leader has ended and the rest of its group is gone, None before."""
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        # The dead leader still holds the group's number: what it left behind can be ended without hitting others.
        self.signal(signal.SIGKILL)
        return self._process.wait()

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
