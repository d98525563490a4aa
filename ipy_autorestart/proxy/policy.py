"""Decide which kernel behind a proxy answers, and of what the next one is made; values alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ipy_autorestart.proxy.events import (
    Action,
    AnswerLost,
    Died,
    Dismiss,
    Drop,
    Ended,
    Event,
    Exit,
    Fork,
    Goodbye,
    HandOver,
    Judge,
    Judged,
    Keep,
    Kill,
    Leaves,
    Memory,
    NotForked,
    NotStarted,
    Outdated,
    Parked,
    Preloading,
    Ready,
    Serve,
    Start,
    Started,
    Tick,
    TookOver,
    Unparked,
)

#: Channels on which a kernel says that it has sent its last message.
ENDING = frozenset({"shell", "control", "iopub"})

#: Seconds that a kernel may take from its word that it leaves to its last message, and one to take over.
LEAVE_MAX, TAKE_MAX = 10.0, 10.0

#: Deaths in a row, without a kernel that has answered for so many seconds, after which no other takes over.
DEATHS_MAX, ANSWERED = 3, 5.0

#: Tries to start a process, in a row, after which it is given up, and the seconds between two: memory, processes or
#: descriptors may be short for a moment, or the interpreter gone while its environment is made anew.
TRIES_MAX, AGAIN = 10, 0.5

#: Kernels that have failed to start while another answers, after which no more are started ahead.
FAILURES_MAX = 3

#: Seconds in which the kernel that has taken over has the processor for itself: it runs cells again.
STANDBY_AFTER = 0.1

#: The status of a proxy that can start no kernel (``EX_SOFTWARE`` in ``sysexits.h``).
NO_KERNEL = 70


class State(Enum):
    """How far a kernel behind the proxy has come."""

    STARTING = "starting"
    STANDBY = "standby"  # it has started, and waits to take over
    TAKING = "taking over"
    LIVE = "live"
    LEAVING = "leaving"  # it sends what it has left to send


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels behind the proxy, by their numbers, and the checkpoints of which others can be made.

    Attributes
    ----------
    states
        How far each has come.
    origins
        The checkpoints of which kernels were made; the others were started, which 0 stands for.
    parked
        The checkpoints that wait, the one first that would be missed the most.
    likely
        The one of which the next kernel will probably be made, 0 for none.
    likely_since
        Since when.
    is_short
        Whether memory is short.
    wanted
        Where none is live: checkpoints of which the next kernel may be made, the best first; then it is started.
    is_judged
        Whether it is settled that the kernels that were started ahead are what a fresh start would be now.
    serves
        Whether the live one answers the clients; before that, the one that leaves has its last words.
    since
        Since when.
    ended
        Channels on which kernels have sent their last messages; those may be there before the word that they leave.
    until
        When the one that is waited for (`awaited`) is taken to hang.
    deaths
        How many have died in a row: in between, clients were not answered for some seconds, by whichever.
    revived
        When they were answered again after the last death.
    tries
        How many times in a row none could be started.
    start_at
        When to try that again, if it is wanted.
    closing
        Whether the live one is to end in order.
    is_preloading
        Whether a kernel that is started a moment later will be there sooner: it need not import what it needs.
    """

    states: tuple[tuple[int, State], ...] = ()
    origins: tuple[tuple[int, int], ...] = ()
    parked: tuple[int, ...] = ()
    likely: int = 0
    likely_since: float = 0.0
    is_short: bool = False
    wanted: tuple[int, ...] = ()
    is_judged: bool = True
    serves: bool = False
    since: float = 0.0
    ended: frozenset[tuple[int, str]] = frozenset()
    until: float = float("inf")
    deaths: int = 0
    revived: float = 0.0
    tries: int = 0
    start_at: float = float("-inf")
    closing: bool = False
    is_preloading: bool = False

    @property
    def due(self) -> float:
        """When `Tick` may change something."""
        ahead = self.ahead_at
        return min(self.until, self.start_at if self.tries else float("inf"), float("inf") if ahead is None else ahead)

    @property
    def ahead_at(self) -> float | None:
        """When to make a kernel ahead of the likely checkpoint, None for not at all."""
        is_possible = self.likely in self.parked and self.serves and not self.closing and not self.is_short
        if not is_possible or self.waiting(self.likely):
            return None
        return max(self.since, self.likely_since) + STANDBY_AFTER

    @property
    def awaited(self) -> tuple[int, State] | None:
        """The kernel that must come further in a while, None if there is none; what is started may take any time."""
        for state in (State.LEAVING, State.TAKING):
            if (number := self.one(state)) is not None:
                return number, state
        made = (one for one in self.states if one[1] is State.STARTING and self.origin(one[0]))
        return next(made, None)

    def one(self, state: State) -> int | None:
        """Return the oldest kernel in a state, None if there is none."""
        return next((number for number, found in self.states if found is state), None)

    def state(self, number: int) -> State | None:
        """Return the state of a kernel, None if it is gone."""
        return dict(self.states).get(number)

    def origin(self, number: int) -> int:
        """Return the checkpoint of which a kernel was made, 0 if it was started."""
        return dict(self.origins).get(number, 0)

    def waiting(self, origin: int) -> list[int]:
        """Return the kernels of an origin that start, or wait to take over, the oldest first."""
        states = (State.STARTING, State.STANDBY)
        return [number for number, state in self.states if state in states and self.origin(number) == origin]


