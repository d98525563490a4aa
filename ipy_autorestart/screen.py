"""What a supervisor needs of the place where its target shows itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from ipy_autorestart.record import Began, Cleared, Output, Record, Shown, Status

log = logging.getLogger(__name__)


class Screen(Protocol):
    """Where a target shows itself; called from the listening thread.

    One that shows what scripts display, too, has an attribute ``displays``, how figures are to be shown, as plain data:
    their ``formats`` and the ``options`` of ``print_figure``. It has the methods ``display`` and ``clear`` then, which
    take the records of `record`.

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


def show(screen: Screen, record: Record) -> None:
    """Have the screen show what a supervisor tells."""
    match record:
        case Status():
            screen.show(record)
        case Began(run):
            screen.begin(run)
        case Output(_, stream, text):
            screen.write(stream, text)
        case Shown() if display := getattr(screen, "display", None):
            display(record)
        case Cleared() if clear := getattr(screen, "clear", None):
            clear(record)
        case _:
            log.warning("unexpected from the supervisor: %s", record)


def state_of(screen: Screen | None) -> Mapping[str, Any] | None:
    """Return what `Screen.to_state` gives, or None where there is nothing that can be taken along."""
    try:
        state = screen.to_state() if screen else None
        json.dumps(state)
    except Exception:  # the border: the kernel is about to leave; a screen of somebody's own stays behind
        log.exception("can't take along what %r shows", screen)
        return None
    return state
