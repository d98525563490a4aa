"""The open files of this process, with what matters of each, but for those that are the kernel's.

Those are recognised by ipykernel's and pyzmq's objects. What the copy can have of its own is noted for it (`mend`).
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import io
import itertools
import stat
import sys
import termios
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ipy_autorestart.kernel import mend, proc
from ipy_autorestart.kernel.sockets import borrowed
from ipy_autorestart.kernel.trust_policy import Descriptor, Kind
from ipy_autorestart.pristine import os, select, socket

#: From ``linux/tcp.h`` and ``tcp_states.h``: the state, and those in which the other side says nothing any more.
TCP_STATE_BYTES = 1
TCP_ENDED = (7, 8, 9)  # CLOSE, CLOSE_WAIT, LAST_ACK


class Descriptors:
    """What is open, as far as it is not the kernel's.

    Parameters
    ----------
    kernel
        The ipykernel ``Kernel`` of this process, None if it has none.
    mending
        Takes note of what can be made anew.
    contexts
        The kernel's contexts of ZeroMQ.
    epolls
        Those in which libzmq's threads wait.
    """

    def __init__(self, kernel: Any, mending: mend.Mending, *, contexts: list[Any], epolls: set[int]) -> None:
        self._kernel = kernel
        self._mending = mending
        self._epolls = epolls
        self._events = set().union(*map(proc.watched_by, epolls), *map(_events_of, contexts))
        self._spare = len(contexts)  # each has an eventfd that nobody shows, for its end
        self._addresses = {one for context in contexts for one in _addresses_of(context)}
        self._history = _history(kernel)
        self._logs = set(_of_logs(getattr(kernel, "shell", None)))

    def besides(self, known: Collection[int]) -> Iterator[Descriptor]:
        """Yield them, but for some that are known by their numbers."""
        kernels = {0, 1, 2, *known, *self._of_streams()}
        standard: set[int] = set()
        pipes: list[Descriptor] = []
        pairs: list[Descriptor] = []
        files: list[Descriptor] = []
        for number, status, name in proc.descriptors():
            if number in (1, 2) and stat.S_ISFIFO(status.st_mode):
                standard.add(status.st_ino)
            if number in kernels:
                continue
            with contextlib.suppress(OSError):  # closed meanwhile
                seen = self._seen(number, status, name)
                if seen is None:
                    continue
                if seen.kind is Kind.PIPE:
                    pipes.append(seen)
                elif seen.kind is Kind.CONNECTION and not seen.name and not seen.is_dead:
                    pairs.append(seen)
                else:
                    if self._has_place(seen):
                        files.append(seen)
                    yield seen
        self._note_places(files)
        yield from self._with_both_ends([one for one in pipes if one.inode not in standard])
        yield from self._with_peers(pairs)

    def _seen(self, number: int, status: os.stat_result, name: str) -> Descriptor | None:
        """Return one of them by itself; None if it is the kernel's."""
        if name == proc.EPOLL:
            return None if number in self._epolls else Descriptor(number, Kind.EPOLL, "")
        if name == proc.EVENT:
            if number in self._events:
                return None
            self._spare -= 1
            return None if self._spare >= 0 else Descriptor(number, Kind.EVENT, "")
        if stat.S_ISFIFO(status.st_mode):
            return _pipe(number, status, name)
        if stat.S_ISSOCK(status.st_mode):
            return _socket(number, status, self._addresses)
        if self._history and name.startswith(self._history):
            return None
        return _file(number, status, name, is_log=number in self._logs)

    def _of_streams(self) -> Iterator[int]:
        """Yield the descriptors by which ipykernel shows what C code writes."""
        for stream in (sys.stdout, sys.stderr, *(getattr(self._kernel, name, None) for name in ("_stdout", "_stderr"))):
            if type(stream).__module__.startswith("ipykernel."):
                for name in ("_fid", "_original_stdstream_copy"):
                    if (number := getattr(stream, name, None)) is not None:
                        yield number

    def _has_place(self, one: Descriptor) -> bool:
        """Return whether a copy needs its own place in this. A log is written on where the last one has left it."""
        is_read = one.kind in (Kind.FILE, Kind.FOLDER) and not one.writes and one.number not in self._logs
        return is_read and not one.name.startswith("/proc/")

    def _note_places(self, files: list[Descriptor]) -> None:
        """Have each open file renewed, with all its descriptors."""
        known: dict[int, list[mend.File]] = {}
        for one in files:
            with contextlib.suppress(OSError):  # closed meanwhile, or it has no place, as what only names a file
                others = known.setdefault(one.inode, [])
                if file := next((file for file in others if proc.is_same_file(file.fds[0], one.number)), None):
                    file.fds.append(one.number)
                else:
                    others.append(mend.File([one.number], one.inode))
        self._mending.others += itertools.chain.from_iterable(known.values())

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


def of_loops(loops: Iterable[Any]) -> Iterator[int]:
    """Yield the descriptors of asyncio loops: epolls, and the pairs of sockets that wake them."""
    for loop in loops:
        for part in ("_selector", "_ssock", "_csock"):
            if one := getattr(loop, part, None):
                yield one.fileno()


def _history(kernel: Any) -> str:
    """Return the path of IPython's history, with which those of its journals begin."""
    path = getattr(getattr(getattr(kernel, "shell", None), "history_manager", None), "hist_file", "")
    return os.path.realpath(path) if path and path != ":memory:" else ""


def _of_logs(shell: Any) -> Iterator[int]:
    """Yield the descriptors of logs, by `logging` and ``%logstart``: each record is written at once.

    Of other files that are written to it can't be told what is held back, which the copy would write once more.
    """
    owners = [one() for one in list(getattr(sys.modules.get("logging"), "_handlerList", ()))]
    streams = [getattr(one, "__dict__", {}).get("stream") for one in owners]
    for stream in (*streams, getattr(getattr(shell, "logger", None), "logfile", None)):
        # No code of the user's; and a handler of his own kind may have held something back.
        if type(stream) is io.TextIOWrapper and type(stream.buffer) is io.BufferedWriter:
            with contextlib.suppress(OSError, ValueError):  # no room, or closed
                stream.flush()
                yield stream.fileno()


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


def _file(number: int, status: os.stat_result, name: str, *, is_log: bool) -> Descriptor:
    if stat.S_ISDIR(status.st_mode):
        return Descriptor(number, Kind.FOLDER, name, status.st_ino, is_locked=proc.is_locked(number))
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return Descriptor(number, Kind.DEVICE, name, status.st_ino)
    if name.startswith("anon_inode:"):
        return Descriptor(number, Kind.OTHER, name.removeprefix("anon_inode:").strip("[]"))
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    writes = flags & os.O_ACCMODE != os.O_RDONLY and not is_log
    return Descriptor(
        number, Kind.FILE, name, status.st_ino, writes=writes, is_locked=not writes and proc.is_locked(number)
    )
