"""What a copy made by fork(2) lacks of the libraries that we know, and how it is made anew there.

Of each thread that does nothing but wait, and holds no lock, a library starts another as soon as its object has
forgotten the old one. The place in an open file, a pipe that has both its ends here, and semaphores would be shared
with the process that was copied; the copy gets its own.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import logging
import queue
import sys
import termios
import threading
import types
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ipy_autorestart import catalogue
from ipy_autorestart.kernel import proc
from ipy_autorestart.kernel.sockets import borrowed
from ipy_autorestart.pristine import os, socket

log = logging.getLogger(__name__)


class Lost(Protocol):
    """Something that a copy has not got, or only together with its original."""

    words: str

    def mend(self) -> None:
        """Make it anew, in the copy, and again in a copy of that; nothing if it is gone meanwhile."""


class Library(Lost, Protocol):
    """Threads that one library starts; new ones are started where those are missed that were seen at rest."""

    def owns(self, thread: threading.Thread) -> bool:
        """Return whether it has started this thread."""

    def is_at_rest(self, thread: threading.Thread, frame: types.FrameType) -> bool:
        """Return whether the thread only waits, and then take note of it for `mend`."""


class Executors:
    """The workers of `concurrent.futures.ThreadPoolExecutor`; asyncio has one too, for ``to_thread``.

    ``submit`` would count on idle workers for ever. The objects stay the same.
    """

    words = catalogue.EXECUTOR()

    def __init__(self) -> None:
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def owns(self, thread: threading.Thread) -> bool:
        """Return whether it is a worker."""
        return _target(thread) is getattr(sys.modules.get("concurrent.futures.thread"), "_worker", thread)

    def is_at_rest(self, thread: threading.Thread, frame: types.FrameType) -> bool:
        """Return whether it waits for work: between two pieces of it, and there is none."""
        executor = thread._args[0]()  # type: ignore[attr-defined]  # noqa: SLF001
        if executor is None or frame.f_code is not _target(thread).__code__:
            return False
        if frame.f_locals.get("work_item") is not None or executor._work_queue.qsize():  # noqa: SLF001
            return False
        self._seen.add(executor)
        return True

    def mend(self) -> None:
        """Let the executors be as if they had no workers yet; the next piece of work starts one."""
        for executor in self._seen:
            executor._threads = set()  # noqa: SLF001
            executor._idle_semaphore = threading.Semaphore(0)  # noqa: SLF001
            executor._shutdown_lock = threading.Lock()  # noqa: SLF001
            executor._work_queue = queue.SimpleQueue()  # noqa: SLF001


class Scripts:
    """The thread of ``%%bash`` and others of IPython's ``%%script``, with a loop that watches their processes."""

    words = catalogue.SCRIPT_LOOP()

    def __init__(self, shell: Any) -> None:  # an InteractiveShell
        self._registry = getattr(getattr(shell, "magics_manager", None), "registry", {})
        self._seen: Any = None

    @property
    def loop(self) -> Any:  # an asyncio loop
        """Return the loop, None where no such cell has run yet."""
        # IPython 9 would load the magics if they were asked for in the usual way.
        return getattr(dict.get(self._registry, "ScriptMagics"), "event_loop", None)

    def owns(self, thread: threading.Thread) -> bool:
        """Return whether it runs that loop."""
        return (loop := self.loop) is not None and getattr(_target(thread), "__self__", None) is loop

    def is_at_rest(self, thread: threading.Thread, frame: types.FrameType) -> bool:  # noqa: ARG002  # as the others
        """Return whether the loop waits, and no process that it has started is there any more."""
        if not is_idle(self.loop, frame):
            return False
        self._seen = self.loop
        return True

    def mend(self) -> None:
        """Have the next such cell make another loop."""
        magics = dict.get(self._registry, "ScriptMagics")
        if self._seen is None or magics is None or magics.event_loop is not self._seen:
            return
        magics.event_loop = None
        finalizer, magics._event_loop_finalizer = getattr(magics, "_event_loop_finalizer", None), None  # noqa: SLF001
        if finalizer is not None:  # from IPython 9.18
            finalizer.detach()
        close_copied(self._seen)


