"""In the kernel's new image: wait until the clients that were connected are so again, and listen.

What it relies on in ``ipykernel`` 7: ``IOPubThread._handle_subscription``. A client subscribes anew when its libzmq
has connected and it reads; one that reads nothing for a while does so only when it sends its next request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ipy_autorestart.kernel.gate import OWN

#: Seconds until they are connected again: libzmq tries after 100 to 200 ms, over and over.
PEERS_MAX = 1.0

#: The same where it isn't known who was connected: time for most.
PEERS_UNKNOWN = 0.3

#: Seconds that the first request then waits for those who are still missing.
LATE_MAX = 0.3

#: Seconds after a handshake in which subscriptions arrive, where nothing tells of them (ipykernel 6).
SUBSCRIBED = 0.02


class Peers:
    """Knows which are missing.

    Parameters
    ----------
    missing
        How many were connected to each port; None if that isn't known.
    publishing
        The ports of iopub.
    """

    def __init__(self, missing: Mapping[int, int] | None, publishing: list[int]) -> None:
        self._missing = dict(missing or {})
        self._is_known = bool(missing)
        self._subscribers = max([self._missing.get(port, 0) for port in publishing], default=0)
        self._monitors: dict[Any, int] = {}
        self._monitored: list[Any] = []
        self._subscriptions: list[bytes] = []
        self._publisher: Any = None
        self._is_over = False

    def watch(self, socket: Any, port: int) -> None:  # noqa: ANN401
        """Hear of the clients that connect to a socket, which is about to be bound."""
        import zmq

        if self._missing.get(port):
            monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            self._monitors[monitor] = port
            self._monitored.append(socket)
        if socket.type == zmq.XPUB:
            socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # tell of each subscription, not only of new ones
            self._publisher = socket

    def note_subscriptions(self, original: Callable[..., None], thread: Any, frames: list[bytes]) -> None:  # noqa: ANN401
        """In the thread of iopub, which has kept this function; pass on only what it would be told otherwise."""
        if self._is_over:
            original(thread, frames)
            return
        for frame in frames:
            if frame not in self._subscriptions or frame[:1] != b"\x01":
                original(thread, [frame])
            self._subscriptions.append(frame)

    def wait(self) -> None:
        """Publish nothing, and answer nobody, before those are there who were: libzmq would drop it."""
        import zmq
        from zmq.utils.monitor import recv_monitor_message

        if not self._is_known:
            time.sleep(PEERS_UNKNOWN)
            return
        poller = zmq.Poller()
        for monitor in self._monitors:
            poller.register(monitor, zmq.POLLIN)
        deadline = time.monotonic() + PEERS_MAX
        while any(count > 0 for count in self._missing.values()) and (left := deadline - time.monotonic()) > 0:
            for monitor, _ in poller.poll(int(left * 1000) + 1):
                recv_monitor_message(monitor)
                self._missing[self._monitors[monitor]] -= 1
        for socket in self._monitored:  # a monitor would keep the context from its end
            socket.disable_monitor()
        for monitor in self._monitors:
            monitor.close(linger=0)
        self._monitors.clear()
        self._monitored.clear()
        self._wait_for_subscriptions(deadline)

    def _wait_for_subscriptions(self, deadline: float) -> None:
        if self._publisher is None and self._subscribers:
            time.sleep(SUBSCRIBED)
        while not self._are_heard and time.monotonic() < deadline:
            time.sleep(0.001)

    @property
    def _are_heard(self) -> bool:
        return self._publisher is None or len(self._subscriptions) >= self._subscribers

    def expect_late(self, kernel: Any) -> None:  # noqa: ANN401
        """Have the first request wait a moment if some are missing: the client that sent it is about to read."""
        if self._are_heard:
            self._end(kernel)
            return
        original = kernel.dispatch_shell

        async def dispatch(message: list[Any], *words: Any, **how: Any) -> None:  # noqa: ANN401
            if not self._is_over and len(message) > 1 and message[0].bytes != OWN:
                self._wait_for_subscriptions(time.monotonic() + LATE_MAX)
                self._end(kernel)
            await original(message, *words, **how)

        kernel.dispatch_shell = dispatch

    def _end(self, kernel: Any) -> None:  # noqa: ANN401
        self._is_over = True
        if self._publisher is not None:
            import zmq

            kernel.iopub_thread.schedule(lambda: self._publisher.setsockopt(zmq.XPUB_VERBOSE, 0))
