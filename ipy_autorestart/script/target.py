"""A script as a target: what the engine starts, stops and listens to."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ipy_autorestart import catalogue
from ipy_autorestart.decide.events import Exited, Preloading, Refused
from ipy_autorestart.decide.use import Used
from ipy_autorestart.protocol.messages import Shown
from ipy_autorestart.script.foreground import Foreground
from ipy_autorestart.script.forkserver import ForkServer
from ipy_autorestart.script.guardian import Guardian
from ipy_autorestart.script.installed import Installed
from ipy_autorestart.script.leaving import Leaving
from ipy_autorestart.script.orphans import Orphans, children_in
from ipy_autorestart.script.outbox import Outbox
from ipy_autorestart.script.pipes import Pipe, ReportPipe
from ipy_autorestart.script.policy import UNWATCHED_AFTER, own_files
from ipy_autorestart.script.ports import Ports, PortsLink
from ipy_autorestart.script.preloader import Preloader
from ipy_autorestart.script.program import Program
from ipy_autorestart.script.run import LOOKED_AT, Run, start_cold

#: Seconds in which a run that was forked ahead must say that it goes on.
AWAKE_MAX = 2.0

#: Seconds between two readings of a run's reports: each wakes this process, which would slow a start.
REPORTS_APART = 0.02

#: Seconds between two words to the guardian about what a run has left behind meanwhile.
GUARDED_APART = 1.0

#: Seconds of a run in which is looked for ports that can't be kept.
OTHERS_LOOKED_FOR = 10.0

#: Pipes that are still read after their runs have ended.
DISCARDED_MAX = 48


class ScriptTarget:
    """Runs a script; at most one run at a time, but for what ``overlap`` says.

    Without a ``preloader`` each run starts cold. With a ``terminal``, which the program has to be in, each is a job in
    its foreground. `Outbox` says what ``lossless`` and ``send`` are for, `Orphans` what ``leave_daemons`` does. With
    ``overlap`` a run counts as ended when it is asked to end, and has so many seconds to do so beside the next one.
    ``unwatched`` makes a sentence about files that a run reads though they aren't watched.
    """

    def __init__(
        self,
        program: Program,
        *,
        stop_signal: signal.Signals,
        preloader: Preloader | None = None,
        lossless: bool = False,
        leave_daemons: bool = False,
        overlap: float | None = None,
        terminal: Foreground | None = None,
        send: Callable[[Shown], None],
        unwatched: Callable[[Sequence[str]], str] = lambda _: "",
    ) -> None:
        self._program = program
        self._stop_signal = stop_signal
        self._lossless = lossless
        self._outbox = Outbox(lossless=lossless, send=send)
        self._preloader = preloader
        self._terminal = terminal
        self._told = 0
        self._guardian = Guardian(leave_daemons=leave_daemons, after=terminal.way_back if terminal else ())
        self._guarded_at = 0.0
        self._orphans = Orphans(self._pids, leave_daemons=leave_daemons)
        self.is_warm: bool | None = None
        self.begun_at: float | None = None
        self._awake_by = self._reports_at = 0.0
        self._run: Run | None = None
        self._used = Used()
        self._written: set[str] = set()  # by any run
        self._ports = Ports()
        self._begun_at = 0.0
        self._others = program.keeps_ports  # whether ports that aren't kept are yet to be told
        self._unkept: tuple[int, ...] = ()
        self._overlap = overlap
        self._leaving = Leaving()
        self._say_unwatched = unwatched
        self._unwatched: dict[str, None] | None = (
            None  # files that the run reads though they aren't watched, once known
        )
        self._told_of: set[str] = set()
        self._has_asked = False  # the run has failed after a call of input(), which has nothing to read
        self._left: Exited | None = None  # the news of a run that is leaving
        self._stopping = False
        self._discarded: list[Pipe] = []
        self._input_at = _place(program.stdio[0]) if program.stdio else None

    @property
    def pid(self) -> int:
        """The process group of the run, 0 for none."""
        return self._run.pid if self._run else 0

    def launch(self, changed: Iterable[str], number: int) -> None:
        """Start a run; output of the last one that waits to be sent is dropped if that one was never announced."""
        if self._run:  # even SIGKILL has not ended it
            self._leave(self._run)
            self._orphans.leave()
        self.begun_at = None
        self._begun_at = time.monotonic()
        self._ports.begin(self._begun_at)
        if self._unkept:
            self._others, self._unkept = False, ()
        self._told_of |= set(self._unwatched or ())
        self._unwatched, self._has_asked = None, False
        try:
            self._begin(changed, number)
        except OSError:
            self._cannot_start()
            raise

    def _cannot_start(self) -> None:
        """Wait for a change of any file."""
        self._ports.release()
        self._used = replace(self._used, read=None)

    def _begin(self, changed: Iterable[str], number: int) -> None:
        os.stat(self._program.cwd)
        self._renew()
        self._rewind()
        self._run = None
        if self._preloader:
            self._run = self._preloader.start(changed, lossless=self._lossless, guard=self._lead_in)
        self.is_warm = self._run is not None
        self._awake_by = time.monotonic() + AWAKE_MAX
        self._reports_at = time.monotonic() + REPORTS_APART
        self._guarded_at = time.monotonic() + GUARDED_APART
        if self._run is None:
            self._start_cold()
        else:
            self._follow(self._run)
        if self._run and self._terminal and self._terminal.given:
            self._run.listen()
        self._stopping = False
        self._outbox.begin(number)

    def _renew(self) -> None:
        program = self._program.renewed()
        if program != self._program:
            self._program = program
            if self._preloader:
                self._preloader.renew(program)

    def _rewind(self) -> None:
        """Let ``< input.txt`` be for each run, and sockets that are passed block, whatever the last one has set."""
        for fd in self._program.sockets if self._overlap is None else ():  # the last run may still use them
            os.set_blocking(fd, True)
        if self._program.stdio and self._input_at is not None:
            os.lseek(self._program.stdio[0], self._input_at, os.SEEK_SET)

    def _lead_in(self, group: int) -> None:
        """Do what a run's process group needs before it begins."""
        self._guardian.guard(group, self._beside())
        if self._terminal:
            self._terminal.give(group)

    def _guard(self, run: Run) -> None:
        self._guardian.guard(run.guarded, (*self._orphans.of(run.pid, whole=True), *self._beside()))

    def _beside(self) -> list[int]:
        """Return the groups of runs that are leaving, as the guardian takes them."""
        return [-group for group in self._leaving.groups]

    def _pids(self) -> frozenset[int]:
        """Return the processes that serve this one, or that a run before is leaving with."""
        preloads = self._preloader.pids() if self._preloader else ()
        leaving = children_in(self._leaving.groups)
        return frozenset((self._guardian.pid, *preloads, *leaving))

    def _leave(self, run: Run) -> None:
        """Close a run's pipes, but go on reading those that a process which has detached itself writes to."""
        self._written |= run.reports.written
        self._discarded += run.close()
        self._hear_of_writes()
        self._discarded = [pipe for pipe in self._discarded if pipe.is_open]
        while len(self._discarded) > DISCARDED_MAX:
            self._discarded.pop(0).close()

    def _start_cold(self) -> None:
        self.is_warm = False
        if self._preloader:
            self._preloader.note_cold()
        self._run = start_cold(self._program, lossless=self._lossless)
        self._lead_in(self._run.pid)
        self._follow(self._run)

    def _follow(self, run: Run) -> None:
        """Take what a run prints, and hear of its ports."""
        self._outbox.follow(run)
        if run.ports:
            run.ports.hear = self._ports.hear

    def terminate(self) -> None:
        """Ask the run and the processes it has started to end."""
        self._stopping = True
        if self._run and self._terminal:  # from now on the keys are for the watch
            self._run.hush()
            self._terminal.take()
        if self._run and self._run.ports:
            self._run.ports.drain()
        self._ports.restart()
        if self._run:
            self._run.signal(self._stop_signal, self._orphans)
        if self._run and self._overlap is not None and not self._ports.is_over:
            self._let_finish(self._run, self._overlap)

    def _let_finish(self, run: Run, seconds: float) -> None:
        """Count a run as ended, and let it finish beside the next one; what it prints into pipes isn't shown."""
        now = time.monotonic()
        run.drain()
        self._used = self._use_of(run, failed=False)
        self._outbox.take_all(now, last=True)
        self._outbox.follow(None)
        self._leave(run)
        self._run = None
        self._leaving.add(run.pid, until=now + seconds)
        self._guardian.guard(0, self._beside())
        self._left = Exited(-self._stop_signal)

    def release(self) -> None:
        """Let go of what is kept for the next run: there is none."""
        self._ports.close()

    def kill(self) -> None:
        """Kill the run and the processes it has started."""
        if self._run:
            self._run.signal(signal.SIGKILL, self._orphans)

    def poll(self, now: float) -> Exited | Refused | None:
        """Return news about the end of the run, if there is any."""
        if self._left:
            left, self._left = self._left, None
            return left
        self._leaving.keep_up(now)
        ended = self._run.poll(self._orphans) if self._run else None
        self._guardian.keep_up()
        self._orphans.reap(besides=self.pid)
        if self._run and self._terminal:
            self._share(self._terminal, self._run, ended)
        if self._run and (now >= self._guarded_at or (ended and ended.left)):
            self._guarded_at = now + GUARDED_APART
            self._guard(self._run)
            self._ports.keep_up(now)
            if self._others and not self._unkept and now < self._begun_at + OTHERS_LOOKED_FOR:
                self._unkept = self._ports.find_others(self._run.pid)
        if self._run and (ended or now >= self._reports_at) and self._run.reports.drain():
            self._reports_at = now + REPORTS_APART
        if self._run and self._unwatched is None and (ended or now >= self._begun_at + UNWATCHED_AFTER):
            self._unwatched = self._find_unwatched(self._run.reports)
        if self._run and ended and ended.status and self._program.stdio is None:
            self._has_asked = self._run.reports.has_asked and not self._stopping
        if self._run and not self._stopping:
            self.begun_at = self._run.reports.begun_at
        if self._preloader:
            if self._run:
                self._preloader.learn(self._run.reports)
            self._preloader.keep_up(now, running=self._is_running)
        try:
            if self._run is None or self._is_stuck(now, ended) or ended is None:
                return None
        except OSError as error:  # of a cold start in the place of a warm one
            self._run = None
            self._cannot_start()
            return Refused(catalogue.CANT_START(error=error), runs=False)
        self._run.drain()
        # After a failure every file counts: the one that would mend it may not have been read yet.
        failed = ended.status != 0 and not self._stopping
        self._used = self._use_of(self._run, failed=failed)
        self._outbox.take_all(now, last=not ended.left)
        if not ended.left:
            self._outbox.follow(None)
            self._leave(self._run)
            self._run = None
            self._ports.end()
            self._guardian.guard(0, self._beside())
        return ended

    @property
    def _is_running(self) -> bool:
        return self._run is not None and not self._run.has_ended

    def _is_stuck(self, now: float, ended: Exited | None) -> bool:
        """Replace a forked run by a cold one if it asks for that, or ends, or hangs, before it goes on.

        No change must be lost, and no run be other than a plain one.
        """
        if not self.is_warm or self._run is None or self._stopping:
            return False
        wants_cold = self._run.reports.wants_cold is not None
        if self._run.reports.begun and not wants_cold:
            return False
        if (ended is None and now >= self._awake_by) or (wants_cold and ended is not None and ended.left):
            self._run.signal(signal.SIGKILL, self._orphans)
        if ended is not None and not ended.left:
            if self._run.ports:
                self._run.ports.drain()
            self._leave(self._run)
            if wants_cold:
                self._outbox.begin_again()
            self._rewind()
            self._ports.begin(now)
            self._start_cold()
        return ended is not None

    def _share(self, terminal: Foreground, run: Run, ended: Exited | None) -> None:
        """Do as a shell does with the terminal and its job."""
        given, heard, guessed, stopped_by = terminal.given, run.heard, run.died_of, run.stopped_by
        run.heard = run.died_of = run.stopped_by = 0
        self._told = heard or (guessed if given else 0)
        if ended:
            run.reports.drain()
            terminal.take(killed=(ended.status or 0) < 0 and run.reports.wants_cold is None)
            if given and terminal.is_gone:  # which the foreground alone is told
                os.kill(os.getpid(), signal.SIGHUP)
        if given and guessed and not heard:
            os.kill(os.getpid(), guessed)
        if heard:
            # All whom a shell has put in the foreground, this process too, get what they would have got without the
            # run. What is typed next is for them as well, until the run asks for the terminal again.
            terminal.take()
            os.kill(0, heard)
        if stopped_by in (signal.SIGTTIN, signal.SIGTTOU) and terminal.give(run.pid):
            run.forward(signal.SIGCONT)
        elif stopped_by in (signal.SIGTTIN, signal.SIGTTOU) or (stopped_by == signal.SIGTSTP and terminal.given):
            terminal.suspend()  # first: when the job has stopped, it is the shell's
            os.kill(0, stopped_by)
        elif stopped_by:
            terminal.take()
        if terminal.given:
            run.listen()

    def send_signal(self, signum: int) -> None:
        """Send the run's group a signal of the terminal, unless the terminal has done so."""
        if not self._run or signum == self._told:
            return
        if self._terminal and signum == signal.SIGCONT and not self._run.has_ended:
            self._terminal.resume(self._run.pid)
        self._run.forward(signum)
        if self._terminal and signum == signal.SIGSTOP:
            self._terminal.suspend()

    def used(self) -> Used:
        """Return what the run has read and written so far, or what the last one did."""
        self._hear_of_writes()
        if self._run is None:
            return replace(self._used, written=frozenset(self._written))
        failed = self._run.has_failed and not self._stopping
        self._run.reports.drain()
        return self._use_of(self._run, failed=failed)

    def _use_of(self, run: Run, *, failed: bool) -> Used:
        """Return what a run has used, and what any has written; after a failure, or unheard of, it is every file."""
        used = run.reports.used
        self._written |= used.written
        return replace(used, read=None if failed or run.is_unheard else used.read, written=frozenset(self._written))

    def _hear_of_writes(self) -> None:
        """Note what processes write of runs that are leaving, or that have left some behind."""
        for pipe in self._discarded:
            if isinstance(pipe, ReportPipe):
                pipe.drain()
                self._written |= pipe.written

    def streams(self) -> Iterable[Pipe | PortsLink | ForkServer | Installed]:
        """Return the pipes to wait for."""
        pipes: list[Pipe] = [*self._discarded]
        if self._run and not self._outbox.is_full:
            pipes += self._run.outputs
        if self._run and time.monotonic() >= self._reports_at:
            pipes.append(self._run.reports)
        ports = [self._run.ports] if self._run and self._run.ports and self._run.ports.is_open else []
        servers = self._preloader.streams() if self._preloader else ()
        return [*ports, *(pipe for pipe in pipes if pipe.is_open and not pipe.is_full), *servers]

    def poll_at(self) -> float | None:
        """Return when `poll` must be asked again though no signal comes."""
        now = time.monotonic()
        if self._left:
            return now
        moments = [now + LOOKED_AT] if self._run and self._run.must_be_polled else []
        moments += self._leaving.due_at()
        if self._run and self.is_warm and not self._run.reports.begun:
            moments.append(max(self._awake_by, now + LOOKED_AT))
        if self._run:
            moments.append(self._guarded_at)
        if self._run and self._unwatched is None and self._program.beside:
            moments.append(self._begun_at + UNWATCHED_AFTER)
        if self._run and now < self._reports_at:
            moments.append(self._reports_at)
        if self._preloader and (due := self._preloader.due_at(now, running=self._is_running)) is not None:
            moments.append(due)
        return min(moments, default=None)

    def preloading(self) -> Preloading | None:
        """Return when a fork server is expected to be ready, if one is being made that the next run could wait for."""
        return self._preloader.preloading() if self._preloader else None

    def notes(self) -> tuple[str, ...]:
        """Return what would keep a port that isn't kept, or watch what isn't watched, each once; or have input."""
        notes = [catalogue.NOBODY_TO_ASK()] if self._has_asked else []
        notes += [self._say_unwatched(list(self._unwatched))] if self._unwatched else []
        notes += [catalogue.PORT_NOT_KEPT(port=port) for port in self._unkept[:1]]
        return tuple(notes)

    def _find_unwatched(self, reports: ReportPipe) -> dict[str, None]:
        program = self._program
        if not program.beside:
            return {}
        read = dict.fromkeys(own_files([*reports.imported, *reports.read_beside], program.beside, program.roots))
        left_out = self._told_of | reports.written_beside | set(program.named)
        return {path: None for path in read if path not in left_out and os.path.isfile(path)}

    def preloads(self) -> str:
        """Return which modules are imported ahead, and which are not."""
        return self._preloader.describe() if self._preloader else ""

    def close(self) -> None:
        """Kill the run, and close what is ready for the next one."""
        if self._run:  # an error ends this process, which can't wait to adopt what the run leaves behind
            self._guard(self._run)
            self._guardian.act()
            self.kill()
        self._leaving.kill()
        self._ports.close()
        for pipe in self._discarded:
            pipe.close()
        if self._preloader:
            self._preloader.close()
        if self._terminal:
            self._terminal.take()
        self._guardian.close()

    def output_at(self) -> float | None:
        """Return when `send_output` has something to send."""
        return self._outbox.due_at()

    def send_output(self, now: float) -> None:
        """Send that a run has begun, and what it has printed and displayed, in batches."""
        self._outbox.send_due(now)


def _place(fd: int) -> int | None:
    """Return where a regular file is read from, None if it can't be read again."""
    return os.lseek(fd, 0, os.SEEK_CUR) if stat.S_ISREG(os.fstat(fd).st_mode) else None
