"""A second process of the supervisor: it kills what runs if the supervisor is killed, however that happens."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Sequence

from ipy_autorestart.script.shell import start_shell

#: Each line is what runs, as kill(1) takes it: a process group with its minus, and processes besides. At the end of the
#: lines the supervisor is gone, and their descendants, in whatever session, are found before their parents are killed,
#: unless these are to be left. A fork of the supervisor would take eight megabytes, as both get pages of their own.
PROGRAM = """
trap '' INT HUP TERM
guarded=
while read -r line; do guarded=$line; done
found=
[ "$1" = leave ] || found=$guarded
while [ -n "$found" ]; do
    children=
    for one in $found; do children="$children $(cat /proc/"${one#-}"/task/*/children 2>/dev/null)"; done
    found=$(echo $children)
    guarded="$guarded $found"
done
[ -n "$guarded" ] || exit
kill -s KILL -- $guarded
shift
[ $# -eq 0 ] || exec "$@" $guarded
"""

#: How a list of processes shows it.
NAME = "ipy-autorestart-guardian"


class Guardian:
    """A child that knows what runs, and kills it when its pipe from this process ends.

    If ``leave_daemons``, it kills what it is told of and nothing more. It runs a command ``after``, with what it has
    killed as further arguments; one that is for the terminal, in whose session it is then.
    """

    def __init__(self, *, leave_daemons: bool = False, after: Sequence[str] = ()) -> None:
        self._arguments = ("leave" if leave_daemons else "find", *after)
        self._group = 0 if after else None
        self._guarded = b"\n"
        self._start()

    def _start(self) -> None:
        self.pid = 0
        self.pid, self._pipe = start_shell(PROGRAM, NAME, *self._arguments, group=self._group)
        os.set_blocking(self._pipe, False)  # it may have been stopped

    def guard(self, group: int, others: Iterable[int] = ()) -> None:
        """Guard a process group, 0 for none, and other processes, with all their descendants; and nothing else."""
        guarded = [-group] if group else []
        line = " ".join(map(str, [*guarded, *sorted(others)])).encode() + b"\n"
        if line != self._guarded:
            self._guarded = line
            self._send()

    def _send(self) -> None:
        if self.pid:  # else the descriptor is another's
            with contextlib.suppress(OSError):  # it was killed, which `keep_up` notices
                os.write(self._pipe, self._guarded)

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

    def act(self) -> None:
        """Have it kill what it guards, now, and end."""
        self.keep_up()
        if self.pid:
            os.close(self._pipe)
            os.kill(self.pid, signal.SIGCONT)  # it may have been stopped
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0

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
