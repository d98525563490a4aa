"""A second process of the supervisor: it kills what runs if the supervisor is killed, however that happens."""

from __future__ import annotations

import contextlib
import os
import signal

#: Each line is the process group that runs; at the end of the lines the supervisor is gone. A shell takes a megabyte
#: and starts in a millisecond; a fork of the supervisor takes eight, as both soon have pages of their own.
PROGRAM = """
trap '' INT HUP TERM
guarded=0
while read -r group; do guarded=$group; done
[ "$guarded" -eq 0 ] || kill -s KILL -- "-$guarded"
"""

#: How a list of processes shows it.
NAME = "ipy-autorestart-guardian"


class Guardian:
    """A child that knows which process group runs, and kills it when its pipe from this process ends."""

    def __init__(self) -> None:
        self._guarded = 0
        self._start()

    def _start(self) -> None:
        self.pid = 0
        read, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)  # it may have been stopped
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.pid = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", PROGRAM, NAME],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate((read, nothing, nothing))],
                setsid=True,
                setsigmask=[],
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(read)
            os.close(nothing)

    def guard(self, pid: int) -> None:
        """Guard a process group, and no other; 0 for none."""
        if pid != self._guarded:
            self._guarded = pid
            self._send()

    def _send(self) -> None:
        with contextlib.suppress(OSError):  # it was killed, which `keep_up` notices
            os.write(self._pipe, b"%d\n" % self._guarded)

    def keep_up(self) -> None:
        """Replace it if it was killed."""
        try:
            if self.pid and os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:  # reaped with the orphans
            pass
        if self.pid:
            os.close(self._pipe)
        with contextlib.suppress(OSError):  # no process is to be had; the next call tries again
            self._start()
            self._send()

    def close(self) -> None:
        """End it, with nothing to kill, and reap it."""
        if not self.pid:
            return
        with contextlib.suppress(ChildProcessError):  # reaped with the orphans
            if os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                os.kill(self.pid, signal.SIGKILL)  # whatever it does: it may have been stopped
                os.waitpid(self.pid, 0)
        os.close(self._pipe)
        self.pid = 0
