"""A shell and the supervisors that it is the front of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipy_autorestart.kernel.lines import Lines
from ipy_autorestart.kernel.recorder import Recorder
from ipy_autorestart.kernel.restarter import Restarter
from ipy_autorestart.kernel.terminal import TerminalRestarter, is_restartable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ATTRIBUTE = "_ipy_autorestart"


class Host:
    """What one shell has: its guests, and the restarter of its process if that can be restarted.

    Parameters
    ----------
    shell
        The running IPython.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.guests: list[Any] = []
        self.recorder = Recorder(shell)
        self.lines = Lines(shell) if getattr(shell, "kernel", None) is None else None
        self.restarter = _restarter(shell, self.guests, self.recorder)
        self._shell = shell

    def close(self) -> None:
        """Leave nothing behind in the shell."""
        if self.restarter:
            self.restarter.close()
        self.recorder.close()
        if self.lines:
            self.lines.close()
        if hasattr(self._shell, ATTRIBUTE):
            delattr(self._shell, ATTRIBUTE)


def _restarter(shell: InteractiveShell, guests: list[Any], recorder: Recorder) -> Restarter | TerminalRestarter | None:
    if getattr(shell, "kernel", None) is not None:
        return Restarter(shell, guests, recorder)
    return TerminalRestarter(shell, guests, recorder) if is_restartable(shell) else None


def host_of(shell: InteractiveShell) -> Host:
    """Return the shell's host, made when it is asked for first."""
    host = getattr(shell, ATTRIBUTE, None)
    if host is None:
        host = Host(shell)
        setattr(shell, ATTRIBUTE, host)
    assert isinstance(host, Host)
    return host
