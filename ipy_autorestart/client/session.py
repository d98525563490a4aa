"""A session: the process that starts supervisors, as they see it."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from ipy_autorestart.reexec.restarter import Restarter

#: The attribute of a shell that is its session.
ATTRIBUTE = "_ipy_autorestart"


class Session(Protocol):
    """A process that starts supervisors, as they see it."""

    @property
    def supervisors(self) -> list[Any]:
        """The supervisors that it has started."""

    @property
    def restarter(self) -> Restarter | None:
        """The restarter of this process, if it can be restarted."""

    @property
    def proxy(self) -> int:
        """The process that stays when this one is replaced by another, and that passes on its signals; 0 for none."""

    @property
    def waits(self) -> bool:
        """Whether this process may never have its turn: until then, nothing is begun."""

    @property
    def why_not(self) -> str:
        """The reason and the remedy, if it can't be."""


def current_session() -> Session | None:
    """Return the session of the shell that runs in this process, if the extension has been loaded there."""
    if "IPython" not in sys.modules:  # then there is no shell, and a plain program needn't wait for the import
        return None
    from IPython.core.getipython import get_ipython

    session: Session | None = getattr(get_ipython(), ATTRIBUTE, None)
    return session
