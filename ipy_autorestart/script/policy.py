"""Decisions about runs: when to make a fork server, and how much output to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ipy_autorestart import catalogue
from ipy_autorestart.decide.events import Preloading

#: Seconds without a new import, or change of what is installed, after which making a fork server is worthwhile.
QUIET = 0.5

#: Seconds without a new import after which a fork server that imports beside a run gets ready.
FOLLOWED = 0.3

#: Seconds between two fork servers while a run goes on importing; doubled each time, up to the second value.
APART, APART_MAX = 5.0, 300.0

#: Failures in a row, and modules that turn out unfit, after which no more fork servers are made.
FAILURES_MAX, UNFIT_MAX = 2, 12

#: Runs in a row that have not imported a module, after which it is not imported ahead any more. Some end early.
UNUSED_MAX = 10


@dataclass(frozen=True, slots=True)
class Warmth:
    """State of a script's imports and of its fork server.

    Attributes
    ----------
    learnt, made
        Number of modules that runs have imported, now and when the last fork server was made; None before that.
    learnt_at
        Time of the last new import, or change of what is installed.
    made_at, pause
        Time when the last fork server was made, and the seconds until the next if a run goes on.
    failures
        Fork servers that failed, in a row.
    unfit
        Modules that can't be imported ahead, each with the reason.
    apart
        Those of them that nothing else may import ahead either, as they would meet something else there.
    stale
        What is installed has changed since the last fork server was made.
    took
        Seconds from when the last fork server was made until it was ready; None if none ever was.
    cold_at
        Time of the last cold start, as long as its imports go on.
    cold, cold_before
        Seconds that those have taken so far, and those of the cold start before.
    """

    learnt: int = 0
    made: int | None = None
    learnt_at: float = 0.0
    made_at: float = float("-inf")
    pause: float = APART
    failures: int = 0
    unfit: tuple[tuple[str, str], ...] = ()
    apart: tuple[str, ...] = ()
    stale: bool = False
    took: float | None = None
    cold_at: float | None = None
    cold: float = 0.0
    cold_before: float = 0.0

    @property
    def is_given_up(self) -> bool:
        """Whether no more fork servers are made."""
        return self.failures >= FAILURES_MAX or len(self.unfit) > UNFIT_MAX


def make_at(warmth: Warmth, *, alive: bool, running: bool, follows: bool = False) -> float | None:
    """Return when to make the next fork server, None for not at all.

    ``alive`` says that there is one, ``running`` that a run goes on, which may import more, and which the fork server
    ``follows``: it imports the same modules at the same time.
    """
    if warmth.is_given_up:
        return None
    if follows and running and not alive and not warmth.stale:
        return warmth.learnt_at
    if alive and not warmth.stale and warmth.made is not None and warmth.learnt <= warmth.made:
        return None
    quiet = warmth.learnt_at + QUIET
    if running and alive and not warmth.stale:
        return max(quiet, warmth.made_at + warmth.pause)
    return quiet if running or warmth.stale else warmth.learnt_at


def complete_at(warmth: Warmth, *, running: bool) -> float:
    """Return when a fork server that follows a run has followed it for long enough."""
    return warmth.learnt_at + FOLLOWED if running else warmth.learnt_at


#: A fork server takes so many times as long as the imports of a cold start, before one has been made.
TAKES = 1.5


def started_cold(warmth: Warmth, now: float) -> Warmth:
    """Note a cold start."""
    return replace(warmth, cold_at=now, cold=0.0, cold_before=warmth.cold)


def imported(warmth: Warmth, now: float) -> Warmth:
    """Note that a run has imported something; what comes after a pause is no part of its start."""
    if warmth.cold_at is None or now - warmth.cold_at - warmth.cold > QUIET:
        return replace(warmth, cold_at=None)
    return replace(warmth, cold=now - warmth.cold_at)


def recent(used: Mapping[str, int], now: int) -> list[str]:
    """Return what was used lately, given by which run each was used last, and the number of the present run."""
    return [path for path, run in used.items() if now - run < UNUSED_MAX]


def misfitted(warmth: Warmth, name: str, why: str, now: float) -> Warmth:
    """Note that a package must not be imported ahead, as the script changes before its import what it meets there."""
    if name in warmth.apart:  # it was ahead all the same
        return replace(warmth, failures=FAILURES_MAX, stale=True)
    unfit = (*warmth.unfit, (name, catalogue.BEFORE_ITS_IMPORT(why=why)))
    return replace(warmth, unfit=unfit, apart=(*warmth.apart, name), learnt=0, stale=True, learnt_at=now)


#: Seconds from the last import of a fork server that follows a run until it is ready.
GETS_READY = 0.2


def expected(warmth: Warmth, *, follows: bool = False) -> Preloading:
    """Return when the fork server that is being made will be ready, and how long a cold start takes."""
    cold = max(warmth.cold, warmth.cold_before)
    if follows:
        return Preloading(complete_at(warmth, running=True) + GETS_READY, cold)
    return Preloading(warmth.made_at + (TAKES * cold if warmth.took is None else warmth.took), cold)


def own_files(paths: Iterable[str], beside: str, roots: tuple[str, ...]) -> list[str]:
    """Return the files, of compiled modules the sources, that lie in a folder, but below no root.

    Both end with a slash. What is installed there is left out, in an environment of the project's own, and so are
    caches, which are hidden.
    """
    found = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name.endswith(".pyc") and folder.endswith("/__pycache__"):
            folder, name = folder.removesuffix("/__pycache__"), name.partition(".")[0] + ".py"
        source = f"{folder}/{name}"
        inside = source.removeprefix(beside)
        if inside != source and not source.startswith(roots) and not any(map(_is_installed, inside.split("/")[:-1])):
            found.append(source)
    return found


def _is_installed(folder: str) -> bool:
    return folder.startswith((".", "python3.")) or folder in ("site-packages", "dist-packages")


#: Seconds after which it is told what a run that goes on has read.
UNWATCHED_AFTER = 1.0

#: Bytes per second, and at once after a quiet time. jupyter_server drops what a kernel sends beyond a million bytes per
#: second, the mean of three seconds (``ZMQChannelsWebsocketConnection.iopub_data_rate_limit``).
RATE, BURST = 1 << 18, 1 << 20

#: Bytes that are worth a message.
WORTHWHILE = 1 << 12

#: Least cost of a display in bytes: it is more work for a page than text, and jupyter_server drops what goes beyond
#: a thousand messages per second (``iopub_msg_rate_limit``).
DISPLAY = 1 << 11


@dataclass(frozen=True, slots=True)
class Allowance:
    """Bytes that may be shown at a moment, a token bucket."""

    left: float = BURST
    at: float = 0.0


def refilled(allowance: Allowance, now: float) -> Allowance:
    """Return the bytes that may be shown now."""
    return Allowance(min(BURST, allowance.left + RATE * max(0.0, now - allowance.at)), now)


def spent(allowance: Allowance, size_bytes: int) -> Allowance:
    """Return the bytes that may still be shown."""
    return replace(allowance, left=allowance.left - size_bytes)


def enough_at(allowance: Allowance, size_bytes: int) -> float:
    """Return when that many bytes may be shown, or as many of them as are worthwhile."""
    return allowance.at + max(0.0, min(size_bytes, WORTHWHILE) - allowance.left) / RATE


def cost(size_bytes: int) -> int:
    """Return the cost of a display in bytes: the server counts it as a message, hardly by its size."""
    return DISPLAY + size_bytes // 16
