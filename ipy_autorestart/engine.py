"""The imperative shell around the step: one thread, one queue; events in, actions out.

It runs in the supervisor, a process of its own: a busy kernel can't delay it, and the kernel's exec doesn't end it.
"""

from __future__ import annotations

import collections
import logging
import signal
import time
from collections.abc import Iterable, Sequence
from typing import assert_never

from ipy_autorestart.compiled import forget
from ipy_autorestart.decide import state
from ipy_autorestart.decide.change import Change, Found
from ipy_autorestart.decide.cycle import Cycle, Phase
from ipy_autorestart.decide.event import (
    Action,
    Asked,
    Begin,
    Close,
    Commit,
    Event,
    Finish,
    Hangup,
    Kill,
    Look,
    Refused,
    Signal,
    Start,
    Started,
    Stop,
    Tick,
)
from ipy_autorestart.decide.step import step, wake_at
from ipy_autorestart.decide.timing import Timing
from ipy_autorestart.decide.use import Used
from ipy_autorestart.link import Alive, Goodbye, Link, Record, Restart, Status
from ipy_autorestart.parent import Parent
from ipy_autorestart.ready import HasFileno, ready
from ipy_autorestart.target import Target, Watch
from ipy_autorestart.wakeups import Wakeups

log = logging.getLogger(__name__)

#: Seconds that a run has from the stop signal to SIGKILL once nobody is left to look at it.
ORPHANED = 0.3

#: Seconds between two looks at the parent, where the system doesn't tell of its end.
PARENT_LOOKED_AT = 1.0

#: Seconds that a front has to take what was said before the end.
LAST_WORDS = 1.0

#: So much may wait for the front; beyond it the target keeps what it hears, or an excerpt of it.
BACKLOG_BYTES_MAX = 1 << 20


