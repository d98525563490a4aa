"""What the engine needs of its neighbours: a target that it restarts, a watch that it asks, a front that it tells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ipy_autorestart.decide.change import Found
from ipy_autorestart.decide.events import Exited
from ipy_autorestart.decide.use import Used
from ipy_autorestart.protocol.link import HasFileno
from ipy_autorestart.protocol.messages import Record


class Readable(HasFileno, Protocol):
    """Something to wait for and read."""

    def read(self) -> object:
        """Take what is there."""


class Target(Protocol):
    """What the engine restarts."""

    @property
    def pid(self) -> int:
        """Its process, 0 for none."""

    def signal(self) -> None:
        """Send SIGHUP to the process that acts; the engine learns of its arrival."""

    @property
    def is_warm(self) -> bool | None:
        """Whether what runs, or ran last, was forked ahead; None where there is no such thing."""

    def describe(self) -> str:
        """Say what it has ready for the next start."""

    def note(self) -> str:
        """Say what else is worth a sentence of its status, as it is now."""

    def start(self, changed: Iterable[str]) -> bool:
        """Start it for some changes and say whether it runs, else the engine will learn; raises OSError."""

    def stop(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""

    def poll(self, now: float) -> Exited | None:
        """Return what is new about its end, if anything is."""

    def poll_at(self) -> float | None:
        """Return when `poll` is to be asked though no SIGCHLD came."""

    def receive(self, record: Record) -> None:
        """Take what the front, which may be the target, says; the engine handles the events among it by itself."""

    def used(self) -> Used:
        """Return what it has read and written, as far as is known by now."""

    def streams(self) -> Iterable[Readable]:
        """Return what it prints to."""

    def due_at(self) -> float | None:
        """Return when `hear` has something to do."""

    def close(self) -> None:
        """End it, and what else it has; after this it is done with."""

    def hear(self, now: float) -> None:
        """Pass on what it has printed."""


class FrontLink(HasFileno, Protocol):
    """Who is told, and says what is wanted: at the other end of a link, or a terminal."""

    @property
    def backlog(self) -> int:
        """Bytes that wait to be taken."""

    def send(self, record: Record) -> None:
        """Tell something."""

    def flush(self) -> None:
        """Pass on what waits."""

    def receive(self) -> Iterable[Record]:
        """Return what was said; raises EOFError when nobody is there any more."""


class Watch(Protocol):
    """What the engine asks of the watch room."""

    def look(self) -> Found:
        """Return what differs from the baseline."""

    def commit(self) -> None:
        """Make what the last look saw the baseline."""

    def settle(self, paths: Iterable[str]) -> None:
        """Make what the last look saw of some files their baseline."""

    def passed_over(self) -> Iterable[tuple[str, str]]:
        """Return files that have changed and were not looked at, and why."""

    def used(self, paths: Iterable[str] | None, *, written: Iterable[str]) -> None:
        """Tell it what the target read, None for everything, and wrote."""
