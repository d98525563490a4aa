"""A copy of a live kernel: a fork of it that goes on as a live kernel behind a proxy, with its whole memory."""

from __future__ import annotations

import contextlib
import ctypes
import random
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from ipy_autorestart import catalogue
from ipy_autorestart.kernel.inherited import CantCopy, renew_loop, wakeup_fd
from ipy_autorestart.kernel.machinery import STAND_MAX, Machinery
from ipy_autorestart.pristine import os, select, signal
from ipy_autorestart.reexec.exec import or_end

#: Seconds in which the process in between must have forked: handlers of libraries run in it.
APART_MAX = 5.0

#: The default action of a signal, as the C library has it: no handler, flags or mask. More bytes than it needs.
DEFAULT = bytes(512)


class Copy:
    """Copies a kernel; all methods are for its main thread, while it is idle and its gate is closed.

    In a kernel of which there are copies, `fork` makes one more; a copy that has been revived is copied in the same
    way, and so is one that still waits, as often as it is needed.

    Raises
    ------
    CantCopy
        The kernel is not built as expected, or not on this platform.
    """

    def __init__(self, app: Any) -> None:  # an IPKernelApp
        import asyncio

        from tornado.ioloop import IOLoop

        if not sys.platform.startswith("linux"):
            raise CantCopy(catalogue.COPY_PLATFORM(platform=sys.platform))
        self._io_loop: Any = IOLoop.current()
        loop = self._io_loop.asyncio_loop  # type: ignore[attr-defined]  # of every loop since tornado 6
        if not isinstance(loop, asyncio.SelectorEventLoop):
            raise CantCopy(catalogue.OTHER_LOOP(module=type(loop).__module__))
        self._machinery = Machinery(app)
        self._is_alive = True

    def close(self) -> None:
        """Undo what is done for copies to come."""
        self._machinery.close()

    def fork(
        self,
        live: Callable[[], None],
        *,
        repair: Callable[[], object] = lambda: None,
        apart: bool = False,
        within: float = STAND_MAX,
    ) -> int:
        """Copy the kernel; return the child's process id, and 0 in the child.

        The child calls ``live`` when it has let go of all that belongs to this kernel: its sockets, loops, threads and
        history. It is in a session of its own then, with no more output than the descriptors that 1 and 2 were at the
        start. It may wait there; it calls `revive`, or ends by ``os._exit``. When ``live`` returns, it goes on with
        what follows here, as another live kernel. If anything fails there, it ends with a status of its own (`or_end`).

        Parameters
        ----------
        live
            Called in the child.
        repair
            Called in the child before all else, to make anew what is the user's (`trust.Trust.repair`).
        apart
            Whether the copy is no child of this kernel, so that nothing that looks for children finds it: the process
            in between has ended when this returns.
        within
            Seconds in which the threads must stand.

        Raises
        ------
        CantCopy
            A thread is busy, or there is no room; all is as it was.
        """
        import asyncio

        is_running = asyncio._get_running_loop() is not None  # noqa: SLF001
        chance = random.getstate()  # Python seeds every forked process anew
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        wake = self._machinery.stand(within) if self._is_alive else None
        pid = -1
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            wakeup = wakeup_fd()
            pid = _fork_apart() if apart else _fork()
        except OSError as error:
            raise CantCopy(catalogue.CANT_FORK(error=error)) from error
        finally:
            if pid:
                try:
                    if wake:
                        wake()
                finally:  # last, as handlers of the user's run here, which may raise, or wait for the threads
                    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if pid:
            return pid
        with or_end():  # there must not be a second kernel by mistake
            os.setsid()
            random.setstate(chance)
            _number_main_thread()
            repair()  # before the loop watches what is made anew
            renew_loop(
                self._io_loop, is_running=is_running, wakeup=wakeup
            )  # before a signal comes, which would wake the other's
            if self._is_alive:
                self._machinery.let_go()
            self._is_alive = False
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            live()
        return 0

    def revive(self, address: Callable[[str], str]) -> None:
        """Have this copy live as a kernel; the rest of it follows when its main loop runs on.

        Parameters
        ----------
        address
            Returns libzmq's address for "shell", "control", "stdin" and "iopub", where DEALERs and a PULL are bound.
        """
        self._machinery.renew(address)
        self._is_alive = True


def _fork() -> int:
    # 3.12 warns that there are threads. To say so by `catch_warnings` would have the user's warnings shown once more.
    filters = warnings.filters
    warnings.filters = [("ignore", None, DeprecationWarning, None, 0), *filters]
    try:
        return os.fork()
    finally:
        warnings.filters = filters


def _fork_apart() -> int:
    """Fork by way of a process in between, which ends; return the number of the one at the end, and 0 in that.

    Nobody hears of that end: a handler of the user's would wait for a child of which it knows nothing, and fail.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    heard = _act_on_child(DEFAULT)
    try:
        if between := _fork():
            os.close(write)
            write = -1
            waiting = select.poll()
            waiting.register(read, select.POLLIN)
            if not waiting.poll(APART_MAX * 1000):
                os.kill(between, signal.SIGKILL)
            said = os.read(read, 20)
            with contextlib.suppress(ChildProcessError):  # a thread of C code may wait for any
                os.waitpid(between, 0)
            if not said:
                raise OSError(catalogue.NO_CHILD())
            return int(said)
        with or_end():
            if pid := _fork():
                os.write(write, str(pid).encode())
                os._exit(0)  # noqa: SLF001  # its name
        return 0
    finally:
        try:
            _act_on_child(DEFAULT)  # so the signal is forgotten, if all threads have blocked it
        finally:
            _act_on_child(heard)
        os.close(read)
        if write >= 0:
            os.close(write)


def _act_on_child(action: bytes) -> bytes:
    """Set what a SIGCHLD does in this process, as sigaction(2) has it; return what it did.

    Not by `signal.signal`, which knows neither handlers of C code nor flags (`signal.siginterrupt`).
    """
    before = ctypes.create_string_buffer(len(DEFAULT))
    ctypes.CDLL(None).sigaction(int(signal.SIGCHLD), action, before)
    return before.raw


def _number_main_thread() -> None:
    """Let the main thread know its number in this process; Python leaves it that of before the fork."""
    getattr(threading.main_thread(), "_set_native_id", int)()
