"""The seam to ipykernel and IPython for a fork: what a kernel runs on stands still, is let go of, and is renewed.

It relies, in ``ipykernel`` 6.29 to 7, on ``IPKernelApp.init_sockets``, ``init_control``, ``init_iopub`` and
``init_kernel``, on ``Kernel.start``, ``IOPubThread``, ``OutStream``, ``Debugger`` and ``SubshellManager``; in IPython
8.20 to 9 on ``HistoryManager``. The user's code may hold kernel, shell, streams and history, so these stay the same
objects.
"""

from __future__ import annotations

import asyncio
import atexit
import collections
import contextlib
import ctypes
import functools
import inspect
import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ipy_autorestart import catalogue
from ipy_autorestart.kernel import proc
from ipy_autorestart.kernel.arrive import LateDebugger, make_subshells, renew_debugger
from ipy_autorestart.kernel.inherited import (
    CantCopy,
    epolls_of_libzmq,
    let_go_of_libzmq,
    let_go_of_loop,
)
from ipy_autorestart.kernel.ipykernel import ThreadChannels, channels_of
from ipy_autorestart.pristine import Event, os
from ipy_autorestart.reexec.exec import logged

log = logging.getLogger(__name__)

#: Seconds that ipykernel's threads may take until they stand.
STAND_MAX = 2.0

#: Milliseconds in which libzmq must have sent what was written at the end; as ipykernel has them.
LINGER = 1000

#: Bytes from which on pyzmq lends messages to libzmq instead of copying them, which needs a thread: never.
NEVER = 1 << 62


