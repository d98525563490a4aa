"""Screens: where a target shows itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from ipy_autorestart.protocol.messages import Began, Clear, Display, Output, Record, Status

log = logging.getLogger(__name__)


class Screen(Protocol):
    r"""A place of your own for a script's output and its status.

    Its methods are called from another thread than the main one. A screen that can show more than text is a
    `RichScreen`.

    Attributes
    ----------
    takes_all
        Whether it can take all that a run prints, however fast. If not, the middle of a flood is left out.

    Examples
    --------
    >>> import time
    >>> class Log:
    ...     takes_all = True
    ...     text = ""
    ...     def show(self, status): pass
    ...     def begin(self, run): self.text = f"run {run}: "
    ...     def write(self, stream, text): self.text += text
    ...     def to_state(self): return {}
    >>> log = Log()
    >>> with Supervisor(Script("main.py"), screen=log) as supervisor:
    ...     while supervisor.status.state != "finished":
    ...         time.sleep(0.01)
    >>> log.text
    'run 1: hello\n'
    """

    takes_all: bool

    def show(self, status: Status) -> None:
        """Show the status in place of the one before."""

    def begin(self, run: int) -> None:
        """Prepare for the output of a new run."""

    def write(self, stream: str, text: str) -> None:
        """Show what the run wrote to "stdout" or "stderr"."""

    def to_state(self) -> Mapping[str, Any]:
        """Return what the screen needs to go on after the kernel has restarted, as data that JSON can hold."""


@runtime_checkable
class RichScreen(Screen, Protocol):
    """A screen that also shows pictures, tables and all else that a script displays.

    Attributes
    ----------
    displays
        How to show figures: their ``formats``, and the ``options`` of ``print_figure``. With None, scripts find that
        nothing can be displayed, as outside of a notebook.
    """

    displays: Mapping[str, Any] | None

    def display(self, shown: Display) -> None:
        """Show a bundle; if it is an update, in place of those shown with the same ``display_id`` by the same run."""

    def clear(self, cleared: Clear) -> None:
        """Clear what the run has shown."""

    def show_again(self, request_id: str) -> None:
        """Show the status once more if it stands in the cell of this request, which has been cleared."""


@runtime_checkable
class LeavingScreen(Protocol):
    """A screen that goes on in another image of the process, or in an older copy of it."""

    def before_exec(self, status: Status) -> None:
        """Show a status that stays until a new image has a screen at the same place."""

    def flush(self) -> None:
        """Show what is held back."""

    def go_on(self, status: Status, state: Mapping[str, Any]) -> None:
        """Show this status in an older copy of the process; a screen with this state has shown it last."""


def show(screen: Screen, record: Record, *, rich: RichScreen | None = None) -> None:
    """Have the screen show what a supervisor reports; it may be a rich one, which takes a while to find out."""
    match record:
        case Status():
            screen.show(record)
        case Began(run):
            screen.begin(run)
        case Output(_, stream, text):
            screen.write(stream, text)
        case Display() if rich:
            rich.display(record)
        case Clear() if rich:
            rich.clear(record)
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
