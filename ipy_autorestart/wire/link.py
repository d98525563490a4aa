"""The link between a kernel and its proxy: words in packets, each with the descriptors that belong to it."""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ipy_autorestart.pristine import os, socket
from ipy_autorestart.protocol.plain import from_json, to_json

#: The name of the proxy's end in its folder.
NAME = "link"

#: Bytes of a word; what is longer travels in a file, whose descriptor is sent.
WORD_BYTES = 1 << 16

#: Descriptors that the system takes at once (unix(7)).
FDS_MAX = 253


#: Names of variables that the libraries of a kernel set at its start, whatever runs in it.
SET_BY_KERNELS = ("MPLBACKEND", "TERM", "CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PAGER", "GIT_PAGER")


@dataclass(frozen=True, slots=True)
class Connect:
    """To a kernel that starts: connect to the sockets of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Ready:
    """From a kernel: it has started, and waits.

    Attributes
    ----------
    environment
        The variables `SET_BY_KERNELS`, as far as they are set.
    welcomes
        Whether it would greet each client that subscribes (JEP 65, since ipykernel 7).
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    welcomes: bool = False


@dataclass(frozen=True, slots=True)
class Leaving:
    """From the live kernel: another is to take over, with the state in the file that comes first of the descriptors.

    Signals that came too late for this one are for the next.
    """

    hung_up: bool = False
    interrupted: bool = False
    cold: bool = False  # by a fresh start, of nothing that has been forked


@dataclass(frozen=True, slots=True)
class Watching:
    """From the live kernel: these files and folders are watched now."""

    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """From the live kernel: the state from which another could go on if this one dies; it comes as with `Leaving`."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """To a kernel that waits: go on from the state in the file that comes first of the descriptors.

    Attributes
    ----------
    died
        How the one before has ended, if it has not handed over.
    lost
        The id of the cell that it was running then.
    rerun
        Whether cells are to run again; not if that was what it died of.
    """

    died: str = ""
    lost: str = ""
    rerun: bool = True


@dataclass(frozen=True, slots=True)
class TookOver:
    """From a kernel: it answers."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """From the live kernel: it ends in order, as it was asked to or by ``exit``."""


Word = Connect | Ready | Watching | Kept | Leaving | TakeOver | TookOver | Goodbye


class Link:
    """One end of it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._process = os.getpid()

    @classmethod
    def to_proxy(cls, folder: str) -> Link:
        """Connect to the proxy with this folder; raises OSError if that is gone."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(f"{folder}/{NAME}")
        except OSError:
            sock.close()
            raise
        return cls(sock)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def send(self, word: Word, fds: Sequence[int] = ()) -> None:
        """Send a word; does nothing when the other side is gone."""
        try:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            self._socket.sendmsg([to_json(word, []).encode()], rights)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self, *, wait: bool = True) -> tuple[Word, list[int]]:
        """Return the next word with its descriptors; raises EOFError when the other side is gone.

        Without waiting, it raises BlockingIOError when there is none: a process that has ended may have left children
        that hold its end of the link.
        """
        fds = array.array("i")
        try:
            data, ancillary, _, _ = self._socket.recvmsg(
                WORD_BYTES, socket.CMSG_SPACE(FDS_MAX * fds.itemsize), 0 if wait else socket.MSG_DONTWAIT
            )
        except ConnectionResetError:
            raise EOFError from None
        if not data:
            raise EOFError
        for _, _, rights in ancillary:
            fds.frombytes(rights)
        return from_json(Word, data), list(fds)  # type: ignore[arg-type]  # a union is what it takes, too

    def say_goodbye(self) -> None:
        """Say that this process ends in order; an exit function, which forked children have, too."""
        if os.getpid() == self._process:
            self.send(Goodbye())

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
