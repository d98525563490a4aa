"""The standard library as it is without what a program has put in its place, for our code in a user's process.

gevent and eventlet replace functions that wait by some that switch to other greenlets, freezegun stops the clocks, and
a program may replace anything. In a signal handler, a hook or a thread of ours these would fail, wait for ever, or be
wrong. So modules written in C are made anew by their loaders, whatever the program has done to those that it shares
with us, and the others are taken as they are when this is loaded. As attributes of a module or namespace they are not
found by what looks through all modules for functions to replace.
"""

from __future__ import annotations

import _frozen_importlib
import _signal as _plain_signal  # type: ignore[import-not-found]
import _thread
import os as _os
import signal as _signal
import sys
import types
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    import os as os
    import select as select
    import signal as signal
    import time as time
    from typing import Any

    socket = _socket
else:

    def _anew(name: str) -> types.ModuleType:
        spec = __import__(name).__spec__
        module = _frozen_importlib.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    time, _thread = _anew("time"), _anew("_thread")
    _posix = {name: one for name, one in vars(_anew("posix")).items() if callable(one)}  # but for its environment
    os = types.SimpleNamespace(**{**vars(_os), **_posix})
    signal = types.SimpleNamespace(**vars(_signal))

    def __getattr__(name: str) -> types.ModuleType:
        """Make a module when it is first asked for: a program that isn't watched has no need of these."""
        source = {"select": "select", "socket": "_socket"}.get(name)  # `socket`'s classes call what is in it by then
        if source is None:
            raise AttributeError(name)
        module = globals()[name] = _anew(source)
        return module


#: As in `signal`, without its enumerations: to look one of those up takes longer than all else that a cell's hook does.
get_handler, set_handler = _plain_signal.getsignal, _plain_signal.signal

Lock, RLock, get_ident = _thread.allocate_lock, _thread.RLock, _thread.get_ident


def is_main_thread() -> bool:
    """Return whether this is the thread that handles signals, in whatever greenlet."""
    if sys.platform == "linux":
        return _thread.get_native_id() == os.getpid()
    import threading

    return threading.current_thread() is threading.main_thread()


def attribute_of(module: object, name: str) -> Any:  # noqa: ANN401  # whatever it is
    """Return what a module has by a name, or None. None of its code runs: that may import it now, or fail."""
    try:
        return object.__getattribute__(module, "__dict__").get(name)
    except AttributeError:  # no module, but what somebody has put there
        return None


def wall_ns() -> int:
    """Return the nanoseconds since 1970, as files have them.

    time_machine changes the very code of the clock, and offers a way around itself.
    """
    hatch = getattr(sys.modules.get("time_machine"), "escape_hatch", None)
    now_ns: int = hatch.time.time_ns() if hatch and hatch.is_travelling() else time.time_ns()
    return now_ns


class Event:
    """Something that happens once; threads may wait for it."""

    def __init__(self) -> None:
        self._waiting = Lock()
        self._waiting.acquire()

    def set(self) -> None:
        """Let it have happened."""
        try:
            self._waiting.release()
        except RuntimeError:  # it had
            return

    def wait(self, timeout: float = -1) -> bool:
        """Wait for it, for so many seconds at most, by default for ever; return whether it has happened."""
        if not self._waiting.acquire(timeout=timeout):
            return False
        self.set()
        return True


class Thread:
    """A thread of the system that calls a function and that the interpreter doesn't wait for at its end.

    `threading` knows nothing of it; the system calls it by `NAME`.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._ended = Event()
        self._ident = _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        self._ident = get_ident()  # `start_new_thread` may not have returned it yet
        try:
            _name_thread()
            self._function()
        finally:
            _forget_stand_in()
            self._ended.set()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return not self._ended.wait(0)

    @property
    def is_current(self) -> bool:
        """Whether it asks for this itself."""
        return self._ident == get_ident()

    def join(self, timeout: float = -1) -> None:
        """Wait for its end, for so many seconds at most, by default for ever."""
        self._ended.wait(timeout)


class Timer:
    """Calls a function in a thread after so many seconds, unless it is cancelled before."""

    def __init__(self, seconds: float, function: Callable[[], object]) -> None:
        self._seconds = seconds
        self._function = function
        self._cancelled = Event()

    def start(self) -> None:
        """Let the time begin."""
        Thread(self._call_later)

    def cancel(self) -> None:
        """Call it off, if it isn't too late."""
        self._cancelled.set()

    def _call_later(self) -> None:
        if not self._cancelled.wait(self._seconds):
            self._function()


#: Of our threads, in the system's lists, which have room for so many letters.
NAME = "ipy_autorestart"


def _forget_stand_in() -> None:
    """Let `threading` forget this thread: whatever asks it for the current one, as logging does, makes a stand-in."""
    threading = sys.modules.get("threading")
    if threading:
        threading._active.pop(get_ident(), None)  # noqa: SLF001  # before 3.12 it stays for ever


def _name_thread() -> None:
    try:
        fd = os.open(f"/proc/self/task/{_thread.get_native_id()}/comm", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # not Linux
        return
    os.write(fd, NAME.encode())
    os.close(fd)
