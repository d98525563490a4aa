"""The clients of the image before: the new one waits for them, and tells those who come later what they have missed.

It relies, in ``ipykernel`` 6.29 to 7, on ``IPKernelApp.init_iopub`` and ``IOPubThread``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ipy_autorestart.pristine import time
from ipy_autorestart.reexec.process import ListeningSocket
from ipy_autorestart.wire.returning import SUBSCRIBE_MAX, Connections, Subscribers

#: Seconds that the clients may take to connect again.
BACK_MAX = 1.0

#: Seconds to wait where nobody knows how many were connected: most have come by then.
UNKNOWN = 0.3


class Clients:
    """The clients of the image before, until they have connected again to the sockets at which they wait."""

    def __init__(self, listeners: Sequence[ListeningSocket]) -> None:
        self._channels = {one.port: one.channel for one in listeners}
        self._counts = {one.channel: one.clients for one in listeners if one.clients is not None}
        self._connections = Connections(self._counts)
        self._subscribers: Subscribers | None = None

    def watch(self, app: Any, socket: Any, port: int) -> Any:
        """Count the clients that connect to a socket of an ``IPKernelApp``; return the one that is to be bound."""
        channel = self._channels.get(port, "")
        if channel == "iopub" and (count := self._counts.get(channel, 0)):
            socket = app.iopub_socket = _telling(app, socket)
            self._subscribers = Subscribers(socket, count)
        self._connections.watch(socket, channel)
        return socket

    def tell_missed(self, original: Callable[[Any], None], thread: Any) -> None:
        """Have an ``IOPubThread``, in the middle of being made, tell those who are late."""
        original(thread)
        if self._subscribers:
            Telling(thread, self._subscribers)

    def wait(self) -> None:
        """Wait until they are back: libzmq drops answers that are for nobody."""
        if not self._counts:  # they couldn't be counted
            time.sleep(UNKNOWN)
            return
        deadline = time.monotonic() + BACK_MAX
        while not self._are_back and (now := time.monotonic()) < deadline:
            if self._connections.are_all:
                deadline = min(deadline, now + SUBSCRIBE_MAX)
            time.sleep(0.001)
            self._connections.note()
        self._connections.close()

    @property
    def _are_back(self) -> bool:
        return self._connections.are_all and (self._subscribers is None or self._subscribers.are_back)


class Telling:
    """Puts itself between an ``IOPubThread`` and its socket while somebody may be late; works in that thread."""

    def __init__(self, thread: Any, subscribers: Subscribers) -> None:
        self._thread, self._subscribers = thread, subscribers
        self._socket = thread.socket
        self._really_send = thread._really_send  # noqa: SLF001
        self._greet = getattr(thread, "_handle_subscription", None)
        thread._really_send = self._send  # noqa: SLF001
        thread._handle_subscription = self._take  # noqa: SLF001
        if self._greet is None:  # nobody listens to it; a stream is kept by its loop
            from zmq.eventloop.zmqstream import ZMQStream

            ZMQStream(self._socket, thread.io_loop).on_recv(self._take)

    def _take(self, frames: Sequence[bytes] = ()) -> None:
        """Take subscriptions; those that were received before a message is sent wake nobody any more."""
        if self._socket.closed:
            return
        new = self._subscribers.take(frames)
        if self._greet and new:
            self._greet(new)

    def _send(self, message: Sequence[Any], *args: Any, **how: Any) -> None:
        thread = self._thread
        if self._subscribers.is_over or thread.socket is not self._socket:  # in a copy, it has another
            for name in ("_really_send", "_handle_subscription"):
                vars(thread).pop(name, None)
        if not thread._is_master_process():  # noqa: SLF001  # the socket isn't a child's
            self._really_send(message, *args, **how)
            return
        self._take()
        self._subscribers.keep([bytes(part) for part in message])
        self._really_send(message, *args, **how)
        self._take()


def _telling(app: Any, socket: Any) -> Any:
    """Return a socket that tells who subscribes, which a PUB doesn't, as ipykernel 6 has it."""
    import zmq

    if socket.type != zmq.PUB:
        return socket
    telling = app.context.socket(zmq.XPUB)
    telling.linger = socket.linger
    if hasattr(app, "_apply_curve_server_options"):
        app._apply_curve_server_options(telling)  # noqa: SLF001
    socket.close()
    return telling
