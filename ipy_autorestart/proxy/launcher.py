"""Starts kernels for a proxy: forked from a process that has their modules imported, or cold."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ipy_autorestart.memory import ENDED_NEXT, expose
from ipy_autorestart.reexec import STATE
from ipy_autorestart.reexec.commandline import BOOTSTRAP, split
from ipy_autorestart.reexec.process import ProcessState
from ipy_autorestart.script.program import Program, prefixes
from ipy_autorestart.script.run import Run, start_cold

if TYPE_CHECKING:
    from ipy_autorestart.script.forkserver import ForkServer, Preloads
    from ipy_autorestart.script.preloader import Preloader, Reports

#: A kernel imports the first ones when somebody debugs; they print, and start a program. The others look for a shell,
#: without which no figure comes to its cell. What else does so is found out, which takes one more start.
NEVER = ("debugpy", "_pydevd_bundle", "ipykernel.debugger", "matplotlib_inline", "ipywidgets")

#: Seconds that a kernel may be kept waiting for what is imported ahead.
PRELOAD_MAX = 20.0


@dataclass(slots=True)
class Learnt:
    """What all kernels so far have reported, as far as another fork server is to know it."""

    begun: bool = False
    imported: list[str] = field(default_factory=list)
    read_below: set[str] = field(default_factory=set)
    changes_environment: str = ""
    late: set[str] = field(default_factory=set)
    wants_cold: tuple[str, str] | None = None


class Launcher:
    """Starts kernels, each from the same command line in the same surroundings as the first image of the process.

    Where no memory is left, the system ends what was started here before a kernel that has cells to lose.

    Parameters
    ----------
    python
        The interpreter.
    start
        The path of a file with the state that a kernel reads at its start.
    first
        How the first image of the process was started.
    roots
        Watched files and folders; a kernel reports what it uses of them, and nothing there is imported ahead.
    """

    def __init__(self, python: str, start: str, first: ProcessState, roots: Iterable[str]) -> None:
        line = split(first.argv[1:])
        environment = {**first.environment, STATE: start}
        if "JPY_PARENT_PID" in environment:  # by which a kernel notices the end of its parent
            environment["JPY_PARENT_PID"] = str(os.getpid())
        folder = first.folder if os.path.isdir(first.folder) else os.path.expanduser("~")
        self._program = Program(
            python=python,
            flags=line.flags,
            argv=(BOOTSTRAP, *([line.how] if line.how else []), line.what, *line.args),
            cwd=folder,
            environment=environment,
            roots=tuple(prefixes(roots)),
            stdio=(0, 1, 2),
            home=folder,
        )
        self._preloader: Preloader | None = None
        self._learnt = Learnt()
        self._reports: list[Reports] | None = None  # what is to be learnt as soon as it may import ahead
        self._goes_on = True  # whether a kernel may still import what the next ones are to have
        self._first: ForkServer | None = None  # where all was known that it is to import
        self._first_until = 0.0

    def watch(self, roots: Iterable[str]) -> None:
        """Have kernels report what they use of these, from the next one on."""
        now = tuple(prefixes(roots))
        if now == self._program.roots:
            return
        self._program = replace(self._program, roots=now)
        if self._preloader:
            self._preloader.close()
            self._begin([replace(self._learnt, imported=list(self._learnt.imported))])

    def learn(self, reports: Reports) -> None:
        """Learn from what a kernel has reported."""
        if self._preloader is None and self._reports is None:
            return
        self._learnt.begun = self._learnt.begun or reports.begun
        self._learnt.imported = list(dict.fromkeys((*self._learnt.imported, *reports.imported)))
        self._learnt.late |= reports.late
        if self._preloader:
            self._preloader.learn(reports)
        elif self._reports is not None:
            self._reports.append(reports)

    def preload(self, environment: Mapping[str, str]) -> None:
        """Import ahead from `begin` on, for modules that are to find variables as kernels set them."""
        if self._preloader is None and self._reports is None:
            self._program = replace(self._program, environment={**self._program.environment, **environment})
            self._reports = []

    def begin(self, *, complete: bool) -> None:
        """Begin to import ahead if that is wanted; clients, whom our own imports would delay, are answered by then.

        ``complete`` says that the kernel has run its cells, and what it has imported is all that there is for now.
        """
        if self._reports is not None:
            self._goes_on = not complete
            reports, self._reports = self._reports, None
            self._begin(reports)

    def _begin(self, reports: Iterable[Reports]) -> None:
        from ipy_autorestart.script.preloader import Preloader

        self._preloader = Preloader(self._program, never=NEVER, forgets=False, make=_fork_server)
        for each in reports:
            self._preloader.learn(each)

    @property
    def has_parked(self) -> bool:
        """Whether `start_forked` has one that need not be waited for."""
        return self._preloader is not None and self._preloader.has_parked

    def start_forked(self) -> Run | None:
        """Start a kernel that was forked ahead; None if there is none."""
        return self._preloader.start((), lossless=False, guard=lambda _: None) if self._preloader else None

    def start_cold(self) -> Run:
        """Start a kernel without anything imported ahead; raises OSError."""
        if self._preloader:
            self._preloader.note_cold()
        folder = self._program.cwd
        is_there = os.path.isdir(folder)
        run = start_cold(self._program if is_there else replace(self._program, cwd=os.path.expanduser("~")))
        expose(run.pid, ENDED_NEXT)
        return run

    @property
    def source(self) -> int | None:
        """The process from which a kernel would be forked now; None if there is none that is up to date."""
        return self._preloader.source if self._preloader else None

    @property
    def is_shadowed(self) -> bool:
        """Whether a module that was imported ahead isn't the one that a fresh start would find."""
        return self._preloader is not None and self._preloader.is_shadowed

    def readers(self) -> list[ForkServer]:
        """Return the processes to hear from."""
        return self._preloader.readers() if self._preloader else []

    def keep_up(self) -> None:
        """Do what is due."""
        if self._preloader:
            self._preloader.keep_up(time.monotonic(), running=self._goes_on)
            if not self._goes_on and (made := self._preloader.readers()):
                self._goes_on, self._first = True, made[0]
                self._first_until = time.monotonic() + PRELOAD_MAX

    @property
    def is_preloading(self) -> bool:
        """Whether a process to fork from imports all that the next kernel needs, which would take that no less long."""
        is_made = self._first is not None and self._first.is_alive and not self._first.is_ready
        return is_made and time.monotonic() < self._first_until

    def due_at(self, now: float) -> float | None:
        """Return when `keep_up` has something to do."""
        return self._preloader.due_at(now, running=self._goes_on) if self._preloader else None

    def close(self) -> None:
        """End what is there to fork from."""
        if self._preloader:
            self._preloader.close()


def _fork_server(program: Program, plan: Preloads) -> ForkServer:
    from ipy_autorestart.script.forkserver import ForkServer

    server = ForkServer(program, plan)
    expose(server.pid, ENDED_NEXT)  # and by that what it forks
    return server
