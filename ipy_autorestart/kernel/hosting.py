"""What a supervisor needs of the process it is started in; apart from the shells, which a program has no need of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ipy_autorestart.record import Record

NO_KERNEL = "only a Jupyter kernel or an IPython of its own can be restarted; here, name a script: src/ main.py"


class Restarts(Protocol):
    """What restarts this process after a SIGHUP."""

    def arm(
        self,
        owner: Any,  # noqa: ANN401
        then: Callable[[], None] = ...,
        *,
        previous: Any = None,  # noqa: ANN401
    ) -> None:
        """Make SIGHUP restart this process, then call ``then``."""

    def disarm(self, owner: object) -> None:
        """Take back `arm`; harmless if it was already."""

    def describe(self) -> str:
        """Say what is waited for, or nothing; in any thread."""

    def withdraw(self) -> bool:
        """Forget that a restart is owed, and say whether one was."""


class Guest(Protocol):
    """A supervisor, as its host sees it."""

    def send(self, record: Record) -> None:
        """Say something to its process."""

    def show_again(self, request_id: str) -> None:
        """Show its status once more if it stands in the cell of this request, which was cleared."""

    def detach(self) -> Mapping[str, Any] | None:
        """Return what is needed to go on in another image of this process."""


class Hosting(Protocol):
    """A process, as the supervisors that it is the front of see it."""

    @property
    def guests(self) -> list[Any]:
        """Those supervisors."""

    @property
    def restarter(self) -> Restarts | None:
        """What restarts this process, if anything can."""


def current_host() -> Hosting | None:
    """Return the host of the shell that runs in this process, if any."""
    if "IPython" not in sys.modules:  # then there is no shell, and a plain program needn't wait for the import
        return None
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return None
    from ipy_autorestart.kernel.host import host_of

    return host_of(shell)
