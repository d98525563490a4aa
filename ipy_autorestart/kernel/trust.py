"""Look whether a copy of this process, made by fork(2), would be the same: recognise whose each thing is.

`trust_policy.judge` decides. What is recognised, and how:

- ipykernel's threads and their loops, IPython's history: by the objects, which the caller makes anew in the copy.
- ZeroMQ: its epolls by the threads that wait in them; sockets by the addresses that the kernel's contexts have bound or
  connected; eventfds by the sockets of those contexts. A context of the user's has threads of its own, and is counted.
- This project's threads by their name; its descriptors, processes and other threads by what the caller says (`Known`).
- Idle workers of executors, the thread of ``%%bash`` and tqdm's: by the objects that have started them, and by what
  they do at the moment. They are made anew in the copy (`mend`), as pipes and semaphores are that only this process
  has; an ended child that multiprocessing or an object of `subprocess` knows is asked how it ended.
- The resource trackers of multiprocessing, which serve all that hold their pipe.
- Pools of OpenMP by having them end: ``omp_pause_resource_all`` of each library loaded. Those of OpenBLAS and others
  end at the fork. So of other libraries' threads only those count that are still there after it (`Trust.survivors`).

All else is the user's, but for what a `Baseline` excuses. None of it is needed to arm a kernel in the middle of its
session.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import gc
import logging
import re
import stat
import sys
import termios
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ipy_autorestart.kernel import mend, proc
from ipy_autorestart.kernel.sockets import borrowed
from ipy_autorestart.kernel.trust_policy import (
    Baseline,
    Child,
    Descriptor,
    Kind,
    Mapping,
    Owner,
    Sight,
    Thread,
    judge,
    library_of,
    threads,
)
from ipy_autorestart.pristine import NAME, os, select, signal, socket, time
from ipy_autorestart.reexec.trackers import trackers

log = logging.getLogger(__name__)

#: Seconds between two looks: a thread that was just ending is gone at the second.
SECOND_LOOK = 0.001

#: Seconds in which a thread must have come to wait, to tell in what; on a busy machine others may have their turns.
WAITS_MAX = 0.02

#: Modules of the kernel's threads, or of the objects whose methods they run. pyzmq's collector knows a fork by the
#: process id, and starts another.
KERNELS = ("ipykernel.", "IPython.core.history", "zmq.utils.garbage")
SUBSHELLS = "ipykernel.subshell."
DEBUGGERS = ("/pydevd", "/_pydevd", "/debugpy/")

#: Beginnings of the names that libzmq gives its threads; each context has one that reaps.
ZMQ, REAPER = "ZMQbg", "ZMQbg/Reaper"

#: Name of the thread by which jemalloc gives memory back, as a part of other libraries; it knows a fork.
JEMALLOC = "jemalloc_bg_thd"

#: Libraries with an OpenMP runtime, and from ``omp.h`` the way to pause it: all that it has is given back.
OPENMP = re.compile(r"/lib(?:gomp|omp|iomp5)\b[^/]*\.so[^/]*$")
OMP_PAUSE_HARD = 2

#: Modules that are loaded when a library has begun what it doesn't continue in a copy, though its threads have ended:
#: numba's kills the copy, unless it uses another OpenMP than GNU's.
REFUSING = {"numba.np.ufunc.omppool": ("openmp_vendor", "GNU", "numba's parallel code")}

#: Memory of semaphores that have no name (any more), as multiprocessing's and tqdm's locks.
SEMAPHORE = "/dev/shm/sem."
DELETED = " (deleted)"

#: From ``linux/tcp.h`` and ``tcp_states.h``: the state, and those in which the other side says nothing any more.
TCP_STATE_BYTES = 1
TCP_ENDED = (7, 8, 9)  # CLOSE, CLOSE_WAIT, LAST_ACK


@dataclass(frozen=True, slots=True)
class Known:
    """What the caller carries over into a copy, makes anew there, or can do without."""

    fds: frozenset[int] = frozenset()
    threads: frozenset[int] = frozenset()  # by the system's numbers
    children: frozenset[int] = frozenset()


NOTHING = Known()


class Trust:
    """Tells whether copies of this process can be trusted; all but `repair` is for its main thread.

    ::

        if doubts := trust.doubts(known):
            return doubts
        if os.fork() == 0:
            doubts = trust.repair()   # first of all; if there are any, the copy exits
        else:
            doubts = trust.survivors()   # if there are any, the copy is to exit

    Parameters
    ----------
    kernel
        The ipykernel ``Kernel`` of this process, if it has one.
    """

    def __init__(self, kernel: Any = None) -> None:
        self._kernel = kernel
        self._mending = mend.Mending(None)
        self._pid = 0
        self._known = NOTHING
        self._survived: dict[int, Thread] = {}
        self._epolls: dict[int, int] = {}
        self._libraries = proc.Libraries()
        self._pauses: dict[str, Any] = {}

    def baseline(self, known: Known = NOTHING) -> Baseline:
        """Return that of a kernel whose user has done nothing yet."""
        return Baseline.of(self.look(known))

    def doubts(self, known: Known = NOTHING, baseline: Baseline | None = None) -> tuple[str, ...]:
        """Return why a copy would not be the same, as far as is known before it is made; nothing if it would."""
        if not judge(self.look(known), baseline):
            return ()
        time.sleep(SECOND_LOOK)
        if not judge(self.look(known), baseline):
            return ()
        return judge(self.look(known, thorough=True), baseline)

    def look(self, known: Known = NOTHING, *, thorough: bool = False) -> Sight:
        """Return what there is, and let OpenMP's pools end before; see `trust_policy.judge`.

        A thorough look takes longer and sees native threads that have not survived a fork yet. They may be about to end
        at one; but where there are other reasons, it tells whose the loops and eventfds are.
        """
        try:
            return self._look(known, thorough=thorough)
        except OSError as error:
            return Sight(unread=error.filename or "/proc")
        except Exception:  # the border: the inside of ipykernel and pyzmq of any version
            log.exception("can't tell what this process holds")
            return Sight(unread="this process")

    def survivors(self) -> tuple[str, ...]:
        """Return the reasons of native threads that have not ended at the fork that was just made.

        In this process, not in the copy. They are remembered, and `doubts` tells of them while they are there.
        """
        if not (found := self._natives_left()):
            return ()
        time.sleep(SECOND_LOOK)
        self._survived = {task: thread for task, thread in self._natives_left().items() if task in found}
        return threads(self._survived.values())

    def repair(self) -> tuple[str, ...]:
        """Make anew what the copy lacks (`mend`), in it and before all else; return why it can't be trusted after all.

        To be called again in a copy of the copy.
        """
        doubts = self._mending.mend()
        original, self._pid = self._pid, 0
        with contextlib.suppress(OSError):  # it has ended
            if original and proc.Maps(original).is_kept_from(proc.Maps()):
                doubts += ("memory that is kept from copies",)
        return doubts

    # -- the look ------------------------------------------------------------------------------------------------------

    def _look(self, known: Known, *, thorough: bool) -> Sight:
        shell = getattr(self._kernel, "shell", None)
        if self._pid != os.getpid():  # in a copy threads have other numbers
            self._survived, self._epolls = {}, {}
        self._pid, self._known, self._mending = os.getpid(), known, mend.Mending(shell)
        self._pause_openmp()
        there = set(proc.tasks())
        seen, pythons, is_debugged = self._pythons(there, known)
        natives = {task: proc.name_of(task) for task in there - pythons - {self._pid}}
        self._survived = {task: thread for task, thread in self._survived.items() if task in natives}
        zmqs = [task for task, name in natives.items() if name.startswith(ZMQ)]
        contexts = self._contexts()
        tracer, has_signal = proc.tracer_and_signals()
        return Sight(
            threads=(*seen, *(self._natives_left() if thorough else self._survived).values()),
            descriptors=tuple(self._descriptors(known, contexts, zmqs)),
            mappings=tuple(self._mappings()),
            children=tuple(self._children(known)),
            refusing=tuple(_refusing()),
            contexts=max(0, sum(natives[task] == REAPER for task in zmqs) - len(contexts)),
            has_timer=_has_timer(),
            has_signal=has_signal,
            is_debugged=is_debugged,
            is_traced=tracer != 0,
        )

    def _pause_openmp(self) -> None:
        for path in filter(OPENMP.search, self._libraries.paths()):
            if path not in self._pauses:
                try:
                    self._pauses[path] = ctypes.CDLL(path, os.RTLD_NOLOAD).omp_pause_resource_all
                except (OSError, AttributeError):  # unloaded meanwhile, or older than OpenMP 5.0
                    self._pauses[path] = None
            if pause := self._pauses[path]:
                pause(OMP_PAUSE_HARD)

    def _pythons(self, there: set[int], known: Known) -> tuple[list[Thread], set[int], bool]:
        """Return the threads that `threading` knows, their numbers, and whether a debugger's are among them."""
        frames = sys._current_frames()  # noqa: SLF001  # the only way
        found, numbers = [], set()
        for thread in threading.enumerate():
            number = thread.native_id
            # The main thread's number is stale in a copy, and a stand-in outlives its thread.
            if thread is threading.main_thread() or number is None or number not in there:
                continue
            numbers.add(number)
            found.append(self._python(thread, frames.pop(thread.ident or 0, None), known))
        # pydevd has a `threading` of its own, so that the program doesn't see its threads.
        return found, numbers, any(map(_is_debuggers, frames.values()))

    def _python(self, thread: threading.Thread, frame: types.FrameType | None, known: Known) -> Thread:
        seen = Thread(thread.name)
        if _module_of(thread).startswith(KERNELS):
            at_rest = not _module_of(thread).startswith(SUBSHELLS) or _is_idle(thread, frame)
            return replace(seen, owner=Owner.KERNEL, at_rest=at_rest)
        if thread.native_id in known.threads or proc.name_of(thread.native_id or 0) == NAME:
            return replace(seen, owner=Owner.OURS)
        for library in self._mending.libraries:
            try:
                if library.owns(thread):
                    at_rest = frame is not None and library.is_at_rest(thread, frame)
                    return replace(seen, owner=Owner.MENDED, at_rest=at_rest)
            except Exception:  # the border: the inside of libraries of any version
                log.debug("can't tell what the thread %s does", thread.name, exc_info=True)
        return seen

    def _natives_left(self) -> dict[int, Thread]:
        """Return the threads that neither Python nor libzmq has started, nor this project."""
        maps, main = proc.Maps(), proc.name_of(os.getpid())
        pythons = {thread.native_id for thread in threading.enumerate() if thread is not threading.main_thread()}
        found = {}
        for task in set(proc.tasks()) - pythons - self._known.threads - {os.getpid()}:
            name = proc.name_of(task)
            if name and name != NAME and not name.startswith(ZMQ):
                library = "libjemalloc" if name == JEMALLOC else library_of(maps.library_of(task, WAITS_MAX))
                thread = Thread(name if name != main else "", library=library)
                if threads([thread]):
                    found[task] = thread
        return found

    def _contexts(self) -> list[Any]:
        """Return the kernel's contexts of ZeroMQ that have threads."""
        app = getattr(self._kernel, "parent", None)
        owners = (app, getattr(app, "heartbeat", None), getattr(sys.modules.get("zmq.utils.garbage"), "gc", None))
        found = [getattr(one, "context" if one is not owners[2] else "_context", None) for one in owners]
        return [one for one in found if one is not None and not one.closed]

    def _children(self, known: Known) -> Iterator[Child]:
        seen = [one for one in proc.children() if one.pid not in known.children]
        if any(one.has_ended for one in seen):
            _ask_how_they_ended({one.pid for one in seen if one.has_ended})
            seen = [one for one in proc.children() if one.pid not in known.children]
        ours = trackers() if seen else set()
        for one in seen:
            yield Child(one.name, Owner.OURS if one.pid in ours else Owner.USER, one.has_ended)

    def _mappings(self) -> Iterator[Mapping]:
        for address, size, name in proc.shared():
            seen = Mapping(address, size, name)
            if name.startswith(SEMAPHORE) and name.endswith(DELETED):
                self._mending.others.append(mend.Semaphore(address, size, name))
                seen = replace(seen, owner=Owner.MENDED)
            yield seen

    # -- descriptors ---------------------------------------------------------------------------------------------------

    def _descriptors(self, known: Known, contexts: list[Any], zmqs: list[int]) -> Iterator[Descriptor]:
        """Yield what is open, but for what is known and what the kernel has."""
        kernels = {0, 1, 2, *self._of_loops(), *self._of_streams()}
        epolls = self._epolls_of(zmqs)
        events = set().union(*map(proc.watched_by, epolls), *map(_events_of, contexts))
        spare = len(contexts)  # each has an eventfd that nobody shows, for its end
        addresses = {one for context in contexts for one in _addresses_of(context)}
        history = self._history()
        standard: set[int] = set()
        pipes: list[Descriptor] = []
        pairs: list[Descriptor] = []
        for number, status, name in proc.descriptors():
            if number in (1, 2) and stat.S_ISFIFO(status.st_mode):
                standard.add(status.st_ino)
            if number in kernels or number in known.fds:
                continue
            match name:
                case proc.EPOLL:
                    if number not in epolls:
                        yield Descriptor(number, Kind.EPOLL, "")
                case "anon_inode:[eventfd]":
                    if number not in events:
                        spare -= 1
                        if spare < 0:
                            yield Descriptor(number, Kind.EVENT, "")
                case _ if stat.S_ISFIFO(status.st_mode):
                    pipes.append(_pipe(number, status, name))
                case _ if stat.S_ISSOCK(status.st_mode):
                    with contextlib.suppress(OSError):  # closed meanwhile
                        if seen := _socket(number, status, addresses):
                            if seen.kind is Kind.CONNECTION and not seen.name and not seen.is_dead:
                                pairs.append(seen)
                            else:
                                yield seen
                case _ if not (history and name.startswith(history)):
                    with contextlib.suppress(OSError):
                        seen = _file(number, status, name)
                        if seen.kind is Kind.FILE and not seen.writes and not name.startswith("/proc/"):
                            self._mending.others.append(mend.File(number, seen.inode))
                        yield seen
        yield from self._with_both_ends([one for one in pipes if one.inode not in standard])
        yield from self._with_peers(pairs)

    def _epolls_of(self, zmqs: list[int]) -> set[int]:
        """Return the epolls that libzmq's threads wait in; each has one as long as it lives."""
        self._epolls = {task: fd for task, fd in self._epolls.items() if task in zmqs}
        for task in zmqs:
            if task not in self._epolls:
                call = proc.call_of(task, WAITS_MAX)
                if len(call) > 1 and proc.is_epoll(call[1]):
                    self._epolls[task] = call[1]
        return set(self._epolls.values())

    def _of_loops(self) -> Iterator[int]:
        """Yield the descriptors of the kernel's loops: epolls, and the pairs of sockets that wake them."""
        owners = [self._kernel]
        for thread in threading.enumerate():
            if _module_of(thread).startswith(KERNELS):
                owners.append(getattr(getattr(thread, "_target", None), "__self__", thread))
        loops = [getattr(getattr(owner, "io_loop", None), "asyncio_loop", None) for owner in owners]
        for loop in (*loops, self._mending.scripts.loop):
            for part in ("_selector", "_ssock", "_csock"):
                if one := getattr(loop, part, None):
                    yield one.fileno()

    def _of_streams(self) -> Iterator[int]:
        """Yield the descriptors by which ipykernel shows what C code writes."""
        for stream in {sys.stdout, sys.stderr, *(getattr(self._kernel, name, None) for name in ("_stdout", "_stderr"))}:
            if type(stream).__module__.startswith("ipykernel."):
                for name in ("_fid", "_original_stdstream_copy"):
                    if (number := getattr(stream, name, None)) is not None:
                        yield number

    def _history(self) -> str:
        """Return the path of IPython's history, with which those of its journals begin."""
        path = getattr(getattr(getattr(self._kernel, "shell", None), "history_manager", None), "hist_file", "")
        return os.path.realpath(path) if path and path != ":memory:" else ""

    def _with_both_ends(self, pipes: list[Descriptor]) -> Iterator[Descriptor]:
        """Yield pipes, each with what is known of both its ends."""
        by_pipe: dict[int, list[Descriptor]] = {}
        ours = set(_of_trackers()) if pipes else set()
        for one in (one for one in pipes if one.number not in ours):
            by_pipe.setdefault(one.inode, []).append(one)
        for ends in by_pipe.values():
            readers, writers = ([one.number for one in ends if one.writes is way] for way in (False, True))
            is_inner = bool(readers and writers) and not ends[0].name
            unread = mend.unread_in(readers[0]) if readers and (is_inner or ends[0].is_dead) else b""
            seen = replace(ends[0], is_inner=is_inner, is_kept=unread is not None)
            if seen.is_renewable and unread is not None:
                self._mending.others.append(mend.Pipe(readers, writers, seen.inode, unread))
            yield seen

    def _with_peers(self, pairs: list[Descriptor]) -> Iterator[Descriptor]:
        """Yield connections of unix sockets without a name, each with whether its peer is here too."""
        by_inode: dict[int, list[Descriptor]] = {}
        for one in pairs:
            by_inode.setdefault(one.inode, []).append(one)
        for inode, ends in by_inode.items():
            others = by_inode.get(proc.peer_of(inode), [])
            is_kept = all(one.is_kept for one in (*ends, *others))
            seen = replace(ends[0], is_inner=bool(others), is_kept=is_kept)
            if seen.is_renewable and inode < others[0].inode:
                pair = (([one.number for one in end], end[0].inode) for end in (ends, others))
                self._mending.others.append(mend.Pair(*pair))
            yield seen