class Machinery:
    """The sockets, threads, streams and history that a kernel runs on.

    Raises `CantCopy` if it isn't built as expected; nothing has been touched then.
    """

    def __init__(self, app: Any) -> None:  # an IPKernelApp
        channels = channels_of(app.kernel)
        if channels is None or app.shell is None or getattr(app, "debug_shell_socket", None) is None or app.trio_loop:
            raise CantCopy(catalogue.ODD_KERNEL())
        self._app, self._kernel, self._shell = app, app.kernel, app.shell
        self._has_shell_thread = isinstance(channels, ThreadChannels)
        self._epolls: set[int] = set()
        self._writers: dict[str, list[int]] = {}
        self._subshells: list[str] = []
        self._copy_threshold = app.session.copy_threshold
        app.session.copy_threshold = NEVER

    def close(self) -> None:
        """Let pyzmq lend messages to libzmq again."""
        self._app.session.copy_threshold = self._copy_threshold

    # -- before the fork -----------------------------------------------------------------------------------------------

    def stand(self, within: float = STAND_MAX) -> Callable[[], None]:
        """Have all threads stand where they hold nothing, with all output on its way; return what lets them go on.

        Raises `CantCopy` if one is busy; all go on then.
        """
        if self._kernel.eventloop is not None:
            raise CantCopy(catalogue.GUI_AT_WORK())
        for stream in (*self._outputs(), sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(AttributeError, ValueError, OSError):  # there is none, or it is closed
                stream.flush()
        ctypes.CDLL(None).fflush(None)  # else the copy would write the same once more
        wake_history = _stop_history(self._shell.history_manager)  # first: it may wait for another kernel to write
        go_on = Event()

        def wake() -> None:
            go_on.set()
            with logged("the copying"):
                wake_history()

        try:
            standing = []
            for call in self._ways_into_threads():
                stands = Event()
                call(functools.partial(_stand, stands, go_on))
                standing.append(stands)
            if not all(stands.wait(within) for stands in standing):
                raise CantCopy(catalogue.KERNEL_BUSY())
            self._epolls = epolls_of_libzmq(self._contexts())
        except BaseException:
            wake()
            raise
        return wake

    def _ways_into_threads(self) -> Iterator[Callable[..., None]]:
        yield self._kernel.iopub_thread.schedule
        for thread in self._threads():
            yield thread.io_loop.add_callback

    def _threads(self) -> list[Any]:
        """Return the threads with loops that serve the channels."""
        if not self._has_shell_thread:
            return [self._kernel.control_thread]
        shell = self._kernel.shell_channel_thread
        return [self._kernel.control_thread, shell, *shell.manager._cache.values()]  # noqa: SLF001

    def _contexts(self) -> list[Any]:
        """Return the contexts of ZeroMQ: the kernel's, and that of the thread by which pyzmq lends messages."""
        from zmq.utils import garbage

        heartbeat = getattr(self._app.heartbeat, "context", None)
        found = (self._app.context, heartbeat, garbage.gc._context)  # noqa: SLF001
        return [context for context in found if context is not None and not context.closed]

    def _outputs(self) -> list[Any]:
        """Return the streams that publish what is printed, whatever the user has put in their place."""
        from ipykernel.iostream import OutStream

        found = {id(stream): stream for stream in (self._kernel._stdout, self._kernel._stderr)}  # noqa: SLF001
        return [stream for stream in found.values() if isinstance(stream, OutStream)]

    # -- in the copy ---------------------------------------------------------------------------------------------------

    def let_go(self) -> None:
        """Close what belongs to the process that was copied. What is printed from now on goes nowhere."""
        app, kernel = self._app, self._kernel
        if self._has_shell_thread:
            self._subshells = list(kernel.shell_channel_thread.manager._cache)  # noqa: SLF001
        for thread in (kernel.iopub_thread, *self._threads()):
            let_go_of_loop(thread.io_loop)
        self._writers = {stream.name: _let_go_of_output(stream) for stream in self._outputs()}
        let_go_of_libzmq(self._contexts(), self._epolls)
        _let_go_of_history(self._shell.history_manager)
        app.heartbeat = None
        kernel.iopub_thread.socket = None  # only now: a socket that nobody knows any more could not be closed
        atexit.unregister(app.cleanup_connection_file)  # the file is that of the process that was copied

    def renew(self, address: Callable[[str], str]) -> None:
        """Make all anew; the sockets connect to ``address(channel)``, and the kernel answers requests from there.

        Nothing is published: to all clients it is the kernel that it was. The history has no session: the copied kernel
        has lines of the same numbers in the one before.
        """
        self._app.session.pid = os.getpid()
        self._connect(address)
        self._run_threads()
        for stream in self._outputs():
            _renew_output(stream, self._app.iopub_thread, self._writers[stream.name])
        _renew_history(self._shell.history_manager)
        self._listen()
        if self._subshells:
            make_subshells(self._kernel, self._subshells)

    def _connect(self, address: Callable[[str], str]) -> None:
        """Make the sockets, as ``init_sockets`` does."""
        import zmq

        app = self._app
        app.context = zmq.Context()
        kinds = {"shell": zmq.DEALER, "control": zmq.DEALER, "stdin": zmq.DEALER, "iopub": zmq.PUSH}
        sockets = {}
        for channel, kind in kinds.items():
            socket = sockets[channel] = app.context.socket(kind)
            socket.linger = LINGER
            socket.set_hwm(0)
            socket.connect(address(channel))
        app.shell_socket, app.control_socket, app.stdin_socket = map(sockets.get, ("shell", "control", "stdin"))
        app.debugpy_socket = app.context.socket(zmq.STREAM)
        app.debug_shell_socket = app.context.socket(zmq.DEALER)  # a client of this kernel, as any other
        for socket in (app.debugpy_socket, app.debug_shell_socket):
            socket.linger = LINGER
        if hasattr(app, "_apply_curve_client_options"):
            app._apply_curve_client_options(app.debug_shell_socket)  # noqa: SLF001
        separator = ":" if app.transport == "tcp" else "-"
        app.debug_shell_socket.connect(f"{app.transport}://{app.ip}{separator}{app.shell_port}")
        _renew_iopub(app.iopub_thread, sockets["iopub"], app.session)

    def _run_threads(self) -> None:
        """Make the streams and the threads that read them, as ``init_control`` and ``init_kernel`` do."""
        from zmq.eventloop.zmqstream import ZMQStream

        app, kernel = self._app, self._kernel
        app.control_thread = kernel.control_thread = type(kernel.control_thread)(daemon=True)
        if self._has_shell_thread:
            kind = type(kernel.shell_channel_thread)
            takes_socket = "shell_socket" in inspect.signature(kind).parameters  # before 7.4
            sockets = (app.shell_socket,) if takes_socket else ()
            thread = app.shell_channel_thread = kernel.shell_channel_thread = kind(app.context, *sockets, daemon=True)
            kernel.shell_stream = thread.shell_stream = ZMQStream(app.shell_socket, thread.io_loop)
        else:
            kernel.shell_stream = ZMQStream(app.shell_socket)
        kernel.control_stream = ZMQStream(app.control_socket, kernel.control_thread.io_loop)
        kernel.debugpy_stream = ZMQStream(app.debugpy_socket, kernel.control_thread.io_loop)
        kernel.stdin_socket, kernel.debug_shell_socket = app.stdin_socket, app.debug_shell_socket
        _renew_debugger(kernel, kernel.debugpy_stream, kernel.debug_shell_socket)
        kernel.control_thread.start()
        if self._has_shell_thread:
            kernel.shell_channel_thread.start()

    def _listen(self) -> None:
        """Have requests answered, as ``Kernel.start`` does; what waits in the main loop goes on by itself."""
        kernel = self._kernel
        control = kernel.control_thread.io_loop.asyncio_loop
        if self._has_shell_thread:
            kernel._control_lock = asyncio.Lock()  # noqa: SLF001
            kernel.shell_channel_thread.manager.set_on_recv_callback(kernel.shell_main)
            read_shell = kernel.shell_channel_thread_main
        else:
            kernel.control_queue = type(kernel.control_queue)()
            asyncio.run_coroutine_threadsafe(kernel.poll_control_queue(), control)
            read_shell = functools.partial(kernel.schedule_dispatch, kernel.dispatch_shell)
        kernel.debugpy_stream.on_recv(kernel.dispatch_debugpy, copy=False)
        asyncio.run_coroutine_threadsafe(kernel.poll_stopped_queue(), control)
        kernel.control_stream.on_recv(kernel.dispatch_control, copy=False)
        kernel.shell_stream.on_recv(read_shell, copy=False)


def _stand(stands: Event, go_on: Event) -> None:
    stands.set()
    go_on.wait()  # without an end: a fork while this one is at work would copy what it holds


def _renew_iopub(thread: Any, socket: Any, session: Any) -> None:
    """Make an ``IOPubThread`` anew, as the same object, which ends at exit as it was to end before."""
    known = thread.background_socket
    takes_session = "session" in inspect.signature(type(thread)).parameters  # since 7.2
    thread.__init__(socket, pipe=True, **({"session": session} if takes_session else {}))
    thread.background_socket = known
    thread.thread.start()


class _Watch(threading.Thread):
    """Reads what is written to descriptor 1 or 2, for whichever cell runs at that moment.

    With a `run` of its own, which ipykernel 6 doesn't replace: it would have it belong to the cell that it begins in.
    """

    def run(self) -> None:
        """Read until the stream is closed."""
        self._target()  # type: ignore[attr-defined]  # by which `trust` knows whose it is


def _let_go_of_output(stream: Any) -> list[int]:
    """Put the original file in place of an ``OutStream``'s pipe; return the descriptors that wrote into that.

    There are more than 1 or 2: the one that ``OutStream`` forgets to close, and duplicates that the user keeps.
    """
    if not stream._should_watch:  # noqa: SLF001
        return []
    known = {fd: what for fd, _, what in proc.descriptors()}
    read = stream._fid  # noqa: SLF001
    writers = [fd for fd, what in known.items() if what == known[read] and fd != read]
    _put(stream._original_stdstream_copy, writers)  # noqa: SLF001
    os.close(read)
    return writers


def _renew_output(stream: Any, iopub_thread: Any, writers: list[int]) -> None:
    """Make an ``OutStream`` anew, as the same object, with a pipe that these descriptors write into."""
    stream._master_pid = os.getpid()  # noqa: SLF001
    stream._flush_pending = stream._subprocess_flush_pending = False  # noqa: SLF001
    stream._io_loop = iopub_thread.io_loop  # noqa: SLF001
    stream._buffer_lock = threading.RLock()  # noqa: SLF001
    stream._buffers = collections.defaultdict(io.StringIO)  # noqa: SLF001
    if stream._should_watch:  # noqa: SLF001
        stream._fid, written = os.pipe()  # noqa: SLF001
        _put(written, writers)
        os.close(written)
        stream._exc = None  # noqa: SLF001
        stream.watch_fd_thread = _Watch(target=stream._watch_pipe_fd, daemon=True)  # noqa: SLF001
        stream.watch_fd_thread.start()


def _put(fd: int, places: list[int]) -> None:
    for place in places:
        os.dup2(fd, place, inheritable=os.get_inheritable(place))


def _renew_debugger(kernel: Any, stream: Any, socket: Any) -> None:
    debugger = getattr(kernel, "debugger", None)
    if isinstance(debugger, LateDebugger):
        debugger.renew(stream, socket)
    elif debugger is not None:
        renew_debugger(debugger, stream, socket)


# -- the history -------------------------------------------------------------------------------------------------------


def _is_in_file(history: Any) -> bool:  # a HistoryManager
    return history is not None and history.enabled and str(history.hist_file) != ":memory:"


def _stop_history(history: Any) -> Callable[[], None]:
    """Write the history out and stop the thread that saves; return the undo.

    A thread that is copied in the middle of a transaction leaves the database locked for the copy, and IPython then
    moves the file away as corrupt. The connection stays open, for a cell may have it: while it does nothing it holds no
    lock, and a copy closes its own before it opens another. While it is read from, it holds one, which a copy hasn't
    got and would believe to have.

    Raises `CantCopy` if the file can't be written, or is being read.
    """
    import sqlite3

    if not _is_in_file(history):
        return lambda: None
    if history.save_thread is not None:
        history.save_thread.stop()
    try:
        history.writeout_cache()
        is_read = _is_read(history.db)
    except sqlite3.Error as error:
        _save_history(history)
        raise CantCopy(catalogue.HISTORY_LOCKED(error=error)) from error
    if is_read:
        _save_history(history)
        raise CantCopy(catalogue.HISTORY_READ())
    return functools.partial(_save_history, history)


def _is_read(database: Any) -> bool:
    """Return whether rows of an earlier query are still to be read: SQLite replaces no function meanwhile."""
    import sqlite3

    try:
        for _ in range(2):
            database.create_function("ipy_autorestart", 0, int)
    except sqlite3.OperationalError:
        return True
    return False


def _let_go_of_history(history: Any) -> None:
    if _is_in_file(history):
        history.db.close()


def _renew_history(history: Any) -> None:
    """Connect to the file and save, as ``HistoryManager`` does at its beginning, by the same object as before.

    But not by its ``init_db``, which takes a file that is locked for a moment for a corrupt one.
    """
    import sqlite3

    if not _is_in_file(history):
        return
    history.session_number = 0
    parsed = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
    try:
        history.db.__init__(str(history.hist_file), **{"detect_types": parsed, **history.connection_options})
    except sqlite3.Error as error:
        _go_on_in_memory(history, error)
    else:
        _save_history(history)


def _save_history(history: Any) -> None:
    """Start the thread that saves."""
    from IPython.core.history import HistorySavingThread

    try:
        history.save_thread = HistorySavingThread(history)
        history.save_thread.start()
    except RuntimeError as error:
        history.db.close()
        _go_on_in_memory(history, error)


def _go_on_in_memory(history: Any, error: Exception) -> None:
    log.warning("the history is not saved any more: %s", error)
    history.save_thread = None
    history.hist_file = ":memory:"
    history.init_db()
    history.new_session()
