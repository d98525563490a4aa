"""SIGINT over a restart: it is noted while no image can act on it, as SIGHUP is, and stops the cells that run again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ipy_autorestart.pristine import signal, time


class Interrupts:
    """Takes SIGINT and only notes it, until `end`; the one that took it before passes its notes on.

    Attributes
    ----------
    previous
        The handler to give back.
    """

    def __init__(self) -> None:
        self._noted_at = float("-inf")
        self.previous: Any = signal.getsignal(signal.SIGINT)
        before = current()
        signal.signal(signal.SIGINT, self.note)
        if before is not None:
            self.previous = before.previous
            self._noted_at = max(self._noted_at, before._noted_at)  # noqa: SLF001  # its own kind

    @property
    def noted(self) -> bool:
        """Whether a SIGINT came."""
        return self._noted_at > float("-inf")

    def note(self, *_: object) -> None:
        """Note that one came; this is the handler."""
        self._noted_at = time.monotonic()

    def forget(self, *, before: float = float("inf")) -> None:
        """Forget those that came before a moment of the monotonic clock."""
        if self._noted_at < before:
            self._noted_at = float("-inf")

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Have the previous handler act on SIGINT meanwhile."""
        try:
            signal.signal(signal.SIGINT, self.previous)
            yield
        except KeyboardInterrupt:  # at the very beginning or end
            self.note()
        finally:
            signal.signal(signal.SIGINT, self.note)

    def end(self) -> None:
        """Give SIGINT back, unless somebody else has taken it."""
        if current() is self:
            signal.signal(signal.SIGINT, signal.SIG_DFL if self.previous is None else self.previous)


def current() -> Interrupts | None:
    """Return what notes SIGINT now, None if nothing does."""
    owner = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    return owner if isinstance(owner, Interrupts) else None
