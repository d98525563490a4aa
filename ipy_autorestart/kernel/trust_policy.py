"""Decide whether a copy of a process, made by fork(2), would be the same; if not, say why, in words for the user.

A fork copies memory and shares open files; of the threads it copies the one that calls it. It copies neither children,
timers, locks of files and pending signals, nor memory that is shared or asked to be left out. What a copy can't have
is either somebody's who makes it anew in the copy (`Owner`), or the user's, and then the copy isn't trusted.

Carried over, and so no matter here: working folder, environment, signal handlers and masks, limits, privileges, filters
of system calls (seccomp), namespaces, the CPUs and priority to run at. Lost without harm: locks that keep memory from
being swapped out, the count of resources used, and memory that asks to be wiped, which holds keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from ipy_autorestart import catalogue

#: Names that are said of things of one kind; the others are counted.
NAMES_MAX = 3

#: Devices that have no state.
STATELESS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

#: Libraries that end or renew their threads at a fork by themselves (``pthread_atfork``); their threads may be seen
#: after one, but the copy has its own as soon as it needs them.
RENEWED = ("libopenblas", "libscipy_openblas", "libarrow", "libomp", "libiomp5", "libjemalloc", "numexpr")

#: Names for users, where a library has another.
NAMES = {"libgomp": "OpenMP", "libcuda": "CUDA", "jaxlib": "JAX", "tensorflow": "TensorFlow", "cv2": "OpenCV"}


class Owner(Enum):
    """Whoever answers for a thing in the copy."""

    USER = "nobody, for it is the user's"
    KERNEL = "whoever makes the copy the kernel: it makes this anew"
    OURS = "whoever made the copy, and said so"
    MENDED = "`mend.Mending`"


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread besides the main one."""

    name: str
    owner: Owner = Owner.USER
    library: str = ""  # where it was started; nothing for Python
    at_rest: bool = True  # it holds no lock and does no work; of the kernel's it is asked of subshells alone


class Kind(Enum):
    """Files in the sense of a descriptor."""

    FILE = "a file"
    FOLDER = "a folder"
    DEVICE = "a device"
    PIPE = "a pipe"
    CONNECTION = "a connection"
    LISTENER = "a socket that listens"
    EPOLL = "an event loop"
    EVENT = "a flag that wakes an event loop (eventfd)"
    OTHER = "an object of the system"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An open file."""

    number: int
    kind: Kind
    name: str  # path, address of the other side or its own, or the system's word for it
    inode: int = 0
    owner: Owner = Owner.USER
    writes: bool = False  # it may be written to, and is no log, to which each record goes at once
    is_locked: bool = False  # against all others
    is_inner: bool = False  # both ends are here, and nobody else has one
    is_dead: bool = False  # there is no other end any more
    is_kept: bool = True  # all that waits to be read is known, mostly nothing

    @property
    def is_renewable(self) -> bool:
        """Whether a copy can have one of its own that nobody could tell from this."""
        return (self.is_inner or self.is_dead) and self.is_kept


@dataclass(frozen=True, slots=True)
class Mapping:
    """Memory that is shared and may be written, or a device's."""

    address: int
    size_bytes: int
    name: str
    owner: Owner = Owner.USER


@dataclass(frozen=True, slots=True)
class Child:
    """A child process; one that has ended waits for its parent to ask how."""

    name: str
    owner: Owner = Owner.USER
    has_ended: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """All of a process that matters, at one moment."""

    threads: tuple[Thread, ...] = ()
    descriptors: tuple[Descriptor, ...] = ()
    mappings: tuple[Mapping, ...] = ()
    children: tuple[Child, ...] = ()
    refusing: tuple[str, ...] = ()  # libraries that end a copy as soon as it uses them
    contexts: int = 0  # of ZeroMQ, that aren't the kernel's
    has_timer: bool = False
    has_signal: bool = False  # one that is blocked has come
    is_debugged: bool = False  # by a debugger of Python's
    is_traced: bool = False  # by another process: ptrace(2)
    unread: str = ""  # what could not be read


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a kernel was given, such as a log that its parent keeps open: it was shared before the user's first cell.

    A help only: neither threads nor children are excused by it, for a copy has them no more than any others.
    """

    descriptors: frozenset[tuple[int, Kind, str, int, bool]] = frozenset()
    mappings: frozenset[tuple[int, str]] = frozenset()

    @classmethod
    def of(cls, sight: Sight) -> Baseline:
        """Return the one of a kernel that has just started, or was just revived."""
        return cls(frozenset(map(_identity, sight.descriptors)), frozenset((m.address, m.name) for m in sight.mappings))


def _identity(one: Descriptor) -> tuple[int, Kind, str, int, bool]:
    return one.number, one.kind, one.name, one.inode, one.writes


#: A reason, and what it names.
Doubt = tuple[catalogue.Hint, str]


def judge(sight: Sight, baseline: Baseline | None = None) -> tuple[str, ...]:
    """Return why a copy would not be the same, each reason once; nothing if it would."""
    if sight.unread:
        return (catalogue.UNREADABLE_SELF(what=sight.unread),)
    if sight.is_debugged:  # it has threads, a child and connections, and keeps them when it is detached
        return (catalogue.DEBUGGER(),)
    baseline = baseline or Baseline()
    doubts = [*_of_memory(sight, baseline), *_of_descriptors(sight, baseline)]
    doubts += [(catalogue.CANT_FOLLOW, name) for name in sight.refusing]
    if sight.contexts:
        doubts += [(catalogue.ZMQ_CONTEXT, "")] * sight.contexts
    if sight.is_traced:
        doubts.append((catalogue.TRACED, ""))
    if sight.has_timer:
        doubts.append((catalogue.TIMER_SET, ""))
    if sight.has_signal:
        doubts.append((catalogue.SIGNAL_WAITS, ""))
    return (*threads(sight.threads), *_children(sight.children), *_counted(doubts))


def threads(seen: Iterable[Thread]) -> tuple[str, ...]:
    """Return the reasons of threads: the user's, and those of others at work."""
    ours, libraries, subshells = [], Counter[str](), 0
    for one in seen:
        if one.owner is Owner.OURS or (one.owner is not Owner.USER and one.at_rest):
            continue
        if one.owner is Owner.KERNEL:
            subshells += 1
            continue
        if not one.library:
            ours.append(one.name)
        elif not one.library.startswith(RENEWED):
            libraries[one.library] += 1
    named = (catalogue.LIBRARY_THREADS.counted(n, library=NAMES.get(name, name)) for name, n in libraries.items())
    return (
        *([catalogue.SUBSHELLS.counted(subshells)] if subshells else ()),
        *([catalogue.THREADS.counted(len(ours), names=_listed(ours))] if ours else ()),
        *named,
    )


