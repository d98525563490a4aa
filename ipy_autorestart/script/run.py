"""One run of a script: its process group, from the start to the end of the last process."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ipy_autorestart.script.ear import KEYS, Ear
from ipy_autorestart.script.orphans import Orphans, ask_to_end
from ipy_autorestart.script.pipes import Ends, Pipe, ReportPipe, ends
from ipy_autorestart.script.ports import PortsLink
from ipy_autorestart.script.program import Program

if TYPE_CHECKING:
    from ipy_autorestart.decide.events import Exited
    from ipy_autorestart.script.displays import DisplayPipe
    from ipy_autorestart.script.streams import Stream

#: Rounds in which a group is killed one by one: meanwhile a process may fork.
KILL_ROUNDS = 10

#: Seconds in which a run may end of a key that came before its ear.
EAR_IS_NEW = 1.0

#: Seconds between the end of a script's reports and its own, if that is why they ended.
ENDS_AT_ONCE = 0.5

#: Seconds between two looks at a group that no child of this process is in: no signal tells of its end.
LOOKED_AT = 0.05


class Run:
    """One execution of a script.

    Orphans of the group become children of this process where the system has child subreapers (Linux), so that a
    SIGCHLD tells of their end too. The group's number can't be reused meanwhile: it is free only when the last process
    has been reaped, which happens here.

    Attributes
    ----------
    must_be_polled
        No signal will tell of its end.
    stopped_by
        The signal that has stopped the script, if it was stopped since this was last set to 0.
    heard
        The signal that the terminal has sent the group, if it has since this was last set to 0.
    died_of
        The signal of which it has died, probably by a key that was not heard.
    """

    def __init__(self, pid: int, ends: Ends, *, lossless: bool) -> None:
        self.pid = pid
        self.displays: DisplayPipe | None = None
        self.streams: tuple[Stream, ...] = ()
        if ends.displays is not None or ends.outputs:  # a proxy's kernels have none, and it starts sooner without
            self._show(ends, lossless=lossless)
        self.reports = ReportPipe(ends.reports)
        self.ports = PortsLink(ends.ports) if ends.ports is not None else None
        self._status: int | None = None
        self._is_unheard = False
        self._reported: Exited | None = None
        self._group_is_gone = False
        self.stopped_by = self.heard = self.died_of = 0
        self._ear: Ear | None = None
        self._listens_since = math.inf
        self._sent: set[int] = set()
        self.must_be_polled = False
        self._signum: signal.Signals | None = None
        self._signalled: frozenset[int] = frozenset()

    def _show(self, ends: Ends, *, lossless: bool) -> None:
        from ipy_autorestart.script.displays import DisplayPipe
        from ipy_autorestart.script.streams import Stream

        self.displays = DisplayPipe(ends.displays) if ends.displays is not None else None
        self.streams = tuple(
            Stream(
                name,
                fd,
                lossless=lossless,
                live=self.displays is not None,
                before=self.displays.drain if self.displays else lambda: False,
            )
            for name, fd in zip(("stdout", "stderr"), ends.outputs, strict=False)
        )

    def signal(self, signum: signal.Signals, orphans: Orphans) -> None:
        """Ask its group to end, even if that was stopped, and its other processes as soon as they are known."""
        self._signum = signum
        if signum in KEYS:  # it is not the keyboard's
            self._hush()
        trackers = self._trackers() if signum == signal.SIGKILL else frozenset()
        if trackers:
            self._kill_all_but(trackers)
        else:
            self.forward(signum)
            self.forward(signal.SIGCONT)
        self._signalled = frozenset()
        self._ask(orphans.of(self.pid))

    def _ask(self, others: frozenset[int]) -> None:
        if self._signum is not None:
            for pid in others - self._signalled:  # those whose parent has ended only now
                ask_to_end(pid, self._signum)
            self._signalled = others

    def forward(self, signum: int) -> None:
        """Send the group a signal as a terminal does; the run may go on."""
        self._sent.add(signum)
        if not self._group_is_gone:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter of a group of zombies on macOS
                os.killpg(self.pid, signum)

    def listen(self) -> None:
        """Hear from now on what the terminal tells the group."""
        if self._ear is None and self._status is None and self._signum != signal.SIGKILL:
            with contextlib.suppress(OSError):  # the group has just ended, or no process is to be had
                self._ear = Ear(self.pid)
                self._listens_since = min(self._listens_since, time.monotonic())

    def _is_new_to_the_ear(self) -> bool:
        return time.monotonic() < self._listens_since + EAR_IS_NEW

    def hush(self) -> None:
        """Hear nothing any more, soon."""
        if self._ear:
            self._ear.leave()

    def _hush(self) -> None:
        if self._ear:
            self.heard = self._ear.close() or self.heard
            self._ear = None

    def poll(self, orphans: Orphans) -> Exited | None:
        """Reap processes of the run that have ended; return news about its end, if there is any."""
        if self._reported is not None and not self._reported.left:
            return None
        from ipy_autorestart.decide.events import Exited  # a proxy, which starts sooner without, has no need of it

        children = not self._group_is_gone and self._reap()
        if self._status is None:
            return None
        orphans.reap(besides=self.pid)
        others = orphans.of(self.pid)
        self._ask(others)
        strangers = not (children or self._group_is_gone) and self._has_strangers()
        self._group_is_gone = not children and not strangers
        self.must_be_polled = strangers and not others
        ended = Exited(self._status, left=children or strangers or bool(others))
        if ended == self._reported:
            return None
        self._reported = ended
        return ended

    @property
    def guarded(self) -> int:
        """The process group that must not outlive this process, 0 if there is none any more."""
        return 0 if self._group_is_gone else self.pid

    @property
    def has_ended(self) -> bool:
        """Whether the script has ended; processes that it started may go on."""
        return self._status is not None

    def _look_for_end(self) -> int | None:
        """Return the status, None while it goes on, as the system tells it now: `poll` may hear of it only later."""
        if self._status is not None or not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._status
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # as in `_reap`
            return -signal.SIGKILL
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    @property
    def has_failed(self) -> bool:
        """Whether the script has ended by now, and not well."""
        return self._look_for_end() not in (None, 0)

    @property
    def is_unheard(self) -> bool:
        """Whether it has closed the pipe for reports, as daemons close all that they have, and uses what it likes."""
        if self._status is not None:
            return self._is_unheard
        return self._has_gone_on or (not self.reports.is_open and self._look_for_end() is None)

    @property
    def _has_gone_on(self) -> bool:
        return time.monotonic() > self.reports.ended_at + ENDS_AT_ONCE

    def _reap(self) -> bool:
        """Reap children of the group that have ended; return whether others go on."""
        while True:
            try:
                pid, status = os.waitpid(-self.pid, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                if self._status is None:
                    self._status = -signal.SIGKILL  # somebody else has reaped it: how it ended is unknown
                return False
            if pid == 0:
                return True
            if os.WIFSTOPPED(status):
                if pid == self.pid:
                    self.stopped_by = os.WSTOPSIG(status)
            elif pid == self.pid:
                self._status = os.waitstatus_to_exitcode(status)
                self._is_unheard = self._has_gone_on
                self._hush()
                # A key may have been quicker than the ear; shells too conclude from such an end that there was one.
                if -self._status in KEYS and -self._status not in self._sent and self._is_new_to_the_ear():
                    self.died_of = -self._status
            elif self._ear and pid == self._ear.pid:
                self.heard = self._ear.ended(status) or self.heard
                self._ear = None

    def _has_strangers(self) -> bool:
        """Return whether living processes of the group have parents outside of it, or are not adopted here."""
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):  # the latter of a group of zombies on macOS
            return False
        return not os.path.isdir("/proc/self") or any(self._members())

    def _members(self) -> Iterator[int]:
        """Yield the living processes of the group, where the system tells them: proc_pid_stat(5)."""
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat") as file:
                state, _, group = file.read().rpartition(")")[2].split()[:3]
                if state != "Z" and int(group) == self.pid:
                    yield int(name)

    def _trackers(self) -> frozenset[int]:
        """Return the resource trackers in the group: when all others are dead, they clean up and end."""
        return frozenset(filter(_is_tracker, self._members())) if os.path.isdir("/proc/self") else frozenset()

    def _kill_all_but(self, spared: frozenset[int]) -> None:
        for _ in range(KILL_ROUNDS):
            members = set(self._members()) - spared
            for pid in members:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not members:
                return

    @property
    def outputs(self) -> tuple[Pipe, ...]:
        """The pipes of all that it shows."""
        return (*([self.displays] if self.displays else []), *self.streams)

    def drain(self) -> None:
        """Read all that the pipes hold now."""
        for pipe in (*self.outputs, self.reports):
            pipe.drain()
        if self.ports:
            self.ports.drain()

    def close(self) -> list[Pipe]:
        """Close the pipes; return those to read as long as a process that has detached itself writes to them."""
        self.must_be_polled = False
        self._hush()
        kept = [Pipe(os.dup(pipe.fileno())) for pipe in self.outputs if pipe.is_open]
        for pipe in self.outputs:
            pipe.close()
        if self.ports:
            self.ports.close()
        return [*kept, *([self.reports] if self.reports.is_open else [])]


def _is_tracker(pid: int) -> bool:
    """Return whether a process is a resource tracker of multiprocessing or loky, whose command line says so."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"resource_tracker import main" in file.read()
    except OSError:  # it has just ended
        return False


SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")

#: The environment variable that tells the shim what to do; the shim removes it before the script begins.
VARIABLE = "IPY_AUTORESTART_RUN"

#: A character that no path has; the shim finds it at the start of the variable.
SEPARATOR = "\x1f"


def start_cold(program: Program, *, lossless: bool = False) -> Run:
    """Start a run; raises OSError if the interpreter or the folder isn't there."""
    with ends(program) as (ours, theirs):
        variables = environment(program, theirs.others[0], others=theirs.others[1:])
        pid = spawn(program, theirs.stdio, theirs.others, variables)
    return Run(pid, ours, lossless=lossless)


def spawn(program: Program, stdio: tuple[int, int, int], others: tuple[int, ...], variables: dict[str, str]) -> int:
    """Start an interpreter in a session or group of its own, which inherits these descriptors; return the process."""
    process = subprocess.Popen(
        [program.python, *program.flags, *program.argv],
        cwd=program.cwd,
        stdin=stdio[0],
        stdout=stdio[1],
        stderr=stdio[2],
        env=variables,
        pass_fds=others,
        start_new_session=not program.in_session,
        process_group=0 if program.in_session else None,
    )
    process.returncode = 0  # it is reaped elsewhere: this object must not wait for it
    return process.pid


def environment(program: Program, fd: int, *, plan: int | None = None, others: tuple[int, ...] = ()) -> dict[str, str]:
    """Return the environment in which an interpreter finds the shim.

    A run reports on the descriptor ``fd`` and has the ``others`` of `Theirs`; a fork server, which has a ``plan``, is
    controlled through ``fd``.
    """
    plain = program.environment
    old = plain.get("PYTHONPATH")
    path = os.pathsep.join([SHIM, old] if old else [SHIM])
    marked = "" if old is None else "="  # tells an empty one from none; what it holds is not said twice, to save room
    fields = [str(fd), str(os.fstat(fd).st_ino), marked, "" if plan is None else str(plan), " ".join(map(str, others))]
    fields += ["ports" if program.keeps_ports else "", str(len(program.sockets))]
    value = "".join(SEPARATOR + field for field in (*fields, program.displays, program.beside, *program.roots))
    return {**plain, "PYTHONPATH": path, VARIABLE: value}
