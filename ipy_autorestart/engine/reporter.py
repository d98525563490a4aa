"""What the front is told of a target: where it stands, how its runs went, and why. Often, but never too often."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Sequence

from ipy_autorestart.decide import describe
from ipy_autorestart.decide.change import Hint
from ipy_autorestart.decide.cycle import Cycle, Looks, Running
from ipy_autorestart.decide.describe import explain
from ipy_autorestart.decide.events import Action, Event, Exited, Started
from ipy_autorestart.engine.target import FrontLink, Target
from ipy_autorestart.protocol.messages import Decided, Ran, Record, Status
from ipy_autorestart.text import relative

#: So many updates in so many seconds: a page draws each anew.
UPDATES, WITHIN = 30, 1.0

#: So many decisions are kept until they are told; of more at once the latest are.
DECISIONS_MAX = 20

#: So many steps are kept until there is time for words; while a start may yet be superseded there is none.
STEPS_MAX = 500

Step = tuple[float, Cycle, Event, Cycle, Sequence[Action]]


class Teller:
    """Tells the front what is new, as long as it isn't told too often; else what is newest, a little later.

    Parameters
    ----------
    link
        To the front.
    target
        Of which it tells.
    folder
        Paths below it are told relative to it.
    """

    def __init__(self, link: FrontLink, target: Target, folder: str) -> None:
        self._link = link
        self._target = target
        self._folder = folder
        self._shown: tuple[object, ...] = ()
        self._status = self._told = Status()
        self._latest: Ran | None = None
        self._ran: dict[int, Ran] = {}
        self._decided: collections.deque[Decided] = collections.deque(maxlen=DECISIONS_MAX)
        self._said_last = ""
        self._steps: collections.deque[Step] = collections.deque(maxlen=STEPS_MAX)
        self._moments: collections.deque[float] = collections.deque(maxlen=UPDATES)
        self._waits = False

    def note(self, before: Cycle, event: Event, after: Cycle, actions: Sequence[Action]) -> None:
        """Remember a step, to tell of it later: what follows it must not wait for words."""
        if not isinstance(event, Hint):
            self._steps.append((time.time(), before, event, after, actions))

    def note_ignored(self, path: str, why: str) -> None:
        """Remember a file that was not looked at."""
        self._decide(time.time(), f"{relative(path, self._folder)}: {why}")

    def tell(self, cycle: Cycle, now: float, *, last: bool = False) -> None:
        """Tell what is new, if that may be now or this is the ``last`` time."""
        while self._steps:
            self._take(*self._steps.popleft())
        self._find_words(cycle, now)
        self._waits = bool(self._status != self._told or self._ran or self._decided)
        if not self._waits or (self._free_at() > now and not last):
            return
        news: list[Record] = [*self._ran.values(), *self._decided]
        for record in news:
            self._link.send(record)
        if self._status != self._told:
            self._link.send(self._status)
        self._told = self._status
        self._waits = False
        self._ran.clear()
        self._decided.clear()
        self._moments.append(now)

    def due_at(self, cycle: Cycle, now: float) -> float | None:
        """Return when there is something to tell though nothing happens."""
        if self._waits:
            return self._free_at()
        since = _told_since(cycle)
        return None if since is None else since + describe.next_at(now - since)

    def _free_at(self) -> float:
        return self._moments[0] + WITHIN if len(self._moments) == UPDATES else float("-inf")

    def _take(self, at: float, before: Cycle, event: Event, after: Cycle, actions: Sequence[Action]) -> None:
        for why in explain(before, event, after, actions, self._folder):
            self._decide(at, why)
        match event:
            case Started():
                cause = after.run.cause.describe(self._folder) if after.run.cause else ""
                self._latest = Ran(after.run.number, at, cause, took=after.run.took, warm=self._target.is_warm)
            case Exited(status) if not before.left and self._latest:
                self._latest = dataclasses.replace(self._latest, lasted=after.run.lasted, exit_status=status)
            case _:
                return
        self._ran[self._latest.run] = self._latest

    def _decide(self, at: float, why: str) -> None:
        if why != self._said_last:
            self._said_last = why
            self._decided.append(Decided(at, why))

    def _find_words(self, cycle: Cycle, now: float) -> None:
        target = self._target
        # Most hints change nothing that is told; to find the words would keep the next one waiting.
        plain = cycle._replace(looks=Looks())
        since = _told_since(cycle)
        seconds = 0 if since is None else describe.told(now - since)
        notes = (target.note(), *cycle.found.notes)
        shown = (
            plain,
            cycle.looping,
            notes,
            cycle.found.polling,
            seconds,
            target.pid,
            target.is_warm,
            target.describe(),
        )
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
            pid=target.pid,
            warm=target.is_warm,
            preloads=target.describe(),
        )


def _told_since(cycle: Cycle) -> float | None:
    """Return since when something runs of which that is told: a script, for a kernel runs all the time."""
    return cycle.run.since if isinstance(cycle.phase, Running) and not cycle.manner.stops_itself else None