class Monitors:
    """The thread by which tqdm's bars move though nothing happens."""

    words = catalogue.TQDM()

    def __init__(self) -> None:
        self._seen: list[threading.Thread] = []

    def owns(self, thread: threading.Thread) -> bool:
        """Return whether it is one."""
        return type(thread).__module__ == "tqdm._monitor"

    def is_at_rest(self, thread: threading.Thread, frame: types.FrameType) -> bool:
        """Return whether it waits for its time, without tqdm's lock."""
        wait, run = threading.Event.wait.__code__, type(thread).run.__code__
        callee: types.FrameType | None = frame
        while callee is not None and callee.f_code is not wait:
            callee = callee.f_back
        if callee is None or callee.f_back is None or callee.f_back.f_code is not run:
            return False
        self._seen.append(thread)
        return True

    def mend(self) -> None:
        """Have the next bar start another."""
        for thread in self._seen:
            bars = thread.tqdm_cls  # type: ignore[attr-defined]
            if bars.monitor is thread:
                bars.monitor = None


def is_idle(loop: Any, frame: types.FrameType) -> bool:
    """Return whether an asyncio loop has no task, and the thread that runs it waits in its selector."""
    import asyncio

    return not (asyncio.all_tasks(loop) or loop._ready) and frame.f_code.co_filename.endswith("selectors.py")  # noqa: SLF001


def _target(thread: threading.Thread) -> Any:
    return getattr(thread, "_target", None)


def close_copied(loop: Any) -> None:  # an asyncio loop
    """Close a loop whose thread the copy hasn't got.

    It must not be closed as usual: to take a descriptor out of a copied epoll takes it out of that of the process that
    was copied, for they are the same (epoll(7)).
    """
    epoll = getattr(loop._selector, "_selector", None)  # noqa: SLF001
    for one in (epoll, loop._ssock, loop._csock):  # noqa: SLF001
        if one is not None:
            one.close()
    loop._thread_id, loop._closed = None, True  # noqa: SLF001  # it doesn't run, and isn't to be closed again


def _still(fds: Iterable[int], inode: int) -> list[int]:
    """Return the descriptors that are what they were."""
    found = []
    for fd in fds:
        with contextlib.suppress(OSError):
            if os.fstat(fd).st_ino == inode:
                found.append(fd)
    return found


def _put(new: int, places: Iterable[int]) -> None:
    """Put an open file in the place of others, and close it where it was."""
    try:
        for place in places:
            os.set_blocking(new, os.get_blocking(place))
            os.dup2(new, place, inheritable=os.get_inheritable(place))
    finally:
        os.close(new)


#: What an open file keeps of how it was opened. The rest is said to open(2) alone, such as not to follow links, by
#: which it is opened here.
KEPT = os.O_ACCMODE | os.O_NONBLOCK | os.O_SYNC | os.O_DSYNC


class File:
    """A file or folder that is read: to read on in one process would move the other's place too.

    And whoever has one that is locked holds the lock.

    Attributes
    ----------
    fds
        All its descriptors, one at least.
    """

    words = catalogue.OPEN_FILE()

    def __init__(self, fds: list[int], inode: int) -> None:
        self.fds, self._inode = fds, inode
        self._place = os.lseek(fds[0], 0, os.SEEK_CUR)

    def mend(self) -> None:
        """Open it anew, at the same place, which all its descriptors have together."""
        if fds := _still(self.fds, self._inode):
            new = os.open(f"/proc/self/fd/{fds[0]}", fcntl.fcntl(fds[0], fcntl.F_GETFL) & KEPT | os.O_CLOEXEC)
            os.lseek(new, self._place, os.SEEK_SET)
            _put(new, fds)


#: From ``linux/fcntl.h`` and ``linux/splice.h``.
SPLICE_F_NONBLOCK = 2