def _module_of(thread: threading.Thread) -> str:
    """Return the module of the object that a thread belongs to: itself, or that whose method it runs."""
    owner = getattr(getattr(thread, "_target", None), "__self__", thread)
    return type(owner).__module__ + "."


def _is_debuggers(frame: types.FrameType | None) -> bool:
    """Return whether a thread was started by a debugger, or is stopped in it."""
    while frame is not None:
        if any(part in frame.f_code.co_filename for part in DEBUGGERS):
            return True
        frame = frame.f_back
    return False


def _is_idle(thread: Any, frame: types.FrameType | None) -> bool:
    """Return whether a subshell of ipykernel's runs no cell, nor a task that a cell has left."""
    return frame is not None and mend.is_idle(thread.io_loop.asyncio_loop, frame)


def _has_timer() -> bool:
    kinds = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
    return any(signal.getitimer(kind)[0] for kind in kinds) or proc.has_posix_timers()


def _refusing() -> Iterator[str]:
    for module, (name, value, words) in REFUSING.items():
        if getattr(sys.modules.get(module), name, None) == value:
            yield words


def _ask_how_they_ended(pids: set[int]) -> None:
    """Have the objects of these children note how they ended, as they do when they are asked the next time."""
    if multiprocessing := sys.modules.get("multiprocessing"):
        multiprocessing.active_children()
    subprocess: Any = sys.modules.get("subprocess")
    if subprocess and any(one.pid in pids and one.has_ended for one in proc.children()):
        # No list of all objects: to count a reference to each would copy all the memory that copies share with this.
        for one in gc.get_referrers(subprocess.Popen):
            if isinstance(one, subprocess.Popen) and one.pid in pids:
                one.poll()


