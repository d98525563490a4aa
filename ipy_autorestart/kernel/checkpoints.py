"""The checkpoints of a live kernel behind a proxy: copies of itself that wait, and to which it can go back.

What there is to know of them is in the kernel's memory, and so by itself right in a kernel that goes on from one: it
knows the checkpoints of its own past, and what its cells had used until then. `checkpoint_policy` decides.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from ipy_autorestart.ipython.ledger import Ledger
from ipy_autorestart.ipython.uses import Change, Uses
from ipy_autorestart.kernel import checkpoint_policy as policy
from ipy_autorestart.kernel.checkpoint_policy import Checkpoint
from ipy_autorestart.kernel.copy import Copy
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.kernel.memory import held_by, waiting
from ipy_autorestart.kernel.parked import ParkedKernel, Turn, or_leave
from ipy_autorestart.kernel.trust import Known, Trust
from ipy_autorestart.kernel.trust_policy import Baseline
from ipy_autorestart.memory import available_bytes
from ipy_autorestart.pristine import os, socket, time
from ipy_autorestart.protocol import checkpoint as told
from ipy_autorestart.reexec.trackers import trackers
from ipy_autorestart.wire.link import Keep, Link, Parked

log = logging.getLogger(__name__)

#: Seconds that the kernel's threads may take until they stand: the next cell may wait.
STAND_MAX = 0.1


class Checkpoints:
    """Makes them; for the main thread of a kernel, between its cells, while its gate is closed.

    Parameters
    ----------
    copy, trust
        Make copies of the kernel, and tell whether they would be the same.
    uses
        What cells have used by now.
    """

    def __init__(self, copy: Copy, trust: Trust, uses: Uses) -> None:
        self._copy = copy
        self._trust = trust
        self._uses = uses
        self._baseline: Baseline | None = None
        self._turn: Turn | None = None
        self._told: Keep | None = None
        self._sorted: tuple[tuple[int, ...], int] | None = None  # the checkpoints, and the uses by then
        self._not_before, self._cost = float("-inf"), 0.0
        self._tried_at = -1  # after so many executions; no cell waits twice for one
        self._count = self._executions = 0  # at the last one
        self._ages: dict[int, int] = {}  # executions at the making of each
        self.made: tuple[Checkpoint, ...] = ()
        self.why_none: dict[int, str] = {}  # by the execution counts of cells

    def close(self, proxy: Link) -> None:
        """Let all go."""
        self.made = ()
        self._tell(proxy, ())
        self._copy.close()

    def note_baseline(self, fds: Collection[int] = ()) -> None:
        """Excuse what the kernel has been given; its user has done nothing yet."""
        self._baseline = self._trust.baseline(_known(fds))

    def is_due(self, ledger: Ledger) -> bool:
        """Return whether one is worth its price by now."""
        kept = ledger.kept
        latest = max(kept, key=lambda cell: cell.last, default=None)
        if latest is None or latest.error or latest.last <= self._executions:
            return False
        if ledger.executions == self._tried_at or time.monotonic() < self._not_before:
            return False
        return policy.is_worth(sum(cell.seconds for cell in kept if cell.last > self._executions), self._cost)

    def put_off(self, ledger: Ledger) -> None:
        """Make none before another cell has run, as other requests go on."""
        self._tried_at = ledger.executions

    def make(
        self,
        proxy: Link,
        ledger: Ledger,
        *,
        supervisors: Collection[int],
        fds: Iterable[int],
        leave: Callable[[], None],
        rehearse: Callable[[], None] = lambda: None,
    ) -> Turn | None:
        """Make one, or remember why there is none; in a kernel that goes on from it, return its turn.

        Parameters
        ----------
        proxy
            The link to it.
        ledger
            The cells of which the state is made.
        supervisors, fds
            Processes and descriptors of this project.
        leave
            Called in the copy: it lets go of those, and of the link.
        rehearse
            Called in each kernel that is made of it, while that waits.
        """
        began, self._tried_at = time.monotonic(), ledger.executions
        latest = max(ledger.kept, key=lambda cell: cell.last)
        known = _known((*fds, proxy.fileno()), supervisors)
        doubts = self._trust.doubts(known, self._baseline)
        if not doubts:
            self._uses.note_readers()
            checkpoint = Checkpoint(
                number=self._count + 1,
                uses=len(self._uses),
                seconds=sum(cell.seconds for cell in ledger.kept),
                cost=self._cost,
                pid=0,
                after=latest.number,
            )
            undo = self.made, self._executions
            self.made, self._executions = (*self.made, checkpoint), ledger.executions  # so the copy knows of itself
            self._count = checkpoint.number
            self._ages[checkpoint.number] = ledger.executions
            try:
                doubts = self._fork(proxy, checkpoint, leave, rehearse)
            except (CantCopy, OSError) as why:
                doubts = (str(why),)
            except BaseException:  # of a signal handler of the user's
                self.made, self._executions = undo
                raise
            if self._turn:
                turn, self._turn = self._turn, None
                self._told = self._sorted = None
                return turn
            if doubts:
                self.made, self._executions = undo
        self._cost = time.monotonic() - began
        if doubts:
            self._not_before = began + policy.WORK_PER_COST * self._cost
            self.why_none[latest.number] = "; ".join(doubts)
            log.info("no checkpoint after cell %d: %s", latest.number, self.why_none[latest.number])
        else:
            self.made = (*self.made[:-1], replace(self.made[-1], cost=self._cost))
        return None

    def _fork(
        self, proxy: Link, checkpoint: Checkpoint, leave: Callable[[], None], rehearse: Callable[[], None]
    ) -> tuple[str, ...]:
        """Make it; return why it can't be trusted, and return in a kernel that goes on from it, too."""
        ours, theirs = (Link(one) for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        parent = os.getppid()

        def park() -> None:
            ours.close()
            leave()
            self.made = (*self.made[:-1], replace(self.made[-1], pid=os.getpid()))
            parked = ParkedKernel(
                self._copy,
                repair=self._trust.repair,
                rehearse=rehearse,
                link=theirs,
                proxy=parent,
                folder=proxy.folder,
            )
            self._turn = parked.wait()

        try:
            pid = self._copy.fork(park, repair=or_leave(self._trust.repair), apart=True, within=STAND_MAX)
            if self._turn:
                return ()
            if doubts := self._trust.survivors():
                return doubts  # and the copy ends with the link
            proxy.send(Parked(checkpoint.number, pid), [ours.fileno()])
            self.made = (*self.made[:-1], replace(self.made[-1], pid=pid))
            return ()
        finally:
            if not self._turn:
                ours.close()
                theirs.close()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of those that are there, the newest first."""
        return tuple(one.number for one in reversed(self.made) if os.path.exists(f"/proc/{one.pid}"))

    def before(self, execution: int) -> tuple[int, ...]:
        """Return those that were made before an execution, the newest first."""
        return tuple(number for number in self.numbers if self._ages[number] < (execution or math.inf))

    def tell(self) -> list[told.Checkpoint]:
        """Return them for people, and the cells after which there is none."""
        memory = self._memory()
        made = [told.Checkpoint(one.after, one.seconds, memory[one.pid], pid=one.pid) for one in self.made]
        numbers = {one.after for one in self.made}
        none = [told.Checkpoint(after, why=why) for after, why in self.why_none.items() if after not in numbers]
        return sorted([*made, *none], key=lambda one: one.after)

    def right_for(self, changes: Iterable[Change]) -> tuple[int, ...]:
        """Return the checkpoints that are there and have used nothing of what has changed, the best first."""
        there = [one for one in self.made if os.path.exists(f"/proc/{one.pid}")]
        return policy.right_for(there, [self._uses.place_of(change) for change in changes])

    def sort_out(self, proxy: Link, places: Callable[[], Collection[int]]) -> None:
        """Keep only what can be of use, and tell the proxy; ``places`` returns those of first uses of watched files."""
        if not self.made or self._sorted == (state := (self.numbers, len(self._uses))):
            return
        found, budget = places(), policy.budget(available_bytes())
        if self._sorted is None or self._sorted[0] != self.numbers:  # else it was looked at before long
            memory = self._memory(budget)
            there = [one for one in self.made if os.path.exists(f"/proc/{one.pid}")]
            self.made = tuple(replace(one, memory_bytes=memory[one.pid]) for one in there)
        kept = policy.kept(self.made, found)
        left = [one for one in self.made if one.number in kept]
        dropped = policy.over_budget(left, budget)
        self._tell(proxy, policy.by_worth([one for one in left if one.number not in dropped]), found)
        self._sorted = self.numbers, state[1]

    def _memory(self, budget_bytes: float = -1.0) -> dict[int, int]:
        """Return the memory that each holds, by their processes; what they may hold, if that is within a budget."""
        parked = [one.pid for one in self.made]
        ahead = waiting(os.getppid()).difference(parked)
        return held_by(parked, ahead=ahead, live=os.getpid(), budget_bytes=budget_bytes)

    def _tell(self, proxy: Link, numbers: tuple[int, ...], places: Iterable[int] = ()) -> None:
        self.made = tuple(one for one in self.made if one.number in numbers)
        word = Keep(numbers, policy.likely(self.made, places))
        if word != self._told:
            self._told = word
            with contextlib.suppress(OSError):
                proxy.send(word)


def _known(fds: Collection[int], children: Collection[int] = ()) -> Known:
    return Known(fds=frozenset(fds), children=frozenset(children) | trackers())