def unread_in(pipe: int) -> bytes | None:
    """Return what waits to be read in a pipe, and leave it there; None if it can't be had."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size := fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ))
        waiting = array.array("i", [0])
        fcntl.ioctl(pipe, termios.FIONREAD, waiting)
        if not waiting[0]:
            return b""
        ctypes.CDLL(None).tee(pipe, writer, ctypes.c_size_t(size), SPLICE_F_NONBLOCK)
        found = os.read(reader, size)
        return found if len(found) == waiting[0] else None
    except OSError:
        return None
    finally:
        os.close(reader)
        os.close(writer)


class Pipe:
    """A pipe that only this process reads and writes, or nobody writes any more, with what is unread in it."""

    words = catalogue.A_PIPE()

    def __init__(self, readers: Sequence[int], writers: Sequence[int], inode: int, unread: bytes) -> None:
        self._readers, self._writers, self._inode = readers, writers, inode
        self._unread = unread

    def mend(self) -> None:
        """Put another in its place."""
        readers, writers = _still(self._readers, self._inode), _still(self._writers, self._inode)
        if not readers:
            return
        reader, writer = os.pipe2(os.O_CLOEXEC)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, fcntl.fcntl(readers[0], fcntl.F_GETPIPE_SZ))
        os.write(writer, self._unread)
        _put(reader, readers)
        _put(writer, writers)
        self._inode = os.fstat(readers[0]).st_ino


class Pair:
    """A pair of unix sockets that only this process has, with nothing unread between them."""

    words = catalogue.SOCKET_PAIR()

    def __init__(self, *ends: tuple[Sequence[int], int]) -> None:
        self._ends = list(ends)

    def mend(self) -> None:
        """Put another in its place."""
        places = [_still(*end) for end in self._ends]
        if not all(places):
            return
        with borrowed(places[0][0]) as sock:
            pair = socket.socketpair(sock.family, sock.type)
        for new, fds in zip(pair, places, strict=True):
            _put(new.detach(), fds)
        self._ends = [(fds, os.fstat(fds[0]).st_ino) for fds in places]


#: From ``sys/mman.h``.
PROT_READ_WRITE, MAP_SHARED, MAP_FIXED = 3, 0x01, 0x10

#: Memory of semaphores that have no name (any more), as multiprocessing's and tqdm's locks.
SEMAPHORE, DELETED = "/dev/shm/sem.", " (deleted)"

#: Name of the memory that a copy has in place of one: by it the next look knows what it is, whatever process looks.
OWN = "ipy_autorestart-semaphore"
RENEWED = f"/memfd:{OWN}{DELETED}"


def is_semaphore(name: str) -> bool:
    """Return whether shared memory of this name is that of a semaphore, which only this process has."""
    return name == RENEWED or (name.startswith(SEMAPHORE) and name.endswith(DELETED))


class Semaphore:
    """A semaphore without a name, in memory of its own, as those of multiprocessing; its value is in it."""

    words = catalogue.SEMAPHORE()

    def __init__(self, address: int, size_bytes: int, name: str) -> None:
        self._where = address, size_bytes, name
        self._content = ctypes.string_at(address, size_bytes)

    def mend(self) -> None:
        """Put other memory in its place, which children that are forked from here on share."""
        # Where it was freed meanwhile, there may be anything.
        if self._where in proc.shared():
            address, size, _ = self._where
            _renew_shared(address, self._content)
            self._where = address, size, RENEWED


def _renew_shared(address: int, content: bytes) -> None:
    mmap = ctypes.CDLL(None, use_errno=True).mmap
    mmap.restype, mmap.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long],
    )
    fd = os.memfd_create(OWN)
    try:
        os.write(fd, content)
        if mmap(address, len(content), PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != address:
            raise OSError(ctypes.get_errno(), "mmap")
    finally:
        os.close(fd)


class Processes:
    """Objects that multiprocessing leaves alone in any process but that which has made them, as their ids tell.

    Such are processes that have ended, or are to be started, and what is to be removed at the end. They are the copy's,
    whose original has gone when it goes on.
    """

    words = catalogue.PROCESSES()

    def __init__(self) -> None:
        self._pid = os.getpid()

    def mend(self) -> None:
        """Let them be of this process."""
        before, self._pid = self._pid, os.getpid()
        if process := sys.modules.get("multiprocessing.process"):
            for one in list(process._dangling):  # noqa: SLF001
                if one._parent_pid == before:  # noqa: SLF001
                    one._parent_pid = self._pid  # noqa: SLF001
        if util := sys.modules.get("multiprocessing.util"):
            for one in list(util._finalizer_registry.values()):  # noqa: SLF001
                if one._pid == before:  # noqa: SLF001
                    one._pid = self._pid  # noqa: SLF001


class Mending:
    """What a look has found that is to be made anew in the copy."""

    def __init__(self, shell: Any) -> None:
        self.scripts = Scripts(shell)
        self.libraries: tuple[Library, ...] = (Executors(), self.scripts, Monitors())
        self._processes = Processes()
        self.others: list[Lost] = []

    def mend(self) -> tuple[str, ...]:
        """Do it, in the copy; return what could not be done, in words for the user."""
        failed = []
        lost: tuple[Lost, ...] = (*self.libraries, self._processes, *self.others)
        for one in lost:
            try:
                one.mend()
            except Exception:  # the border: the inside of libraries of any version
                log.exception("can't make %s anew", one.words)
                failed.append(catalogue.NOT_MADE_ANEW(what=one.words))
        return tuple(failed)
