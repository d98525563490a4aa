"""The seams of the engine: a target that it launches and ends, and a front that it reports to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ipy_autorestart.decide.events import Event, Exited, Preloading, Refused
from ipy_autorestart.decide.use import Used
from ipy_autorestart.protocol.link import HasFileno
from ipy_autorestart.protocol.messages import Record


class Readable(HasFileno, Protocol):
    """A stream to wait for and read."""

    def read(self) -> object:
        """Take what is there."""


class Target(Protocol):
    """A target that is launched and ended from here, one run after the other; a kernel does both by itself.

    The words are those of ``subprocess.Popen`` and of jupyter_client's provisioners.
    """

    # -- runs ----------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process group that runs, 0 for none."""

    @property
    def is_warm(self) -> bool | None:
        """Whether what runs, or ran last, was forked ahead; None before the first run."""

    @property
    def begun_at(self) -> float | None:
        """When the first line of the last run ran, on the monotonic clock; None as long as that isn't known."""

    def launch(self, changed: Iterable[str], number: int) -> None:
        """Begin the run of this number, for some files that have changed; raises OSError."""

    def send_signal(self, signum: int) -> None:
        """Send the run a signal that it would have got from its terminal."""

    def terminate(self) -> None:
        """Ask the run, and what it has started, to end."""

    def release(self) -> None:
        """Let go of what is kept for the next run: there will be none."""

    def kill(self) -> None:
        """End the run, and what it has started."""

    def poll(self, now: float) -> Exited | Refused | None:
        """Return what is new about the end of the run, if anything is."""

    def poll_at(self) -> float | None:
        """Return when `poll` is to be called though no SIGCHLD came."""

    def used(self) -> Used:
        """Return what the run has read and written, as far as is known by now."""

    def close(self) -> None:
        """End the run and what is ready for the next one, for good."""

    # -- what runs print, and what is imported ahead -------------------------------------------------------------------

    def streams(self) -> Iterable[Readable]:
        """Return what is to be read."""

    def output_at(self) -> float | None:
        """Return when `send_output` has something to send."""

    def send_output(self, now: float) -> None:
        """Send the front what runs have printed and displayed, as much as is due."""

    def preloading(self) -> Preloading | None:
        """Return when the next run will begin sooner than it would now, if anything is imported ahead for it."""

    def notes(self) -> tuple[str, ...]:
        """Return what is worth a sentence about what runs."""

    def preloads(self) -> str:
        """Say what is imported ahead of the next run, and what is not and why."""


class Pusher(HasFileno, Protocol):
    """What brings new code to the workers of a cluster."""

    def ship(self) -> None:
        """Send files ahead of a push."""

    def push(self, number: int, clients: tuple[str, ...]) -> None:
        """Have each worker run what is saved now, by the push of this number, in place of one that goes on.

        The clients, by the cluster's names, are about to leave it.
        """

    def receive(self) -> Iterable[Event]:
        """Return what is new, if anything is."""

    def close(self) -> None:
        """End it."""


class FrontLink(HasFileno, Protocol):
    """The front, at the other end of a link or in this process."""

    @property
    def backlog(self) -> int:
        """Bytes that wait to be taken."""

    def send(self, record: Record) -> None:
        """Report something."""

    def flush(self) -> None:
        """Pass on what waits."""

    def receive(self) -> Iterable[Record]:
        """Return what was said; raises EOFError when nobody is there any more."""
