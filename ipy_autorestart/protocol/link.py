"""One private socket pair between front and supervisor, for records; end of file means that the other side is gone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Protocol

from ipy_autorestart.pristine import Lock, select, socket, time
from ipy_autorestart.protocol.messages import Record, decode, encode
from ipy_autorestart.protocol.request import Launch

log = logging.getLogger(__name__)


class Link:
    """One end of the socket pair; for one reading thread, while any thread may send.

    A send never blocks: what the socket doesn't take at once is kept and goes out with `flush`. Whoever sends much
    looks at `backlog` and holds back.
    """

    def __init__(self, sock: socket.socket, received: bytes = b"") -> None:
        sock.settimeout(0)
        self._socket = sock
        self.received = received  # the beginning of a record whose rest has not come yet
        self._unsent = bytearray()
        self._sending = Lock()

    def fileno(self) -> int:
        """Return the file descriptor, for selectors."""
        return self._socket.fileno()

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._unsent)

    def send(self, message: Record | Launch) -> None:
        """Send a message, as far as the socket takes it now; does nothing once the other side is gone."""
        with self._sending:
            self._unsent += encode(message)
        self.flush()

    def flush(self) -> None:
        """Send what is kept, as far as the socket takes it now."""
        with self._sending:
            while self._unsent:
                try:
                    sent = self._socket.send(self._unsent)
                except BlockingIOError:
                    return
                except OSError:  # the other side is gone, or this end is closed
                    self._unsent.clear()
                    return
                del self._unsent[:sent]

    def receive(self) -> Iterator[Record]:
        """Yield the records that have arrived; raises EOFError when the other side is gone."""
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        *lines, self.received = (self.received + data).split(b"\n")
        for line in lines:
            try:
                record = decode(line)
            except ValueError:  # the other side is of another version: what both know goes on
                log.exception("not understood")
                continue
            yield record

    def detach(self) -> int:
        """Give up the socket and return its file descriptor."""
        return self._socket.detach()

    def close(self) -> None:
        """Close this end; not in the middle of a send, whose descriptor might be another file's by then."""
        with self._sending:
            self._socket.close()


def receive_line(sock: socket.socket) -> bytes:
    """Wait for a line and return it, without a byte of what follows; raises EOFError when the other side is gone."""
    line = b""
    while not line.endswith(b"\n"):
        seen = sock.recv(1 << 16, socket.MSG_PEEK)
        if not seen:
            raise EOFError
        line += sock.recv(seen.find(b"\n") + 1 or len(seen))
    return line


class HasFileno(Protocol):
    """Something to wait for."""

    def fileno(self) -> int:
        """Return its file descriptor."""


def ready(readers: Iterable[HasFileno | int], writers: Iterable[HasFileno], timeout: float | None) -> set[int]:
    """Return the descriptors that can be read or written, at the latest after so many seconds.

    A reader whose descriptor is -1 has nothing to wait for.
    """
    events: dict[int, int] = {}
    for reader in readers:
        events[reader if isinstance(reader, int) else reader.fileno()] = select.POLLIN
    for writer in writers:
        fd = writer.fileno()
        events[fd] = events.get(fd, 0) | select.POLLOUT
    waiting = select.poll()
    events.pop(-1, None)
    for fd, mask in events.items():
        waiting.register(fd, mask)
    if timeout is None:
        return {fd for fd, _ in waiting.poll()}
    found = waiting.poll(timeout_ms := int(timeout * 1000))  # poll(2) knows no parts of milliseconds
    if not found and (rest := timeout - timeout_ms / 1000) > 0:
        time.sleep(rest)
        found = waiting.poll(0)
    return {fd for fd, _ in found}
