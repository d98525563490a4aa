"""The system's word on this process: its threads, children, open files and memory, read from ``/proc`` (proc(5)).

Nothing here knows whose they are. What has gone while it was read is left out; what can't be read at all raises
OSError.
"""

from __future__ import annotations

import bisect
import contextlib
import ctypes
import errno
import fcntl
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ipy_autorestart.pristine import os, socket, time

#: Bytes at the end of a thread's stack that are searched for the function that it was started with.
STACK_BYTES = 1 << 16
WORD = struct.Struct("<Q")

#: What all threads run in, whoever has started them, and what those of Python run in.
RUNTIME = re.compile(r"/(?:libc|libpthread|ld-linux|ld-musl|libstdc\+\+|libm|libgcc_s)[-.][^/]*$|^\[")
CPP = re.compile(r"/libstdc\+\+[-.][^/]*$")
PYTHON = re.compile(r"/lib-dynload/|/(?:lib)?(?:python|pypy)[^/]*$")

KEPT = re.compile(rb"^(\w+)-(\w+) [^\n]*\n(?:[A-Z]\w+:[^\n]*\n)*?VmFlags:[^\n]* dc\b", re.MULTILINE)
EPOLL, EVENT = "anon_inode:[eventpoll]", "anon_inode:[eventfd]"
CODE = re.compile(rb"^(\w+)-(\w+) ..x. \w+ \S+ \d+ +(.*)$", re.MULTILINE)
DATA = re.compile(rb"^(\w+)-(\w+) r.-. \w+ \S+ \d+ +(/.*)$", re.MULTILINE)


def read(path: str) -> bytes:
    """Return all of a file; a file object would cost more than the rest."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
    finally:
        os.close(fd)


def tasks() -> list[int]:
    """Return the threads of this process, by the system's numbers."""
    return list(map(int, os.listdir("/proc/self/task")))


def name_of(task: int) -> str:
    """Return the system's name of a thread, at most 15 bytes; nothing if it has ended."""
    with contextlib.suppress(OSError):
        return read(f"/proc/self/task/{task}/comm").decode(errors="replace").rstrip("\n")
    return ""


def call_of(task: int, patience: float = 0.0) -> list[int]:
    """Return the system call that a thread waits in: its number, six arguments, stack and place.

    Nothing if it runs, and still does after so many seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return [int(word, 0) for word in read(f"/proc/self/task/{task}/syscall").split()]
        except OSError:  # it has ended, or the system doesn't tell
            return []
        except ValueError:
            if time.monotonic() >= deadline:
                return []
        time.sleep(0.0001)


class _Query(ctypes.Structure):
    """``struct procmap_query`` of ``linux/fs.h``."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("size", "flags", "address", "start", "end", "rights", "page_size")),
        *((name, ctypes.c_uint64) for name in ("offset", "inode")),
        *((name, ctypes.c_uint32) for name in ("major", "minor", "name_bytes", "build_bytes")),
        *((name, ctypes.c_uint64) for name in ("name_at", "build_at")),
    )


#: From ``linux/fs.h``, since Linux 6.11: ask for the next memory that may be written and is shared.
PROCMAP_QUERY = 3 << 30 | ctypes.sizeof(_Query) << 16 | ord("f") << 8 | 17
WRITABLE_SHARED_NEXT = 0x02 | 0x08 | 0x10
PATH_MAX = 4096


def shared() -> list[tuple[int, int, str]]:
    """Return address, bytes and name of the memory of this process that others may see and change."""
    found = []
    name = ctypes.create_string_buffer(PATH_MAX)
    query = _Query(size=ctypes.sizeof(_Query), flags=WRITABLE_SHARED_NEXT, name_at=ctypes.addressof(name))
    fd = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            query.name_bytes = PATH_MAX
            fcntl.ioctl(fd, PROCMAP_QUERY, query)
            path = name.value.decode(errors="replace") if query.name_bytes else ""
            found.append((query.start, query.end - query.start, path))
            query.address = query.end
    except OSError as error:
        if error.errno == errno.ENOENT:  # there is no more
            return found
        return list(Maps().shared())
    finally:
        os.close(fd)


class _Loaded(ctypes.Structure):
    """``struct dl_phdr_info`` of ``link.h``."""

    _fields_ = (
        ("at", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.c_void_p),
        ("count", ctypes.c_uint16),
        ("added", ctypes.c_ulonglong),
        ("removed", ctypes.c_ulonglong),
    )


