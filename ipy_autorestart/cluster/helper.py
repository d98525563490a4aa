"""The supervisor's end of the link to the helper that pushes to a cluster."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ipy_autorestart import catalogue
from ipy_autorestart.cluster.messages import Named, Reply, Say, Wish, decode, encode
from ipy_autorestart.decide.events import Pushed, PushFailed, Reached
from ipy_autorestart.protocol.keyed import Keyed

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")

SALT = os.path.join(os.path.dirname(PROGRAM), "_ipy_autorestart_salt.py")

#: Seconds that the helper has to leave the cluster in order.
CLOSES_WITHIN = 3.0


class Helper:
    """A child process that pushes, as an engine's `Pusher`; one that has ended is replaced at the next push.

    Parameters
    ----------
    named
        What is pushed, and where to.
    python, environment, cwd
        As the script has them: its interpreter has the cluster's client installed.
    """

    def __init__(self, named: Named, *, python: str, environment: Mapping[str, str], cwd: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ipy_autorestart-cluster-")
        self._named = replace(named, told=os.path.join(self._folder.name, "version"))
        self._python, self._environment, self._cwd = python, environment, cwd
        self._received = b""
        self._number = 0  # of the push that has not been answered
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as this
        self._start()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [self._python, "-P", PROGRAM],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                cwd=self._cwd,
                env=self._environment,
                start_new_session=True,  # the keys of a terminal are for the script
            )
        self._send(self._named)

    @property
    def keyed(self) -> Keyed:
        """By which the clients of the target learn what the workers have."""
        return Keyed(self._named.told, SALT)

    @property
    def pid(self) -> int:
        """Its process, 0 if it has ended."""
        return self._process.pid if self._process else 0

    def fileno(self) -> int:
        """Return the descriptor that becomes readable, -1 once it has ended."""
        return self._socket.fileno() if self._socket else -1

    def ship(self) -> None:
        """Send files ahead of a push."""
        self._send(Wish())

    def push(self, number: int, clients: tuple[str, ...] = ()) -> None:
        """Have each worker run what is saved now, in place of a push that goes on; the clients are about to leave."""
        if self._process is None:
            with contextlib.suppress(OSError):
                self._start()
        self._number = number
        self._send(Wish(number, clients))

    def receive(self) -> Iterator[Reached | Pushed | PushFailed]:
        """Yield what is new; a push that it was asked for, and has not done when it ends, has failed."""
        if self._socket is None:
            yield from self._failed()
            return
        try:
            data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            yield from self._failed()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            match decode(line):
                case Pushed(number) | PushFailed(number) as reply:
                    if number == self._number:
                        self._number = 0
                    yield reply
                case Reached() as reply:
                    yield reply

    def _failed(self) -> Iterator[PushFailed]:
        if self._number:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line), catalogue.NO_LAST_WORD())
            yield PushFailed(self._number, catalogue.PUSHER_ENDED(error=last))
            self._number = 0

    def _send(self, message: Say | Reply) -> None:
        with contextlib.suppress(OSError):  # it has ended, which `receive` tells
            if self._socket:
                self._socket.sendall(encode(message))

    def _end(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket, self._received = None, b""
        if self._process:
            try:
                self._process.wait(CLOSES_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it: it leaves the cluster in order if it can do so soon."""
        self._end()
        self._errors.close()
        self._folder.cleanup()
