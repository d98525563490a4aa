"""One run of a script: a fresh interpreter in a session of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from ipy_autorestart.script.streams import Stream


class Run:
    """One execution of a script, from its start to the end of its whole process group.

    Parameters
    ----------
    command
        What follows the interpreter: script or ``-m module``, and arguments.

    Raises
    ------
    OSError
        If the interpreter can't be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        # A pipe makes Python hold back whole blocks; a notebook wants each line.
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
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
        for stream in self.streams:
            stream.close()
