"""What a new image learns of the SIGHUPs that came while it started."""

from __future__ import annotations

import signal
from typing import Any, Protocol


class Hangups(Protocol):
    """What the bootstrap has noted.

    Attributes
    ----------
    noted
        One came.
    previous
        The handler that SIGHUP has when nothing is watched.
    """

    noted: bool
    previous: Any

    def end(self) -> None:
        """Put that handler back, if no watch has put its own there."""


def standing() -> Any:  # noqa: ANN401  # what signal.getsignal returns
    """Return the handler of SIGHUP, and for the bootstrap's that which it stands for."""
    handler = signal.getsignal(signal.SIGHUP)
    owner: Any = getattr(handler, "__self__", None)
    return owner.previous if hasattr(owner, "noted") and hasattr(owner, "previous") else handler
