"""What a supervisor needs of the process it is started in."""

from __future__ import annotations

import sys
from typing import Any, Protocol

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
