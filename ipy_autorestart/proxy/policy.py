"""Decide what a proxy keeps and does: which requests are not done, and which kernel answers them; values alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

#: Channels on which a kernel says that it has sent its last message.
ENDING = frozenset({"shell", "control", "iopub"})

#: Seconds that a kernel may take from its word that it leaves to its last message, and one to take over.
LEAVE_MAX, TAKE_MAX = 10.0, 10.0

#: Deaths in a row, without a kernel that has answered for so many seconds, after which no other takes over.
DEATHS_MAX, ANSWERED = 3, 5.0

#: Tries to start a process, in a row, after which it is given up, and the seconds between two: memory, processes or
#: descriptors may be short for a moment, or the interpreter gone while its environment is made anew.
TRIES_MAX, AGAIN = 10, 0.5

#: The status of a proxy that can start no kernel (``EX_SOFTWARE`` in ``sysexits.h``).
NO_KERNEL = 70


#: Messages that are no requests: nothing answers them.
SILENT = frozenset({"comm_open", "comm_msg", "comm_close"})


class Request(NamedTuple):
    """A request that a client has sent and that may not be done yet."""

    channel: str
    kind: str
    frames: tuple[bytes, ...]
    replied: bool = False
    idle: bool = False  # the kernel has said that it is done
    begun: bool = False  # the kernel has said that it is at work on it

    @property
    def has_reply(self) -> bool:
        """Whether a reply is to be expected."""
        return self.kind not in SILENT

    @property
    def may_be_begun(self) -> bool:
        """Whether the kernel may be at work on it and has not come to say so."""
        return self.channel == "shell" and self.has_reply and not self.replied and not self.idle

    @property
    def is_done(self) -> bool:
        """Whether all that it leads to has come."""
        return self.idle and (self.replied or not self.has_reply)


EXECUTE = "execute_request"


class Lost(NamedTuple):
    """Requests that a kernel, which has died, can't answer any more.

    Attributes
    ----------
    begun
        What it was at work on; done again, that might kill the next kernel, too. If it has not come to say so, it is
        the oldest request.
    aborted
        Cells that were to follow a lost one, which they may rely on.
    answered
        What it had replied to without saying that it was done.
    """

    begun: tuple[Request, ...] = ()
    aborted: tuple[Request, ...] = ()
    answered: tuple[Request, ...] = ()


class Book:
    """The requests that are not done, in their order, by the ids of their messages."""

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def note(self, key: str, channel: str, kind: str, frames: Iterable[bytes]) -> None:
        """Note a request that is sent to the kernel."""
        self._requests[key] = Request(channel, kind, tuple(frames))

    def replied(self, key: str) -> None:
        """Note a reply."""
        if request := self._requests.get(key):
            self._settle(key, request._replace(replied=True))

    def busy(self, key: str) -> None:
        """Note that the kernel has begun it."""
        if request := self._requests.get(key):
            self._requests[key] = request._replace(begun=True)

    def idle(self, key: str) -> None:
        """Note that the kernel has done it."""
        if request := self._requests.get(key):
            self._settle(key, request._replace(idle=True))

    def _settle(self, key: str, request: Request) -> None:
        if request.is_done:
            del self._requests[key]
        else:
            self._requests[key] = request

    def left(self) -> list[Request]:
        """Return what another kernel is to do, after the last message of the one that has ended in order.

        What that has said to be done is done, even if it has no reply, as messages of unknown kinds have none. The rest
        begins from the start.
        """
        left = {key: one for key, one in self._requests.items() if not one.idle}
        self._requests = {key: one._replace(replied=False, begun=False) for key, one in left.items()}
        return list(self._requests.values())

    def forget(self, key: str) -> None:
        """Forget a request that is done though nothing was said of it."""
        self._requests.pop(key, None)

    def take_lost(self, *, tells: bool = False) -> Lost:
        """Take out what a kernel that has died can't answer any more.

        If it doesn't tell what it begins but to clients, it may have died before it came to that: the oldest it was.
        """
        begun = [key for key, one in self._requests.items() if one.begun and not one.replied]
        answered = [key for key, one in self._requests.items() if one.replied]
        if not begun and not tells:
            begun = [key for key, one in self._requests.items() if one.may_be_begun][:1]
        cells = [key for key, one in self._requests.items() if one.kind == EXECUTE]
        aborted = [key for key in cells if key not in begun + answered] if set(cells) & set(begun) else []
        return Lost(*(tuple(map(self._requests.pop, keys)) for keys in (begun, aborted, answered)))


# -- which kernel answers ----------------------------------------------------------------------------------------------


class State(Enum):
    """How far a kernel behind the proxy has come."""

    STARTING = "starting"
    STANDBY = "standby"  # it has started, and waits to take over
    TAKING = "taking over"
    LIVE = "live"
    LEAVING = "leaving"  # it sends what it has left to send


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels behind the proxy, by their numbers.

    Attributes
    ----------
    states
        How far each has come.
    serves
        Whether the live one answers the clients; before that, the one that leaves has its last words.
    since
        Since when.
    ended
        Channels on which kernels have sent their last messages; those may be there before the word that they leave.
    until
        When the one that leaves or takes over is taken to hang.
    deaths
        How many have died in a row, without one that has answered for some seconds.
    tries
        How many times in a row none could be started.
    start_at
        When to try that again, if it is wanted.
    closing
        Whether the live one is to end in order.
    """

    states: tuple[tuple[int, State], ...] = ()
    serves: bool = False
    since: float = 0.0
    ended: frozenset[tuple[int, str]] = frozenset()
    until: float = float("inf")
    deaths: int = 0
    tries: int = 0
    start_at: float = float("-inf")
    closing: bool = False

    @property
    def due(self) -> float:
        """When `Tick` may change something."""
        return min(self.until, self.start_at if self.tries else float("inf"))

    def one(self, state: State) -> int | None:
        """Return the oldest kernel in a state, None if there is none."""
        return next((number for number, found in self.states if found is state), None)

    def state(self, number: int) -> State | None:
        """Return the state of a kernel, None if it is gone."""
        return dict(self.states).get(number)


