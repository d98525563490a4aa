"""Reports to the front: where a target stands, how its runs went, and why; often, but never too often."""

from __future__ import annotations

import collections
import dataclasses
import math
import time
from collections.abc import Sequence

from ipy_autorestart.decide import describe
from ipy_autorestart.decide.change import Hint
from ipy_autorestart.decide.cycle import Cycle, Looks, Running
from ipy_autorestart.decide.describe import explain
from ipy_autorestart.decide.events import Action, Event, Exited, Started
from ipy_autorestart.engine.target import FrontLink, Target
from ipy_autorestart.protocol.messages import Decided, Ran, Record, Reran, Status
from ipy_autorestart.text import duration, relative

#: So many updates in so many seconds: a page draws each anew.
UPDATES, WITHIN = 30, 1.0

#: So many decisions are kept until they are reported; of more at once the latest are.
DECISIONS_MAX = 20

#: So many steps are kept until there is time for words; while a start may yet be superseded there is none.
STEPS_MAX = 500

Step = tuple[float, Cycle, Event, Cycle, Sequence[Action]]


class Reporter:
    """Sends the front what is new, unless it has been sent much just now; then what is newest, a little later.

    Parameters
    ----------
    link
        To the front.
    target
        What is reported of; None for the process ``pid``, which restarts itself.
    folder
        Paths below it are reported relative to it.
    """

    def __init__(self, link: FrontLink, target: Target | None, pid: int, folder: str) -> None:
        self._link = link
        self._target = target
        self._pid = pid
        self._folder = folder
        self._shown: tuple[object, ...] = ()
        self._status = self._sent = Status()
        self._latest: Ran | None = None
        self._ran: dict[int, Ran] = {}
        self._decided: collections.deque[Decided] = collections.deque(maxlen=DECISIONS_MAX)
        self._decided_last = ""
        self._steps: collections.deque[Step] = collections.deque(maxlen=STEPS_MAX)
        self._moments: collections.deque[float] = collections.deque(maxlen=UPDATES)
        self._waits = False
        self._rerun = ""
        self._rerun_since: float | None = None

    def note(self, before: Cycle, event: Event, after: Cycle, actions: Sequence[Action]) -> None:
        """Remember a step, to report it later: what follows it must not wait for words."""
        if isinstance(event, Exited):
            self._rerun, self._rerun_since = "", None
        if not isinstance(event, Hint):
            self._steps.append((time.time(), before, event, after, actions))

    def note_ignored(self, path: str, why: str) -> None:
        """Remember a file that was not looked at."""
        self._decide(time.time(), f"{relative(path, self._folder)}: {why}")

    def note_rerun(self, rerun: Reran) -> None:
        """Remember which cells a kernel runs again, until its next image."""
        self._rerun, self._rerun_since = rerun.what, time.monotonic() if rerun.goes_on else None

    def report(self, cycle: Cycle, now: float, *, last: bool = False) -> None:
        """Send what is new, if that may be now or this is the ``last`` time."""
        while self._steps:
            self._take(*self._steps.popleft())
        self._find_words(cycle, now)
        self._waits = bool(self._status != self._sent or self._ran or self._decided)
        if not self._waits or (self._free_at() > now and not last):
            return
        news: list[Record] = [*self._ran.values(), *self._decided]
        if self._status != self._sent:
            news.append(self._status)
        for record in news:
            self._link.send(record)
        self._sent = self._status
        self._waits = False
        self._ran.clear()
        self._decided.clear()
        self._moments.append(now)

    def due_at(self, cycle: Cycle, now: float) -> float | None:
        """Return when there is something to report though nothing happens."""
        if self._waits:
            return self._free_at()
        if self._rerun_since is not None:
            return self._rerun_since + math.floor(now - self._rerun_since) + 1
        since = _since(cycle)
        return None if since is None else since + describe.next_at(now - since)

    def _free_at(self) -> float:
        return self._moments[0] + WITHIN if len(self._moments) == UPDATES else float("-inf")

    def _take(self, at: float, before: Cycle, event: Event, after: Cycle, actions: Sequence[Action]) -> None:
        for why in explain(before, event, after, actions, self._folder):
            self._decide(at, why)
        match event:
            case Started():
                cause = after.run.cause.describe(self._folder) if after.run.cause else ""
                self._latest = Ran(after.run.number, at, cause, took=after.run.took, warm=self._is_warm)
            case Exited(status) if not before.left and self._latest:
                self._latest = dataclasses.replace(self._latest, lasted=after.run.lasted, exit_status=status)
            case _:
                return
        self._ran[self._latest.run] = self._latest

    def _decide(self, at: float, why: str) -> None:
        if why != self._decided_last:
            self._decided_last = why
            self._decided.append(Decided(at, why))

    @property
    def _is_warm(self) -> bool | None:
        return self._target.is_warm if self._target else None

    def _find_words(self, cycle: Cycle, now: float) -> None:
        # Most hints change nothing that is reported; to find the words would keep the next one waiting.
        plain = cycle._replace(looks=Looks())
        since = _since(cycle)
        seconds = 0 if since is None else describe.told(now - since)
        pid, preloads = (self._target.pid, self._target.preloads()) if self._target else (self._pid, "")
        notes = (self._rerun_words(now), *cycle.found.notes)
        shown = (plain, cycle.looping, notes, seconds, pid, self._is_warm, preloads)
        if shown == self._shown:
            return
        self._shown = shown
        self._status = Status(
            state=describe.state(cycle, self._folder, seconds),
            kind=describe.kind(cycle),
            cause=cycle.cause.describe(self._folder) if cycle.cause else "",
            runs=cycle.run.number,
            exit_status=cycle.run.exit_status,
            lasted=cycle.run.lasted,
            took=cycle.run.took,
            message=" · ".join(filter(None, (describe.message(cycle, self._folder), *notes))),
            excerpt=describe.excerpt(cycle),
            paused=cycle.paused,
            polling=cycle.found.polling,
            pid=pid,
            warm=self._is_warm,
            preloads=preloads,
        )

    def _rerun_words(self, now: float) -> str:
        seconds = math.floor(now - self._rerun_since) if self._rerun_since is not None else 0
        return f"{self._rerun}, {duration(seconds)}" if seconds else self._rerun


def _since(cycle: Cycle) -> float | None:
    """Return since when a script runs; a kernel runs all the time."""
    return cycle.run.since if isinstance(cycle.phase, Running) and not cycle.manner.stops_itself else None
