"""What happens to kernels and checkpoints behind a proxy, and what that does about it: the values of its policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Started(NamedTuple):
    """A kernel has been started, or a checkpoint asked to make it; it is not ready yet."""

    number: int
    origin: int = 0


@dataclass(frozen=True, slots=True)  # no tuple: all empty ones are equal
class NotStarted:
    """No kernel could be started, though it is waited for."""


class NotForked(NamedTuple):
    """A kernel could not be made of a checkpoint."""

    number: int


class Ready(NamedTuple):
    """A kernel has come to the end of its start."""

    number: int


class Leaves(NamedTuple):
    """The live kernel gives way to the next; what that needs has been handed over.

    Attributes
    ----------
    back
        Checkpoints of which that may be made, the best first.
    cold
        Whether what waits was started for it, of nothing that has been forked.
    """

    number: int
    back: tuple[int, ...] = ()
    cold: bool = False


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
    hung_up: bool = False  # it had been sent a SIGHUP: its checkpoints may have seen what has changed
    at_work: bool = False  # on a client's request, which may be what it died of


class Parked(NamedTuple):
    """A copy of a kernel, which is live, waits as a checkpoint."""

    number: int
    checkpoint: int


class Unparked(NamedTuple):
    """A checkpoint has ended."""

    checkpoint: int


class Keep(NamedTuple):
    """Of a kernel, which is live, only these checkpoints are wanted, the one first that would be missed the most."""

    number: int
    checkpoints: tuple[int, ...]
    likely: int = 0


class Memory(NamedTuple):
    """The memory has been looked at."""

    is_short: bool


class Preloading(NamedTuple):
    """A process from which kernels are forked begins to import what they need, or doesn't any more."""

    is_on: bool


class Outdated(NamedTuple):
    """A kernel that starts or waits isn't any more what a fresh start would be."""

    number: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What was started ahead and is `Outdated` has been said to be so."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    Started
    | NotStarted
    | NotForked
    | Ready
    | Leaves
    | Ended
    | TookOver
    | Goodbye
    | Died
    | Parked
    | Unparked
    | Keep
    | Memory
    | Preloading
    | Outdated
    | Judged
    | Tick
)


@dataclass(frozen=True, slots=True)
class Start:
    """Start a kernel at once: there is none that could take over."""


class Fork(NamedTuple):
    """Ask a checkpoint to make a kernel."""

    checkpoint: int


class Drop(NamedTuple):
    """End a checkpoint."""

    checkpoint: int


@dataclass(frozen=True, slots=True)
class Judge:
    """Say which kernels that were started ahead are `Outdated`, and then `Judged`: the next one is to be fresh."""


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


Action = Start | Fork | Drop | Judge | HandOver | Serve | Kill | Dismiss | AnswerLost | Exit
