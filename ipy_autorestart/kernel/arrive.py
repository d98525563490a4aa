"""In the kernel's new image: take over the ports, wait for the clients, feed in what was carried.

What it relies on in ``ipykernel`` 6.29 to 7: ``IPKernelApp._try_bind_socket``, ``init_connection_file``,
``init_extensions``, ``Heartbeat._try_bind_socket``, ``Kernel.start``, and for subshells ``SubshellManager``.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import gc
import itertools
import logging
import os
import sys
import threading
import types
from collections.abc import Callable, Mapping
from typing import Any

from ipy_autorestart.kernel import late_debugger, late_embed, terminal
from ipy_autorestart.kernel.channels import channels_of
from ipy_autorestart.kernel.hangups import Hangups
from ipy_autorestart.kernel.peers import Peers

log = logging.getLogger(__name__)

#: Seconds that the control thread waits for the kernel to have started.
START_MAX = 2.0

#: Seconds in which ipykernel's thread must have made a subshell.
SUBSHELL_MAX = 1.0


class Arrival:
    """Stands in for some methods of ipykernel's while a kernel starts.

    Parameters
    ----------
    state
        What was carried.
    hangups
        What was noted.
    """

    def __init__(self, state: Mapping[str, Any], hangups: Hangups) -> None:
        self._state = state
        self._hangups = hangups
        self._listeners = {int(port): number for port, number in state.get("listeners", {}).items()}
        publishing = [int(port) for port, name in state.get("channels", {}).items() if name == "iopub"]
        self._peers = Peers({int(port): count for port, count in state.get("peers", {}).items()}, publishing)
        self._originals: list[tuple[type, str, Any]] = []

    def stand_in(self) -> None:
        """Put the methods in place."""
        if self._state.get("plain_debugger"):
            late_debugger.stand_in()
        if self._state.get("early_embed"):
            late_embed.stand_in()
        from ipykernel.heartbeat import Heartbeat
        from ipykernel.iostream import IOPubThread
        from ipykernel.kernelapp import IPKernelApp

        self._replace(IPKernelApp, "init_connection_file", self._init_connection_file)
        self._replace(IPKernelApp, "_try_bind_socket", self._bind)
        self._replace(Heartbeat, "_try_bind_socket", self._bind_heartbeat)
        self._replace(IPKernelApp, "init_extensions", self._init_extensions)
        if hasattr(IOPubThread, "_handle_subscription"):  # ipykernel 7
            self._replace(IOPubThread, "_handle_subscription", self._peers.note_subscriptions)

    def _replace(self, owner: type, name: str, new: Callable[..., Any]) -> None:
        original = getattr(owner, name)
        self._originals.append((owner, name, vars(owner).get(name)))
        setattr(owner, name, lambda *words: new(original, *words))

    def _stand_aside(self) -> None:
        for owner, name, own in self._originals:
            if own is None:  # it had inherited it
                delattr(owner, name)
            else:
                setattr(owner, name, own)

    def _init_connection_file(self, original: Callable[..., None], app: Any) -> None:  # noqa: ANN401
        """Use the file by its full path: it may be relative to a folder that is no longer the current one."""
        app.connection_file = self._state["connection_file"]
        original(app)
        if self._state.get("owns_connection_file"):
            atexit.register(app.cleanup_connection_file)

    def _bind(self, original: Callable[..., Any], app: Any, socket: Any, port: int) -> Any:  # noqa: ANN401
        self._peers.watch(socket, port)
        return self._adopt(socket, port, lambda: original(app, socket, port))

    def _bind_heartbeat(self, original: Callable[..., object], heartbeat: Any) -> object:  # noqa: ANN401
        return self._adopt(heartbeat.socket, heartbeat.port, lambda: original(heartbeat))

    def _adopt(self, socket: Any, port: int, bind: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Bind with the socket that has listened all the time (zmq_setsockopt(3), ``ZMQ_USE_FD``)."""
        import zmq

        number = self._listeners.pop(port, None)
        if number is None:
            return bind()
        socket.setsockopt(zmq.USE_FD, number)
        try:
            return bind()
        finally:
            socket.setsockopt(zmq.USE_FD, -1)

    def _init_extensions(self, original: Callable[..., None], app: Any) -> None:  # noqa: ANN401
        for name in (late_debugger.NAME, late_embed.NAME):  # as importing them would have
            parent, _, leaf = name.rpartition(".")
            if parent in sys.modules and name in sys.modules:
                setattr(sys.modules[parent], leaf, sys.modules[name])
        gc.freeze()  # what was made until here stays: no collection, nor that of the kernel's end, need look at it
        gc.enable()
        self._peers.wait()
        original(app)
        from ipy_autorestart.resume import load

        load(app.shell)
        kernel = app.kernel
        start = kernel.start

        def start_once() -> None:
            del kernel.start
            self._start(kernel, start)

        kernel.start = start_once

    def _start(self, kernel: Any, start: Callable[[], None]) -> None:  # noqa: ANN401
        """Start, with what was carried before anything that is new."""
        from ipy_autorestart.resume import resume

        self._stand_aside()
        for number in self._listeners.values():
            os.close(number)
        if trouble := self._state.get("trouble"):
            log.warning("requests may have been lost in the restart: %s", trouble)
        requests = _requests(self._state)
        self._peers.expect_late(kernel)
        if subshells := self._state.get("subshells"):
            _make_subshells(kernel, subshells)
        channels = channels_of(kernel)
        started = threading.Event()
        if channels and requests.get("control"):  # its thread begins to read in the middle of `start`
            kernel.control_thread.io_loop.add_callback(started.wait, START_MAX)
            for frames in requests["control"]:
                channels.deliver_control(frames)
        start()
        started.set()
        if channels:
            for frames in requests.get("shell", ()):
                channels.deliver(frames)
        # The server takes "starting" literally until a parentless "idle" says otherwise.
        kernel.session.send(kernel.iopub_socket, "status", {"execution_state": "idle"}, parent={}, ident=b"status")
        resume(kernel.shell, self._state["guests"], self._hangups, self._state["cells"])


