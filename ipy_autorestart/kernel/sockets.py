"""The seam to libzmq and TCP: close the connections so that nothing on them is lost, and keep the ports.

What a client has sent is in libzmq's memory, in the system's buffers, or still with the client. So the listening
sockets stay open over the exec, and clients that connect meanwhile wait there. The accepted connections are shut down
in the direction of the client only: the client closes its end, we receive all that it had sent until then, and what it
sends later waits on its side until it has connected again. A client forgets the rest of a message of which it has sent
a part, so each client is cut off only when it is quiet. Without all this, of 8,000 requests during 40 restarts 10 to
300 were lost, depending on what was left out.

Where a thousand messages of a client wait to be read, libzmq leaves the rest in the system's buffer, and drops that as
soon as the connection has ended both ways. The images that are made here take as many as come. The first one, whose
sockets are made by ipykernel, reads all that waits first (`policy.BACKLOG_MAX`), so only a client that goes on without
a pause may lose some.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import stat
import struct
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ipy_autorestart import catalogue
from ipy_autorestart.kernel.policy import QUIET_MAX, QUIET_ROUND_TRIPS, Incoming, is_quiet, observed
from ipy_autorestart.pristine import os, socket, time

#: Channels of a kernel, as ``IPKernelApp`` names their ports.
CHANNELS = ("shell", "control", "stdin", "iopub", "hb")

#: Channels on which clients send what must not be lost.
READ = ("shell", "control", "stdin")

#: Seconds in which the system must have sent what was written; a client that reads nothing takes longer.
SENT_MAX = 3.0

#: Seconds until all clients have closed their ends, besides the round trip: a millisecond for most, but what one that
#: is held up, as on a busy machine, sends after it was cut off for good is lost. One that is stopped never closes its.
CLOSED_MAX = 2.0

#: Seconds that a frame may take through libzmq's thread.
FENCE_MAX = 1.0

#: Three fields of ``struct tcp_info`` in ``linux/tcp.h``: milliseconds since the last byte was received, bytes
#: received, and the least microseconds of a round trip.
TCP_INFO = struct.Struct("52xI72xQ12xI")

#: Requests that are received on one channel before the others have their turn.
RECEIVED_MAX = 100

#: Descriptors come and go while they are listed, so the listening sockets are looked for more than once.
SCANS = 2

Frames = list[bytes]


class NoSockets(Exception):  # noqa: N818  # a refusal
    """The sockets aren't as expected: they are to be closed as ipykernel does it, and requests may be lost."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A socket of this process: its descriptor, and its inode, which tells whether the descriptor is still its."""

    fd: int
    inode: int
    channel: str

    @property
    def is_open(self) -> bool:
        """Whether it is still open."""
        try:
            return os.fstat(self.fd).st_ino == self.inode
        except OSError:
            return False


