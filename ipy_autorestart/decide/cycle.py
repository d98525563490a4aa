"""The state of one target's life, from which every decision is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, assert_never

from ipy_autorestart import catalogue
from ipy_autorestart.decide.backoff import NO_LOOP, Loop
from ipy_autorestart.decide.change import Change, Found
from ipy_autorestart.decide.events import Preloading, Pushed
from ipy_autorestart.decide.facts import Cause, Reason, State
from ipy_autorestart.decide.timing import SCRIPT, Burst, Manner, Timing


@dataclass(frozen=True, slots=True)
class Running:
    """The target runs; ``refusal`` says why it could not be restarted, if that was asked for since."""

    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The target has ended by itself, or has not been started; ``refusal`` says why it could not be."""

    left: bool = False  # processes that it started have not ended
    respawn_at: float | None = None  # when it is started again without a change
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The target was asked to end, and starts again after that."""

    cause: Cause
    noticed: float
    waits_for: str = ""  # what a target that stops by itself must finish first
    kill_at: float | None = None  # when SIGKILL is sent, or when what even SIGKILL didn't end is given up
    killed: bool = False  # SIGKILL has been sent
    left: bool = False  # the target has ended, and processes that it started have not


@dataclass(frozen=True, slots=True)
class Pushing:
    """Nothing runs until each worker of a cluster has the new code, by the push of this number."""

    cause: Cause
    noticed: float | None
    number: int
    clients: tuple[str, ...] = ()  # those of a kernel that restarts, which are about to leave the cluster


@dataclass(frozen=True, slots=True)
class Starting:
    """The target is about to run."""

    cause: Cause
    noticed: float | None = None  # None for the first start
    again: Reason | None = None  # why one more restart is pending, if a hangup came meanwhile


@dataclass(frozen=True, slots=True)
class Closed:
    """The watch ends as soon as the target has; ``kill_at`` and ``killed`` as in `Stopping`."""

    kill_at: float | None = None
    killed: bool = False


Phase = Running | Ended | Stopping | Pushing | Starting | Closed


@dataclass(frozen=True, slots=True)
class Pending:
    """A SIGHUP that is on its way to the process that acts."""

    reason: Reason = Reason.HANGUP  # why it was sent
    noticed: float | None = None  # when its cause was, if that was before it was sent
    waits_for: str = ""  # what a busy kernel must finish before it can even take the signal
    sent_at: float | None = None  # when it was sent to another process, which restarts itself
    waited: float = 0.0  # for the end of a burst
    ask_at: float | None = None  # when to ask that one again, which has said nothing yet


class LastRun(NamedTuple):
    """The run that was started last, or the kernel's present life.

    A ``fresh`` one may yet be superseded by the rest of its burst. Until then it is not shown; if it is superseded,
    both count as one.
    """

    number: int = 0  # starts so far
    cause: Cause | None = None
    since: float | None = None
    took: float | None = None  # seconds from noticing the cause to the start
    fresh: bool = False
    exit_status: int | None = None  # None while it runs
    lasted: float | None = None  # seconds from its start to its end
    gone_at: float | None = None  # when nothing of it lived any more, nor a process that it had started


class Looks(NamedTuple):
    """The schedule of looks at the files.

    The look that was asked for last is acted on if it is ``due``. A slow scan's is not, it only begins a burst.
    """

    burst: Burst | None = None  # the changes that belong together now
    at: float | None = None  # when the burst is looked at
    scan_at: float | None = None  # when the slow scan is due
    unseen: bool = False  # a hint came after the last look
    due: bool = False


class Cycle(NamedTuple):
    """All that the next decision depends on.

    A tuple, as are the parts that change with each hint: replacing fields takes a fraction of what it takes with a
    dataclass.

    Most restarts take a few milliseconds, and the next start is more urgent than the status: nothing is shown until it
    has begun, or until ``shown_at``.
    """

    timing: Timing = Timing()
    manner: Manner = SCRIPT
    phase: Phase = Ended()
    run: LastRun = LastRun()
    found: Found = Found()  # what differs from what runs, as far as it is known
    reread: tuple[Change, ...] = ()  # what a kernel has read that was put back, until it restarts for that
    looks: Looks = Looks()
    pending: Pending | None = None
    shown_at: float | None = None
    paused: bool = False  # changes wait until a person lets them go on
    loop: Loop = NO_LOOP  # whether the target seems to restart itself
    pause: float = 0.0  # seconds of the last wait before something that had ended by itself was started again
    preloading: Preloading | None = None
    held_until: float | None = None  # a start waits for what is imported ahead, until then at most
    pushes: bool = False  # a cluster gets what is saved before the next start
    push_number: int = 0  # of the last push that was asked for
    unreachable: str = ""  # why it can't just now
    pushed: Pushed | None = None  # the last push that each worker had

    @property
    def hidden(self) -> bool:
        """Whether nothing is shown for now, because it may yet be superseded."""
        phase = self.phase
        restarts = self.pending is not None or isinstance(phase, Stopping | Starting)
        return (self.run.fresh or (restarts and self.shown_at is not None)) and not isinstance(phase, Closed)

    @property
    def next_number(self) -> int:
        """The number of the next run.

        A start that takes the place of one that was never shown is the same restart to whoever looks on.
        """
        return self.run.number if self.run.fresh else self.run.number + 1

    @property
    def state(self) -> State:
        """The state that is reported."""
        phase, stops_itself = self.phase, self.manner.stops_itself
        match phase:
            case Stopping():
                return State.WAITING if stops_itself else State.STOPPING
            case Starting() | Pushing():
                return State.RESTARTING if self.run.number or stops_itself else State.STARTING
            case Closed():
                return State.ENDED
            case Running() if self.pending and stops_itself:
                return State.WAITING
            case Running() | Ended():
                pass
            case _:
                assert_never(phase)
        if self.paused:
            return State.PAUSED
        if self.found.broken and not phase.refusal:
            return State.BROKEN
        if isinstance(phase, Running) and not self.run.exit_status:  # else its process waits in its place
            return State.RUNNING
        if self.run.exit_status is None:
            return State.IDLE
        return State.CRASHED if self.run.exit_status else State.FINISHED

    @property
    def cause(self) -> Cause | None:
        """The cause of the start that is under way, else of the last one."""
        return self.phase.cause if isinstance(self.phase, Stopping | Pushing | Starting) else self.run.cause

    @property
    def left(self) -> bool:
        """Whether the target has ended and processes that it started have not."""
        return isinstance(self.phase, Stopping | Ended) and self.phase.left

    @property
    def waits_for(self) -> str:
        """The cell or request that a busy kernel finishes first, or what a script's start waits for, in words."""
        if self.held_until is not None:
            return catalogue.ITS_IMPORTS()
        if isinstance(self.phase, Stopping):
            return self.phase.waits_for
        return self.pending.waits_for if self.pending else ""

    @property
    def cluster(self) -> str:
        """How far the new code has come on a cluster, in words."""
        if isinstance(self.phase, Pushing):
            return catalogue.NEW_CODE_ON_ITS_WAY()
        return self.pushed.how if self.pushed else ""

    @property
    def refusal(self) -> str:
        """The reason why the target could not be started or restarted, or could not be just now; or nothing."""
        return self.phase.refusal or self.unreachable if isinstance(self.phase, Running | Ended) else ""

    @property
    def looping(self) -> tuple[str, ...]:
        """Files for which no start is admitted for a while."""
        waits = self.found.changes and self.loop.waits(self.run.since)
        return tuple(sorted(self.loop.files)) if waits else ()
