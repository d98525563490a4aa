"""Reports to the front: where a target stands, how its runs went, and why; often, but never too often."""

from __future__ import annotations

import collections
import math
import time
from collections.abc import Sequence
from dataclasses import replace

from ipy_autorestart.decide.change import Hint
from ipy_autorestart.decide.cycle import Closed, Cycle, Ended, LastRun, Running, Stopping
from ipy_autorestart.decide.describe import explain, next_at, reported
from ipy_autorestart.decide.events import Action, Event, Exited, Failed, Started
from ipy_autorestart.decide.facts import Cause, State
from ipy_autorestart.engine.target import FrontLink, Target
from ipy_autorestart.protocol.messages import Decided, Files, Ran, Record, Reran, Status
from ipy_autorestart.text import relative

#: So many updates in so many seconds: a page draws each of them.
UPDATES, WITHIN = 30, 1.0

#: So many decisions are kept until they are reported; of more at once the latest are.
DECISIONS_MAX = 20

#: So many steps are kept until there is time for words; while a start may yet be superseded there is none.
STEPS_MAX = 500

#: So many files are named; a checkout changes thousands.
NAMED_MAX = 3

#: Seconds in which nothing is told of cells that run again: most are done by then, and each word of them would cost the
#: kernel milliseconds while they run.
RERUN_TOLD = 0.1

Step = tuple[float, Cycle, Event, Cycle, Sequence[Action]]