class Started(NamedTuple):
    """A kernel has been started; it is not ready yet."""

    number: int


class NotStarted(NamedTuple):
    """No kernel could be started, though it is waited for."""


class Ready(NamedTuple):
    """A kernel has come to the end of its start."""

    number: int


class Leaves(NamedTuple):
    """The live kernel gives way to the next; what that needs has been handed over."""

    number: int


class Ended(NamedTuple):
    """A kernel has sent the last message of a channel."""

    number: int
    channel: str


class TookOver(NamedTuple):
    """A kernel continues where the one before has ended."""

    number: int


class Goodbye(NamedTuple):
    """The live kernel ends in order, as it was asked to or by ``exit``; so does the proxy."""

    number: int


class Died(NamedTuple):
    """The process of a kernel has ended."""

    number: int
    status: int  # as ``Popen.returncode`` gives it


class Outdated(NamedTuple):
    """A kernel that starts or waits isn't any more what a fresh start would be."""

    number: int


class Tick(NamedTuple):
    """Time has passed."""


Event = Started | NotStarted | Ready | Leaves | Ended | TookOver | Goodbye | Died | Outdated | Tick


class Start(NamedTuple):
    """Start a kernel at once: there is none that could take over."""


class HandOver(NamedTuple):
    """Have a kernel take over."""

    number: int


class Serve(NamedTuple):
    """Have a kernel answer the clients: first what is not done, in its order, then what they send from now on."""

    number: int


class Kill(NamedTuple):
    """End a kernel: it has nothing to do any more."""

    number: int


class Dismiss(NamedTuple):
    """Hear no more of a kernel that has said all: it ends by itself."""

    number: int


class AnswerLost(NamedTuple):
    """Answer in the place of the live kernel, which has died, what it was at work on."""

    number: int
    status: int


class Exit(NamedTuple):
    """End as the kernel has ended."""

    status: int


Action = Start | HandOver | Serve | Kill | Dismiss | AnswerLost | Exit


def step(kernels: Kernels, event: Event, now: float) -> tuple[Kernels, list[Action]]:
    """Return the kernels after an event, and what is to be done."""
    actions: list[Action] = []
    leaves = kernels.one(State.LEAVING) is not None
    match event:
        case Started(number):
            kernels = replace(_with(kernels, number, State.STARTING), tries=0, start_at=float("-inf"))
        case NotStarted():
            kernels = replace(kernels, tries=kernels.tries + 1, start_at=now + AGAIN)
            actions = [Exit(NO_KERNEL)] if kernels.tries >= TRIES_MAX else []
        case Ready(number) if kernels.state(number) is State.STARTING:
            kernels = _with(kernels, number, State.STANDBY)
        case Leaves(number) if kernels.state(number) is State.LIVE and kernels.closing:
            actions = [Exit(0)]
        case Leaves(number) if kernels.state(number) is State.LIVE:
            leaving = _with(_forgiven(kernels, now), number, State.LEAVING)
            kernels, actions = _left(replace(leaving, serves=False, until=now + LEAVE_MAX), number)
        case Ended(number, channel) if kernels.state(number) in (State.LIVE, State.LEAVING):
            kernels, actions = _left(replace(kernels, ended=kernels.ended | {(number, channel)}), number)
        case TookOver(number) if kernels.state(number) is State.TAKING:
            kernels = _with(kernels, number, State.LIVE)
        case Goodbye(number) if kernels.state(number) is State.LIVE:
            kernels = replace(kernels, closing=True)
        case Outdated(number) if kernels.state(number) in (State.STARTING, State.STANDBY):
            kernels, actions = _without(kernels, number), [Kill(number)]
        case Died(number, status):
            kernels, actions = _died(kernels, number, status, now)
        case Tick() if now >= kernels.until:
            kernels, actions = _hung(kernels, now)
        case _:  # of one that is gone, or not as far
            pass
    if any(isinstance(action, Exit) for action in actions):
        return kernels, actions
    if leaves and kernels.one(State.LEAVING) is None and kernels.one(State.TAKING) is not None:
        kernels = replace(kernels, until=now + TAKE_MAX)  # which counts from here on
    return _go_on(kernels, actions, now)