def step(kernels: Kernels, event: Event, now: float) -> tuple[Kernels, list[Action]]:
    """Return the kernels after an event, and what is to be done."""
    awaited = kernels.awaited
    kernels, actions = _noted(kernels, event, now)
    if any(isinstance(action, Exit) for action in actions):
        return kernels, actions
    kernels, more = _go_on(kernels, now)
    if kernels.awaited != awaited:  # each has its time from the moment when it is the one that is waited for
        leaves = kernels.one(State.LEAVING) is not None
        until = now + (LEAVE_MAX if leaves else TAKE_MAX) if kernels.awaited else float("inf")
        kernels = replace(kernels, until=until)
    return kernels, [*actions, *more]


def _noted(kernels: Kernels, event: Event, now: float) -> tuple[Kernels, list[Action]]:
    """Return the kernels after an event, and what that alone asks for."""
    actions: list[Action] = []
    match event:
        case Started(number, origin):
            origins = (*kernels.origins, (number, origin)) if origin else kernels.origins
            kernels = replace(_with(kernels, number, State.STARTING), origins=origins)
            if not origin:
                kernels = replace(kernels, tries=0, start_at=float("-inf"))
        case NotStarted():
            kernels = replace(kernels, tries=kernels.tries + 1, start_at=now + AGAIN)
            actions = [Exit(NO_KERNEL)] if kernels.tries >= TRIES_MAX else []
        case NotForked(number) if kernels.state(number) is State.STARTING:
            kernels, actions = _failed(kernels, number)
        case Ready(number) if kernels.state(number) is State.STARTING:
            kernels = _with(kernels, number, State.STANDBY)
        case Leaves(number) if kernels.state(number) is State.LIVE and kernels.closing:
            actions = [Exit(0)]
        case Leaves(number, back, cold) if kernels.state(number) is State.LIVE:
            leaving = _with(_forgiven(kernels, now), number, State.LEAVING)
            kernels, actions = _left(replace(leaving, serves=False, wanted=back, is_judged=cold), number)
        case Ended(number, channel) if kernels.state(number) in (State.LIVE, State.LEAVING):
            kernels, actions = _left(replace(kernels, ended=kernels.ended | {(number, channel)}), number)
        case TookOver(number) if kernels.state(number) is State.TAKING:
            # What was parked after its origin has run cells that it has not.
            kernels, actions = _keep(kernels, [one for one in kernels.parked if one <= kernels.origin(number)])
            kernels = replace(_with(kernels, number, State.LIVE), wanted=())
        case Goodbye(number) if kernels.state(number) is State.LIVE:
            kernels = replace(kernels, closing=True)
        case Outdated(number) if number in kernels.waiting(0):
            kernels, actions = _without(kernels, number), [Kill(number)]
        case Died():
            kernels, actions = _died(kernels, event, now)
        case Parked(number, checkpoint) if kernels.state(number) is State.LIVE:
            kernels = replace(kernels, parked=(checkpoint, *(one for one in kernels.parked if one != checkpoint)))
        case Unparked(checkpoint):
            kernels = replace(kernels, parked=tuple(one for one in kernels.parked if one != checkpoint))
        case Keep(number, checkpoints, likely) if kernels.state(number) is State.LIVE:
            kernels, actions = _keep(kernels, [one for one in checkpoints if one in kernels.parked])
            if (likely := likely if likely in checkpoints else 0) != kernels.likely:
                kernels = replace(kernels, likely=likely, likely_since=now)
        case Judged():
            kernels = replace(kernels, is_judged=True)
        case Preloading(is_on):
            kernels = replace(kernels, is_preloading=is_on)
        case Memory(is_short):
            kernels, actions = _spare(replace(kernels, is_short=is_short))
        case Tick() if now >= kernels.until:
            kernels, actions = _hung(kernels, now)
        case _:  # of one that is gone, or not as far
            pass
    return kernels, actions


