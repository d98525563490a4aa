"""The kernel's new image: take over the ports, wait for the clients, deliver the requests that were handed over.

It relies, in ``ipykernel`` 6.29 to 7, on ``IPKernelApp._try_bind_socket``, ``init_connection_file``,
``write_connection_file``, ``init_extensions``, ``init_signal``, ``Heartbeat._try_bind_socket``, ``Kernel.start``,
and for subshells on ``SubshellManager``.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import functools
import gc
import importlib
import importlib.util
import logging
import sys
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.kernel.clients import Clients
from ipy_autorestart.kernel.ipykernel import channels_of
from ipy_autorestart.pristine import Event, os, signal
from ipy_autorestart.reexec.exec import logged
from ipy_autorestart.reexec.interrupts import current
from ipy_autorestart.reexec.start import FIRST
from ipy_autorestart.reexec.state import Carried, KernelState
from ipy_autorestart.wire.connection import connect_as, restore_file

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

DEBUGGER = "ipykernel.debugger"
EMBED = "IPython.terminal.embed"


class LateModule(types.ModuleType):
    """Stands in for a module, whose import is slow, until it is used."""

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the real module, which is imported now if it wasn't before."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


def _real(name: str) -> Any:
    if isinstance(sys.modules.get(name), LateModule):
        del sys.modules[name]
    hook = sys.breakpointhook
    try:
        return importlib.import_module(name)
    finally:
        if hook is not debugpy_breakpointhook:  # the user's own, which an import at the start would not have replaced
            sys.breakpointhook = hook


def debugpy_breakpointhook() -> None:
    """Pass over a breakpoint, as debugpy's function of this name while no debugger is attached."""


class LateDebugger:
    """Stands in for a ``Debugger``, whose import is slow, until it is used."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._args, self._options = args, options
        self._real: Any = None
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the real debugger, which is made now if it wasn't before."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._made(), name)

    def _made(self) -> Any:
        if self._real is None:
            self._real = _real(DEBUGGER).Debugger(*self._args, **self._options)
            if self._waiting:
                loop, future = self._waiting
                loop.call_soon_threadsafe(future.set_result, None)
        return self._real

    def renew(self, stream: Any, socket: Any) -> None:
        """Use another stream and socket than those that it was made with, in a forked process."""
        if self._real is None:
            log_, _, publish, _, *rest = self._args
            self._args = log_, stream, publish, socket, *rest
            self._waiting = None
        else:
            renew_debugger(self._real, stream, socket)

    async def handle_stopped_event(self) -> None:
        """Wait for the debugger to stop; every kernel waits for that from its start, which is no reason to make one."""
        if self._real is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop, loop.create_future()
            await self._waiting[1]
        await self._made().handle_stopped_event()


def renew_debugger(debugger: Any, stream: Any, socket: Any) -> None:
    """Have a ``Debugger``, which nobody has attached, use another stream and socket, in a forked process."""
    client = debugger.debugpy_client
    debugger.debugpy_client = type(client)(debugger.log, stream, debugger._handle_event)  # noqa: SLF001
    debugger.shell_socket = socket
    debugger.stopped_queue = type(debugger.stopped_queue)()  # the task that waits for it is no more


def has_plain_debugger(kernel: Any) -> bool:
    """Return whether a kernel has ipykernel's own debugger, for which the next image may have a stand-in."""
    kind = type(getattr(kernel, "debugger", None))
    return kind is LateDebugger or (kind.__module__, kind.__qualname__) == (DEBUGGER, "Debugger")


def stand_in_for_debugger() -> None:
    """Put a module in place of ipykernel's until a debugger is made, and do to the process what its import does."""
    module: Any = LateModule(DEBUGGER)
    module.Debugger = LateDebugger
    module._is_debugpy_available = importlib.util.find_spec("debugpy") is not None  # noqa: SLF001  # its name
    sys.modules[DEBUGGER] = module
    if module._is_debugpy_available:  # noqa: SLF001  # its name
        os.environ.setdefault("PYDEVD_USE_FRAME_EVAL", "NO")
        sys.breakpointhook = debugpy_breakpointhook


def is_embed_early() -> bool:
    """Return whether IPython imported the module by itself, or there is a stand-in for it."""
    return EMBED in sys.modules


def stand_in_for_embed() -> None:
    """Put a module in place of IPython's until it is used."""

    def embed(*args: Any, **options: Any) -> Any:
        """Do what ``IPython.embed`` does."""
        return _real(EMBED).embed(*args, **options)

    module: Any = LateModule(EMBED)
    module.embed = embed
    sys.modules[EMBED] = module


def set_in_parents() -> None:
    """Make the modules, or what stands in for them, attributes of their packages, as importing them does."""
    for name in (DEBUGGER, EMBED):
        parent, _, leaf = name.rpartition(".")
        if parent in sys.modules and name in sys.modules:
            setattr(sys.modules[parent], leaf, sys.modules[name])


log = logging.getLogger(__name__)

#: Seconds that the control thread waits for the kernel to have started.
START_MAX = 2.0

#: Seconds in which ipykernel's thread must have created the subshells.
SUBSHELL_MAX = 1.0


