"""Functions for a program that restarts itself when its files change.

They import nothing that takes time unless the program is watched, since production code may call them.
"""

from __future__ import annotations

import functools
import sys

from ipy_autorestart.pristine import is_main_thread, os
from ipy_autorestart.program.kept import Kept, open_sockets
from ipy_autorestart.reexec import STATE

TYPE_CHECKING = False  # as `typing` has it, whose import takes longer than all of this
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from ipy_autorestart.program.restarter import ProgramRestarter
    from ipy_autorestart.protocol.link import HasFileno
    from ipy_autorestart.protocol.options import Options


#: Environment variable that switches a watch on where no argument does.
SWITCH = "IPY_AUTORESTART"


class _Process:
    """The latest watch of this process, whether it goes on or not."""

    def __init__(self) -> None:
        self.folder = os.getcwd()  # at the import: the program may change it later
        self.watch = Watching(None)
        #: Sockets of a program that binds before it imports this, in its next image too.
        self.early = open_sockets() if "_socket" in sys.modules else frozenset()
        if STATE in os.environ:  # what the program binds first may be one that the image before had
            self.early -= self.kept.handed

    @functools.cached_property
    def kept(self) -> Kept:
        """The legacy of the image before, which is read at the first access."""
        return Kept()


class Watching:
    """A watch that `restart_on_change` has begun, or a dummy where that is switched off; a context manager."""

    def __init__(self, restarter: ProgramRestarter | None) -> None:
        self._restarter = restarter

    @property
    def is_active(self) -> bool:
        """Whether a change restarts this process."""
        return self._restarter is not None and self._restarter.is_active

    def keep(self, sock: HasFileno) -> None:
        """Keep one more socket open over a restart, for `kept_sockets`; raises `BadInput` for anything else."""
        if self._restarter:
            self._restarter.keep(sock)

    def close(self) -> None:
        """End the watch and restore the handler of SIGHUP; only in the main thread."""
        if self._restarter:
            self._restarter.close()

    def restart_if_changed(self) -> None:
        """See the function."""
        if self._restarter:
            self._restarter.restart_if_pending()

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_PROCESS = _Process()


def restart_on_change(
    *paths: str | os.PathLike[str],
    keep: Iterable[HasFileno] = (),
    enabled: bool | None = None,
    when: str = "anywhere",
    quiet: bool = False,
    cluster: object = "",
    options: Options | None = None,
) -> Watching:
    """Restart this program when its files change, or when it gets a SIGHUP.

    The process replaces itself through exec, with the same process id, command line, flags, environment, folder,
    standard streams and inherited descriptors. Before that, it flushes the standard streams and runs the ``atexit``
    functions, for at most 5 seconds. It does not wait for other threads or ``finally`` blocks, leaves child processes
    alone, and does not restart into a syntax error.

    The sockets for TCP on which it listens stay open, on Linux, if it has chosen their ports: when it binds their
    addresses within 5 seconds of its next start, it goes on with them.

    Call it early, in the main thread: in a restarted program, SIGHUP is blocked until then.

    Parameters
    ----------
    *paths
        Folders and files to watch; by default the folder of the program's main file, or the current one where a module
        that is no package was started by ``-m``. The main file itself is always watched.
    keep
        Sockets of any kind that stay open, for `kept_sockets`.
    enabled
        Whether to watch; by default, if the environment variable IPY_AUTORESTART is 1, true, yes or on. Otherwise
        nothing is started, imported or changed.
    when
        "anywhere": as soon as possible, between two bytecodes of the main thread; if an asyncio loop runs there, when
        that is idle, or after a second; if a loop of Qt, Tk or GTK does, after an event, and a change is one. "asked":
        only in `restart_if_changed`.
    quiet
        Write no line to standard error that says that the program has restarted, or why it has not.
    cluster
        A client of a Dask cluster, or its scheduler's address or file: when all workers have the code, the program
        restarts.
    options
        Options of the watch; those for scripts and kernels have no effect here.

    Returns
    -------
    The watch. It goes on until the process ends, it is closed, or its ``with`` block ends.

    Raises
    ------
    BadInput
        If a path can't be watched, or ``keep`` has anything but open sockets; outside of the main thread; in IPython;
        during another watch; without a script that can be started again; and on platforms without SIGHUP.

    Examples
    --------
    >>> with restart_on_change("src", enabled=False) as watch:  # a program's main function goes here
    ...     watch.is_active
    False
    """
    kept = _PROCESS.kept
    if enabled is None:
        enabled = os.environ.get(SWITCH, "").lower() in ("1", "true", "yes", "on")
    elif not isinstance(enabled, bool):
        from ipy_autorestart.protocol.options import BadInput

        raise BadInput(f"enabled: expected True, False or None, got {enabled!r}")
    if not enabled:
        kept.forget()
        return Watching(None)
    from ipy_autorestart.program.restarter import begin
    from ipy_autorestart.protocol.options import BadInput

    if _PROCESS.watch.is_active:
        raise BadInput("restart_on_change: a watch goes on already; close it first, or name all paths in one call")
    restarter = begin(
        paths,
        kept,
        folder=_PROCESS.folder,
        early=_PROCESS.early,
        keep=keep,
        when=when,
        quiet=quiet,
        cluster=cluster,
        options=options,
    )
    _PROCESS.watch = Watching(restarter)
    return _PROCESS.watch


def restart_if_changed() -> None:
    """Restart this program if a restart is pending; else return at once.

    Call it in the program's main loop, at a place where nothing is half done, with ``when="asked"``.

    Raises
    ------
    BadInput
        Outside of the main thread.

    Examples
    --------
    >>> for job in ["first", "second"]:
    ...     restart_if_changed()
    """
    if not is_main_thread():
        from ipy_autorestart.protocol.options import BadInput

        raise BadInput("restart_if_changed: only the main thread can restart the program; call it there")
    _PROCESS.watch.restart_if_changed()


def kept_sockets() -> list[socket.socket]:
    """Return the sockets that were kept over the restart, in the same order, each once.

    The list is empty at the first start, and where `restart_on_change` does nothing. `restart_on_change` closes the
    sockets that were not asked for before.

    Examples
    --------
    >>> import socket
    >>> [server] = kept_sockets() or [socket.create_server(("localhost", 0))]
    >>> server.close()
    """
    return _PROCESS.kept.claim()
