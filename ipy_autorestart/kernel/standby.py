"""A kernel behind a proxy: it starts to its end, waits, and continues where the kernel before has ended.

It relies, in ``ipykernel`` 6.29 to 7, on ``IPKernelApp.init_connection_file``, ``write_connection_file``,
``init_sockets``, ``_bind_socket``, ``_apply_curve_server_options``, ``init_heartbeat``, ``init_signal``,
``init_extensions``, ``load_config_file`` with ``config_files`` and ``config_file_paths``, and ``Kernel.start``; in
IPython 8.20 to 9 on ``HistoryManager.new_session``.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import io
import logging
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.history import begin_session_later
from ipy_autorestart.kernel.arrive import (
    Replaced,
    make_subshells,
    set_in_parents,
    stand_in_for_debugger,
    stand_in_for_embed,
)
from ipy_autorestart.kernel.comms import renew_comms
from ipy_autorestart.pristine import os, signal
from ipy_autorestart.protocol.plain import prepare
from ipy_autorestart.reexec.exec import or_end
from ipy_autorestart.reexec.interrupts import current
from ipy_autorestart.reexec.start import FIRST
from ipy_autorestart.reexec.state import Carried, KernelState, StandbyState
from ipy_autorestart.wire.connection import connect_as
from ipy_autorestart.wire.link import ATTRIBUTE, SET_BY_KERNELS, Connect, Link, Ready, TakeOver, TookOver, in_file

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: From ``linux/prctl.h``.
PR_SET_PDEATHSIG = 1

#: ``IPKernelApp.init_sockets`` binds these kinds of sockets to be connected to; behind a proxy they connect.
CONNECTING = {"ROUTER": "DEALER", "XPUB": "PUSH", "PUB": "PUSH"}

#: Seconds until the session of the history begins, which would take the processor from cells that run again.
SESSION_AFTER = 1.0

#: Audit events by which the shim knows that a kernel looks for a file, and that its start is over.
LOOKS_FOR, STARTED = "ipy_autorestart.looks_for", "ipy_autorestart.started"


class Standby:
    """Replaces some methods of ipykernel while a kernel starts behind a proxy, and waits for its turn.

    Parameters
    ----------
    carried
        The state of a kernel that starts.
    own
        The part of it that only such kernels have.
    prepare
        Called with the shell when the kernel has started.
    resume
        Called with the shell and the state of the kernel before when its turn has come, and with the word of that.
    """

    def __init__(
        self,
        carried: Carried,
        own: StandbyState,
        *,
        prepare: Callable[[InteractiveShell], None],
        resume: Callable[[InteractiveShell, Carried, TakeOver], None],
    ) -> None:
        self._carried = carried
        self._own = own
        self._prepare, self._resume = prepare, resume
        self._replaced = Replaced()
        self._unconnected: list[tuple[Any, str]] = []
        self._proxy = os.getppid()
        with reached():
            self.link = Link.to_proxy(own.folder)
        self.link.waits = True
        self._number = 0
        self._folder = Folder()

    def replace_methods(self) -> None:
        """Put the methods in place; they are the original ones again when the kernel has started."""
        end_with(self._proxy)
        _buffer_as_ever()
        with reached():
            self._number = number_of(self.link)
        if self._own.plain_debugger:
            stand_in_for_debugger()
        if self._own.early_embed:
            stand_in_for_embed()
        from ipykernel.kernelapp import IPKernelApp
        from IPython.core.history import HistoryManager

        self._replaced.put(HistoryManager, "new_session", lambda *_: None)  # this one may never have its turn
        self._replaced.put(IPKernelApp, "load_config_file", self._load_config_file)
        self._replaced.put(IPKernelApp, "init_connection_file", self._init_connection_file)
        self._replaced.put(IPKernelApp, "write_connection_file", lambda *_: None)
        self._replaced.put(IPKernelApp, "init_sockets", self._init_sockets)
        self._replaced.put(IPKernelApp, "_bind_socket", self._note_socket)
        self._replaced.put(IPKernelApp, "init_heartbeat", lambda *_: None)  # the proxy has one
        if hasattr(IPKernelApp, "_apply_curve_server_options"):  # ipykernel 7: clients are the proxy's business
            self._replaced.put(IPKernelApp, "_apply_curve_server_options", lambda *_: None)
        self._replaced.put(IPKernelApp, "init_signal", self._init_signal)
        self._replaced.put(IPKernelApp, "init_extensions", self._init_extensions)

    def _load_config_file(self, original: Callable[..., None], app: Any, *args: Any) -> None:
        """Report the files that there may be, too: traitlets doesn't open what isn't there."""
        names = {os.path.splitext(name)[0] for name in ("ipython_config.py", *app.config_files)}
        for folder in app.config_file_paths:
            for name in names:
                for suffix in (".py", ".json"):
                    sys.audit(LOOKS_FOR, os.path.join(folder, name + suffix))
        original(app, *args)

    def _init_connection_file(self, _: Callable[..., None], app: Any) -> None:
        app.connection_file = self._own.connection_file
        connect_as(app, self._own.connection)

    def _init_sockets(self, original: Callable[..., None], app: Any) -> None:
        """Make the sockets of other kinds, and connect them when all are there.

        Until then they have no address, at which ipykernel would connect a client of its own.
        """
        module: Any = sys.modules["ipykernel.kernelapp"]
        zmq = module.zmq
        module.zmq = _Kinds(zmq)
        try:
            original(app)
        finally:
            module.zmq = zmq
        for socket, channel in self._unconnected:
            socket.set_hwm(0)
            socket.connect(f"ipc://{self._own.folder}/{self._number}-{channel}")
        app.debug_shell_socket.connect(_address(app, app.shell_port))

    def _note_socket(self, _: Callable[..., Any], app: Any, socket: Any, port: int) -> int:
        channels = {getattr(app, f"{channel}_port"): channel for channel in ("shell", "control", "stdin", "iopub")}
        self._unconnected.append((socket, channels[port]))
        return port

    def _init_signal(self, original: Callable[..., None], app: Any) -> None:
        """Have SIGINT noted until this kernel's turn, and ignored, as it is between requests, only then."""
        interrupts = current()
        if interrupts is None:
            original(app)
        else:
            interrupts.previous = signal.SIG_IGN

    def _init_extensions(self, original: Callable[..., None], app: Any) -> None:
        set_in_parents()
        gc.enable()
        setattr(app.shell, FIRST, self._carried.process)
        setattr(app.kernel, ATTRIBUTE, self.link)
        original(app)
        app.shell.extension_manager.load_extension("ipy_autorestart")  # startup files may use it
        app.kernel.start = functools.partial(self._start, app.kernel, app.kernel.start)

    def _start(self, kernel: Any, start: Callable[[], None]) -> None:
        """Give methods back, start the kernel, and say that it waits."""
        del kernel.start
        self._replaced.give_back()
        start()
        kernel.io_loop.add_handler(self.link.fileno(), lambda *_: self._hear(kernel), kernel.io_loop.READ)
        self._folder = Folder()
        _prepare()
        self._prepare(kernel.shell)
        sys.audit(STARTED)
        say_ready(self.link)

    def _hear(self, kernel: Any) -> None:
        try:
            word, fds = self.link.receive()
        except EOFError:  # the proxy is gone
            os._exit(1)  # noqa: SLF001  # its name
        if isinstance(word, TakeOver):
            carrier, *rest = fds
            with or_end():  # another one is to try
                self._take_over(kernel, Carried.read(carrier).renumbered(rest), word)

    def _take_over(self, kernel: Any, carried: Carried, word: TakeOver) -> None:
        carried.keep_from_children()
        own = carried.own
        assert isinstance(own, KernelState)
        self._folder.enter()
        begin_turn(kernel, self.link, own)
        if word.interrupted and (interrupts := current()):
            interrupts.note()
        self._resume(kernel.shell, carried, word)
        self.link.send(TookOver())