def _left(kernels: Kernels, number: int) -> tuple[Kernels, list[Action]]:
    """Dismiss a kernel that has said that it leaves, when its last messages are there."""
    ended = {channel for one, channel in kernels.ended if one == number}
    if kernels.state(number) is State.LEAVING and ended >= ENDING:
        return _without(kernels, number), [Dismiss(number)]
    return kernels, []


def _go_on(kernels: Kernels, actions: list[Action], now: float) -> tuple[Kernels, list[Action]]:
    """Have a kernel take over if none is there to answer, and answer as soon as the one before has ended."""
    live = kernels.one(State.LIVE)
    if live is None and kernels.one(State.TAKING) is None:
        if (standby := kernels.one(State.STANDBY)) is not None:
            until = now + TAKE_MAX if kernels.one(State.LEAVING) is None else kernels.until
            kernels = replace(_with(kernels, standby, State.TAKING), until=until)
            actions = [*actions, HandOver(standby)]
        elif kernels.one(State.STARTING) is None and now >= kernels.start_at:
            actions = [*actions, Start()]
    if live is not None and not kernels.serves and kernels.one(State.LEAVING) is None:
        kernels = replace(kernels, serves=True, since=now, until=float("inf"))
        actions = [*actions, Serve(live)]
    return kernels, actions


def _died(kernels: Kernels, number: int, status: int, now: float) -> tuple[Kernels, list[Action]]:
    kernels = _forgiven(kernels, now)
    state = kernels.state(number)
    serves = kernels.serves and state is not State.LIVE
    kernels = replace(_without(kernels, number), serves=serves)
    if state is State.LIVE and kernels.closing:
        return kernels, [Exit(status)]
    is_missed = state in (State.LIVE, State.TAKING) or (state is State.STARTING and kernels.one(State.LIVE) is None)
    if not is_missed:
        return kernels, []
    kernels = replace(kernels, deaths=kernels.deaths + 1)
    if kernels.deaths >= DEATHS_MAX:
        return kernels, [Exit(status)]
    return kernels, [AnswerLost(number, status)] if state is State.LIVE else []


def _forgiven(kernels: Kernels, now: float) -> Kernels:
    """Forget earlier deaths if a kernel has answered for long enough."""
    return replace(kernels, deaths=0) if kernels.serves and now - kernels.since > ANSWERED else kernels


def _hung(kernels: Kernels, now: float) -> tuple[Kernels, list[Action]]:
    """Go on without a kernel that does not come to an end of leaving, or of taking over."""
    kernels = replace(kernels, until=now + TAKE_MAX)
    if (leaving := kernels.one(State.LEAVING)) is not None:
        return _without(kernels, leaving), [Kill(leaving)]
    if (taking := kernels.one(State.TAKING)) is not None:
        kernels, actions = _died(kernels, taking, HUNG, now)
        return kernels, [Kill(taking), *actions]
    return kernels, []


#: Stands for the exit status of a kernel that had to be killed: of SIGKILL.
HUNG = -9


def _with(kernels: Kernels, number: int, state: State) -> Kernels:
    return replace(kernels, states=tuple({**dict(kernels.states), number: state}.items()))


def _without(kernels: Kernels, number: int) -> Kernels:
    states = tuple(one for one in kernels.states if one[0] != number)
    return replace(kernels, states=states, ended=frozenset(one for one in kernels.ended if one[0] != number))


#: Kernels that have failed to start while another answers, after which no more are started ahead.
FAILURES_MAX = 3

#: Seconds in which the kernel that has taken over has the processor for itself: it runs cells again.
STANDBY_AFTER = 0.1


def standby_at(kernels: Kernels, failures: int) -> float | None:
    """Return when to start a kernel ahead of the next restart, None for not at all."""
    is_there = kernels.one(State.STARTING) is not None or kernels.one(State.STANDBY) is not None
    if is_there or not kernels.serves or kernels.closing or failures >= FAILURES_MAX:
        return None
    return kernels.since + STANDBY_AFTER
