"""The link between a kernel and its proxy: words in packets, each with the descriptors that belong to it.

A proxy lives on while the package is upgraded, and the next kernel is started from the new files. So either side passes
over words and fields that it doesn't know; what is added has a default, and what there is keeps its meaning.
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import get_args

from ipy_autorestart import catalogue
from ipy_autorestart.pristine import os, socket
from ipy_autorestart.protocol.plain import CLASS, from_plain, to_json

#: The name of the proxy's end in its folder.
NAME = "link"

#: The attribute of a kernel behind a proxy that is the link.
ATTRIBUTE = "_ipy_autorestart_proxy"

#: Characters that a socket's path may have (unix(7)), and the longest name in a proxy's folder.
PATH_MAX, LONGEST = 107, "/9999999-control"


def make_folder() -> str:
    """Make a folder for a proxy's sockets; raises OSError where there is none whose path is short enough."""
    import tempfile  # a proxy, which starts sooner without, has no need of it

    trouble: OSError | None = None
    for parent in (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/dev/shm"):
        if not parent:
            continue
        try:
            folder = tempfile.mkdtemp(prefix="ipy_autorestart-", dir=parent)
        except OSError as error:
            trouble = error
            continue
        if len(os.fsencode(folder + LONGEST)) <= PATH_MAX:
            return folder
        os.rmdir(folder)
    raise trouble or OSError(errno.ENAMETOOLONG, catalogue.PATHS_TOO_LONG())


#: Bytes of a word; what is longer travels in a file, whose descriptor is sent.
WORD_BYTES = 1 << 16

#: Names of variables that the libraries of a kernel set at its start, in this order, whatever runs in it: a module that
#: is imported ahead is to find them, too.
SET_BY_KERNELS = (
    *("PYDEVD_USE_FRAME_EVAL", "TERM", "CLICOLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PAGER", "GIT_PAGER"),
    "MPLBACKEND",
)

#: Descriptors that the system takes at once (unix(7)).
FDS_MAX = 253


@dataclass(frozen=True, slots=True)
class Connect:
    """To a kernel that starts: connect to the sockets of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Ready:
    """From a kernel: it has started, and waits. A descriptor may be one of a file with what it has imported.

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

    Attributes
    ----------
    interrupted
        Whether a SIGINT came too late for this one: it is for the next.
    cold
        Whether the next is to be a fresh start, of nothing that has been forked.
    back
        Checkpoints of which the next may be made, the best first; if none of them is there, it is a fresh start.
    """

    interrupted: bool = False
    cold: bool = False
    back: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Watching:
    """From the live kernel: files and folders that are watched now, one in each line of a file that comes with it."""


@dataclass(frozen=True, slots=True)
class Working:
    """From the live kernel: the file that comes with this says what it is `at_work` on."""


@dataclass(frozen=True, slots=True)
class Done:
    """From the live kernel: it has done this request, of which it says nothing to the clients."""

    key: str


@dataclass(frozen=True, slots=True)
class Backup:
    """From the live kernel: the state from which another could go on if this one dies; it comes as with `Leaving`."""


@dataclass(frozen=True, slots=True)
class Parked:
    """From the live kernel: a copy of it waits, as a checkpoint, for a `Fork` on the link that comes with this word.

    Of two checkpoints, the later one has the higher number.
    """

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class Keep:
    """From the live kernel: only these checkpoints are wanted, the one first that would be missed the most.

    The next kernel will probably be made of ``likely``; that is 0 if it will be a fresh start.
    """

    numbers: tuple[int, ...]
    likely: int = 0


@dataclass(frozen=True, slots=True)
class Fork:
    """To a checkpoint: make a kernel of this number, which speaks to the proxy by the link that comes with this."""

    number: int


@dataclass(frozen=True, slots=True)
class Forked:
    """From a checkpoint: this process is that kernel; 0 if it could not be made."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class TakeOver:
    """To a kernel that waits: go on from the state in the file that comes first of the descriptors.

    Attributes
    ----------
    died
        How the one before has ended, if it has not handed over.
    gone
        The ids of cells to forget: of the one that it was running then, and of those that the page says to be deleted.
    rerun
        Whether cells are to run again; not if that was what it died of.
    interrupted
        Whether a SIGINT came since: none of them is to run then.
    """

    died: str = ""
    gone: tuple[str, ...] = ()
    rerun: bool = True
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class TookOver:
    """From a kernel: it answers."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """From the live kernel: it ends in order, as it was asked to or by ``exit``."""


Word = (
    Connect
    | Ready
    | Watching
    | Working
    | Done
    | Backup
    | Leaving
    | Parked
    | Keep
    | Fork
    | Forked
    | TakeOver
    | TookOver
    | Goodbye
)


_WORDS: dict[str, type[Word]] = {word.__name__: word for word in get_args(Word)}


def in_file(text: str) -> int:
    """Return the descriptor of a file with a text, to be sent with a word."""
    fd = os.memfd_create("ipy_autorestart")
    with open(fd, "w", encoding="utf-8", errors="surrogateescape", closefd=False) as file:
        file.write(text)
    return fd


def from_file(fd: int) -> str:
    """Return the text of such a file, which is closed."""
    with open(fd, encoding="utf-8", errors="surrogateescape") as file:
        file.seek(0)
        return file.read()


def _word(data: bytes) -> Word | None:
    """Return the word in a packet, None if it is unknown; raises ValueError for anything else."""
    plain = json.loads(data)
    if not isinstance(plain, dict) or not isinstance(plain.get(CLASS), str):
        raise ValueError(f"not a word: {data[:80]!r}")
    kind = _WORDS.get(plain[CLASS])
    if kind is None:
        return None
    known = {CLASS, *(one.name for one in fields(kind))}
    return from_plain(kind, {name: value for name, value in plain.items() if name in known})


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


class Link:
    """One end of it.

    Attributes
    ----------
    waits
        Whether the kernel at this end has not had its turn yet.
    folder
        Where the proxy has its sockets, at a kernel's end.
    """

    def __init__(self, sock: socket.socket, folder: str = "") -> None:
        self._socket = sock
        self.waits = False
        self.folder = folder
        self._pid = os.getpid()

    @classmethod
    def to_proxy(cls, folder: str) -> Link:
        """Connect to the proxy with this folder; raises OSError if that is gone."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(f"{folder}/{NAME}")
        except OSError:
            sock.close()
            raise
        return cls(sock, folder)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def send(self, word: Word, fds: Sequence[int] = ()) -> None:
        """Send a word; does nothing when the other side is gone."""
        data = to_json(word, []).encode()
        if len(data) > WORD_BYTES:
            raise ValueError(f"a word of {len(data)} bytes is too long: {data[:80]!r}")
        try:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            self._socket.sendmsg([data], rights)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self, *, wait: bool = True) -> tuple[Word, list[int]]:
        """Return a word with its descriptors, which is waited for by default; unknown ones are passed over.

        Raises
        ------
        BlockingIOError
            If none is there, and it isn't waited for.
        EOFError
            When the other side is gone.
        ValueError
            If it is no word at all.
        """
        while True:
            data, fds = self._receive(wait=wait)
            try:
                if word := _word(data):
                    return word, fds
            except ValueError:
                _close(fds)
                raise
            _close(fds)

    def _receive(self, *, wait: bool) -> tuple[bytes, list[int]]:
        fds = array.array("i")
        room = socket.CMSG_SPACE(FDS_MAX * fds.itemsize)
        try:
            how = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
            data, ancillary, flags, _ = self._socket.recvmsg(WORD_BYTES, room, how)
        except ConnectionResetError:
            raise EOFError from None
        if not data:
            raise EOFError
        for _, _, rights in ancillary:
            fds.frombytes(rights)
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            _close(fds)
            raise ValueError("a word is too long")
        return data, list(fds)

    def wait_for_end(self) -> None:
        """Wait until the other side has closed it."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self.receive()

    def say_goodbye(self) -> None:
        """Say that this process ends in order; an exit function, which a forked child has, too."""
        if os.getpid() == self._pid:
            self.send(Goodbye())

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
