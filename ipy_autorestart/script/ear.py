"""A process in a run's group that ends when the keyboard tells the group so: then the supervisor knows it, too."""

from __future__ import annotations

import contextlib
import os
import signal

from ipy_autorestart.script.shell import start_shell

#: It waits at a pipe, and lives through the usual stop signals. A core dump of it would be of no use.
PROGRAM = "ulimit -c 0; trap '' HUP TERM USR1 USR2; read _"

#: How a list of processes shows it.
NAME = "ipy-autorestart-ear"

#: What it listens for: Ctrl-C and Ctrl-\.
KEYS = (signal.SIGINT, signal.SIGQUIT)


class Ear:
    """A child of this process in another's group; raises OSError if that is gone, or no process is to be had.

    A terminal sends its signals to the group in its foreground, and nobody else learns of them. The group may only be
    one of this session.
    """

    def __init__(self, group: int) -> None:
        self.pid, self._pipe = start_shell(PROGRAM, NAME, group=group, defaults=[*KEYS, signal.SIGTSTP])

    def leave(self) -> None:
        """Have it end by itself, unless a key is quicker; it is still to be reaped."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
            with contextlib.suppress(ProcessLookupError):  # reaped with the orphans
                os.kill(self.pid, signal.SIGCONT)

    def ended(self, status: int) -> int:
        """Close what is left of it, which has been reaped with this status; return what it has heard, 0 for nothing."""
        self.leave()
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) and os.WTERMSIG(status) in KEYS else 0

    def close(self) -> int:
        """End it and reap it, in a third of a millisecond; return what it has heard before, 0 for nothing."""
        self.leave()
        with contextlib.suppress(ChildProcessError):  # reaped with the orphans
            return self.ended(os.waitpid(self.pid, 0)[1])
        return 0