def _children(children: Iterable[Child]) -> Iterator[str]:
    theirs = [one for one in children if one.owner is Owner.USER]
    if running := [one.name for one in theirs if not one.has_ended]:
        yield catalogue.CHILDREN.counted(len(running), names=_listed(running))
    if ended := [one.name for one in theirs if one.has_ended]:
        yield catalogue.ENDED_CHILDREN.counted(len(ended), names=_listed(ended))


def _of_memory(sight: Sight, baseline: Baseline) -> Iterator[Doubt]:
    for one in sight.mappings:
        if one.owner is not Owner.USER or (one.address, one.name) in baseline.mappings:
            continue
        if _is_memory(one.name):
            yield catalogue.SHARED_MEMORY, ""
        elif one.name.startswith("/dev/"):
            yield _open_device(one.name)
        else:
            yield _open_for_writing(one.name)


def _is_memory(name: str) -> bool:
    """Return whether what is mapped is no file that is kept."""
    return not name.startswith("/") or name.startswith(("/dev/shm/", "/dev/zero", "/memfd:", "/SYSV", "/["))


def _open_device(name: str) -> Doubt:
    words = catalogue.CUDA() if name.startswith("/dev/nvidia") else name.removesuffix(" (deleted)")
    return catalogue.DEVICE_OPEN, words


def _open_for_writing(name: str) -> Doubt:
    return catalogue.OPEN_TO_WRITE, _short(name)


def _short(path: str) -> str:
    return path.removesuffix(" (deleted)").rpartition("/")[2]


def _of_descriptors(sight: Sight, baseline: Baseline) -> Iterator[Doubt]:
    # Who has started threads has loops for them, and is named already.
    is_named = sight.contexts or any(one.library for one in sight.threads)
    of_threads = {Kind.EPOLL, Kind.EVENT} if is_named else set()
    for one in sight.descriptors:
        is_theirs = one.owner is not Owner.USER or _identity(one) in baseline.descriptors
        if not is_theirs and not one.is_renewable and one.kind not in of_threads and (doubt := _of_descriptor(one)):
            yield doubt


def _of_descriptor(one: Descriptor) -> Doubt | None:
    match one.kind:
        case Kind.FILE | Kind.FOLDER if one.is_locked:
            return catalogue.FILE_LOCKED, _short(one.name)
        case Kind.FILE if one.writes:
            return (catalogue.SHARED_MEMORY, "") if _is_memory(one.name) else _open_for_writing(one.name)
        case Kind.FILE | Kind.FOLDER:
            return None
        case Kind.DEVICE:
            return None if one.name in STATELESS else _open_device(one.name)
        case Kind.PIPE if one.is_dead or one.is_inner:
            return catalogue.PIPE_UNREAD, ""
        case Kind.PIPE if one.name:
            return catalogue.PIPE_NAMED, _short(one.name)
        case Kind.PIPE:
            return catalogue.PIPE, ""
        case Kind.CONNECTION:
            return catalogue.CONNECTION, one.name or catalogue.ANOTHER_PROCESS()
        case Kind.LISTENER:
            return catalogue.LISTENER, one.name
        case Kind.EPOLL:
            return catalogue.EVENT_LOOP, ""
        case Kind.EVENT:
            return catalogue.EVENT_FLAG, ""
        case Kind.OTHER:
            return (catalogue.TIMER_SET, "") if one.name == "timerfd" else (catalogue.OTHER_DESCRIPTOR, one.name)
    assert_never(one.kind)


def _counted(doubts: Iterable[Doubt]) -> Iterator[str]:
    for (reason, what), n in Counter(doubts).items():
        yield reason.counted(n, what=what)


def _listed(names: list[str]) -> str:
    """Return some names in brackets, each once; nothing where there are none."""
    different = [name for name in dict.fromkeys(names) if name]
    return f" ({', '.join([*different[:NAMES_MAX], *['…'][: len(different) > NAMES_MAX]])})" if different else ""


#: Parts of the path of a library from which its name is told, below the folder of installed packages.
INSTALLED = ("/site-packages/", "/dist-packages/")


def library_of(path: str) -> str:
    """Return a library's name for users: the package that brings it, or its own, without version and suffix."""
    short = path.rpartition("/")[2].partition(".")[0].partition("-")[0]
    if short.startswith((*RENEWED, *NAMES)):
        return short
    for folder in INSTALLED:
        if folder in path:
            package = path.partition(folder)[2].partition("/")[0].partition(".")[0]
            return package.strip("_").partition("_runtime")[0]
    return short