def _left(kernels: Kernels, number: int) -> tuple[Kernels, list[Action]]:
    """Dismiss a kernel that has said that it leaves, when its last messages are there."""
    ended = {channel for one, channel in kernels.ended if one == number}
    if kernels.state(number) is State.LEAVING and ended >= ENDING:
        return _without(kernels, number), [Dismiss(number)]
    return kernels, []


def _go_on(kernels: Kernels, now: float) -> tuple[Kernels, list[Action]]:
    """Have a kernel take over if none is there to answer, and answer as soon as the one before has ended."""
    live = kernels.one(State.LIVE)
    if live is None:
        return _follow(kernels, now) if kernels.one(State.TAKING) is None else (kernels, [])
    actions: list[Action] = []
    if not kernels.serves and kernels.one(State.LEAVING) is None:
        kernels = replace(kernels, serves=True, since=now, revived=min(kernels.revived, now))
        actions = [Serve(live)]
    for number, state in kernels.states:  # one is made ahead, of what is likely now
        is_waiting = state in (State.STARTING, State.STANDBY)
        if is_waiting and kernels.origin(number) not in (0, 0 if kernels.is_short else kernels.likely):
            kernels = _without(kernels, number)
            actions.append(Kill(number))
    if (ahead_at := kernels.ahead_at) is not None and now >= ahead_at:
        actions.append(Fork(kernels.likely))
    return kernels, actions


def _follow(kernels: Kernels, now: float) -> tuple[Kernels, list[Action]]:
    """Have the next kernel take over: one of the best checkpoint that there is, or else a fresh one."""
    for origin in (*kernels.wanted, 0):
        if not origin and not kernels.is_judged:
            return kernels, [Judge()]
        waiting = kernels.waiting(origin)
        for number in waiting:
            if kernels.state(number) is State.STANDBY:
                return _with(kernels, number, State.TAKING), [HandOver(number)]
        if waiting:
            break
        if origin in kernels.parked:
            return kernels, [Fork(origin)]
        if not origin and now >= kernels.start_at and not kernels.is_preloading:
            return kernels, [Start()]
    return kernels, []