def _of_trackers() -> Iterator[int]:
    for name, module in list(sys.modules.items()):
        if name.endswith(".resource_tracker"):
            number = getattr(getattr(module, "_resource_tracker", None), "_fd", None)
            if number is not None:
                yield number


def _events_of(context: Any) -> set[int]:
    """Return the eventfds by which the sockets of a context of ZeroMQ are woken."""
    import zmq

    found = set()
    for one in list(context._sockets):  # noqa: SLF001
        with contextlib.suppress(zmq.ZMQError):  # closed meanwhile
            found.add(one.getsockopt(zmq.FD))
    return found


def _addresses_of(context: Any) -> Iterator[int | str]:
    """Yield the ports and paths that sockets of a context are bound or connected to."""
    import zmq

    for one in list(context._sockets):  # noqa: SLF001
        with contextlib.suppress(zmq.ZMQError):
            transport, _, address = one.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0").partition("://")
            if transport == "tcp":
                yield int(address.rpartition(":")[2])
            elif transport == "ipc":
                yield address


def _pipe(number: int, status: os.stat_result, name: str) -> Descriptor:
    return Descriptor(
        number,
        Kind.PIPE,
        "" if name.startswith("pipe:") else name,
        status.st_ino,
        writes=fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY,
        is_dead=bool(_waiting(number) & (select.POLLHUP | select.POLLERR)),
    )


