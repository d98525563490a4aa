"""One run of a script: a process group of its own, from its start to the end of its last process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from ipy_autorestart.script.displays import Displays
from ipy_autorestart.script.pipes import Ends, Pipe, Reports, ends
from ipy_autorestart.script.program import Program
from ipy_autorestart.script.streams import Stream

#: Seconds between two looks at a group none of whose processes is a child of this one: nothing tells of its end.
LOOKED_AT = 0.05


@dataclass(frozen=True, slots=True)
class Ended:
    """The script has ended with a status; ``left`` says whether processes of its group have not."""

    status: int
    left: bool


class Discarded(Pipe):
    """A pipe that is read for its writer's sake: at a closed one, that would be killed."""

    def take_bytes(self, data: bytes) -> None:
        """Forget what was read."""


class Run:
    """One execution of a script.

    Orphans of the group become children of this process where the system has child subreapers (Linux), so that their
    end is told as that of the script is. Numbers can't go to somebody else meanwhile: that of a group is free only
    when its last process has been reaped, here.

    Parameters
    ----------
    pid
        Of the leader, which is the group's too.
    ends
        What to read from; taken over.
    lossless
        Leave nothing out of what it prints.
    """

    def __init__(self, pid: int, ends: Ends, *, lossless: bool) -> None:
        self.pid = pid
        self.displays = Displays(ends.displays) if ends.displays is not None else None
        self.streams = tuple(
            Stream(name, number, lossless=lossless, live=ends.displays is not None, before=self._read_displays)
            for name, number in zip(("stdout", "stderr"), ends.outputs, strict=False)
        )
        self.reports = Reports(ends.reports)
        self._status: int | None = None
        self._told: Ended | None = None
        self._strangers = False
        self._asked: signal.Signals | None = None
        self._signalled: frozenset[int] = frozenset()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, and to what else is of its session as soon as that can be known."""
        self._asked = number
        if self._told is None or self._told.left:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter of a group of zombies on macOS
                os.killpg(self.pid, number)
            for pid in self._others():
                os.kill(pid, number)

    def forward(self, number: int) -> None:
        """Send its group a signal that a terminal would have sent it; it may well go on."""
        if self._told is None or self._told.left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def poll(self) -> Ended | None:
        """Reap what has ended of the group, and return what is new about its end, if anything is."""
        if self._told is not None and not self._told.left:  # all is gone
            return None
        children = self._reap()
        if self._status is None:
            return None
        others = self._others()
        if self._asked is not None:
            for pid in others - self._signalled:  # those whose parent has ended only now
                os.kill(pid, self._asked)
        self._signalled = others if self._asked is not None else frozenset()
        ended = Ended(self._status, left=children or bool(others) or self._has_strangers())
        if ended == self._told:
            return None
        self._told = ended
        return ended

    @property
    def has_ended(self) -> bool:
        """Whether the script has; processes that it started may not."""
        return self._status is not None

    @property
    def is_to_be_looked_at(self) -> bool:
        """Whether no signal will tell of its end."""
        return self._strangers

    def _reap(self) -> bool:
        """Reap the children that have ended and say whether others have not."""
        while True:
            try:
                pid, status = os.waitpid(-self.pid, os.WNOHANG)
            except ChildProcessError:
                if self._status is None:
                    self._status = -signal.SIGKILL  # it was reaped by somebody else, and nothing tells how it ended
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self._status = os.waitstatus_to_exitcode(status)

    def _others(self) -> frozenset[int]:
        """Return children of this process that are of the run's session and of another group: orphans of the run.

        A shell makes such groups, and `timeout`. What has a session of its own has detached itself.
        """
        found = set()
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                if pid != self.pid and os.getsid(pid) == self.pid and os.getpgid(pid) != self.pid:
                    found.add(pid)
        return frozenset(found)

    def _has_strangers(self) -> bool:
        """Whether the group has living processes whose parents are alive outside of it, or which nobody adopts."""
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):  # the latter of a group of zombies on macOS
            self._strangers = False
        else:
            self._strangers = not os.path.isdir("/proc/self") or any(map(self._is_member, os.listdir("/proc")))
        return self._strangers

    def _is_member(self, name: str) -> bool:
        """Whether a process of /proc is of the group and no zombie (proc_pid_stat(5))."""
        try:
            with open(f"/proc/{name}/stat") as file:
                state, _, group = file.read().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            return False
        return state != "Z" and int(group) == self.pid

    def _read_displays(self) -> None:
        if self.displays:
            self.displays.drain()

    @property
    def _pipes(self) -> tuple[Pipe, ...]:
        return (*([self.displays] if self.displays else []), *self.streams, self.reports)

    def drain(self) -> None:
        """Take all that the pipes hold now."""
        for pipe in self._pipes:
            pipe.drain()

    def close(self) -> list[Discarded]:
        """Give up the pipes; what is returned must be read as long as something that has detached itself writes."""
        self._strangers = False
        kept = [Discarded(os.dup(pipe.fileno())) for pipe in self._pipes if pipe.is_open]
        for pipe in self._pipes:
            pipe.close()
        return kept


def _children() -> Iterator[int]:
    """Return the children of this process, where the system tells (proc_pid_task_children(5))."""
    with contextlib.suppress(OSError):
        # Without a file object, which costs more than all the rest, while a stop is waited for.
        fd = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
        try:
            children = b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
        finally:
            os.close(fd)
        yield from map(int, children.split())


def reap_orphans(*, besides: int) -> None:
    """Reap what runs have left behind outside of their groups, and whose parents have ended; of one group, nothing."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13, where orphans don't come here
        return
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if (
            ended is None or os.getpgid(ended.si_pid) == besides != 0
        ):  # its own turn comes, with the signal that woke us
            return
        os.waitpid(ended.si_pid, 0)


SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")

#: Environment variable by which the shim learns what to do; it takes it out before the script begins.
VARIABLE = "IPY_AUTORESTART_RUN"

#: Not in a path that anybody has; the shim takes it from the variable's first character.
SEPARATOR = "\x1f"


def start_cold(program: Program, *, lossless: bool = False) -> Run:
    """Start a run; raises OSError if the interpreter or the folder isn't there."""
    with ends(program) as (ours, theirs):
        stdin, stdout, stderr = theirs.stdio
        process = subprocess.Popen(
            [program.python, *program.flags, *program.argv],
            cwd=program.cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment(program, link=theirs.others[0], shown=theirs.others[-1]),
            pass_fds=theirs.others,
            start_new_session=True,
        )
    process.returncode = 0  # reaped with its group; nothing is to be done when this object goes
    return Run(process.pid, ours, lossless=lossless)


def environment(program: Program, *, link: int, plan: int | None = None, shown: int = 0) -> dict[str, str]:
    """Return the environment in which a run finds the shim first.

    ``link`` is the descriptor to report on, or with a ``plan`` that by which a fork server is controlled; ``shown``
    is that to display on.
    """
    plain = program.environment
    # PYTHONPATH as it was travels with a mark, which tells an empty one from none.
    old = plain.get("PYTHONPATH")
    marked = "" if old is None else f"={old}"
    path = os.pathsep.join([SHIM, old] if old else [SHIM])
    number = str(os.fstat(link).st_ino)
    words = [str(link), number, marked, "" if plan is None else str(plan), str(shown), program.displays, *program.roots]
    return {**plain, "PYTHONPATH": path, VARIABLE: SEPARATOR + SEPARATOR.join(words)}
