"""The state of one target's life, from which every decision is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ipy_autorestart.decide.cause import Cause
from ipy_autorestart.decide.change import Broken, Change
from ipy_autorestart.decide.loop import NO_LOOP, Loop


class Phase(Enum):
    """Where the target stands."""

    RUNNING = "running"
    ENDED = "ended"
    STOPPING = "stopping"
    STARTING = "starting"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When to act; all in seconds.

    Attributes
    ----------
    leading
        Act on the first finished change of a quiet time at once and let later ones supersede the start (a script's
        start is cheap), or wait until the burst is over (a kernel's is not).
    quiet
        Quiet that ends a burst of one or two paths. Editors write a file in one go and formatters follow within 20 ms.
    quiet_many
        Quiet that ends a larger burst, and the time after a change in which the next belongs to the same burst. The
        largest gap inside a ``git checkout`` or a formatter's round was 18 ms on an idle machine, more on a loaded one.
    max_wait
        A burst is served after this long even if it goes on.
    writing
        A file that was modified and is not closed yet is waited for this long.
    scan
        Until the first slow scan for what no hint announced; each look says when the next is due.
    stop_timeout
        From the stop signal to SIGKILL; None where the target stops by itself.
    """

    leading: bool = True
    quiet: float = 0.05
    quiet_many: float = 0.15
    max_wait: float = 2.0
    writing: float = 1.0
    scan: float = 1.0
    stop_timeout: float | None = 5.0


@dataclass(frozen=True, slots=True)
class Burst:
    """Changes that belong together, from the first hint until it has been quiet for long enough.

    ``since`` is the first one that has not been served; of the paths only as many are kept as tell few from many;
    ``acted`` says that the first has been looked at without waiting.
    """

    since: float
    last: float
    paths: frozenset[str] = frozenset()
    writing: frozenset[str] = frozenset()
    wide: bool = False
    acted: bool = False


@dataclass(frozen=True, slots=True)
class Cycle:
    """All that the next decision depends on.

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
    asked
        It was a person who asked for it.
    again
        A hangup came while the target was starting: one more restart is owed.
    unseen
        A hint came after the last look.
    due
        The look that was asked for last is to be acted on; a slow scan's is not, it only begins a burst.
    fresh
        The start that was last may yet be superseded by its burst: it is not shown, nor counted twice.
    look_at, scan_at, kill_at
        Moments at which something is due.
    loop
        Whether the target seems to restart itself.
    started
        When the target started last.
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
    asked: bool = False
    again: bool = False
    unseen: bool = False
    due: bool = False
    burst: Burst | None = None
    look_at: float | None = None
    scan_at: float | None = None
    kill_at: float | None = None
    fresh: bool = False
    runs: int = 0
    exit_status: int | None = None
    loop: Loop = NO_LOOP
    started: float | None = None
    noticed: float | None = None
    took: float | None = None

    @property
    def looping(self) -> tuple[str, ...]:
        """Files for which no start is admitted for a while."""
        held = self.loop.is_loop and self.look_at is not None and self.look_at == self.loop.until
        return tuple(sorted(self.loop.paths)) if held else ()
