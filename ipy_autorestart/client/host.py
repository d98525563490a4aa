"""What a supervisor needs of the process it is started in, and of the place where its target shows itself."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from ipy_autorestart.protocol.messages import Began, Clear, Display, Output, Record, Status
from ipy_autorestart.reexec.restarter import Restarter

#: By which a shell's host is found at the shell.
ATTRIBUTE = "_ipy_autorestart"

NO_KERNEL = (
    "only a Jupyter kernel or an IPython of its own, with the extension loaded, can be restarted; run "
    "%load_ext ipy_autorestart there first, or name a script: src/ main.py"
)


class Hosting(Protocol):
    """A process, as the supervisors that it is the front of see it."""

    @property
    def guests(self) -> list[Any]:
        """Those supervisors."""

    @property
    def restarter(self) -> Restarter | None:
        """What restarts this process, if anything can."""


def current_host() -> Hosting | None:
    """Return the host of the shell that runs in this process, if the extension has been loaded there."""
    if "IPython" not in sys.modules:  # then there is no shell, and a plain program needn't wait for the import
        return None
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return None
    host: Hosting | None = getattr(shell, ATTRIBUTE, None)
    return host


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
        case Display() if display := getattr(screen, "display", None):
            display(record)
        case Clear() if clear := getattr(screen, "clear", None):
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