class Sockets:
    """The sockets of a kernel that has stopped using them; all methods are for one thread."""

    def __init__(self, app: Any) -> None:  # an IPKernelApp
        if not sys.platform.startswith("linux") or getattr(app, "debug_shell_socket", None) is None:
            raise NoSockets(catalogue.CANT_HAND_OVER())
        self._app = app
        self._addresses: dict[object, str] = {}
        for channel in CHANNELS:
            port = getattr(app, f"{channel}_port")
            self._addresses[port if app.transport == "tcp" else f"{app.ip}-{port}"] = channel
        found: dict[str, Connection] = {}
        for _ in range(SCANS):
            found |= {connection.channel: connection for connection, listens in self._scan() if listens}
        if len(found) < len(CHANNELS):
            raise NoSockets(catalogue.NO_LISTENER(channels=", ".join(sorted(set(CHANNELS) - set(found)))))
        self.listeners = {name: fcntl.fcntl(one.fd, fcntl.F_DUPFD_CLOEXEC, 3) for name, one in found.items()}
        self.requests: dict[str, list[Frames]] = {channel: [] for channel in READ}
        self.clients: dict[str, int] = {}

    def _scan(self) -> Iterator[tuple[Connection, bool]]:
        """Yield the sockets at the kernel's addresses, each with whether it listens."""
        for fd in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):  # closed meanwhile, or no socket
                status = os.fstat(fd)
                if not stat.S_ISSOCK(status.st_mode):
                    continue
                with borrowed(fd) as sock:
                    name = sock.getsockname()
                    channel = self._addresses.get(name[1] if isinstance(name, tuple) and len(name) > 1 else name)
                    listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
                if channel:
                    yield Connection(fd, status.st_ino, channel), listens

    def connections(self, *channels: str) -> list[Connection]:
        """Return the accepted connections of some channels."""
        return [one for one, listens in self._scan() if not listens and one.channel in channels]

    def release(self) -> None:
        """Send all that was written, receive all that was sent, and disconnect the clients."""
        deadline = time.monotonic() + SENT_MAX
        while not self._is_sent() and time.monotonic() < deadline:
            time.sleep(0.001)
        # The fence's own socket counts too, for the new image has one as well.
        self.clients = {channel: len(self.connections(channel)) for channel in (*READ, "iopub")}
        self._app.debug_shell_socket.close(linger=0)
        self._accept_nobody()
        # Each client closes its end when it has sent what it was sending; wait for that.
        connections = self.connections(*READ)
        sending = connections
        incoming: dict[Connection, Incoming] = {}
        while sending:
            self._receive()
            quiet = [one for one in sending if _is_quiet(one, incoming)]
            _each(quiet, lambda sock: sock.shutdown(socket.SHUT_WR))
            sending = [one for one in sending if one not in quiet]
        _each(self.connections("iopub"), lambda sock: sock.shutdown(socket.SHUT_WR))
        farthest = max((one.round_trip for one in incoming.values()), default=0.0)
        deadline = time.monotonic() + CLOSED_MAX + min(QUIET_ROUND_TRIPS * farthest, QUIET_MAX)
        while any(one.is_open for one in connections) and time.monotonic() < deadline:
            self._receive()
        _each(connections, lambda sock: sock.shutdown(socket.SHUT_RDWR))  # of clients that are stopped
        while self._receive():
            pass

    def _is_sent(self) -> bool:
        """Whether all that was written has left this process and was acknowledged.

        A frame that has been through libzmq's only thread and back follows all that was written before; what the system
        had no room for shows in the second round.
        """
        for _ in range(2):
            self._fence()
            if any(map(_unsent_bytes, self.connections(*READ, "iopub"))):
                return False
        return True

    def _fence(self) -> None:
        """Send a frame through libzmq's thread and back, by ``debug_shell_socket``, a client of the shell channel."""
        token = b"ipy_autorestart " + os.urandom(8)
        self._app.debug_shell_socket.send(token)
        shell = self._app.shell_socket
        deadline = time.monotonic() + FENCE_MAX
        while (left := deadline - time.monotonic()) > 0:
            if shell.poll(left * 1000):
                frames = shell.recv_multipart()
                if frames[-1] == token:
                    return
                self.requests["shell"].append(frames)

    def _accept_nobody(self) -> None:
        """Put sockets that nobody knows in place of those that libzmq accepts from; clients that connect now wait.

        They listen too, for libzmq aborts at the error that ``accept`` gives for any other socket.
        """
        fds = [one.fd for one, listens in self._scan() if listens]
        with contextlib.closing(socket.socket()) as nobody:
            nobody.bind(("127.0.0.1", 0))
            nobody.listen()
            nobody.setblocking(False)  # noqa: FBT003
            for fd in set(fds) - set(self.listeners.values()):
                os.dup2(nobody.fileno(), fd, inheritable=False)

    def _receive(self) -> bool:
        """Receive what has arrived, and return whether anything has; wait for a millisecond if nothing has."""
        import zmq

        poller = zmq.Poller()
        sockets = {getattr(self._app, f"{channel}_socket"): channel for channel in READ}
        for one in sockets:
            poller.register(one, zmq.POLLIN)
        ready = poller.poll(1)
        for one, _ in ready:
            with contextlib.suppress(zmq.Again):
                for _ in range(RECEIVED_MAX):
                    self.requests[sockets[one]].append(one.recv_multipart(zmq.NOBLOCK))
        return bool(ready)


@contextlib.contextmanager
def borrowed(fd: int) -> Iterator[socket.socket]:
    """Yield a socket for a descriptor of libzmq's, and leave it open."""
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def _unsent_bytes(connection: Connection) -> int:
    """Return the number of bytes that the client has not acknowledged (tcp(7), ``SIOCOUTQ``)."""
    found = array.array("i", [0])
    try:
        fcntl.ioctl(connection.fd, termios.TIOCOUTQ, found)
    except OSError:  # closed meanwhile
        return 0
    return found[0]


def _is_quiet(connection: Connection, incoming: dict[Connection, Incoming]) -> bool:
    """Return whether a client has sent all that it was sending, and record in `incoming` what it has sent."""
    now = time.monotonic()
    silent, received, round_trip = 0, 0, 0
    waiting = array.array("i", [0])
    try:
        with borrowed(connection.fd) as sock:
            fcntl.ioctl(sock, termios.FIONREAD, waiting)
            if sock.family != socket.AF_UNIX:
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
                silent, received, round_trip = TCP_INFO.unpack(info.ljust(TCP_INFO.size, b"\0"))
                # A client with a small buffer sends on only when it gets an acknowledgement, which the system delays.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    except OSError:  # closed meanwhile
        return True
    before = incoming.get(connection)
    incoming[connection] = observed(before, received, waiting[0], silent / 1e3, round_trip / 1e6, now)
    return not connection.is_open or is_quiet(incoming[connection], now)


def _each(connections: Sequence[Connection], act: Callable[[socket.socket], None]) -> None:
    for one in connections:
        with contextlib.suppress(OSError):  # the client was quicker
            if one.is_open:
                with borrowed(one.fd) as sock:
                    act(sock)
