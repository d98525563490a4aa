"""The clients' side of a proxy: the five sockets that the connection file names."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import zmq

from ipy_autorestart.proxy.forward import received, send
from ipy_autorestart.reexec.process import ListeningSocket
from ipy_autorestart.wire.messages import OWN, Key, build
from ipy_autorestart.wire.returning import LATE_MAX, MISSED_MAX, Connections, Subscribers

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
        clients = {one.channel: one.clients or 0 for one in listeners}
        self.connections = Connections(clients)
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        self._undelivered: list[tuple[str, Sequence[zmq.Frame | bytes]]] = []
        self._late_until = time.monotonic() + LATE_MAX
        waiting = {one.channel: one.fd for one in listeners}
        separator = ":" if connection["transport"] == "tcp" else "-"
        for channel, kind in KINDS.items():
            socket = self.sockets[channel] = context.socket(kind)
            socket.linger = LINGER_MS
            socket.set_hwm(0)
            if kind == zmq.SocketType.ROUTER:
                socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # as ipykernel's
                if channel != "hb":  # who has left needs no answer to a heartbeat
                    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # say who isn't there
            else:
                socket.setsockopt(zmq.SNDHWM, PUBLISHED_MAX)
                self._subscribers = Subscribers(socket, clients.get(channel, 0))
            if secret := connection.get("curve_secretkey"):
                socket.curve_secretkey = secret.encode()
                socket.curve_publickey = connection["curve_publickey"].encode()
                socket.curve_server = True
            self.connections.watch(socket, channel)
            if channel in waiting:
                socket.setsockopt(zmq.USE_FD, waiting[channel])
            port = connection[f"{channel}_port"]
            socket.bind(f"{connection['transport']}://{connection['ip']}{separator}{port}")
            if channel in waiting:
                socket.setsockopt(zmq.USE_FD, -1)

    @property
    def are_back(self) -> bool:
        """Whether the clients of the image before have connected and subscribed again."""
        return self.connections.are_all and self._subscribers.are_back

    def send(self, channel: str, frames: Sequence[zmq.Frame | bytes]) -> None:
        """Send clients a message; who is not back since an exec gets it when he is."""
        if channel == "iopub":
            send(self.sockets[channel], frames)
            self._subscribers.keep(frames)
        elif (to := _to(frames)) == OWN:
            return
        elif self._undelivered and any(_to(kept) == to for one, kept in self._undelivered if one == channel):
            self._keep(channel, frames)
        else:
            try:
                send(self.sockets[channel], frames)
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                self._keep(channel, frames)

    def _keep(self, channel: str, frames: Sequence[zmq.Frame | bytes]) -> None:
        if time.monotonic() < self._late_until and len(self._undelivered) < MISSED_MAX:
            self._undelivered.append((channel, frames))

    def flush(self) -> bool:
        """Send again what could not be sent; return whether nothing is left."""
        if not self._undelivered:
            return True
        undelivered, self._undelivered = self._undelivered, []
        for channel, frames in undelivered:
            self.send(channel, frames)
        return not self._undelivered

    def publish(self, kind: str, content: Mapping[str, Any], *, parent: Mapping[str, Any]) -> None:
        """Publish a message of the proxy's own."""
        self.send("iopub", build(self.key, kind, content, parent=parent, identities=[kind.encode()]))

    def beat(self) -> None:
        """Answer heartbeats."""
        for frames in received(self.sockets["hb"]):
            send(self.sockets["hb"], frames)

    def note_subscriptions(self, *, welcome: bool) -> None:
        """Take subscriptions, and greet whoever subscribes to something new where the kernel would."""
        for frame in self._subscribers.take():
            if welcome:
                topic = frame[1:]
                content = {"subscription": topic.decode(errors="replace")}
                message = build(self.key, "iopub_welcome", content, parent={}, identities=[topic] if topic else [])
                self.sockets["iopub"].send_multipart(message)

    def close(self) -> None:
        """Close the sockets; what was sent leaves first."""
        self.connections.close()
        for socket in self.sockets.values():
            socket.close()


def _to(frames: Sequence[zmq.Frame | bytes]) -> bytes:
    """Return the client that an answer is for."""
    return frames[0] if isinstance(frames[0], bytes) else frames[0].bytes
