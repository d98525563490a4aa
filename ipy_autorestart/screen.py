"""What a supervisor needs of the place where its target shows itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ipy_autorestart.link import Status


class Screen(Protocol):
    """Where a target shows itself; called from the listening thread.

    One that shows what scripts display, too, has an attribute ``displays``, how figures are to be shown, as plain data:
    their ``formats`` and the ``options`` of ``print_figure``. It has the methods ``display`` and ``clear`` then, which
    take the records of `link`.

    Attributes
    ----------
    takes_all
        Whether it takes all that a run prints, at the speed at which it does; else the middle of a flood is left out.
    """

    takes_all: bool

    def show(self, status: Status) -> None:
        """Show the status in place of the one before."""

    def begin(self, run: int) -> None:
        """Make room for what a new run prints."""

    def write(self, stream: str, text: str) -> None:
        """Show what the run wrote to "stdout" or "stderr"."""

    def to_state(self) -> Mapping[str, Any]:
        """Return, as plain data, what a screen at the same place needs after the kernel's exec."""
