"""A kernel behind the proxy: its process, the link, and the sockets that it connects to."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
from collections.abc import Iterator, Sequence

import zmq

from ipy_autorestart.proxy.forward import send
from ipy_autorestart.script.pipes import state_of
from ipy_autorestart.script.run import Run
from ipy_autorestart.wire.at_work import Work, read
from ipy_autorestart.wire.link import Connect, Link

#: Kinds of the sockets by their channels. What is pushed is never dropped, and needs no subscription.
KINDS = {
    "shell": zmq.SocketType.DEALER,
    "control": zmq.SocketType.DEALER,
    "stdin": zmq.SocketType.DEALER,
    "iopub": zmq.SocketType.PULL,
}


#: Signals that a server, or a terminal, sends a kernel's group.
TO_GROUP = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)

#: Milliseconds in which a message that is half sent may go on. Without, libzmq ends the proxy if the kernel dies just
#: then: it relies on the rest of the message (``session_base_t::clean_pipes``, libzmq 4.3).
LINGER_MS = 1000


class Backend:
    """A kernel behind the proxy; it is ended if its sockets can't be bound (`zmq.ZMQError`).

    Parameters
    ----------
    context
        Of its sockets.
    folder
        Has the addresses.
    number
        Tells it from the others.
    run
        The process, in a session of its own.
    source
        The process that it was forked from; None if it was started cold.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], folder: str, number: int, run: Run, source: int | None
    ) -> None:
        self.number = number
        self.source = source
        self._unsent: collections.deque[tuple[str, Sequence[zmq.Frame | bytes]]] = collections.deque()
        self._used: dict[str, str] = {}
        self.run = run
        self.pid = run.pid
        self.link: Link | None = None
        self.welcomes = self.interrupt_is_told = False
        self._at_work = -1
        self.passed_on: set[int] = set()  # signals that have come for it
        self._paths = [f"{folder}/{number}-{channel}" for channel in KINDS]
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        try:
            for (channel, kind), path in zip(KINDS.items(), self._paths, strict=True):
                socket = self.sockets[channel] = context.socket(kind)
                socket.linger = LINGER_MS
                socket.set_hwm(0)
                socket.bind(f"ipc://{path}")
        except zmq.ZMQError:
            self.kill()
            raise

    def connect(self, link: Link) -> None:
        """Have the process, which has got in touch, connect to the sockets."""
        self.link = link
        link.send(Connect(self.number))

    def take_at_work(self, fd: int) -> None:
        """Take the file that says what it is at work on."""
        self._let_go()
        self._at_work = fd

    @property
    def work(self) -> Work | None:
        """What it is at work on; None if it doesn't tell."""
        return None if self._at_work < 0 else read(self._at_work)

    def _let_go(self) -> None:
        if self._at_work >= 0:
            os.close(self._at_work)
            self._at_work = -1

    def read_reports(self) -> None:
        """Read what it reports to have used, and remember how it has found that."""
        reports = self.run.reports
        if reports.is_open:
            reports.drain()
        for path in reports.read_below - reports.at_start.keys() - self._used.keys():
            self._used[path] = state_of(path)

    @property
    def is_stale(self) -> bool:
        """Whether its start would have read something else now, or watched files that it has used since have changed.

        It is, too, where that can't be told.
        """
        reports = self.run.reports
        found = {**self._used, **reports.at_start}
        return not reports.is_complete or any(state_of(path) != then for path, then in found.items())

    def send(self, channel: str, frames: Sequence[zmq.Frame | bytes]) -> None:
        """Send the process a message, or keep it until the process has connected; it may be gone."""
        self._unsent.append((channel, frames))
        self.flush()

    def flush(self) -> bool:
        """Send what is kept; return whether nothing is."""
        while self._unsent:
            channel, frames = self._unsent[0]
            try:
                send(self.sockets[channel], frames)
            except zmq.Again:
                return False
            self._unsent.popleft()
        return True

    def pending_signals(self) -> list[int]:
        """Return those of SIGHUP and SIGINT that the process has been sent and will not handle (proc_pid_status(5)).

        An interrupt that it has told of waits there, too.
        """
        wanted = (signal.SIGHUP,) if self.interrupt_is_told else (signal.SIGINT, signal.SIGHUP)
        with contextlib.suppress(OSError, StopIteration, ValueError), open(f"/proc/{self.pid}/status") as file:
            bits = 0
            for line in file:
                if line.startswith(("SigPnd:", "ShdPnd:")):
                    bits |= int(line.split()[1], 16)
            return [signum for signum in wanted if bits >> (signum - 1) & 1]
        return []

    def signal(self, signum: int) -> None:
        """Send the process a signal; those of terminals and servers to its whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.killpg if signum in TO_GROUP else os.kill)(self.pid, signum)

    def pass_on(self, signum: int) -> None:
        """Send the process a signal that has come for it."""
        self.passed_on.add(signum)
        self.signal(signum)

    def kill(self) -> None:
        """End the process, and close what belongs to it."""
        self.signal(signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Close the sockets, the link and the pipes."""
        if self.link:
            self.link.close()
            self.link = None
        self._let_go()
        for socket in self.sockets.values():
            socket.close()
        self.sockets.clear()
        for pipe in self.run.close():
            pipe.close()
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def fds(self) -> Iterator[int]:
        """Yield descriptors to wait for, besides those of the sockets."""
        if self.link:
            yield self.link.fileno()
        if self.run.reports.is_open:
            yield self.run.reports.fileno()


def kill_group(pid: int) -> None:
    """Kill a process, which leads a group, with all that is in that."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