class Replaced:
    """Methods of ipykernel's classes that are replaced until they are given back."""

    def __init__(self) -> None:
        self._originals: list[tuple[type, str, Any]] = []

    def put(self, owner: type, name: str, new: Callable[..., Any]) -> None:
        """Put a function in the place of a method, which it gets as its first argument."""
        original = getattr(owner, name)
        self._originals.append((owner, name, vars(owner).get(name)))
        setattr(owner, name, lambda *args: new(original, *args))

    def give_back(self) -> None:
        """Put the methods in their places again."""
        for owner, name, own in self._originals:
            if own is None:  # inherited
                delattr(owner, name)
            else:
                setattr(owner, name, own)


class Arrival:
    """Replaces some methods of ipykernel while a kernel starts.

    At the end, it calls ``resume``, which continues the watches.
    """

    def __init__(self, carried: Carried, own: KernelState, *, resume: Callable[[InteractiveShell], None]) -> None:
        self._carried = carried
        self._own = own
        self._resume = resume
        self._listeners = {one.port: one.fd for one in own.listeners}
        self._clients = Clients(own.listeners)
        self._replaced = Replaced()

    def replace_methods(self) -> None:
        """Put the methods in place; they are the original ones again when the kernel has started."""
        if self._own.plain_debugger:
            stand_in_for_debugger()
        if self._own.early_embed:
            stand_in_for_embed()
        from ipykernel.heartbeat import Heartbeat
        from ipykernel.iostream import IOPubThread
        from ipykernel.kernelapp import IPKernelApp

        self._replaced.put(IPKernelApp, "init_connection_file", self._init_connection_file)
        self._replaced.put(IPKernelApp, "write_connection_file", self._write_connection_file)
        self._replaced.put(IPKernelApp, "_try_bind_socket", self._bind)
        self._replaced.put(Heartbeat, "_try_bind_socket", self._bind)
        self._replaced.put(IPKernelApp, "init_extensions", self._init_extensions)
        self._replaced.put(IPKernelApp, "init_signal", self._init_signal)
        self._replaced.put(IOPubThread, "_setup_event_pipe", self._clients.tell_missed)

    def _init_connection_file(self, _: Callable[..., None], app: Any) -> None:
        app.connection_file = self._own.connection_file
        connect_as(app, self._own.connection)
        if self._own.owns_connection_file:
            atexit.register(app.cleanup_connection_file)

    def _write_connection_file(self, _: Callable[..., None], app: Any) -> None:
        with logged("the connection file"):  # the clients of the image before can do without
            restore_file(app.connection_file, self._own.connection)

    def _init_signal(self, original: Callable[..., None], app: Any) -> None:
        """Have SIGINT ignored, as it is between requests, only after the cells have run again, which it stops."""
        interrupts = current()
        if interrupts is None:
            original(app)
        else:
            interrupts.previous = signal.SIG_IGN

    def _bind(self, original: Callable[..., Any], owner: Any, *arguments: Any) -> Any:
        """Bind by the descriptor that has been listening all the time (zmq_setsockopt(3), ``ZMQ_USE_FD``)."""
        import zmq

        socket, port = arguments or (owner.socket, owner.port)  # the heartbeat has its own
        if arguments:
            socket = self._clients.watch(owner, socket, port)
            arguments = socket, port
        fd = self._listeners.pop(port, None)
        if fd is None:
            return original(owner, *arguments)
        socket.setsockopt(zmq.USE_FD, fd)
        socket.rcvhwm = 0  # see `sockets`; only what isn't connected yet takes this without harm (libzmq #4524)
        try:
            return original(owner, *arguments)
        finally:
            socket.setsockopt(zmq.USE_FD, -1)

    def _init_extensions(self, original: Callable[..., None], app: Any) -> None:
        set_in_parents()
        gc.freeze()  # what exists by now counts as old at once: the first collections need not look at it
        gc.unfreeze()
        gc.enable()
        self._clients.wait()
        setattr(app.shell, FIRST, self._carried.process)
        original(app)
        app.shell.extension_manager.load_extension("ipy_autorestart")  # startup files may use it
        app.kernel.start = functools.partial(self._start, app.kernel, app.kernel.start)

    def _start(self, kernel: Any, start: Callable[[], None]) -> None:
        """Give methods back and start the kernel; requests that were handed over come before any new one."""
        del kernel.start
        self._replaced.give_back()
        for fd in self._listeners.values():
            os.close(fd)
        if self._carried.trouble:
            log.warning("requests may have been lost in the restart: %s", self._carried.trouble)
        requests = self._own.requests
        if self._own.subshells:
            make_subshells(kernel, self._own.subshells)
        channels = channels_of(kernel)
        started = Event()
        if channels and requests.get("control"):  # its thread begins to read in the middle of `start`
            kernel.control_thread.io_loop.add_callback(started.wait, START_MAX)
            for frames in requests["control"]:
                channels.deliver_control(frames)
        start()
        started.set()
        if channels:
            for frames in requests.get("shell", ()):
                channels.deliver(frames)
        # The server believes in "starting" until it gets an "idle" without a parent.
        kernel.session.send(kernel.iopub_socket, "status", {"execution_state": "idle"}, parent={}, ident=b"status")
        self._resume(kernel.shell)


def make_subshells(kernel: Any, names: Sequence[str]) -> None:
    """Create subshells with the ids that clients know: `SubshellManager._create_subshell` takes them from uuid4."""
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
        except Exception as error:  # noqa: BLE001  # raised in the main thread
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
