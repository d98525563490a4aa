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

import contextlib
import ctypes
import gc
import logging
import re
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ipy_autorestart import catalogue
from ipy_autorestart.kernel import mend, proc
from ipy_autorestart.kernel.descriptors import Descriptors, of_loops
from ipy_autorestart.kernel.trust_policy import (
    Baseline,
    Child,
    Mapping,
    Owner,
    Sight,
    Thread,
    judge,
    library_of,
    threads,
)
from ipy_autorestart.pristine import NAME, os, signal, time
from ipy_autorestart.reexec.trackers import trackers

log = logging.getLogger(__name__)

#: Seconds between two looks: a thread that was just ending is gone at the second.
SECOND_LOOK = 0.001

#: Seconds in which a thread must have come to wait, to tell in what; on a busy machine others may have their turns.
WAITS_MAX = 0.02

#: Modules of the kernel's threads, or of the objects whose methods they run. pyzmq's collector knows a fork by the
#: process id, and starts another.
KERNELS = ("ipykernel.", "IPython.core.history.", "zmq.utils.garbage.")
SUBSHELLS = "ipykernel.subshell"
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
REFUSING = {"numba.np.ufunc.omppool": ("openmp_vendor", "GNU", catalogue.NUMBA())}


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
            return Sight(unread=catalogue.THIS_PROCESS())

    def survivors(self) -> tuple[str, ...]:
        """Return the reasons of native threads that have not ended at the fork that was just made.

        In this process, not in the copy. They are remembered, and `doubts` tells of them while they are there.
        """
        try:
            if not (found := self._natives_left()):
                return ()
            time.sleep(SECOND_LOOK)
            self._survived = {task: thread for task, thread in self._natives_left().items() if task in found}
        except OSError as error:
            return judge(Sight(unread=error.filename or "/proc"))
        return threads(self._survived.values())

    def repair(self) -> tuple[str, ...]:
        """Make anew what the copy lacks (`mend`), in it and before all else; return why it can't be trusted after all.

        To be called again in a copy of the copy.
        """
        doubts = self._mending.mend()
        original, self._pid = self._pid, 0
        with contextlib.suppress(OSError):  # it has ended
            if original and proc.Maps(original).is_kept_from(proc.Maps()):
                doubts += (catalogue.KEPT_FROM_COPIES(),)
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
        found = Descriptors(self._kernel, self._mending, contexts=contexts, epolls=self._epolls_of(zmqs))
        tracer, has_signal = proc.tracer_and_signals()
        return Sight(
            threads=(*seen, *(self._natives_left() if thorough else self._survived).values()),
            descriptors=tuple(found.besides({*known.fds, *of_loops(self._loops())})),
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
        if _is_kernels(thread):
            at_rest = type(thread).__module__ != SUBSHELLS or _is_idle(thread, frame)
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
        main = proc.name_of(os.getpid())
        pythons = {thread.native_id for thread in threading.enumerate() if thread is not threading.main_thread()}
        found = {}
        maps: proc.Maps | None = None  # it takes longer than all the rest, and mostly there are none
        for task in set(proc.tasks()) - pythons - self._known.threads - {os.getpid()}:
            name = proc.name_of(task)
            if name and name != NAME and not name.startswith(ZMQ):
                maps = maps or proc.Maps()
                library = "libjemalloc" if name == JEMALLOC else library_of(maps.library_of(task, WAITS_MAX))
                thread = Thread(name if name != main else "", library=library)
                if threads([thread]):
                    found[task] = thread
        return found

    def _contexts(self) -> list[Any]:
        """Return the kernel's contexts of ZeroMQ: each has threads, and a socket at least."""
        app: Any = getattr(self._kernel, "parent", None)
        found = [getattr(owner, "context", None) for owner in (app, getattr(app, "heartbeat", None))]
        collector: Any = getattr(sys.modules.get("zmq.utils.garbage"), "gc", None)
        if collector is not None and collector.is_alive():  # which it isn't in a copy
            found.append(collector.context)
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
            if mend.is_semaphore(name):
                self._mending.others.append(mend.Semaphore(address, size, name))
                seen = replace(seen, owner=Owner.MENDED)
            yield seen

    def _epolls_of(self, zmqs: list[int]) -> set[int]:
        """Return the epolls that libzmq's threads wait in; each has one as long as it lives."""
        self._epolls = {task: fd for task, fd in self._epolls.items() if task in zmqs}
        for task in zmqs:
            if task not in self._epolls:
                call = proc.call_of(task, WAITS_MAX)
                if len(call) > 1 and proc.is_epoll(call[1]):
                    self._epolls[task] = call[1]
        return set(self._epolls.values())

    def _loops(self) -> Iterator[Any]:
        """Yield the loops of the kernel and its threads, and that of ``%%bash``."""
        owners = [self._kernel, *(_owner_of(thread) for thread in threading.enumerate() if _is_kernels(thread))]
        for owner in owners:
            yield getattr(getattr(owner, "io_loop", None), "asyncio_loop", None)
        yield self._mending.scripts.loop


def _owner_of(thread: threading.Thread) -> Any:
    """Return the object that a thread belongs to: itself, or that whose method it runs."""
    return getattr(getattr(thread, "_target", None), "__self__", thread)


def _is_kernels(thread: threading.Thread) -> bool:
    return f"{type(_owner_of(thread)).__module__}.".startswith(KERNELS)


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