class Libraries:
    """The libraries that are loaded, listed anew only when there are others: dl_iterate_phdr(3)."""

    def __init__(self) -> None:
        self._changes = (-1, -1)
        self._paths: list[str] = []

    def paths(self) -> list[str]:
        """Return their paths."""
        found: list[str] = []
        changes = self._changes

        def visit(loaded: Any, *_: object) -> bool:
            nonlocal changes
            changes = loaded.contents.added, loaded.contents.removed
            found.append(os.fsdecode(loaded.contents.name))
            return changes == self._changes  # which ends the listing

        if not ctypes.CDLL(None).dl_iterate_phdr(VISIT(visit), None):
            self._changes, self._paths = changes, found
        return self._paths


VISIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Loaded), ctypes.c_size_t, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class ChildSeen:
    """A child of any thread of this process."""

    pid: int
    name: str
    has_ended: bool


def children() -> list[ChildSeen]:
    """Return the children of this process, ended ones that have not been waited for among them."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # the system lists them thread by thread, and mostly there are none
        return []
    found = []
    for task in tasks():
        with contextlib.suppress(ProcessLookupError):
            for pid in read(f"/proc/self/task/{task}/children").split():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    name, _, rest = read(f"/proc/{int(pid)}/stat").decode(errors="replace").rpartition(") ")
                    found.append(ChildSeen(int(pid), name.partition(" (")[2], rest[0] in "ZX"))
    return found


def children_of(pid: int) -> Iterator[int]:
    """Yield the children of a process, by their numbers."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                yield from map(int, read(f"/proc/{pid}/task/{task}/children").split())


def descriptors() -> Iterator[tuple[int, os.stat_result, str]]:
    """Yield the open files: number, status, and the system's word for it, mostly its path."""
    folder = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(folder):
            # The listing itself had one more, which fails here.
            with contextlib.suppress(OSError):
                if int(name) != folder:
                    yield int(name), os.fstat(int(name)), os.readlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def is_epoll(fd: int) -> bool:
    """Return whether a descriptor is that of an epoll."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{fd}") == EPOLL
    return False


def watched_by(epoll: int) -> set[int]:
    """Return what an epoll waits for."""
    with contextlib.suppress(OSError):
        return {int(fd) for fd in re.findall(rb"^tfd: +(\d+)", read(f"/proc/self/fdinfo/{epoll}"), re.MULTILINE)}
    return set()


#: From ``linux/sock_diag.h`` and ``linux/unix_diag.h``.
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, UDIAG_SHOW_PEER, UNIX_DIAG_PEER = 4, 20, 4, 2
NLMSG = struct.Struct("=IHHII")
UNIX_DIAG_REQ = struct.Struct("=BBHIIIQ")
ATTRIBUTE = struct.Struct("=HHI")
ANY = 0xFFFFFFFF


def peer_of(inode: int) -> int:
    """Return the other end of a unix socket, both by their inodes; 0 if there is none or the system doesn't tell."""
    asked = UNIX_DIAG_REQ.pack(socket.AF_UNIX, 0, 0, ANY, inode, UDIAG_SHOW_PEER, ANY << 32 | ANY)
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        try:
            sock.send(NLMSG.pack(NLMSG.size + len(asked), SOCK_DIAG_BY_FAMILY, 1, 0, 0) + asked)
            said = sock.recv(1 << 13)
        finally:
            sock.close()
    except OSError:
        return 0
    size, kind, *_ = NLMSG.unpack_from(said)
    place = NLMSG.size + 16  # behind ``struct unix_diag_msg``
    while kind == SOCK_DIAG_BY_FAMILY and place + ATTRIBUTE.size <= size:
        length, attribute, value = ATTRIBUTE.unpack_from(said, place)
        if attribute == UNIX_DIAG_PEER:
            return int(value)
        place += (length + 3) & ~3
    return 0


def is_same_file(one: int, other: int) -> bool:
    """Return whether two descriptors are of one open file, with one place in it, as dup(2) makes them.

    kcmp(2) would tell, but not in every container. To one of them an owner is given for a moment, which the other must
    have, too (fcntl(2), ``F_SETOWN``): it is who gets the signals of a descriptor, and those of files have none.
    """
    owner = fcntl.fcntl(one, fcntl.F_GETOWN)
    if fcntl.fcntl(other, fcntl.F_GETOWN) != owner:
        return False
    mark = 0 if owner else os.getpid()
    fcntl.fcntl(one, fcntl.F_SETOWN, mark)
    try:
        return fcntl.fcntl(other, fcntl.F_GETOWN) == mark
    finally:
        fcntl.fcntl(one, fcntl.F_SETOWN, owner)


def is_locked(fd: int) -> bool:
    """Return whether this process has locked a file against all others: fcntl(2) or flock(2)."""
    with contextlib.suppress(OSError):
        return b" WRITE " in b"".join(re.findall(rb"^lock:.*$", read(f"/proc/self/fdinfo/{fd}"), re.MULTILINE))
    return False


