"""The state of one target's life, from which every decision is made, and why it was restarted last."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ipy_autorestart.decide.backoff import NO_LOOP, Loop
from ipy_autorestart.decide.change import Broken, Change, Kind
from ipy_autorestart.decide.timing import Burst, Timing
from ipy_autorestart.text import relative


class Reason(enum.Enum):
    """What asked for a start."""

    FIRST = "started"
    CHANGE = "changed"
    HANGUP = "SIGHUP"
    ASKED = "asked"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Cause:
    """The reason for a start, with the changes it serves."""

    reason: Reason
    changes: tuple[Change, ...] = ()

    def describe(self, folder: str) -> str:
        """Say it in a few words, with paths relative to ``folder`` where they lie below it.

        Examples
        --------
        ``"src/a.py changed"``, ``"src/a.py and 2 more changed"``, ``"src/a.py deleted"``, ``"SIGHUP received"``.
        """
        match self.reason:
            case Reason.FIRST:
                return "first run"
            case Reason.HANGUP:
                return "SIGHUP received"
            case Reason.ASKED:
                return "asked by hand"
            case Reason.ENDED:
                return "it had ended"
            case Reason.CHANGE:
                first, *more = self.changes
                verb = {Kind.ADDED: "added", Kind.MODIFIED: "changed", Kind.DELETED: "deleted"}[first.kind]
                name = relative(first.path, folder)
                return f"{name} and {len(more)} more changed" if more else f"{name} {verb}"


class Phase(Enum):
    """Where the target stands."""

    RUNNING = "running"
    ENDED = "ended"
    STOPPING = "stopping"
    STARTING = "starting"
    CLOSED = "closed"


class Cycle(NamedTuple):
    """All that the next decision depends on.

    A tuple, since a restart makes a dozen, and replacing fields takes a sixth of what it takes with a dataclass.

    Attributes
    ----------
    changes
        Seen and not yet served.
    broken, alike, unused, written
        What was found and asks for nothing, to be told.
    cause
        Of the start that is under way or was the last.
    signalled
        A SIGHUP is on its way.
    reason
        Of that SIGHUP, if no change is.
    paused
        Changes wait until a person lets them go on.
    again
        A hangup came while the target was starting: one more restart is owed.
    unseen
        A hint came after the last look.
    due
        The look that was asked for last is to be acted on; a slow scan's is not, it only begins a burst.
    fresh
        The start that was last may yet be superseded by its burst: it is not shown, nor counted twice.
    look_at, scan_at, kill_at, respawn_at
        Moments at which something is due.
    tell_at
        When a stop is told that isn't over by then; most take a few milliseconds, which the next start needs more.
    killed
        SIGKILL has been sent; what is still there at ``kill_at`` can't be ended.
    waits_for
        What a target that stops by itself must finish first.
    left
        What runs has ended, and processes that it started have not.
    pause
        Seconds of the last wait before something that had ended by itself was started again.
    loop
        Whether the target seems to restart itself.
    started, lasted
        When the target started last, and the seconds from there to its end.
    noticed, took
        When what is being served was noticed, and the seconds from there to the start that served it last.
    """

    timing: Timing = Timing()
    phase: Phase = Phase.ENDED
    changes: tuple[Change, ...] = ()
    broken: tuple[Broken, ...] = ()
    alike: tuple[str, ...] = ()
    unused: tuple[Change, ...] = ()
    written: tuple[str, ...] = ()
    cause: Cause | None = None
    refusal: str = ""
    signalled: bool = False
    reason: Reason = Reason.HANGUP
    paused: bool = False
    again: bool = False
    unseen: bool = False
    due: bool = False
    burst: Burst | None = None
    look_at: float | None = None
    scan_at: float | None = None
    kill_at: float | None = None
    respawn_at: float | None = None
    tell_at: float | None = None
    killed: bool = False
    waits_for: str = ""
    left: bool = False
    pause: float = 0.0
    fresh: bool = False
    runs: int = 0
    exit_status: int | None = None
    loop: Loop = NO_LOOP
    started: float | None = None
    lasted: float | None = None
    noticed: float | None = None
    took: float | None = None

    @property
    def hidden(self) -> bool:
        """Whether what goes on may yet be superseded, so that nothing of it is shown."""
        return (self.fresh or self.tell_at is not None) and self.phase is not Phase.CLOSED

    @property
    def looping(self) -> tuple[str, ...]:
        """Files for which no start is admitted for a while."""
        held = self.loop.is_loop and self.look_at is not None and self.look_at == self.loop.until
        return tuple(sorted(self.loop.paths)) if held else ()
