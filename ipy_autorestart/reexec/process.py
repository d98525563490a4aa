"""What becomes of a process by exec: a new image of itself, or a proxy. A proxy needs little, and starts the sooner."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ipy_autorestart.pristine import os
from ipy_autorestart.protocol.plain import from_json, to_json

#: A message of several frames, as it has come from a client.
Frames = tuple[bytes, ...]


class Filed(abc.ABC):
    """A value that crosses an exec, or the way to another process, in a file."""

    __slots__ = ()

    @property
    @abc.abstractmethod
    def fds(self) -> tuple[int, ...]:
        """The descriptors in it, which stay open over the exec."""

    def write(self, fd: int) -> None:
        """Write it to a file, which stays open, and rewind that."""
        attachment: list[bytes] = []
        text = to_json(self, attachment)
        with open(fd, "wb", closefd=False) as file:
            file.write(text.encode() + b"\n")
            file.writelines(attachment)
        os.lseek(fd, 0, os.SEEK_SET)

    @classmethod
    def read(cls, file: int | str) -> Self:
        """Read it from a descriptor, which is closed, or a path; raises ValueError if there is anything else."""
        with open(file, "rb") as carrier:
            return from_json(cls, carrier.readline(), carrier.read())

    def keep_from_children(self) -> None:
        """Make the descriptors non-inheritable again, now that the exec is over."""
        for fd in self.fds:
            os.set_inheritable(fd, False)  # noqa: FBT003  # the name says it


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """The facts of the first image that every new image needs: they are never read again from where they may change."""

    argv: tuple[str, ...]  # ``sys.orig_argv``
    folder: str
    environment: Mapping[str, str]
    surroundings: Mapping[str, Any]  # by `surroundings.read_all`
    hangup_ignored: bool  # while nothing is watched
    ignored: frozenset[int]  # signals, when the process was started
    blocked: frozenset[int]


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A listening socket of the kernel."""

    channel: str
    port: int  # or the number of the path
    fd: int
    clients: int | None  # the number of those that were connected; None if they couldn't be counted


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyState(Filed):
    """What the proxy needs of the kernel that becomes it; what kernels read later is in files that it passes on.

    Attributes
    ----------
    connection_file, connection
        As in `state.KernelState`, and so on.
    folder
        For the proxy's sockets.
    packages
        Where it finds pyzmq.
    copied
        The process of a copy that goes on as the kernel, 0 for none.
    roots
        Watched files and folders.
    start
        The descriptor of a file, from which each kernel is started.
    backup
        Those of a file with the state from which a kernel goes on, and of what is named there.
    """

    process: ProcessState
    connection_file: str
    connection: Mapping[str, Any]
    owns_connection_file: bool
    listeners: tuple[ListeningSocket, ...]
    requests: Mapping[str, tuple[Frames, ...]]
    folder: str
    packages: str
    copied: int
    roots: tuple[str, ...]
    start: int
    backup: tuple[int, ...]

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors in it, which stay open over the exec."""
        return (*(listener.fd for listener in self.listeners), self.start, *self.backup)
