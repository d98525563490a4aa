"""Functions for a program that restarts itself when its files change.

They import nothing that takes time unless the program is watched, since production code may call them.
"""

from __future__ import annotations

import functools
import sys

from ipy_autorestart.pristine import is_main_thread, os
from ipy_autorestart.program.failed import failure
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
        self.restarter: ProgramRestarter | None = None
        #: Sockets of a program that binds before it imports this, in its next image too.
        self.early = open_sockets() if "_socket" in sys.modules else frozenset()
        if STATE in os.environ:  # what the program binds first may be one that the image before had
            self.early -= self.kept.handed

    @functools.cached_property
    def kept(self) -> Kept:
        """The legacy of the image before, which is read at the first access."""
        return Kept()

    def wait_if_failed(self) -> None:
        """See the function."""
        why = failure()
        if not why or self.kept.carried is None:
            return
        if self.restarter and self.restarter.is_active:
            self.restarter.wait_for_change(why, self.kept)
        elif self.kept.supervisors:
            from ipy_autorestart.program.restarter import wait_for_change

            wait_for_change(why, self.kept, folder=self.folder, early=self.early)


class Watching:
    """The watch that `restart_on_change` has begun; a context manager that ends it.

    Where watching is switched off it does nothing.
    """

    def __init__(self, restarter: ProgramRestarter | None) -> None:
        self._restarter = restarter

    @property
    def is_active(self) -> bool:
        """Whether a change restarts this process."""
        return self._restarter is not None and self._restarter.is_active

    def keep(self, sock: HasFileno) -> None:
        """Keep one more socket open over a restart, for `kept_sockets`; raises `BadInput` if it is no open socket."""
        if self._restarter:
            self._restarter.keep(sock)

    def close(self) -> None:
        """End the watch and restore the handler of SIGHUP. Call it in the main thread."""
        if self._restarter:
            self._restarter.close()

    def restart_if_changed(self) -> None:
        """Do what the function `restart_if_changed` does."""
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

    The process replaces itself (``exec``). Its process id, command line, flags, environment, folder, standard streams
    and inherited descriptors stay the same. Before that, it flushes the standard streams and runs the ``atexit``
    functions, for at most 5 seconds. It does not wait for other threads or ``finally`` blocks, and leaves child
    processes alone. While a saved file has a syntax error, it does not restart.

    On Linux, TCP sockets on which it listens stay open, if it has chosen their ports. It gets them back when it binds
    the same addresses, within 5 seconds of its next start.

    If an exception ends the main module of a restarted program, the process stays, with these sockets open, and waits
    for the next change. A first start that fails ends as usual, and so does a program that calls ``sys.exit``.

    Call it early and in the main thread. In a restarted program, SIGHUP is blocked until then.

    Parameters
    ----------
    *paths
        Folders and files to watch. By default, the folder of the program's main file; for a module that ``-m`` has
        started and that is no package, the current folder. The main file is always watched.
    keep
        Sockets of any kind that stay open, for `kept_sockets`.
    enabled
        Whether to watch. By default, only if the environment variable IPY_AUTORESTART is 1, true, yes or on. Where it
        doesn't watch, nothing is started, imported or changed.
    when
        "anywhere": as soon as possible. With an asyncio loop, that is when the loop is idle, or after a second; with a
        loop of Qt, Tk or GTK, after an event, and a save counts as one. "asked": only in `restart_if_changed`.
    quiet
        Write nothing to standard error. By default, a line says that the program has restarted, or why it has not.
    cluster
        A client of a Dask cluster, or its scheduler's address or file. The program restarts when all workers have the
        new code.
    options
        Options of the watch; those for scripts and kernels have no effect here.

    Returns
    -------
    Watching
        The watch. It goes on until the process ends, `Watching.close` is called, or its ``with`` block ends.

    Raises
    ------
    BadInput
        If a path can't be watched; if ``keep`` has anything but open sockets; outside of the main thread; in IPython;
        if the program is watched already; if it can't be started again; on platforms without SIGHUP.

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
        from ipy_autorestart import catalogue
        from ipy_autorestart.protocol.options import BadInput

        raise BadInput(catalogue.BAD_ENABLED(value=enabled))
    if not enabled:
        kept.forget()
        return Watching(None)
    from ipy_autorestart import catalogue
    from ipy_autorestart.program.restarter import begin
    from ipy_autorestart.protocol.options import BadInput

    if _PROCESS.watch.is_active:
        raise BadInput(catalogue.WATCHED_ALREADY())
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
    _PROCESS.watch, _PROCESS.restarter = Watching(restarter), restarter
    return _PROCESS.watch


def restart_if_changed() -> None:
    """Restart this program if a restart is due; else return at once.

    It belongs to ``restart_on_change(…, when="asked")``. Call it in the main loop, where nothing is half done.

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
        from ipy_autorestart import catalogue
        from ipy_autorestart.protocol.options import BadInput

        raise BadInput(catalogue.RESTART_ELSEWHERE())
    _PROCESS.watch.restart_if_changed()


def wait_if_failed() -> None:
    """Become a process that waits for the next change, if the main module of this one has failed and it is watched.

    The exit functions have run. In the first image it does nothing: that ends as it would without a watch.
    """
    _PROCESS.wait_if_failed()


def kept_sockets() -> list[socket.socket]:
    """Return the sockets that were kept over the restart, in the same order, each once.

    The list is empty at the first start, and where `restart_on_change` does nothing. Call it before
    `restart_on_change`, which closes the kept sockets that nobody has asked for.

    Examples
    --------
    >>> import socket
    >>> [server] = kept_sockets() or [socket.create_server(("localhost", 0))]
    >>> server.close()
    """
    return _PROCESS.kept.claim()