def begin_turn(kernel: Any, link: Link, own: KernelState, *, subshells: Collection[str] = ()) -> None:
    """Be the live kernel from now on, to clients and the proxy, in the place of one that had this state.

    Parameters
    ----------
    kernel
        The ipykernel ``Kernel``.
    link
        To the proxy.
    own
        The state.
    subshells
        The ids of those that this kernel has.
    """
    link.waits = False
    atexit.register(link.say_goodbye)
    if missing := [name for name in own.subshells if name not in subshells]:
        make_subshells(kernel, missing)
    begin_session_later(kernel.shell, lambda begin: kernel.io_loop.call_later(SESSION_AFTER, begin))
    renew_comms(kernel, own.comms)
    # The server believes in "starting" until it gets an "idle" without a parent.
    kernel.session.send(kernel.iopub_socket, "status", {"execution_state": "idle"}, parent={}, ident=b"status")


def end_with(proxy: int) -> None:
    """Have the system end this process with its parent, by which alone it is reached (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != proxy:
        os._exit(1)  # noqa: SLF001  # its name


@contextlib.contextmanager
def reached() -> Iterator[None]:
    """End this process, without a word, where the proxy is gone: nobody waits for it any more."""
    try:
        yield
    except (FileNotFoundError, ConnectionRefusedError, EOFError):
        os._exit(1)  # noqa: SLF001  # its name


def number_of(link: Link) -> int:
    """Wait for the proxy's first word, and return the number that it tells sockets by; raises ValueError for another.

    And EOFError when it is gone.
    """
    word, _ = link.receive()
    if not isinstance(word, Connect):
        raise ValueError(f"{type(word).__name__} instead of Connect")
    return word.number


def say_ready(link: Link, *, modules: Sequence[str] = ()) -> None:
    """Tell the proxy that this kernel waits, and which modules it has imported, if it has not reported them."""
    from ipykernel.iostream import IOPubThread

    fds = [in_file("\n".join(modules))] if modules else []
    known = {name: os.environ[name] for name in SET_BY_KERNELS if name in os.environ}
    link.send(Ready(known, welcomes=hasattr(IOPubThread, "_handle_subscription")), fds)
    for fd in fds:
        os.close(fd)


def _prepare() -> None:
    """Do what is done once in each process, and what the first cell would wait for; it leaves no other trace."""
    from IPython.core.inputtransformer2 import TransformerManager

    TransformerManager().transform_cell("0")  # type: ignore[no-untyped-call]  # of IPython
    prepare(Carried)
    gc.freeze()  # it is shared with other kernels, until somebody asks for all objects


class _Kinds:
    """The names of pyzmq, but other kinds of sockets for some."""

    def __init__(self, zmq: Any) -> None:
        self._zmq = zmq

    def __getattr__(self, name: str) -> Any:
        if name == "ROUTER_HANDOVER":  # only a ROUTER has it
            raise AttributeError(name)
        return getattr(self._zmq, CONNECTING.get(name, name))


def _buffer_as_ever() -> None:
    """Have standard output buffered as Python does, not by lines as for a script whose output a notebook shows."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=sys.stdout.isatty() and not sys.stdout.write_through)


def _address(app: Any, port: int) -> str:
    """Return the address to connect to, where the proxy is bound; one can be bound to any, and not connect to it."""
    if app.transport == "tcp":
        return f"tcp://{'0.0.0.0' if app.ip == '*' else app.ip}:{port}"
    return f"{app.transport}://{app.ip}-{port}"


class Folder:
    """The current folder, by its path: while a kernel waits, another may have taken its place."""

    def __init__(self) -> None:
        self._path = ""
        with contextlib.suppress(OSError):  # it is gone
            self._path = os.getcwd()

    def enter(self) -> None:
        """Enter what is at the path now, and look anew at what there is of modules."""
        importlib.invalidate_caches()
        with contextlib.suppress(OSError):
            if self._path and not os.path.samefile(self._path, os.curdir):
                os.chdir(self._path)
