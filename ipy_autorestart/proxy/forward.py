"""Receive and send messages of several frames as libzmq has them, without copies and without options for each frame.

`zmq.Socket.recv_multipart` and `send_multipart` take twice as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import zmq
from zmq.backend import Socket as _Backend

_Raw: Any = _Backend
_receive, _send, _get = _Raw.recv, _Raw.send, _Raw.get

NOBLOCK, SNDMORE, EVENTS, POLLIN = int(zmq.NOBLOCK), int(zmq.SNDMORE), int(zmq.EVENTS), int(zmq.POLLIN)

#: Messages that are taken from one socket before the others have their turn.
RECEIVED_MAX = 200


def received(socket: zmq.Socket[bytes]) -> Iterator[list[zmq.Frame]]:
    """Yield messages that have arrived."""
    for _ in range(RECEIVED_MAX):
        if not _get(socket, EVENTS) & POLLIN:  # to make the exception takes longer than to receive a message
            return
        frame = _receive(socket, NOBLOCK, copy=False)
        frames = [frame]
        while frame.more:
            frame = _receive(socket, NOBLOCK, copy=False)
            frames.append(frame)
        yield frames


def send(socket: zmq.Socket[bytes], frames: Sequence[zmq.Frame | bytes]) -> None:
    """Send a message; raises `zmq.Again` where there is nobody who could get it."""
    last = len(frames) - 1
    for place, frame in enumerate(frames):
        is_own = isinstance(frame, bytes)  # pyzmq would keep a thread for large ones that are not copied
        _send(socket, frame, NOBLOCK if place == last else NOBLOCK | SNDMORE, copy=is_own)


def plain(frames: Sequence[zmq.Frame]) -> list[bytes]:
    """Return a message as bytes."""
    return [frame.bytes for frame in frames]