class Engine:
    """Turns what happens into events, steps, and carries the actions out.

    Parameters
    ----------
    folder
        Paths below it are told relative to it.
    parent
        The process that the supervisor must not outlive.
    cache
        The target's ``sys.pycache_prefix``, if it has one.
    """

    def __init__(
        self,
        *,
        target: Target,
        watch: Watch,
        link: Link,
        wakeups: Wakeups,
        timing: Timing,
        folder: str,
        parent: Parent,
        cache: str = "",
    ) -> None:
        self._target = target
        self._watch = watch
        self._link = link
        self._wakeups = wakeups
        self._cycle = Cycle(timing=timing)
        self._folder = folder
        self._parent = parent
        self._cache = cache
        self._orphaned = False
        self._finished = False
        self._used = Used()
        self._notes: tuple[str, ...] = ()
        self._shown: tuple[object, ...] = ()
        self._told: Status | None = None

    def run(self) -> None:
        """Go on until the front says goodbye or is gone, and nothing runs any more."""
        try:
            self._loop()
        finally:
            self._target.close()
            self._flush(time.monotonic() + LAST_WORDS)

    def _loop(self) -> None:
        self._handle(Begin(runs=self._target.runs_at_first))
        while not self._finished:
            self._wait()
            now = time.monotonic()
            if exited := self._target.poll(now):
                self._handle(exited)
            numbers, hints = self._wakeups.take()
            self._read_link()
            self._handle(*hints)
            numbers |= self._wakeups.signals()  # that which was sent just now, by this process
            if signal.SIGHUP in numbers:
                self._handle(Hangup())
            if signal.SIGTERM in numbers:
                self._handle(Close())
            if (due := wake_at(self._cycle)) is not None and due <= now:
                self._handle(Tick())
            self._show(now)

    def _show(self, now: float) -> None:
        if self._cycle.hidden:
            return
        if self._cycle.phase is not Phase.ENDED:
            self._tell()
        if self._is_heard:
            self._target.hear(now)
        self._tell()  # of an end after its last words

    @property
    def _is_heard(self) -> bool:
        """Whether the front takes what is said."""
        return self._link.backlog < BACKLOG_BYTES_MAX

    def _flush(self, deadline: float) -> None:
        while self._link.backlog and (left := deadline - time.monotonic()) > 0:
            ready([], [self._link], left)
            self._link.flush()

    def _wait(self) -> None:
        heard_at = self._target.due_at() if self._is_heard and not self._cycle.hidden else None
        due = (wake_at(self._cycle), self._target.poll_at(), heard_at)
        moments = [moment for moment in due if moment is not None]
        timeout = min(max(0.0, min(moments, default=1e9) - time.monotonic()), PARENT_LOOKED_AT)
        if self._wakeups.waits:
            timeout = 0.0
        streams = list(self._target.streams())
        front: list[HasFileno | int] = [] if self._orphaned else [self._link, *self._parent.waitable()]
        writers = [self._link] if self._link.backlog else []
        numbers = ready([self._wakeups, *front, *streams], writers, timeout)
        for stream in streams:
            if stream.fileno() in numbers:
                stream.read()
        self._link.flush()
        if not self._orphaned and self._parent.is_gone:
            self._orphan()

    def _read_link(self) -> None:
        if self._orphaned:
            return
        try:
            for record in self._link.receive():
                self._handle(*self._events(record))
        except EOFError:
            self._orphan()

    def _events(self, record: Record) -> Sequence[Event]:
        match record:
            case Goodbye():
                return [Close()]
            case Restart():
                return [Asked()]
            case _:
                event = self._target.event_of(record)
                return [event] if event is not None else []

    def _orphan(self) -> None:
        self._orphaned = True
        self._handle(Close(within=ORPHANED))

    def _handle(self, *events: Event) -> None:
        queue = collections.deque(events)
        while queue:
            event = queue.popleft()
            before = self._cycle
            self._cycle, actions = step(before, event, time.monotonic())
            if actions:
                log.debug("%s in %s: %s", event, before.phase.value, actions)
            for action in actions:
                queue.extend(self._perform(action))

    def _perform(self, action: Action) -> Sequence[Event]:
        match action:
            case Look():
                return [self._look()]
            case Commit(afresh):
                if afresh:
                    found = self._watch.look()
                    self._forget([*found.changes, *found.unused])
                self._watch.commit()
            case Signal():
                self._target.signal()
            case Stop():
                self._target.stop()
            case Kill():
                self._target.kill()
            case Start(cause):
                self._forget(cause.changes)
                return self._start([change.path for change in cause.changes])
            case Finish():
                self._finished = True
            case _:
                assert_never(action)
        return []

    def _look(self) -> Found:
        self._learn_use()
        found = self._watch.look()
        if found.unused and self._learn_use():
            found = self._watch.look()
        # A report precedes the opening of its file: what is not reported by now will be read as it is by now.
        self._forget(found.unused)
        self._watch.settle([change.path for change in found.unused])
        self._notes = found.notes
        return found

    def _forget(self, changes: Iterable[Change]) -> None:
        forget([change.path for change in changes], prefix=self._cache)

    def _learn_use(self) -> bool:
        """Tell the watch what the target has used, and say whether that is news."""
        used = self._target.used()
        if used == self._used:
            return False
        self._used = used
        self._watch.used(used.read, written=used.written)
        return True

    def _start(self, changed: Sequence[str]) -> Sequence[Event]:
        try:
            if not self._target.start(changed):
                return []
            if not self._target.is_warm:  # a fork server guards its runs itself
                self._link.send(Alive(self._target.pid))  # at once: should this process be killed, the front ends it
            return [Started()]
        except OSError as error:
            return [Refused(f"can't be started: {error}", runs=False)]

    def _tell(self) -> None:
        cycle, target = self._cycle, self._target
        # Most hints change nothing that is told; to find the words would keep the next one waiting.
        plain = cycle._replace(burst=None, look_at=None, scan_at=None, unseen=False, due=False)
        notes = (target.note(), *self._notes)
        shown = (plain, cycle.looping, notes, target.pid, target.is_warm, target.describe())
        if shown == self._shown:
            return
        self._shown = shown
        words = [state.message(cycle, self._folder), *notes]
        status = Status(
            state=state.state(cycle),
            cause=cycle.cause.describe(self._folder) if cycle.cause else "",
            runs=cycle.runs,
            exit_status=cycle.exit_status,
            lasted=cycle.lasted if cycle.exit_status is not None else None,
            took=cycle.took,
            message=" · ".join(filter(None, words)),
            pid=target.pid,
            warm=target.is_warm,
            preloads=target.describe(),
        )
        if status != self._told:
            self._told = status
            self._link.send(status)
