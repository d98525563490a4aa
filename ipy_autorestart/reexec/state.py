"""The state that is handed over an exec: the old image of a process writes it as one value, the new one reads it."""

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
    """The facts of the first image that every new image needs.

    Attributes
    ----------
    argv
        ``sys.orig_argv``.
    hangup_ignored
        Whether SIGHUP is ignored while nothing is watched.
    ignored, blocked
        Signals that were ignored or blocked when the process was started.
    """

    argv: tuple[str, ...]
    hangup_ignored: bool
    ignored: frozenset[int]
    blocked: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorState:
    """A supervisor that continues while its session is replaced.

    Attributes
    ----------
    link
        The descriptor of the session's end of the link.
    received
        The beginning of a record whose rest has not arrived yet.
    pid
        The id of the supervisor's process.
    request
        The target, the paths and the options.
    label
        The session's name for it.
    screen
        The state of its screen, as plain data; None if it has none.
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
    """A listening socket of the kernel.

    Attributes
    ----------
    channel
        Its channel: "shell", "iopub" …
    port
        The port, or the number of the path.
    fd
        Its descriptor.
    clients
        The number of clients that were connected; None if they couldn't be counted.
    """

    channel: str
    port: int
    fd: int
    clients: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelState:
    """The part of the state that only kernels have.

    Attributes
    ----------
    connection_file
        Its absolute path.
    owns_connection_file
        Whether the kernel removes the file at its end.
    plain_debugger
        Whether the kernel has ipykernel's own debugger.
    early_embed
        Whether IPython has imported ``IPython.terminal.embed``.
    subshells
        The ids of its subshells.
    listeners
        The sockets at which clients wait meanwhile.
    requests
        The unanswered requests of each channel.
    cells
        The cells to run again, as `ipython.policy.to_plain` returns them; None if there are none.
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
    """The part of the state that only terminals have.

    Attributes
    ----------
    typed
        The half-typed text at the prompt.
    cells
        The cells to run again, as in `KernelState`.
    """

    typed: str
    cells: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramState:
    """The part of the state that only plain programs have.

    Attributes
    ----------
    pid
        The process id, which tells the program from a child with the same environment.
    folder
        The folder in which the program was started.
    inherited
        Descriptors that the program was given by its parent, each with device and inode.
    kept
        Descriptors of sockets that stay open.
    since_ns
        When the new image began, in nanoseconds since 1970.
    """

    pid: int
    folder: str
    inherited: tuple[tuple[int, int, int], ...]
    kept: tuple[int, ...]
    since_ns: int


@dataclass(frozen=True, slots=True)
class Carried:
    """The whole state.

    Attributes
    ----------
    process
        The part that every image needs.
    supervisors
        Those that continue.
    own
        The part of this kind of process.
    trouble
        The error because of which something may be lost, or nothing.
    entry
        The function that the bootstrap calls with the state, as ``module:function``.
    """

    process: ProcessState
    supervisors: tuple[SupervisorState, ...]
    own: KernelState | TerminalState | ProgramState
    trouble: str = ""
    entry: str = "ipy_autorestart.extension:arrive"

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors in it, which stay open over the exec."""
        match self.own:
            case KernelState(listeners=listeners):
                own = tuple(listener.fd for listener in listeners)
            case TerminalState():
                own = ()
            case ProgramState(kept=kept):
                own = kept
        return (*(supervisor.link for supervisor in self.supervisors), *own)

    def write(self, fd: int) -> None:
        """Write it to a file, which stays open, and rewind that."""
        attachment: list[bytes] = []
        text = to_json(self, attachment)
        with open(fd, "wb", closefd=False) as file:
            file.write(text.encode() + b"\n")
            file.writelines(attachment)
        os.lseek(fd, 0, os.SEEK_SET)

    @classmethod
    def read(cls, fd: int) -> Carried:
        """Read it from a file, and close that; raises ValueError if the file has anything else."""
        with open(fd, "rb") as file:
            return from_json(cls, file.readline(), file.read())

    def keep_from_children(self) -> None:
        """Make the descriptors non-inheritable again, now that the exec is over."""
        for fd in self.fds:
            os.set_inheritable(fd, False)  # noqa: FBT003  # the name says it
