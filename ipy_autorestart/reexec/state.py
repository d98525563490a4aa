"""What is handed over an exec: one value, written by the old image of a process and read by the new one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ipy_autorestart.protocol.messages import Decided, Ran, Status
from ipy_autorestart.protocol.plain import from_json, to_json
from ipy_autorestart.protocol.request import Request

#: A message of several frames, as it has come from a client.
Frames = tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """What any new image needs to know of the first one.

    Attributes
    ----------
    argv
        ``sys.orig_argv``.
    hangup_ignored
        Whether SIGHUP is ignored where nothing is watched.
    ignored, blocked
        Signals that were so when the process was started.
    """

    argv: tuple[str, ...]
    hangup_ignored: bool
    ignored: frozenset[int]
    blocked: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorState:
    """A supervisor that goes on while its front is replaced.

    Attributes
    ----------
    link
        The descriptor of this end.
    received
        The beginning of a record whose rest has not come yet.
    pid
        Of its process.
    request
        What it was asked for.
    label
        Whatever its front knows it by.
    screen
        What its screen needs to go on, as plain data; None where nothing shows it.
    status, runs, decisions
        What it has reported.
    """

    link: int
    received: bytes
    pid: int
    request: Request
    label: str
    screen: Mapping[str, Any] | None
    status: Status
    runs: tuple[Ran, ...]
    decisions: tuple[Decided, ...]


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket of the kernel's that listens on.

    Attributes
    ----------
    channel
        As ``IPKernelApp`` names its port.
    port
        Where it listens.
    fd
        Its descriptor.
    clients
        How many were connected; None if that isn't known.
    """

    channel: str
    port: int
    fd: int
    clients: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelState:
    """A kernel's own part.

    Attributes
    ----------
    connection_file
        Its absolute path.
    owns_connection_file
        Whether the kernel removes it at its end.
    plain_debugger
        Whether it has ipykernel's own debugger.
    early_embed
        Whether IPython has imported ``IPython.terminal.embed``.
    subshells
        Their ids.
    listeners
        The sockets at which clients wait meanwhile.
    requests
        What is not answered yet, by channel.
    cells
        What is run again, as `ipython.policy` has it; None if nothing is.
    """

    connection_file: str
    owns_connection_file: bool
    plain_debugger: bool
    early_embed: bool
    subshells: tuple[str, ...]
    listeners: tuple[Listener, ...]
    requests: Mapping[str, tuple[Frames, ...]]
    cells: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalState:
    """A terminal IPython's own part.

    Attributes
    ----------
    typed
        What stood half typed at the prompt.
    cells
        As in `KernelState`.
    """

    typed: str
    cells: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramState:
    """A plain program's own part.

    Attributes
    ----------
    pid
        Of the process, for a child that has inherited the environment is another one.
    folder
        In which it was started.
    inherited
        Descriptors that came from whoever started it, with device and inode of their files.
    kept
        Descriptors of sockets that stay open.
    since_ns
        When the new image was begun, in nanoseconds since 1970.
    """

    pid: int
    folder: str
    inherited: tuple[tuple[int, int, int], ...]
    kept: tuple[int, ...]
    since_ns: int


@dataclass(frozen=True, slots=True)
class Carried:
    """All that is handed over.

    Attributes
    ----------
    process
        For the start of the image itself.
    supervisors
        Those which go on.
    own
        What depends on the kind of process.
    trouble
        Why something may have been lost, or nothing.
    entry
        The function to which the bootstrap gives all of this, after its module.
    """

    process: ProcessState
    supervisors: tuple[SupervisorState, ...]
    own: KernelState | TerminalState | ProgramState
    trouble: str = ""
    entry: str = "ipy_autorestart.extension:arrive"

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that are named in it, and stay open over the exec."""
        match self.own:
            case KernelState(listeners=listeners):
                own = tuple(listener.fd for listener in listeners)
            case TerminalState():
                own = ()
            case ProgramState(kept=kept):
                own = kept
        return (*(supervisor.link for supervisor in self.supervisors), *own)

    def write(self, fd: int) -> None:
        """Write it to a file, which stays open, at its beginning."""
        attachment: list[bytes] = []
        text = to_json(self, attachment)
        with open(fd, "wb", closefd=False) as file:
            file.write(text.encode() + b"\n")
            file.writelines(attachment)
        os.lseek(fd, 0, os.SEEK_SET)

    @classmethod
    def read(cls, fd: int) -> Carried:
        """Read it from the file, and close that; raises ValueError if there is none in it."""
        with open(fd, "rb") as file:
            return from_json(cls, file.readline(), file.read())

    def keep_from_children(self) -> None:
        """Let the descriptors be this image's alone, now that exec is over."""
        for fd in self.fds:
            os.set_inheritable(fd, False)  # noqa: FBT003  # the name says it
