"""Decisions about runs: when a fork server is made, and how much output may be shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Seconds without a new import, or change of what is installed, after which a fork server is worth its making.
QUIET = 0.5

#: Seconds between two makings while a run goes on that imports more and more; doubled each time, up to the most.
APART, APART_MAX = 5.0, 300.0

#: So many fork servers may fail in a row, and so many modules turn out unfit, before no more are made.
FAILURES_MAX, UNFIT_MAX = 2, 12


@dataclass(frozen=True, slots=True)
class Warmth:
    """What is known of a script's imports and of its fork server.

    Attributes
    ----------
    learnt, made
        Modules that runs have imported, and how many were known when the last fork server was made, None before.
    learnt_at
        When the last of them was learnt, or what is installed changed.
    made_at, pause
        When the last one was made, and the seconds to the next if a run goes on.
    failures
        Fork servers that failed, in a row.
    unfit
        Modules that can't be imported ahead, by name, and why.
    stale
        What is installed has changed since.
    """

    learnt: int = 0
    made: int | None = None
    learnt_at: float = 0.0
    made_at: float = float("-inf")
    pause: float = APART
    failures: int = 0
    unfit: tuple[tuple[str, str], ...] = ()
    stale: bool = False

    @property
    def is_given_up(self) -> bool:
        """Whether no more are made."""
        return self.failures >= FAILURES_MAX or len(self.unfit) > UNFIT_MAX


def make_at(warmth: Warmth, *, alive: bool, running: bool) -> float | None:
    """Return when the next fork server is to be made, or None.

    Parameters
    ----------
    warmth
        What is known.
    alive
        Whether there is one.
    running
        Whether a run goes on, which may import more.
    """
    if warmth.is_given_up:
        return None
    if alive and not warmth.stale and warmth.made is not None and warmth.learnt <= warmth.made:
        return None
    quiet = warmth.learnt_at + QUIET
    if running and alive and not warmth.stale:
        return max(quiet, warmth.made_at + warmth.pause)
    return quiet if running or warmth.stale else warmth.learnt_at


#: Bytes each second, and at once after a quiet time. jupyter_server drops what goes beyond a million bytes a second, as
#: a mean of three seconds (``ZMQChannelsWebsocketConnection.iopub_data_rate_limit``), of all that a kernel shows.
RATE, BURST = 1 << 18, 1 << 20

#: With less left it isn't worth a message.
WORTHWHILE = 1 << 12

#: What a display takes at least: a page has more to do with it than with text, and jupyter_server drops what goes
#: beyond a thousand messages a second (``iopub_msg_rate_limit``).
DISPLAY = 1 << 11


@dataclass(frozen=True, slots=True)
class Allowance:
    """Bytes that may be shown at a moment, a token bucket."""

    left: float = BURST
    at: float = 0.0


def refilled(allowance: Allowance, now: float) -> Allowance:
    """Return what may be shown by now."""
    return Allowance(min(BURST, allowance.left + RATE * max(0.0, now - allowance.at)), now)


def spent(allowance: Allowance, size_bytes: int) -> Allowance:
    """Return what may still be shown."""
    return replace(allowance, left=allowance.left - size_bytes)


def enough_at(allowance: Allowance, size_bytes: int) -> float:
    """Return when so much may be shown, or as much of it as is worthwhile."""
    return allowance.at + max(0.0, min(size_bytes, WORTHWHILE) - allowance.left) / RATE


def cost(size_bytes: int) -> int:
    """Return what is spent for a display, which the server counts as a message but not by its bytes."""
    return DISPLAY + size_bytes // 16