class Reporter:
    """Sends the front what is new, unless it has been sent much just now; then what is newest, a little later.

    It reports of the target, or of the process ``pid`` if that restarts itself. Paths are as seen from the folder.
    ``first`` is said until the first restart.
    """

    def __init__(self, link: FrontLink, target: Target | None, pid: int, folder: str, *, first: str = "") -> None:
        self._link = link
        self._target = target
        self._pid = pid
        self._folder = folder
        self._first = first
        self._sent = Status()
        self._latest: Ran | None = None
        self._ran: dict[int, Ran] = {}
        self._decided: collections.deque[Decided] = collections.deque(maxlen=DECISIONS_MAX)
        self._decided_last = ""
        self._steps: collections.deque[Step] = collections.deque(maxlen=STEPS_MAX)
        self._moments: collections.deque[float] = collections.deque(maxlen=UPDATES)
        self._waits = False
        self._rerun = Reran("")
        self._rerun_since: float | None = None  # the cell that runs again now
        self._reruns_since: float | None = None  # all of them

    def note(self, before: Cycle, event: Event, after: Cycle, actions: Sequence[Action]) -> None:
        """Remember a step, to report it later: what follows it must not wait for words."""
        if isinstance(event, Exited):
            self._rerun, self._rerun_since, self._reruns_since = Reran(""), None, None
        if not isinstance(event, Hint):
            self._steps.append((time.time(), before, event, after, actions))

    def note_ignored(self, path: str, why: str) -> None:
        """Remember a file that was not looked at."""
        self._decide(time.time(), f"{relative(path, self._folder)}: {why}")

    def note_rerun(self, rerun: Reran) -> None:
        """Remember which cells a kernel runs again, until its next image."""
        now = time.monotonic()
        self._rerun, self._rerun_since = rerun, now if rerun.goes_on else None
        self._reruns_since = (self._reruns_since or now) if rerun.goes_on else None

    def announce(self, cycle: Cycle) -> None:
        """Report a run that is about to begin, whatever was sent just now."""
        cause, number = self._cause(cycle.cause), cycle.next_number
        self._link.send(Status(State.RUNNING, cause, runs=number, warm=False, cluster=cycle.cluster))

    def report(self, cycle: Cycle, now: float, *, last: bool = False) -> None:
        """Send what is new, if that may be now or this is the ``last`` time."""
        while self._steps:
            self._take(*self._steps.popleft())
        took, latest = self._took(cycle.run), self._latest
        if took is not None and latest and latest.run == cycle.run.number and latest.took != took:
            self._latest = self._ran[latest.run] = replace(latest, took=took)
        status = self._status(cycle, now)
        news: list[Record] = [*self._ran.values(), *self._decided, *([status] if status != self._sent else [])]
        self._waits = bool(news) and self._free_at() > now and not last
        if not news or self._waits:
            return
        for record in news:
            self._link.send(record)
        self._sent = status
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
        return None if since is None else since + next_at(now - since)

    def _free_at(self) -> float:
        by_number = self._moments[0] + WITHIN if len(self._moments) == UPDATES else float("-inf")
        return by_number if self._reruns_since is None else max(by_number, self._reruns_since + RERUN_TOLD)

    def _take(self, at: float, before: Cycle, event: Event, after: Cycle, actions: Sequence[Action]) -> None:
        for why in explain(before, event, after, actions, self._folder):
            self._decide(at, why)
        run = after.run
        match event:
            case Started():
                if isinstance(before.phase, Running) and self._latest:  # it has died, and so could not say that it left
                    self._ran[self._latest.run] = replace(self._latest, lasted=_between(before.run, run))
                warm = self._target.is_warm if self._target else None
                self._latest = Ran(run.number, at, self._cause(run.cause), took=self._took(run), warm=warm)
            case Failed():
                at = self._latest.at if self._latest and self._latest.run == run.number else at
                self._latest = Ran(run.number, at, self._cause(run.cause), exit_status=run.exit_status)
            case Exited(status) if not before.left and self._latest:
                stopped = isinstance(before.phase, Stopping | Closed) and status is not None and status < 0
                self._latest = replace(self._latest, lasted=run.lasted, exit_status=status, stopped=stopped)
            case _:
                return
        self._ran[self._latest.run] = self._latest

    def _decide(self, at: float, why: str) -> None:
        if why != self._decided_last:
            self._decided_last = why
            self._decided.append(Decided(at, why))

    def _status(self, cycle: Cycle, now: float) -> Status:
        target, run, phase, found = self._target, cycle.run, cycle.phase, cycle.found
        since, respawns = _since(cycle), isinstance(phase, Ended) and phase.respawn_at is not None
        broken = None if cycle.refusal or not found.broken else found.broken[0]
        return Status(
            cycle.state,
            self._cause(cycle.cause),
            runs=run.number,
            exit_status=run.exit_status,
            lasted=run.lasted,
            took=self._took(run),
            running_for=0 if since is None else reported(now - since),
            runs_again_in=cycle.pause if respawns else None,
            waits_for=cycle.waits_for,
            error=cycle.refusal,
            broken=broken and replace(broken, path=relative(broken.path, self._folder)),
            held=self._files([change.path for change in found.changes]) if cycle.paused else None,
            looping=self._files(cycle.looping),
            alike=None if found.changes else self._files(found.alike),
            written=self._files(found.written),
            unused=self._files([change.path for change in found.unused]),
            left=cycle.left and isinstance(phase, Ended),
            notes=(*found.notes, *(target.notes() if target else ()), *self._first_words(cycle)),
            rerun=self._rerun.what,
            rerun_for=0 if self._rerun_since is None else max(0, math.floor(now - self._rerun_since)),
            stopped=self._rerun.stopped,
            paused=cycle.paused,
            polling=found.polling,
            pid=target.pid if target else self._pid,
            warm=target.is_warm if target else None,
            preloads=target.preloads() if target else "",
            cluster=cycle.cluster,
        )

    def _took(self, run: LastRun) -> float | None:
        """Return how soon the new code ran: its first line, or a kernel that answers."""
        if self._target is None or run.took is None:
            return run.took
        noticed, begun = (run.since or 0.0) - run.took, self._target.begun_at
        return None if begun is None else max(begun - noticed, 0.0)

    def _first_words(self, cycle: Cycle) -> Sequence[str]:
        return [self._first] if self._first and not cycle.run.number and cycle.state is State.RUNNING else []

    def _cause(self, cause: Cause | None) -> Cause | None:
        if cause is None or not cause.changes:
            return cause
        first = [replace(change, path=relative(change.path, self._folder)) for change in cause.changes[:NAMED_MAX]]
        return replace(cause, changes=tuple(first), more=len(cause.changes) - len(first))

    def _files(self, paths: Sequence[str]) -> Files | None:
        first = tuple(relative(path, self._folder) for path in paths[:NAMED_MAX])
        return Files(first, len(paths) - len(first)) if first else None


def _between(first: LastRun, second: LastRun) -> float | None:
    """Return the seconds between two starts."""
    return None if first.since is None or second.since is None else second.since - first.since


def _since(cycle: Cycle) -> float | None:
    """Return since when a script runs; a kernel runs all the time."""
    return cycle.run.since if isinstance(cycle.phase, Running) and not cycle.manner.stops_itself else None
