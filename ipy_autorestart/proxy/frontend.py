"""The clients' side of a proxy: the five sockets that the connection file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from ipy_autorestart.proxy.forward import received, send
from ipy_autorestart.reexec.state import ListeningSocket
from ipy_autorestart.wire.messages import Key, build

#: Kinds of the sockets by their channels.
KINDS = {
    "shell": zmq.SocketType.ROUTER,
    "control": zmq.SocketType.ROUTER,
    "stdin": zmq.SocketType.ROUTER,
    "iopub": zmq.SocketType.XPUB,
    "hb": zmq.SocketType.ROUTER,
}

#: Milliseconds in which what was sent last still leaves when the proxy ends, as in a kernel.
LINGER_MS = 1000

#: Messages that are kept for a client that reads slowly, as by a kernel: one that never reads must not fill the memory.
PUBLISHED_MAX = 1_000


class Frontend:
    """The sockets of a connection, bound to their addresses.

    Parameters
    ----------
    context
        They belong to it.
    connection
        What the connection file says.
    listeners
        Sockets of the system that listen there already; each is closed with the socket that takes it.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        connection: Mapping[str, Any],
        listeners: Sequence[ListeningSocket],
    ) -> None:
        self.key = Key(connection["key"].encode(), connection.get("signature_scheme") or "hmac-sha256")
        self.returning = Returning(listeners)
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        waiting = {one.channel: one.fd for one in listeners}
        separator = ":" if connection["transport"] == "tcp" else "-"
        for channel, kind in KINDS.items():
            socket = self.sockets[channel] = context.socket(kind)
            socket.linger = LINGER_MS
            socket.set_hwm(0)
            if kind == zmq.SocketType.ROUTER:
                socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # as ipykernel's
            else:
                socket.setsockopt(zmq.SNDHWM, PUBLISHED_MAX)
                socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # pass on each subscription, not only new ones
            if secret := connection.get("curve_secretkey"):
                socket.curve_secretkey = secret.encode()
                socket.curve_publickey = connection["curve_publickey"].encode()
                socket.curve_server = True
            self.returning.watch(socket, channel)
            if channel in waiting:
                socket.setsockopt(zmq.USE_FD, waiting[channel])
            port = connection[f"{channel}_port"]
            socket.bind(f"{connection['transport']}://{connection['ip']}{separator}{port}")
            if channel in waiting:
                socket.setsockopt(zmq.USE_FD, -1)

    def publish(self, kind: str, content: Mapping[str, Any], *, parent: Mapping[str, Any]) -> None:
        """Publish a message of the proxy's own."""
        self.sockets["iopub"].send_multipart(build(self.key, kind, content, parent=parent, identities=[kind.encode()]))

    def beat(self) -> None:
        """Answer heartbeats."""
        for frames in received(self.sockets["hb"]):
            send(self.sockets["hb"], frames)

    def note_subscriptions(self, *, welcome: bool) -> None:
        """Take subscriptions, and greet whoever subscribes to something new where the kernel would."""
        for first, *_ in received(self.sockets["iopub"]):
            is_new = self.returning.note_subscription(first.bytes)
            if welcome and is_new:
                topic = first.bytes[1:]
                content = {"subscription": topic.decode(errors="replace")}
                message = build(self.key, "iopub_welcome", content, parent={}, identities=[topic] if topic else [])
                self.sockets["iopub"].send_multipart(message)
        if self.returning.are_back:
            self.sockets["iopub"].setsockopt(zmq.XPUB_VERBOSE, 0)

    def close(self) -> None:
        """Close the sockets; what was sent leaves first."""
        self.returning.close()
        for socket in self.sockets.values():
            socket.close()


class Returning:
    """The clients of the image before, until they have connected and subscribed again: libzmq drops messages before."""

    def __init__(self, listeners: Sequence[ListeningSocket]) -> None:
        self._missing = {one.channel: one.clients for one in listeners if one.clients}
        self._unsubscribed = self._missing.get("iopub", 0)
        self._topics: set[bytes] = set()
        self._monitors: dict[zmq.Socket[bytes], tuple[zmq.Socket[bytes], str]] = {}

    @property
    def are_connected(self) -> bool:
        """Whether all are connected."""
        return all(count <= 0 for count in self._missing.values())

    @property
    def are_back(self) -> bool:
        """Whether all have subscribed, too; a client does so when its program looks at that socket the next time."""
        return self._unsubscribed <= 0 and self.are_connected

    @property
    def monitors(self) -> list[zmq.Socket[bytes]]:
        """Sockets to wait for meanwhile."""
        return list(self._monitors)

    def watch(self, socket: zmq.Socket[bytes], channel: str) -> None:
        """Count the clients that connect to a socket, which is about to be bound."""
        if self._missing.get(channel):
            monitor = socket.get_monitor_socket(zmq.Event.HANDSHAKE_SUCCEEDED)
            self._monitors[monitor] = socket, channel

    def note_connections(self) -> None:
        """Take what the monitors say."""
        for monitor, (_, channel) in self._monitors.items():
            while monitor.poll(0):
                recv_monitor_message(monitor)
                self._missing[channel] -= 1

    def note_subscription(self, frame: bytes) -> bool:
        """Note a subscription, or its end; return whether nobody else has subscribed to the same."""
        if not frame.startswith(b"\1"):
            self._topics.discard(frame[1:])
            return False
        self._unsubscribed -= 1
        is_new = frame[1:] not in self._topics
        self._topics.add(frame[1:])
        return is_new

    def close(self) -> None:
        """Stop counting; a monitor would keep the context from ending."""
        self._unsubscribed, self._missing = 0, {}
        for monitor, (socket, _) in self._monitors.items():
            socket.disable_monitor()
            monitor.close(linger=0)
        self._monitors.clear()
