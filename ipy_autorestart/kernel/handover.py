"""In the kernel: end its life as an interpreter would, and give up its connections so that nothing is lost.

What touches the insides of ipykernel stands here, in `channels` and in `arrive`, with the name that it relies on.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.cells import end_history
from ipy_autorestart.kernel.arrive import has_plain_debugger, is_embed_early
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.sockets import Frames, NoSockets, Sockets
from ipy_autorestart.reexec.exec import Handover, logged
from ipy_autorestart.reexec.start import ProcessStart
from ipy_autorestart.reexec.state import KernelState, Listener

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Seconds that the kernel's own children have from SIGTERM to SIGKILL.
CHILDREN_END = 0.5

#: Seconds in which ipykernel's thread takes what is to be published.
PUBLISHED_MAX = 2.0


class KernelHandover(Handover):
    """The exec of a kernel.

    Parameters
    ----------
    shell
        The kernel's.
    start
        What it is started with again.
    gate
        Closed, and with what it has held back; None where there is none, and what isn't answered is lost.
    cells
        What the new image runs again, as `KernelState` has it.

    Raises
    ------
    CantRestart
        What is in the way; nothing has been changed then.
    """

    def __init__(
        self, shell: InteractiveShell, start: ProcessStart, gate: Gate | None, *, cells: Mapping[str, Any] | None
    ) -> None:
        super().__init__(start)
        self._shell = shell
        self._gate = gate
        self._cells = cells
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]
        self._app = self._kernel.parent
        self._plain_debugger = has_plain_debugger(self._kernel)
        self._early_embed = is_embed_early()
        self._owns_connection_file = False
        self._subshells: list[str] = []
        self._sockets: Sockets | None = None
        if gate:
            try:
                self._sockets = Sockets(self._app)
            except (NoSockets, OSError) as why:
                log.warning("requests that come during the restart may be lost: %s", why)

    def end_life(self) -> None:
        """Do what the end of an interpreter does, in its order; what fails is logged, and the rest is done."""
        end_history(self._shell)
        with logged("the comms"):
            contextvars.Context().run(_close_comms, self._kernel)
        with logged("the kernel's children"):
            _end_children()
        self._unregister()
        super().end_life()

    def _unregister(self) -> None:
        """Take out ipykernel's own exit functions: of the connection file, and of what is closed below."""
        own = _Registered(self._app.cleanup_connection_file)
        for function in (own, self._app.close, self._kernel.iopub_thread.stop):
            atexit.unregister(function)  # type: ignore[arg-type]  # it is compared, never called
        self._owns_connection_file = own.was_found

    def close(self) -> None:
        """Give up the connections so that nothing on them is lost."""
        super().close()
        self._publish()
        if self._gate is None or self._sockets is None:
            self._app.close()  # closes each socket in order and waits until all that was sent has left
            return
        # Not the thread of iopub: its end closes the socket, and with that the connections, behind our back.
        self._subshells = self._gate.release()
        self._sockets.release()

    def own(self) -> KernelState:
        """Return what the kernel's new image needs."""
        listeners: tuple[Listener, ...] = ()
        requests: dict[str, list[Frames]] = {}
        if sockets := self._sockets:
            requests = dict(sockets.requests)
            listeners = tuple(
                Listener(channel, getattr(self._app, f"{channel}_port"), fd, sockets.clients.get(channel))
                for channel, fd in sockets.listeners.items()
            )
        if self._gate:
            requests["shell"] = [*self._gate.held, *requests.get("shell", ())]
        return KernelState(
            connection_file=self._app.abs_connection_file,
            owns_connection_file=self._owns_connection_file,
            plain_debugger=self._plain_debugger,
            early_embed=self._early_embed,
            subshells=tuple(self._subshells),
            listeners=listeners,
            requests={channel: tuple(map(tuple, each)) for channel, each in requests.items()},
            cells=self._cells,
        )

    def _publish(self) -> None:
        """Have all that is to be published handed to libzmq, in order."""
        for stream in (sys.stdout, sys.stderr):
            with logged("the last output"):
                stream.flush()
        done = threading.Event()
        self._kernel.iopub_thread.schedule(done.set)
        done.wait(PUBLISHED_MAX)


class _Registered:
    """Equal to a function, and knows whether it has met it: atexit doesn't tell what it has."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self.was_found = False

    def __eq__(self, other: object) -> bool:
        self.was_found = self.was_found or other == self._function
        return bool(other == self._function)


def _close_comms(kernel: Any) -> None:
    """Have pages drop what they show of comms, for the new image doesn't know them."""
    for name, nothing in (("_shell_parent", {}), ("_shell_parent_ident", b"")):
        if isinstance(variable := getattr(kernel, name, None), contextvars.ContextVar):
            variable.set(nothing)  # 7.0 asks for it outside of any request, in vain
    for comm in list(kernel.comm_manager.comms.values()):
        with logged("a comm"):
            comm.close()


def _end_children() -> None:
    """End the children in the kernel's own process group, as ipykernel does at shutdown, ``kernelbase._at_shutdown``.

    A forked child would hold the kernel's ports open, and the new image could not have them.
    """
    if not _has_children_in(group := os.getpgrp()):
        return
    import psutil  # type: ignore[import-untyped]  # ipykernel needs it too

    children = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(child.pid) == group:
                child.terminate()
                children.append(child)
    _, alive = psutil.wait_procs(children, timeout=CHILDREN_END)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, timeout=CHILDREN_END)


def _has_children_in(group: int) -> bool:
    """Whether any process that descends from this one is of its group; True where that takes longer to know."""
    pending = [os.getpid()]
    try:
        while pending:
            parent = pending.pop()
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as file:
                    children = list(map(int, file.read().split()))
                if any(os.getpgid(child) == group for child in children):
                    return True
                pending += children
    except OSError:  # not Linux, or one has just ended
        return True
    return False