def _waiting(number: int) -> int:
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return next((events for _, events in poll.poll(0)), 0)


def _socket(number: int, status: os.stat_result, addresses: set[int | str]) -> Descriptor | None:
    """Return what is to be said of a socket; None if it is the kernel's."""
    with borrowed(number) as sock:
        own = sock.getsockname()
        try:
            peer = sock.getpeername()
        except OSError:
            peer = None
        if _place(own) in addresses or (peer and _host(peer) == _host(own) and _place(peer) in addresses):
            return None
        unread = array.array("i", [0])
        with contextlib.suppress(OSError):  # a kind that doesn't tell
            fcntl.ioctl(number, termios.FIONREAD, unread)
        is_bound = bool(_place(own))
        if peer is None and is_bound:
            return Descriptor(number, Kind.LISTENER, _shown(own), status.st_ino)
        is_dead = bool(peer is None or _waiting(number) & select.POLLHUP)
        if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM:
            is_dead = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_STATE_BYTES)[0] in TCP_ENDED
        name = _shown(peer) if peer else ""
        return Descriptor(number, Kind.CONNECTION, name, status.st_ino, is_dead=is_dead, is_kept=not unread[0])


def _host(address: Any) -> str:
    return str(address[0]) if isinstance(address, tuple) else ""


def _place(address: Any) -> Any:
    """Return the port or path of an address."""
    return address[1] if isinstance(address, tuple) else address


def _shown(address: Any) -> str:
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return address.decode(errors="replace").replace("\0", "@") if isinstance(address, bytes) else str(address)


def _file(number: int, status: os.stat_result, name: str) -> Descriptor:
    if stat.S_ISDIR(status.st_mode):
        return Descriptor(number, Kind.FOLDER, name, status.st_ino)
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return Descriptor(number, Kind.DEVICE, name, status.st_ino)
    if name.startswith("anon_inode:"):
        return Descriptor(number, Kind.OTHER, name.removeprefix("anon_inode:").strip("[]"))
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    writes = flags & os.O_ACCMODE != os.O_RDONLY and not flags & os.O_APPEND
    return Descriptor(
        number, Kind.FILE, name, status.st_ino, writes=writes, is_locked=not writes and proc.is_locked(number)
    )
