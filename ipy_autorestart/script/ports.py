"""Sockets on which runs listen, kept open over restarts; the other side is in `shim/_ipy_autorestart_ports.py`.

Who connects while the program restarts waits in the system's queue, and is answered by the new code.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Callable, Container, Iterator

from ipy_autorestart.script import ports_policy
from ipy_autorestart.script.ports_policy import WAIT_MAX, Address, Listener, Listeners, Owner

MESSAGE_BYTES, FDS_MAX = 1024, 4

#: More messages than the system's queue holds; more come only from a run that goes on.
DRAIN_READS = 1024

#: As proc_net(5) writes the state of a socket that listens, ``TCP_LISTEN``.
LISTENS = "0A"

#: Answers to a run.
NOTHING, SOMETHING = b"0", b"1"

#: Takes the words of a message, and the descriptors with it, which it may not keep.
Hear = Callable[[list[str], list[int]], None]


class PortsLink:
    """The supervisor's end of the socket on which a run tells of its sockets: read as a pipe is."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.settimeout(0)
        self.hear: Hear = lambda _words, _fds: None

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self._socket.fileno()

    @property
    def is_open(self) -> bool:
        """Whether the run may still say something."""
        return self._socket.fileno() >= 0

    @property
    def is_full(self) -> bool:
        """Whether it must not be read for now."""
        return False

    def read(self) -> bool:
        """Take a message; return whether one came. At the end it is closed."""
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, MESSAGE_BYTES, FDS_MAX)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data, fds = b"", []
        try:
            if data:
                self.hear(data.decode(errors="replace").split(" "), fds)
        finally:
            for fd in fds:
                os.close(fd)
        if not data:
            self.close()
        return bool(data)

    def drain(self) -> None:
        """Take all that has been said by now, however fast the run goes on."""
        for _ in range(DRAIN_READS):
            if not self.is_open or not self.read():
                return

    def close(self) -> None:
        """Hear nothing any more."""
        self._socket.close()


class Ports:
    """Duplicates of the sockets on which the runs of a script listen, by `ports_policy`.

    ``is_open`` says whether a process has the socket of an inode at a descriptor.

    Attributes
    ----------
    is_over
        No run follows, and nothing is kept any more.
    """

    def __init__(self, *, is_open: Callable[[Owner, int], bool] | None = None) -> None:
        self._is_open = is_open or has_open
        self._listeners: Listeners = ()
        self._fds: dict[int, int] = {}  # by their inodes
        self._is_restarting = False
        self.is_over = False
        self._wait_until = math.inf

    @property
    def addresses(self) -> tuple[Address, ...]:
        """What is kept now."""
        return tuple(one.address for one in self._listeners)

    def find_others(self, pid: int) -> tuple[int, ...]:
        """Return the ports on which a process listens, by code that doesn't use Python's `socket`."""
        return others_of(pid, self._fds.keys())

    def restart(self) -> None:
        """Keep what the run listens on: it is about to be asked to end, and another one follows."""
        self._keep(ports_policy.without_closed(self._listeners, self._is_open))
        self._is_restarting = True

    def begin(self, now: float) -> None:
        """Offer it to a run that is about to begin."""
        self._is_restarting = False
        self._keep(
            tuple(
                one for one in ports_policy.left_behind(self._listeners) if _listens(self._fds[one.inode]) is not None
            )
        )
        self._wait_until = now + WAIT_MAX if self._listeners else math.inf

    def end(self) -> None:
        """Let all go, unless the run has ended for another one."""
        if not self._is_restarting:
            self.release()

    def keep_up(self, now: float) -> None:
        """Let go what the run has closed, and what it has not bound again in time."""
        if self._is_restarting:
            return
        if now >= self._wait_until:
            self._wait_until = math.inf
            self._keep(tuple(one for one in self._listeners if one.owner))
        self._keep(ports_policy.without_closed(self._listeners, self._is_open))

    def release(self) -> None:
        """Let all go."""
        self._keep(())

    def close(self) -> None:
        """Keep nothing any more."""
        self.is_over = True
        self.release()

    def hear(self, words: list[str], fds: list[int]) -> None:
        """Do what a run says; whoever waits for an answer has sent a socket for it."""
        with contextlib.suppress(ValueError, OSError):  # a program may send what it likes
            match words:
                case ["listens", pid, fd] if fds:
                    self._take(Owner(int(pid), int(fd)), fds[0])
                case ["asks"] if fds:
                    _answer(fds[0], SOMETHING if ports_policy.waiting(self._listeners) else NOTHING)
                case ["closes", pid, fd] if fds:
                    if not self._is_restarting:
                        self._keep(ports_policy.without(self._listeners, Owner(int(pid), int(fd))))
                    _answer(fds[0], NOTHING)
                case ["claims", pid, fd, *address] if fds:
                    self._give(Owner(int(pid), int(fd)), _address(address), fds[0])
                case ["binds", *address] if fds:
                    self._keep(ports_policy.out_of_the_way(self._listeners, _address(address), self._is_open))
                    _answer(fds[0], NOTHING)

    def _take(self, owner: Owner, fd: int) -> None:
        address = _bound(fd)
        if self.is_over or address is None:
            return
        inode = os.fstat(fd).st_ino
        if inode not in self._fds:
            self._fds[inode] = os.dup(fd)
        self._keep(ports_policy.listening(self._listeners, Listener(inode, address, owner)))

    def _give(self, owner: Owner, address: Address, answer: int) -> None:
        one = ports_policy.claimed(self._listeners, address)
        if one is None:
            _answer(answer, SOMETHING if ports_policy.waiting(self._listeners) else NOTHING)
            return
        self._listeners = ports_policy.given(self._listeners, one, owner)
        _answer(answer, SOMETHING if ports_policy.waiting(self._listeners) else NOTHING, self._fds[one.inode])

    def _keep(self, listeners: Listeners) -> None:
        """Close the descriptors of all others."""
        for inode in self._fds.keys() - {one.inode for one in listeners}:
            os.close(self._fds.pop(inode))
        self._listeners = listeners


