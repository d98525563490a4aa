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
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ipy_autorestart.kernel.arrive import has_plain_debugger, is_embed_early
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.sockets import NoWires, Wires
from ipy_autorestart.reexec.exec import Departure, Guest, carried, detached, logged, restore_outputs
from ipy_autorestart.reexec.start import CantLeave, Start

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: Seconds that the kernel's own children have from SIGTERM to SIGKILL.
CHILDREN_END = 0.5

#: Seconds in which ipykernel's thread takes what is to be published.
PUBLISHED_MAX = 2.0


class Leaving:
    """Everything that is done once the kernel is to leave.

    Parameters
    ----------
    shell
        The kernel's.
    start
        What it is started with again.
    gate
        Closed, and with what it has held back; None where there is none, and what isn't answered is lost.

    Raises
    ------
    CantLeave
        What is in the way; nothing has been changed then.
    """

    def __init__(self, shell: InteractiveShell, start: Start, gate: Gate | None) -> None:
        start.check()
        self._shell = shell
        self._start = start
        self._gate = gate
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]
        self._app = self._kernel.parent
        self._state: dict[str, Any] = {}
        self._descriptors: list[int] = []
        self._wires: Wires | None = None
        if gate:
            try:
                self._wires = Wires(self._app)
            except (NoWires, OSError) as why:
                log.warning("requests that come during the restart may be lost: %s", why)
        try:
            self._departure = Departure(
                start,
                self._state,
                descriptors=self._descriptors,
                last_acts=self._end_life,
                part=self._part,
            )
        except OSError as error:
            self.give_up()
            raise CantLeave(
                f"there is no room for what is carried over ({error}); close files, or free memory"
            ) from error

    def give_up(self) -> None:
        """Close what was opened."""
        for number in self._wires.listeners.values() if self._wires else ():
            os.close(number)

    def go(self, guests: Sequence[Guest], *, cells: Mapping[str, Any] | None, hangup_ignored: bool) -> NoReturn:
        """Replace the kernel by a new image of itself, with its guests and the cells that it is to run again."""
        with logged("the watch"):
            self._take_along(detached(guests), cells=cells, hangup_ignored=hangup_ignored)
        self._departure.go()

    def _take_along(
        self, guests: list[Mapping[str, Any]], *, cells: Mapping[str, Any] | None, hangup_ignored: bool
    ) -> None:
        self._state.update(carried(guests, self._start, cells=cells, hangup_ignored=hangup_ignored))
        self._state["connection_file"] = self._app.abs_connection_file
        self._state["plain_debugger"] = has_plain_debugger(self._kernel)
        self._state["early_embed"] = is_embed_early()
        self._descriptors += [guest["link"] for guest in guests]

    def _end_life(self) -> None:
        """Do what the end of an interpreter does, in its order; what fails is logged, and the rest is done."""
        with logged("the history"):
            if self._shell.history_manager is not None:
                self._shell.history_manager.end_session()
        with logged("the comms"):
            contextvars.Context().run(_close_comms, self._kernel)
        with logged("the kernel's children"):
            _end_children()
        self._unregister()
        atexit._run_exitfuncs()  # noqa: SLF001  # the only way to run them before exec

    def _unregister(self) -> None:
        """Take out ipykernel's own exit functions: of the connection file, and of what is closed below."""
        own = _Registered(self._app.cleanup_connection_file)
        for function in (own, self._app.close, self._kernel.iopub_thread.stop):
            atexit.unregister(function)  # type: ignore[arg-type]  # it is compared, never called
        self._state["owns_connection_file"] = own.was_found

    def _part(self) -> None:
        restore_outputs(self._start)
        self._publish()
        if self._gate is None or self._wires is None:
            if self._gate:
                self._carry({"shell": self._gate.held})
            self._app.close()  # closes each socket in order and waits until all that was sent has left
            return
        wires = self._wires
        try:
            # Not the thread of iopub: its end closes the socket, and with that the connections, behind our back.
            self._state["subshells"] = self._gate.release()
            wires.leave()
        finally:
            self._carry({**wires.requests, "shell": self._gate.held + wires.requests["shell"]})
            self._descriptors += wires.listeners.values()
            ports = {channel: getattr(self._app, f"{channel}_port") for channel in wires.listeners}
            self._state["listeners"] = {str(ports[name]): fd for name, fd in wires.listeners.items()}
            self._state["channels"] = {str(port): channel for channel, port in ports.items()}
            self._state["peers"] = {str(ports[name]): count for name, count in wires.peers.items()}

    def _carry(self, requests: dict[str, list[list[bytes]]]) -> None:
        self._state["requests"] = {channel: [list(map(len, one)) for one in each] for channel, each in requests.items()}
        self._departure.attachment += [frame for each in requests.values() for one in each for frame in one]

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


def _close_comms(kernel: Any) -> None:  # noqa: ANN401
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
