"""What a new image learns of the SIGHUPs that came while it started."""

from __future__ import annotations

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
