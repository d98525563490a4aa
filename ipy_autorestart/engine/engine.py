"""The imperative shell around the step: one thread, one queue; events in, actions out.

It runs in the supervisor, a process of its own: a busy kernel can't delay it, and the kernel's exec doesn't end it.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

from ipy_autorestart import catalogue
from ipy_autorestart.decide.change import Change, Found, Kind
from ipy_autorestart.decide.cycle import Closed, Cycle, Ended
from ipy_autorestart.decide.events import (
    Action,
    Ask,
    Begin,
    Close,
    Commit,
    Event,
    Failed,
    Finish,
    Hangup,
    Inquire,
    Kill,
    Look,
    Moved,
    Preloaded,
    Push,
    PushFailed,
    Refused,
    Ship,
    Signal,
    Start,
    Started,
    Stop,
    Tick,
)
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.decide.step import step, wake_at
from ipy_autorestart.decide.timing import Manner, Timing
from ipy_autorestart.decide.touched import Questions, TouchedFiles
from ipy_autorestart.decide.use import Used
from ipy_autorestart.engine.loaded import Loads
from ipy_autorestart.engine.reporter import Reporter
from ipy_autorestart.engine.target import FrontLink, Pusher, Target
from ipy_autorestart.engine.wakeups import Parent, Wakeups
from ipy_autorestart.protocol.link import HasFileno, ready
from ipy_autorestart.protocol.messages import Changed, Forward, Record, Reran, Reread, Said
from ipy_autorestart.watch.contents import now_ns
from ipy_autorestart.watch.watch import Watch


def forget(paths: Iterable[str], *, prefix: str = "") -> None:
    """Delete the compiled forms of changed sources, whatever Python made them.

    A save within the same second that keeps the size would leave them valid, and the old code would run
    (``importlib._bootstrap_external._validate_timestamp_pyc``).

    Parameters
    ----------
    paths
        Files of any kind, absolute.
    prefix
        The folder where they are kept instead of beside the sources: ``sys.pycache_prefix``.
    """
    for path in paths:
        if path.endswith(".py"):
            folder, name = os.path.split(path)
            stem = name.removesuffix("py")  # with its dot
            for cache in (os.path.join(folder, "__pycache__"), *([prefix + folder] if prefix else [])):
                with contextlib.suppress(OSError):
                    for entry in os.listdir(cache):
                        if entry.startswith(stem) and entry.endswith(".pyc"):
                            os.unlink(os.path.join(cache, entry))


#: Seconds that a run has from the stop signal to SIGKILL once nobody is left to look at it.
ORPHANED = 0.3

#: Seconds between two looks at the parent, where the system doesn't report its end.
PARENT_LOOKED_AT = 1.0

#: Seconds that a front has to take the last reports.
LAST_REPORTS = 1.0

#: Seconds between two looks at which of the files that don't count the target has used: a log may change all the time.
PASSED_OVER_APART = 0.1

#: So much may wait for the front; beyond it the target keeps what runs print, or an excerpt of it.
BACKLOG_BYTES_MAX = 1 << 20


class Engine:
    """The loop that turns what happens into events, takes steps, and carries their actions out.

    Parameters
    ----------
    target
        What is launched and ended here; None where the process that gets the SIGHUP restarts itself, as a kernel does.
    pid
        The process that gets the SIGHUP: this one, or the kernel.
    hangups
        A descriptor that tells another process that a SIGHUP comes from here: a byte is written to it before.
    loads
        Learns in which process a kernel continues.
    timing, manner
        How the target is restarted.
    folder
        Paths below it are reported relative to it.
    parent
        The process that the supervisor must not outlive, if it isn't its own master.
    cache
        The target's ``sys.pycache_prefix``, if it has one.
    handle
        Returns what signals mean besides what they mean here.
    pusher
        Brings new code to a cluster before each run.
    first
        Said until the first restart.
    announces
        Report each run before it begins, as it prints where the front does, too.
    """

    def __init__(
        self,
        *,
        target: Target | None,
        pid: int,
        watch: Watch,
        link: FrontLink,
        wakeups: Wakeups,
        timing: Timing,
        manner: Manner,
        folder: str,
        parent: Parent | None = None,
        hangups: int = -1,
        loads: Loads | None = None,
        cache: str = "",
        handle: Callable[[set[int]], Iterable[Record]] = lambda _: (),
        pusher: Pusher | None = None,
        announces: bool = False,
        first: str = "",
    ) -> None:
        self._target = target
        self._pid = pid
        self._watch = watch
        self._link = link
        self._wakeups = wakeups
        self._cycle = Cycle(timing, manner, pushes=pusher is not None)
        self._pusher = pusher
        self._parent = parent
        self._hangups = hangups
        self._loads = loads
        self._cache = cache
        self._handle_signals = handle
        self._announces = announces
        self._orphaned = False
        self._link_is_ready = False
        self._finished = False
        self._used = Used()
        self._asked_ns = 0  # when the target was asked for that last
        self._passed_over_at = 0.0
        self._changed: dict[str, Change] = {}  # what a kernel was told, until another one has started
        self._put_back: dict[str, Change] = {}
        self._touched = TouchedFiles()  # since a kernel was asked for them, or told what has changed
        self._questions = Questions()
        self._reporter = Reporter(link, target, pid, folder, first=first)

    def run(self) -> None:
        """Go on until the front closes the watch or is gone, and nothing runs any more."""
        try:
            self._handle(Begin(runs=self._target is None))
            self._handle(self._look())  # which may be the first: the run has begun beside it
            self._turn(time.monotonic())  # which reports it: for long, nothing else may happen
            while not self._finished:
                self._wait()
                self._turn(time.monotonic())
        finally:
            if self._target:
                self._target.close()
            self._reporter.report(self._cycle, time.monotonic(), last=True)
            deadline = time.monotonic() + LAST_REPORTS
            while self._link.backlog and (left := deadline - time.monotonic()) > 0:
                ready([], [self._link], left)
                self._link.flush()

    def _wait(self) -> None:
        """Wait until something happens or is due, and read what runs have printed."""
        now, target = time.monotonic(), self._target
        streams = list(target.streams()) if target else []
        front: list[HasFileno] = []
        if not self._orphaned:
            front = [self._link, self._parent] if self._parent else [self._link]
        writers = [self._link] if self._link.backlog else []
        timeout = 0.0 if self._wakeups.waits else min(max(0.0, self._due_at(now) - now), PARENT_LOOKED_AT)
        pushers = [self._pusher] if self._pusher else []
        fds = ready([self._wakeups, *front, *streams, *pushers], writers, timeout)
        for stream in streams:
            if stream.fileno() in fds:
                stream.read()
        self._link.flush()
        self._link_is_ready = self._link.fileno() in fds
        if not self._orphaned and self._parent and self._parent.is_gone:
            self._orphan()

    def _due_at(self, now: float) -> float:
        target = self._target
        due = [wake_at(self._cycle), target.poll_at() if target else None]
        due.append(self._passed_over_at if self._watch.has_passed_over else None)
        if not self._cycle.hidden:
            due.append(self._reporter.due_at(self._cycle, now))
            due.append(target.output_at() if target and self._link.backlog < BACKLOG_BYTES_MAX else None)
        return min((moment for moment in due if moment is not None), default=float("inf"))

    def _turn(self, now: float) -> None:
        """Handle all that has happened, and report it."""
        signums, hints = self._wakeups.take()  # first, so that the end of a child behind this look wakes again
        if self._target and (exited := self._target.poll(now)):
            self._handle(exited)
        if self._target and (preloading := self._target.preloading()) != self._cycle.preloading:
            self._handle(preloading or Preloaded())
        if self._link_is_ready and not self._orphaned:
            try:
                for record in self._link.receive():
                    self._receive(record)
            except EOFError:
                self._orphan()
        for event in self._pusher.receive() if self._pusher else ():
            if isinstance(event, PushFailed) and not self._target:
                self._link.send(event)  # to a kernel that waits, which refuses then to restart
            self._handle(event)
        for hint, came_at in () if self._target else hints:
            self._touched.note(hint, came_at)
        self._handle(*(hint for hint, _ in hints))
        signums |= self._wakeups.signals()  # that which was sent just now, by this process
        for record in self._handle_signals(signums) if signums else ():
            self._receive(record)
        if self._wakeups.has_hung_up() or signal.SIGHUP in signums:
            self._handle(Hangup())
        if signal.SIGTERM in signums:
            self._handle(Close())
        if (due := wake_at(self._cycle)) is not None and due <= now:
            self._handle(Tick())
        if self._watch.has_passed_over and now >= self._passed_over_at:
            self._passed_over_at = now + PASSED_OVER_APART
            self._take_passed_over()
        if self._cycle.hidden:
            return
        if not isinstance(self._cycle.phase, Ended):
            self._reporter.report(self._cycle, now)
        if self._target and self._link.backlog < BACKLOG_BYTES_MAX:
            self._target.send_output(now)
        self._reporter.report(self._cycle, now)  # an end comes after the last output

    def _receive(self, record: Record) -> None:
        if isinstance(record, Started | Moved) and record.pid and self._loads:
            self._loads.pid = record.pid
        if isinstance(record, Started | Failed):
            self._questions.settle(self._put_back)
            self._changed, self._put_back = {}, {}
        if isinstance(record, Started | Moved):  # the process that was asked may be gone
            for question in self._questions.open:
                self._link.send(question)
        if isinstance(record, Reread):
            if self._questions.close(record.number):
                self._handle(record)
        elif isinstance(record, Said):
            self._handle(record)
        elif isinstance(record, Forward) and self._target:
            self._target.send_signal(record.signum)
        elif isinstance(record, Reran):
            self._reporter.note_rerun(record)

    def _orphan(self) -> None:
        self._orphaned = True
        self._handle(Close(within=ORPHANED))

    def _handle(self, *events: Event) -> None:
        queue = collections.deque(events)
        while queue:
            event = queue.popleft()
            before = self._cycle
            self._cycle, actions = step(before, event, time.monotonic())
            self._reporter.note(before, event, self._cycle, actions)
            for action in actions:
                queue.extend(self._perform(action))

    def _perform(self, action: Action) -> Sequence[Event]:
        target = self._target
        match action:
            case Look():
                return [self._look()]
            case Commit(afresh):
                if afresh:
                    self._watch.look()
                self._watch.commit()
            case Signal():
                if target:
                    self._wakeups.hang_up()
                else:
                    self._hang_up()
            case Ask():
                self._link.send(action)
            case Inquire():
                if touched := self._touched.take(time.monotonic()):
                    changes = tuple(map(_as_change, touched))
                    self._link.send(self._questions.ask(changes, min(touched.values())))
            case Stop() if target:
                if isinstance(self._cycle.phase, Closed):
                    target.release()
                target.terminate()
            case Kill() if target:
                target.kill()
            case Ship() if self._pusher:
                self._pusher.ship()
            case Push(number, cause, clients) if self._pusher:
                self._forget(change.path for change in cause.changes)  # workers may see the very folder
                self._pusher.push(number, clients)
            case Start(cause):
                changed = [change.path for change in cause.changes]
                committed, put_back = self._watch.take_changed()
                self._forget({*changed, *(change.path for change in (*committed, *put_back))})
                if not target:
                    self._tell_changed(cause.reason, (*cause.changes, *committed), put_back)
                if self._announces:
                    self._reporter.announce(self._cycle)
                if target:
                    try:
                        target.launch(changed, self._cycle.next_number)
                    except OSError as error:
                        return [Refused(catalogue.CANT_START(error=error), runs=False)]
                    return [Started()]
            case Finish():
                self._finished = True
            case Stop() | Kill() | Ship() | Push():  # a kernel ends by itself, and without a cluster nothing is pushed
                pass
            case _:
                assert_never(action)
        return []

    def _tell_changed(self, reason: Reason, changes: Iterable[Change], put_back: Iterable[Change]) -> None:
        """Tell the kernel that exits what has changed since the last one started: it may yet refuse to restart."""
        self._changed |= {change.path: change for change in changes}
        asked = (change for question in self._questions.open for change in question.changes)
        touched = map(_as_change, self._touched.take(time.monotonic()))
        self._touched.clear()
        self._put_back |= {change.path: change for change in (*asked, *touched)}
        self._put_back |= {change.path: change for change in put_back}
        self._link.send(Changed(self._kernel, reason, tuple(self._changed.values()), tuple(self._put_back.values())))

    @property
    def _kernel(self) -> int:
        """The process of the kernel, which may be another one than that which is sent signals."""
        return self._loads.pid if self._loads else self._pid

    def _hang_up(self) -> None:
        """Send SIGHUP to the process that restarts itself."""
        with contextlib.suppress(OSError):  # full, which tells it as well, or gone
            os.write(self._hangups, b"!")
        with contextlib.suppress(ProcessLookupError):  # the kernel is gone, and the end of the link follows
            os.kill(self._pid, signal.SIGHUP)
            self._link.send(Ask())

    def _look(self) -> Found:
        self._learn_use()
        found = self._watch.look()
        # A report precedes the opening of its file: what is not reported by now will be read as it is by now. By a
        # second look there might be more, that was read meanwhile.
        if found.unused and self._learn_use():
            found = self._watch.judge()
        unused = [change.path for change in found.unused]
        self._forget(unused)
        self._watch.settle(unused)
        return found

    def _take_passed_over(self) -> None:
        """Have those files looked at that the target has used by now, and say why the others aren't."""
        self._learn_use()
        for path, why in self._watch.passed_over():
            self._reporter.note_ignored(path, why)

    def _learn_use(self) -> bool:
        """Tell the watch what the target has used; return whether that is news."""
        asked_ns, self._asked_ns = self._asked_ns, now_ns()
        used = self._target.used() if self._target else self._used
        if used == self._used:
            return False
        self._used = used
        self._watch.used(used.read, written=used.written, sought=used.sought, since_ns=asked_ns)
        return True

    def _forget(self, paths: Iterable[str]) -> None:
        forget(paths, prefix=self._cache)


def _as_change(path: str) -> Change:
    """Return a file that may have been put back as if it had changed."""
    return Change(path, Kind.MODIFIED if os.path.exists(path) else Kind.DELETED)
