"""Events, which the engine gives to the step (besides `Hint` and `Found`), and the actions that it gets back."""

from __future__ import annotations

from dataclasses import dataclass

from ipy_autorestart.decide.change import Change, Found, Hint
from ipy_autorestart.decide.facts import Cause


@dataclass(frozen=True, slots=True)
class Begin:
    """The watch stands; ``runs`` says whether the target already does, as a kernel does."""

    runs: bool = False


@dataclass(frozen=True, slots=True)
class Hangup:
    """The process that acts has received a SIGHUP, ours or another program's."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A person asks for a restart."""


@dataclass(frozen=True, slots=True)
class Paused:
    """A person holds restarts back, or (``on`` false) lets them go on.

    ``withdrawn`` says that a target which stops by itself had received a SIGHUP and has cancelled its restart.
    """

    on: bool = True
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """The target, which stops by itself, must finish something first."""

    what: str


@dataclass(frozen=True, slots=True)
class Started:
    """The new state has taken over; in another process than before, if ``pid`` isn't 0."""

    pid: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """The target goes on in another process, with all that it has loaded."""

    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The run, or the kernel's old image, is gone; ``status`` as ``Popen.returncode`` gives it.

    ``left`` says that processes which it started are not; another one follows when they are. ``clients`` are those that
    a kernel had of clusters.
    """

    status: int | None = None
    left: bool = False
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The target can't restart now; ``runs`` says whether the old state goes on."""

    why: str
    runs: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """The new state of a target that restarts itself has failed, as ``why`` says; its process waits for a change."""

    why: str


@dataclass(frozen=True, slots=True)
class Preloading:
    """What the target imports is being imported ahead, and is expected to be there at ``ready_at``.

    A start before that takes ``cold`` seconds, and no more than an instant after it.
    """

    ready_at: float
    cold: float


@dataclass(frozen=True, slots=True)
class Preloaded:
    """Nothing is imported ahead any more that a start could wait for."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A cluster that gets what is saved can be reached, or ``why`` not."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Pushed:
    """Each worker of the cluster runs what the `Push` of this number brought, as ``how`` says."""

    number: int
    how: str


@dataclass(frozen=True, slots=True)
class PushFailed:
    """Some worker may not run what the `Push` of this number was to bring, and ``why``."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Touched:
    """Asks a kernel which of these files, which may have been otherwise for a moment, it has used since.

    It answers with a `Reread` of the same number, whichever process it is by then. ``since`` is the moment of the first
    hint of them on the monotonic clock, in seconds.
    """

    number: int
    changes: tuple[Change, ...]
    since: float


@dataclass(frozen=True, slots=True)
class Reread:
    """A kernel's answer to `Touched` of this number: it has used these of the files."""

    number: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """The moment that `wake_at` named has come."""


@dataclass(frozen=True, slots=True)
class Close:
    """End for good; ``within`` seconds if there is less time than the stop timeout."""

    within: float | None = None


Event = (
    Begin
    | Hint
    | Found
    | Hangup
    | Asked
    | Paused
    | Waiting
    | Started
    | Exited
    | Refused
    | Failed
    | Reread
    | Preloading
    | Preloaded
    | Reached
    | Pushed
    | PushFailed
    | Tick
    | Close
)


@dataclass(frozen=True, slots=True)
class Look:
    """Compare the files with the baseline; a Found follows."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Send SIGHUP to the process that acts; a Hangup follows."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Wake a process that restarts itself and has been sent a SIGHUP, and ask what it waits for."""


@dataclass(frozen=True, slots=True)
class Inquire:
    """Ask a kernel whether it has used files that may have been otherwise for a moment; a Reread follows."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the target to end; an Exited follows."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Make the target end, with all that it started."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Make the files, as the last look saw them, the baseline; with ``afresh`` look once more first."""

    afresh: bool = False


@dataclass(frozen=True, slots=True)
class Ship:
    """Send the cluster the files that it lacks, for a push that will follow."""


@dataclass(frozen=True, slots=True)
class Push:
    """Have each worker of the cluster run what is committed; a Pushed or PushFailed of the same number follows.

    ``clients`` are about to leave it.
    """

    number: int
    cause: Cause
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """Start the target; a Started follows."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Finish:
    """Leave the loop: nothing is left to do."""


Action = Look | Signal | Ask | Inquire | Stop | Kill | Commit | Ship | Push | Start | Finish