def _requests(state: Mapping[str, Any]) -> dict[str, list[list[bytes]]]:
    """Take the carried requests, channel by channel, from what lies behind one another."""
    data, place = state["attachment"], 0
    found: dict[str, list[list[bytes]]] = {}
    for channel, requests in state.get("requests", {}).items():
        for sizes in requests:
            ends = list(itertools.accumulate(sizes, initial=place))
            found.setdefault(channel, []).append([data[a:b] for a, b in itertools.pairwise(ends)])
            place = ends[-1]
    return found


def _make_subshells(kernel: Any, names: list[str]) -> None:  # noqa: ANN401
    """Make subshells with the ids that clients know: `SubshellManager._create_subshell` draws them by uuid4."""
    from ipykernel import subshell_manager

    manager = kernel.shell_channel_thread.manager
    manager.set_on_recv_callback(kernel.shell_main)
    made: concurrent.futures.Future[None] = concurrent.futures.Future()

    def make() -> None:
        module: Any = subshell_manager
        uuid = module.uuid
        try:
            for name in names:
                module.uuid = types.SimpleNamespace(uuid4=lambda name=name: name)
                manager._create_subshell()  # noqa: SLF001
        except Exception as error:  # noqa: BLE001  # told in the main thread
            made.set_exception(error)
        else:
            made.set_result(None)
        finally:
            module.uuid = uuid

    kernel.shell_channel_thread.io_loop.add_callback(make)
    try:
        made.result(SUBSHELL_MAX)
    except Exception:  # the border: the kernel itself starts
        log.exception("the subshells are lost")


def prepare(state: Mapping[str, Any], hangups: Hangups) -> None:
    """Have what is about to start go on where the image before has left."""
    if "typed" in state:
        terminal.prepare(state, hangups)
    else:
        Arrival(state, hangups).stand_in()
