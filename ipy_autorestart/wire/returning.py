"""The clients that were connected before an exec: who is back, and what the others miss.

libzmq connects them again within 100 to 200 ms. Until then it drops what is sent to them, and what is published until
they have subscribed, which a client does when its program looks at that socket the next time: a busy server is late,
and one that waits for a reply first doesn't do so before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.pristine import time
from ipy_autorestart.wire.messages import PARENT, parse

if TYPE_CHECKING:
    import zmq

#: Seconds for which clients that are connected are waited for to subscribe: one that waits for a reply doesn't do so.
SUBSCRIBE_MAX = 0.05

#: Messages that are kept for those who are late, as libzmq keeps them for one that reads slowly, and the seconds.
MISSED_MAX, LATE_MAX = 1_000, 60.0

#: Beginnings of a message's first frame: all but those of an empty one.
ALL = [bytes([first]) for first in range(256)]


class Connections:
    """Counts the clients of some channels until all are connected again.

    Parameters
    ----------
    clients
        How many there were, by their channels.
    """

    def __init__(self, clients: Mapping[str, int]) -> None:
        self._missing = {channel: count for channel, count in clients.items() if count}
        self._monitors: dict[zmq.Socket[bytes], tuple[zmq.Socket[bytes], str]] = {}

    @property
    def are_all(self) -> bool:
        """Whether all are connected."""
        return not any(count > 0 for count in self._missing.values())

    @property
    def monitors(self) -> list[zmq.Socket[bytes]]:
        """Sockets to wait for meanwhile."""
        return list(self._monitors)

    def watch(self, socket: zmq.Socket[bytes], channel: str) -> None:
        """Count the clients that connect to a socket, which is about to be bound."""
        import zmq

        if self._missing.get(channel):
            monitor = socket.get_monitor_socket(zmq.Event.HANDSHAKE_SUCCEEDED)
            self._monitors[monitor] = socket, channel

    def note(self) -> None:
        """Take what the monitors say."""
        from zmq.utils.monitor import recv_monitor_message

        for monitor, (_, channel) in self._monitors.items():
            while monitor.poll(0):
                recv_monitor_message(monitor)
                self._missing[channel] -= 1

    def close(self) -> None:
        """Stop counting; a monitor would keep the context from ending."""
        self._missing.clear()
        for monitor, (socket, _) in self._monitors.items():
            socket.disable_monitor()
            monitor.close(linger=0)
        self._monitors.clear()


class Subscribers:
    """Has clients that subscribe late get what they have missed; for the thread of the socket, which is an XPUB.

    libzmq publishes a message to all who have subscribed to any beginning of its first frame. So a subscription to
    everything is split into those to each first byte, and what one client has missed goes behind an empty frame while
    that one alone is subscribed to the empty beginning. Clients pass over frames before the delimiter.

    Parameters
    ----------
    socket
        Not bound yet.
    missing
        How many there were; each is taken to have subscribed once.
    """

    def __init__(self, socket: zmq.Socket[bytes], missing: int) -> None:
        import zmq

        self._socket = socket
        self._missing = missing
        self._missed: list[list[Any]] = []
        self._topics: set[bytes] = set()
        self._until = time.monotonic() + LATE_MAX
        self._splits = missing > 0
        if self._splits:
            socket.setsockopt(zmq.XPUB_MANUAL, 1)  # what they subscribe to is for us to say

    @property
    def are_back(self) -> bool:
        """Whether all have subscribed, or nobody waits for them any more."""
        return self._missing <= 0

    @property
    def is_over(self) -> bool:
        """Whether there is nobody any more who might have missed something."""
        return not self._splits

    def take(self, frames: Iterable[bytes] = ()) -> list[bytes]:
        """Take subscriptions that were received, and all that can be; return those to what nobody had subscribed to."""
        import zmq

        new = [frame for frame in frames if self._take(frame)]
        while True:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            if self._take(frame):
                new.append(frame)
        self._end_in_time()
        return new

    def _end_in_time(self) -> None:
        """Wait for nobody any more, but not as soon as all are back: a connection that is new may be lost once more."""
        import zmq

        if self._splits and time.monotonic() > self._until:
            self._splits, self._missing = False, 0
            self._missed.clear()
            self._socket.setsockopt(zmq.XPUB_MANUAL, 0)

    def _take(self, frame: bytes) -> bool:
        import zmq

        begins, topic = frame[:1] == b"\1", frame[1:]
        if self._splits:
            if begins and not topic:
                self._tell_missed()
            for part in [topic] if topic else ALL:
                self._socket.setsockopt(zmq.SUBSCRIBE if begins else zmq.UNSUBSCRIBE, part)
            if not begins and not topic:
                self._missing += 1
        self._missing -= begins
        if self.are_back:
            self._missed.clear()
        is_new = begins and topic not in self._topics
        if begins:
            self._topics.add(topic)
        else:  # once its last part has ended, nobody is left who has subscribed to everything since the exec
            self._topics.discard(b"" if topic == ALL[0] else topic)
        return is_new

    def _tell_missed(self) -> None:
        import zmq

        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        for frames in self._missed:
            self._socket.send_multipart([b"", *frames])
        self._socket.setsockopt(zmq.UNSUBSCRIBE, b"")

    def keep(self, frames: Sequence[Any]) -> None:
        """Keep a message that is published, for those who are late, if it answers to a request."""
        self._end_in_time()
        if not self.are_back and len(self._missed) < MISSED_MAX and not _is_of_nobody(frames):
            self._missed.append(list(frames))


def _is_of_nobody(frames: Sequence[Any]) -> bool:
    """Return whether a message answers to no request: an old "idle" would end a console's wait for its own output."""
    plain = [frame if isinstance(frame, bytes) else bytes(frame) for frame in frames]
    message = parse(plain)
    return message is not None and len(message.parts) >= PARENT and not message.part(PARENT)
