"""The imperative shell around the step: one thread, one queue; events in, actions out.

It runs in the supervisor, a process of its own: a busy kernel can't delay it, and the kernel's exec doesn't end it.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

from ipy_autorestart.decide.change import Change, Found
from ipy_autorestart.decide.cycle import Cycle, Ended
from ipy_autorestart.decide.events import (
    Action,
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
from ipy_autorestart.decide.timing import Manner, Timing
from ipy_autorestart.decide.use import Used
from ipy_autorestart.engine.lifeline import Parent
from ipy_autorestart.engine.reporter import Teller
from ipy_autorestart.engine.target import FrontLink, Target, Watch
from ipy_autorestart.engine.wakeups import Wakeups
from ipy_autorestart.protocol.link import HasFileno, ready
from ipy_autorestart.protocol.messages import Alive, Record, Said


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
        The process that the supervisor must not outlive, if it isn't its own master.
    cache
        The target's ``sys.pycache_prefix``, if it has one.
    heed
        Says what signals mean besides what they mean here.
    on_start
        Called before each start, with the cycle.
    """

    def __init__(
        self,
        *,
        target: Target,
        watch: Watch,
        link: FrontLink,
        wakeups: Wakeups,
        timing: Timing,
        manner: Manner,
        folder: str,
        parent: Parent | None,
        cache: str = "",
        heed: Callable[[set[int]], Iterable[Record]] = lambda _: (),
        on_start: Callable[[Cycle], object] = lambda _: None,
    ) -> None:
        self._target = target
        self._watch = watch
        self._link = link
        self._wakeups = wakeups
        self._cycle = Cycle(timing=timing, manner=manner)
        self._parent = parent
        self._cache = cache
        self._heed = heed
        self._on_start = on_start
        self._orphaned = False
        self._link_is_ready = False
        self._finished = False
        self._used = Used()
        self._teller = Teller(link, target, folder)

    def run(self) -> None:
        """Go on until the front says goodbye or is gone, and nothing runs any more."""
        try:
            self._loop()
        finally:
            self._target.close()
            self._teller.tell(self._cycle, time.monotonic(), last=True)
            self._flush(time.monotonic() + LAST_WORDS)

    def _loop(self) -> None:
        self._handle(Begin(runs=self._cycle.manner.stops_itself))
        while not self._finished:
            self._wait()
            now = time.monotonic()
            if exited := self._target.poll(now):
                self._handle(exited)
            numbers, hints = self._wakeups.take()
            self._read_link()
            self._handle(*hints)
            numbers |= self._wakeups.signals()  # that which was sent just now, by this process
            for record in self._heed(numbers) if numbers else ():
                self._receive(record)
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
        if not isinstance(self._cycle.phase, Ended):
            self._tell(now)
        if self._is_heard:
            self._target.hear(now)
        self._tell(now)  # of an end after its last words

    def _tell(self, now: float) -> None:
        for path, why in self._watch.passed_over():
            self._teller.note_ignored(path, why)
        self._teller.tell(self._cycle, now)

    @property
    def _is_heard(self) -> bool:
        """Whether the front takes what is said."""
        return self._link.backlog < BACKLOG_BYTES_MAX

    def _flush(self, deadline: float) -> None:
        while self._link.backlog and (left := deadline - time.monotonic()) > 0:
            ready([], [self._link], left)
            self._link.flush()

    def _wait(self) -> None:
        now = time.monotonic()
        due = [wake_at(self._cycle), self._target.poll_at()]
        if not self._cycle.hidden:
            due.append(self._teller.due_at(self._cycle, now))
            due.append(self._target.due_at() if self._is_heard else None)
        moments = [moment for moment in due if moment is not None]
        timeout = min(max(0.0, min(moments, default=1e9) - now), PARENT_LOOKED_AT)
        if self._wakeups.waits:
            timeout = 0.0
        streams = list(self._target.streams())
        parent = self._parent.waitable() if self._parent else ()
        front: list[HasFileno | int] = [] if self._orphaned else [self._link, *parent]
        writers = [self._link] if self._link.backlog else []
        numbers = ready([self._wakeups, *front, *streams], writers, timeout)
        for stream in streams:
            if stream.fileno() in numbers:
                stream.read()
        self._link.flush()
        self._link_is_ready = self._link.fileno() in numbers
        if not self._orphaned and self._parent and self._parent.is_gone:
            self._orphan()

    def _read_link(self) -> None:
        if self._orphaned or not self._link_is_ready:
            return
        try:
            for record in self._link.receive():
                self._receive(record)
        except EOFError:
            self._orphan()

    def _receive(self, record: Record) -> None:
        self._target.receive(record)
        if isinstance(record, Said):
            self._handle(record)

    def _orphan(self) -> None:
        self._orphaned = True
        self._handle(Close(within=ORPHANED))

    def _handle(self, *events: Event) -> None:
        queue = collections.deque(events)
        while queue:
            event = queue.popleft()
            before = self._cycle
            self._cycle, actions = step(before, event, time.monotonic())
            self._teller.note(before, event, self._cycle, actions)
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
                self._on_start(self._cycle)
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
