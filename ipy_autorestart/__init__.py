"""Restart a script or the Jupyter kernel itself when your files change.

In a notebook: ``%load_ext ipy_autorestart``, then ``%watch_restart src/ main.py``. In a program that is to restart
itself: `restart_on_change`. In code that restarts another: `Supervisor`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, whose import takes longer than all of this

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipy_autorestart.client.history import Statistics
    from ipy_autorestart.client.screen import RichScreen, Screen
    from ipy_autorestart.client.supervisor import Supervisor
    from ipy_autorestart.program.api import Watching, kept_sockets, restart_if_changed, restart_on_change
    from ipy_autorestart.protocol.checkpoint import Checkpoint
    from ipy_autorestart.protocol.messages import Cause, Decided, Files, Ran, State, Status
    from ipy_autorestart.protocol.options import BadInput, Options
    from ipy_autorestart.protocol.request import Kernel, Script
    from ipy_autorestart.show.status import status_line

__version__ = "0.2.0"

__all__ = [
    "BadInput",
    "Cause",
    "Checkpoint",
    "Decided",
    "Files",
    "Kernel",
    "Options",
    "Ran",
    "RichScreen",
    "Screen",
    "Script",
    "State",
    "Statistics",
    "Status",
    "Supervisor",
    "Watching",
    "kept_sockets",
    "load_ipython_extension",
    "restart_if_changed",
    "restart_on_change",
    "status_line",
    "unload_ipython_extension",
]

_HOMES = {
    "client.history": ["Statistics"],
    "client.screen": ["RichScreen", "Screen"],
    "client.supervisor": ["Supervisor"],
    "decide.facts": ["Cause", "State"],
    "program.api": ["Watching", "kept_sockets", "restart_if_changed", "restart_on_change"],
    "protocol.checkpoint": ["Checkpoint"],
    "protocol.messages": ["Decided", "Files", "Ran", "Status"],
    "protocol.options": ["BadInput", "Options"],
    "protocol.request": ["Kernel", "Script"],
    "show.status": ["status_line"],
}


def __getattr__(name: str) -> object:
    # Lazily: the supervisor's process doesn't need the front, nor a front all of this.
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%watch_restart``, ``%unwatch`` and ``%watch_status`` to the shell."""
    from ipy_autorestart.magics import WatchMagics

    if "WatchMagics" not in shell.magics_manager.registry:
        shell.register_magics(WatchMagics(shell))


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """End what is watched and take everything out of the shell again."""
    from ipy_autorestart.magics import WatchMagics

    magics = shell.magics_manager.registry.get("WatchMagics")
    if isinstance(magics, WatchMagics):
        magics.close()