def has_open(owner: Owner, inode: int) -> bool:
    """Return whether a process has the socket with this inode at its descriptor."""
    try:
        return os.readlink(f"/proc/{owner.pid}/fd/{owner.fd}") == f"socket:[{inode}]"
    except OSError:
        return False


def others_of(pid: int, known: Container[int]) -> tuple[int, ...]:
    """Return the ports on which uvloop listens in a process; sockets of ``known`` inodes are others."""
    try:
        with open(f"/proc/{pid}/maps") as file:
            if "/uvloop/" not in file.read():
                return ()
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it has just ended
        return ()
    mine = set()
    for fd in fds:
        with contextlib.suppress(OSError):  # closed meanwhile
            mine.add(os.readlink(f"/proc/{pid}/fd/{fd}").removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/net/{table}") as file:
            for fields in map(str.split, file):
                if fields[3] == LISTENS and fields[9] in mine and int(fields[9]) not in known:
                    found.add(int(fields[1].rpartition(":")[2], 16))
    return tuple(sorted(found))


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """Use a descriptor as a socket, without owning it."""
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def _answer(fd: int, words: bytes, *fds: int) -> None:
    with _borrowed(fd) as answers, contextlib.suppress(OSError):  # nobody waits any more
        answers.setblocking(False)  # noqa: FBT003
        socket.send_fds(answers, [words], fds)


def _address(words: list[str]) -> Address:
    family, protocol, only_v6, device, port, host = words
    return Address(int(family), int(protocol), host, int(port), only_v6 == "1", device)


def _bound(fd: int) -> Address | None:
    """Return what a socket for TCP is bound to; None if it is another kind of socket."""
    with _borrowed(fd) as sock:
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
            return None
        host, port = sock.getsockname()[:2]
        only_v6 = sock.family == socket.AF_INET6 and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        protocol = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)
        device = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode(errors="replace")
        return Address(int(sock.family), protocol, host, port, bool(only_v6), device) if port else None


def _listens(fd: int) -> Address | None:
    """Return where a socket listens, if it does."""
    with _borrowed(fd) as sock:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return None
    return _bound(fd)
