"""The state that is handed over an exec: the old image of a process writes it as one value, the new one reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from ipy_autorestart.protocol.messages import Decided, Keyed, Ran, Status
from ipy_autorestart.protocol.plain import from_json
from ipy_autorestart.protocol.request import Request
from ipy_autorestart.reexec.process import Filed, Frames, ListeningSocket, ProcessState


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorState:
    """A supervisor that continues while its session is replaced, with what it has reported."""

    link: int  # the descriptor of the session's end
    hangups: int  # the descriptor that tells of its SIGHUPs, see `client.process`
    received: bytes  # the beginning of a record whose rest has not arrived yet
    pid: int
    request: Request
    label: str  # the session's name for it
    screen: Mapping[str, Any] | None  # the state of its screen, as plain data
    status: Status
    runs: tuple[Ran, ...]
    decisions: tuple[Decided, ...]
    keyed: Keyed | None = None  # of a cluster that it pushes to

    @property
    def fds(self) -> tuple[int, int]:
        """The descriptors in it; it ends with the first."""
        return self.link, self.hangups


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelState:
    """The part of the state that only kernels have."""

    connection_file: str  # its absolute path
    connection: Mapping[str, Any]  # what is in that file, or should be
    owns_connection_file: bool  # whether the kernel removes it at its end
    plain_debugger: bool  # whether that is ipykernel's own
    early_embed: bool  # whether IPython has imported ``IPython.terminal.embed``
    subshells: tuple[str, ...]  # their ids
    listeners: tuple[ListeningSocket, ...]  # clients wait there meanwhile
    requests: Mapping[str, tuple[Frames, ...]]  # the unanswered ones of each channel
    gaps: tuple[float, ...]  # as in `ipython.policy.Pace`
    cells: Mapping[str, Any] | None  # those to run again, as `ipython.ledger.to_plain` returns them
    no_proxy: str = ""  # why there is none, though one was wanted
    comms: tuple[str, ...] = ()  # ids of those that are open
    left_at: float = 0.0  # when it stopped answering, on the clock of all processes
    undoes: bool = False  # whether a person asked to go back, so that nothing runs again
    grows: bool = False  # whether the steps of `cells` are added behind the state, a line for each


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyState:
    """What a kernel needs that starts behind a proxy, which is its parent."""

    folder: str  # has the proxy's sockets
    connection_file: str  # as in `KernelState`, and so on
    connection: Mapping[str, Any]
    plain_debugger: bool
    early_embed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalState:
    """The part of the state that only terminals have."""

    typed: str  # half-typed text at the prompt
    cells: Mapping[str, Any] | None  # as in `KernelState`


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramState:
    """The part of the state that only plain programs have."""

    pid: int  # tells the program from a child with the same environment
    inherited: tuple[tuple[int, int, int], ...]  # descriptors from its parent, each with device and inode
    kept: tuple[int, ...]  # descriptors of sockets that stay open
    since_ns: int  # when the new image began, since 1970
    ports: tuple[int, ...] = ()  # descriptors of sockets that wait for the program to bind their addresses
    file: str = ""  # as in `start.ProgramStart`
    failed: str = ""  # the exception that has ended it, for which its process is to wait for a change


@dataclass(frozen=True, slots=True)
class Carried(Filed):
    """The whole state."""

    process: ProcessState
    supervisors: tuple[SupervisorState, ...]
    own: KernelState | StandbyState | TerminalState | ProgramState
    trouble: str = ""  # the error because of which something may be lost
    entry: str = "ipy_autorestart.extension:arrive"  # the bootstrap calls this with the state

    @classmethod
    def read(cls, file: int | str) -> Self:
        """Read it, with what was added; raises ValueError if there is anything else."""
        with open(file, "rb") as carrier:
            first, rest = carrier.readline(), carrier.read()
        carried = from_json(cls, first, rest)
        own = carried.own
        if not isinstance(own, KernelState) or not own.grows or own.cells is None:
            return carried
        *lines, _ = rest.split(b"\n")  # the last one may be of a kernel that has died while it wrote
        return replace(carried, own=replace(own, cells={**own.cells, "steps": list(map(json.loads, lines))}))

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors in it, which stay open over the exec."""
        match self.own:
            case KernelState(listeners=listeners):
                own = tuple(listener.fd for listener in listeners)
            case TerminalState() | StandbyState():
                own = ()
            case ProgramState(kept=kept, ports=ports):
                own = (*kept, *ports)
        return (*(fd for supervisor in self.supervisors for fd in supervisor.fds), *own)

    def renumbered(self, fds: Sequence[int]) -> Carried:
        """Return it as another process has it, in which its descriptors have these numbers, in the order of `fds`."""
        numbers = dict(zip(self.fds, fds, strict=True))
        supervisors = (replace(one, link=numbers[one.link], hangups=numbers[one.hangups]) for one in self.supervisors)
        own = self.own
        match own:
            case KernelState(listeners=listeners):
                own = replace(own, listeners=tuple(replace(one, fd=numbers[one.fd]) for one in listeners))
            case ProgramState(kept=kept, ports=ports):
                own = replace(own, kept=tuple(numbers[fd] for fd in kept), ports=tuple(numbers[fd] for fd in ports))
        return replace(self, supervisors=tuple(supervisors), own=own)