def _died(kernels: Kernels, died: Died, now: float) -> tuple[Kernels, list[Action]]:
    number, status = died.number, died.status
    kernels = _forgiven(kernels, now)
    state, origin = kernels.state(number), kernels.origin(number)
    if state is State.LIVE and kernels.closing:
        return _without(kernels, number), [Exit(status)]
    if origin and state in (State.STARTING, State.STANDBY, State.TAKING):
        return _failed(kernels, number)
    if state is State.LIVE:
        back = sorted(kernels.parked, reverse=True)
        has_lived = kernels.serves and now - kernels.since > ANSWERED
        is_known = kernels.deaths == 0 and (died.at_work or max(back, default=0) > origin)
        if origin and not has_lived and not is_known:  # it may be its checkpoint of which it has died
            back = [one for one in back if one < origin]
        kernels = replace(kernels, wanted=() if died.hung_up else tuple(back), is_judged=False, serves=False)
    kernels = _without(kernels, number)
    is_missed = state in (State.LIVE, State.TAKING) or (state is State.STARTING and kernels.one(State.LIVE) is None)
    if not is_missed:
        return kernels, []
    kernels = replace(kernels, deaths=kernels.deaths + 1, revived=math.inf)
    if kernels.deaths >= DEATHS_MAX:
        return kernels, [Exit(status)]
    return kernels, [AnswerLost(number, status)] if state is State.LIVE else []


def _failed(kernels: Kernels, number: int) -> tuple[Kernels, list[Action]]:
    """Do without a kernel that was to be made of a checkpoint, and without that: each is tried once, so all end.

    It counts as no death, for the next may be of an older one; at last a fresh one is started.
    """
    origin = kernels.origin(number)
    return _keep(_without(kernels, number), [one for one in kernels.parked if one != origin])


def _keep(kernels: Kernels, checkpoints: Sequence[int]) -> tuple[Kernels, list[Action]]:
    """Keep these checkpoints only, of those that are parked, in this order."""
    dropped = [Drop(one) for one in kernels.parked if one not in checkpoints]
    likely = kernels.likely if kernels.likely in checkpoints else 0
    return replace(kernels, parked=tuple(checkpoints), likely=likely), list(dropped)


def _spare(kernels: Kernels) -> tuple[Kernels, list[Action]]:
    """Do without something if memory is short: the kernel made ahead (see `_go_on`), or else a checkpoint."""
    if not (kernels.is_short and kernels.serves and kernels.parked) or kernels.waiting(kernels.likely or -1):
        return kernels, []
    return _keep(kernels, kernels.parked[:-1])


def _forgiven(kernels: Kernels, now: float) -> Kernels:
    """Forget earlier deaths if none has died for long enough; kernels that give way to the next one are well."""
    return replace(kernels, deaths=0) if kernels.serves and now - kernels.revived > ANSWERED else kernels


def _hung(kernels: Kernels, now: float) -> tuple[Kernels, list[Action]]:
    """Go on without a kernel that does not come to an end of leaving, or of taking over."""
    if (awaited := kernels.awaited) is None:
        return kernels, []
    number, state = awaited
    if state is State.LEAVING:
        return _without(kernels, number), [Kill(number)]
    kernels, actions = _died(kernels, Died(number, HUNG), now)
    return kernels, [Kill(number), *actions]


#: Stands for the exit status of a kernel that had to be killed: of SIGKILL.
HUNG = -9


def _with(kernels: Kernels, number: int, state: State) -> Kernels:
    return replace(kernels, states=tuple({**dict(kernels.states), number: state}.items()))


def _without(kernels: Kernels, number: int) -> Kernels:
    return replace(
        kernels,
        states=tuple(one for one in kernels.states if one[0] != number),
        origins=tuple(one for one in kernels.origins if one[0] != number),
        ended=frozenset(one for one in kernels.ended if one[0] != number),
    )


def standby_at(kernels: Kernels, failures: int) -> float | None:
    """Return when to start a kernel ahead of the next restart, None for not at all."""
    if kernels.waiting(0) or not kernels.serves or kernels.closing or kernels.is_short or failures >= FAILURES_MAX:
        return None
    return kernels.since + STANDBY_AFTER