def has_posix_timers() -> bool:
    """Return whether timer_create(2) has made one."""
    with contextlib.suppress(FileNotFoundError):  # a system without CONFIG_CHECKPOINT_RESTORE doesn't tell
        return bool(read("/proc/self/timers"))
    return False


def tracer_and_signals() -> tuple[int, bool]:
    """Return the process that traces this one, 0 for none, and whether a signal that the main thread blocks waits."""
    status = dict(re.findall(rb"^(TracerPid|SigPnd|ShdPnd):\s*(\w+)$", read("/proc/self/status"), re.MULTILINE))
    return int(status[b"TracerPid"]), bool(int(status[b"SigPnd"], 16) or int(status[b"ShdPnd"], 16))


class Maps:
    """The memory of a process: by default of this one."""

    def __init__(self, pid: int | str = "self") -> None:
        self._pid = pid
        self._data = read(f"/proc/{pid}/maps")

    def shared(self) -> Iterator[tuple[int, int, str]]:
        """Yield address, bytes and name of what others may see and change."""
        data = self._data
        for part in (b"w-s ", b"wxs "):  # to match a pattern with each line would take most of a look's time
            place = data.find(part)
            while place >= 0:
                end = data.index(b"\n", place)
                addresses, rights, _, _, _, *name = data[data.rfind(b"\n", 0, place) + 1 : end].split(None, 5)
                if rights[1:2] + rights[3:] == b"ws":
                    start, stop = (int(address, 16) for address in addresses.split(b"-"))
                    yield start, stop - start, name[0].decode(errors="replace") if name else ""
                place = data.find(part, end)

    def is_kept_from(self, copy: Maps) -> bool:
        """Return whether memory of this process was kept from a copy: madvise(2), ``MADV_DONTFORK``.

        What is here and not there may also have been made since. The system tells, but is slow to.
        """
        others = self._addresses() - copy._addresses()
        there = sorted(_parsed(copy._addresses())) if others else []
        starts = [start for start, _ in there]
        missing = set()
        for start, end in _parsed(others):
            place = bisect.bisect_left(starts, end) - 1
            if place < 0 or there[place][1] <= start:
                missing.add((start, end))
        if not missing:
            return False
        kept = KEPT.findall(read(f"/proc/{self._pid}/smaps"))
        return any((int(start, 16), int(end, 16)) in missing for start, end in kept)

    def _addresses(self) -> set[bytes]:
        return {line.partition(b" ")[0] for line in self._data.splitlines()}

    def library_of(self, task: int, patience: float = 0.0) -> str:
        """Return the library with whose function a thread was started; nothing for one of Python.

        The C library keeps that function at the end of the thread's stack, so it is looked for from there on (glibc's
        ``struct pthread``). It may be that of C++; then what it was given stands next, an object of the library that
        has started the thread. What stands further on may be of another thread that has had this stack before.

        Nothing is found of a thread that runs for so many seconds, or where the system doesn't tell.
        """
        call = call_of(task, patience)
        if len(call) < 2:
            return ""
        top = max((end for start, end in _parsed(self._addresses()) if start <= call[-2] < end), default=0)
        code = self._files(CODE)
        words = [word for (word,) in WORD.iter_unpack(_memory(max(call[-2], top - STACK_BYTES), top))]
        for at in reversed(range(len(words))):
            path = _file_at(words[at], code)
            if path and CPP.search(path) and at + 1 < len(words):
                path = self._library_of_object(words[at + 1]) or path
            if path is not None and not RUNTIME.search(path):
                return "" if PYTHON.search(path) else path
        return ""

    def _library_of_object(self, address: int) -> str | None:
        """Return the library of a C++ object: its first word points to the table of its virtual functions there."""
        table = _memory(address, address + WORD.size)
        return _file_at(WORD.unpack(table)[0], self._files(DATA)) if table else None

    def _files(self, kind: re.Pattern[bytes]) -> list[tuple[int, int, str]]:
        """Return start, end and file of the memory that is such a file's, in order."""
        found = kind.findall(self._data)
        return sorted((int(start, 16), int(end, 16), name.decode(errors="replace")) for start, end, name in found)


def _file_at(address: int, files: list[tuple[int, int, str]]) -> str | None:
    place = bisect.bisect_left(files, (address + 1, 0, "")) - 1
    return files[place][2] if place >= 0 and address < files[place][1] else None


def _parsed(addresses: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    for one in addresses:
        start, _, end = one.partition(b"-")
        yield int(start, 16), int(end, 16)


def _memory(start: int, end: int) -> bytes:
    """Return some of this process's memory, in whole words."""
    memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(memory, max(0, end - start), start)
    except (OSError, OverflowError):  # the thread has ended, or there is no such memory
        return b""
    finally:
        os.close(memory)
    return data[len(data) % WORD.size :]
