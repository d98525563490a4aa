"""Keeps a fork server ready for a script, with the modules that runs have imported; replaces it when it is outdated."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from ipy_autorestart import catalogue
from ipy_autorestart.decide.events import Preloading
from ipy_autorestart.script.forkserver import LATE, ForkServer, Preloads
from ipy_autorestart.script.installed import Installed
from ipy_autorestart.script.policy import (
    APART_MAX,
    Warmth,
    complete_at,
    expected,
    imported,
    make_at,
    misfitted,
    recent,
    started_cold,
)
from ipy_autorestart.script.program import Program
from ipy_autorestart.script.run import Run

log = logging.getLogger(__name__)

#: Seconds after a start until the next run is forked ahead: the run that has just begun needs the processor more.
PARK_AFTER = 0.02

#: Seconds to wait for a fork on demand; a cold start is quicker than a longer wait.
FORK_MAX = 0.1

#: Seconds of silence after which a fork server is taken to hang: in an import, and in a fork.
IMPORT_MAX, ANSWER_MAX = 120.0, 5.0

#: Modules that are named in the status because their import fails ahead of the script.
NAMED_MAX = 3

#: Seconds between two looks at a fork server.
LOOKED_AT = 1.0


class Reports(Protocol):
    """What runs have reported; as in `ReportPipe`."""

    begun: bool
    imported: list[str]
    read_below: set[str]
    changes_environment: str
    late: set[str]
    wants_cold: tuple[str, str] | None


class Preloader:
    """The fork servers of one script: the one in use, and the next one while it is made.

    Modules of these ``names`` are imported ahead even if no run has imported them, ``never`` those; ``make`` starts a
    fork server. What runs don't import any more is not imported ahead either if it ``forgets``. If it ``follows``, the
    first one imports at the same time as the run, and is ready soon after that has its imports done.
    """

    def __init__(
        self,
        program: Program,
        names: Sequence[str] = (),
        *,
        never: Sequence[str] = (),
        forgets: bool = True,
        follows: bool = False,
        make: Callable[[Program, Preloads], ForkServer] = ForkServer,
    ) -> None:
        self._program = program
        self._start_server = make
        self._names = tuple(names)
        self._never = tuple(never)
        self._folder = folder_of(program)
        self._warmth = Warmth()
        self._learnt: dict[str, int] = {}  # files of modules that runs have imported, and which run has done so last
        self._gave_way: Reports | None = None  # those of the run that has asked for a cold one last
        self._forgets = forgets
        self._follows = follows
        self._beside: set[str] = set()  # names that the next fork server knows to be the script's own
        self._run = 0
        self._own: set[str] = set()  # names of watched modules that runs have read
        self._read_count = 0
        self._environment_change = ""
        self._late: set[str] = set()  # those that are imported after it
        self._is_late_over = False  # whether no more of these are to be imported ahead
        self._is_possible = False  # whether a run has reported: without the shim there is nothing to park
        self._server: ForkServer | None = None
        self._next: ForkServer | None = None  # while it imports
        self._installed: Installed | None = None  # what the one has imported
        self._next_installed: Installed | None = None
        self._park_at = 0.0  # nothing is due before
        self._memory_bytes = 0

    def start(self, changed: Iterable[str], *, lossless: bool, guard: Callable[[int], None]) -> Run | None:
        """Let a run that was forked ahead begin, as files have changed; return None if the run must start cold.

        ``guard`` is called with the run's process group before it begins.
        """
        server = self._server
        self._run += 1
        self._park_at = time.monotonic() + PARK_AFTER
        if server is None or not server.is_alive or self._is_stale():
            return None
        if server.names.intersection(map(_stem, changed)) or self.is_shadowed:
            self.close()
            self._unlearn()
            self._own.clear()
            self._warmth = replace(self._warmth, learnt=0, made=None, learnt_at=time.monotonic())
            return None
        run = server.go(lossless=lossless, within=FORK_MAX, guard=guard)
        if run and self._warmth.failures:
            self._warmth = replace(self._warmth, failures=0)
        return run

    def renew(self, program: Program) -> None:
        """Have no more runs of the program as it was."""
        self._program = program
        self._warmth = replace(self._warmth, stale=True, learnt_at=time.monotonic())

    @property
    def is_shadowed(self) -> bool:
        """Whether the script now has a module of its own with the name of one that was imported ahead."""
        return self._server is not None and bool(importable(self._folder, self._server.names))

    @property
    def source(self) -> int | None:
        """The process from which a run would be forked now, with all imported and up to date; None if there is none."""
        is_there = self._server is not None and self._server.is_alive and not self._is_stale()
        return self._server.pid if is_there and self._server else None

    @property
    def has_parked(self) -> bool:
        """Whether a run waits that was forked ahead, from a process with all imported and up to date."""
        return self.source is not None and self._server is not None and self._server.has_parked

    def note_cold(self) -> None:
        """Note that a run starts without a fork server."""
        self._warmth = started_cold(self._warmth, time.monotonic())

    def preloading(self) -> Preloading | None:
        """Return when the fork server that is being made will be ready, if a run would start cold until then."""
        serves = self._server is not None and self._server.is_alive and not self._warmth.stale
        return None if self._next is None or serves else expected(self._warmth, follows=self._next.is_following)

    def _is_stale(self) -> bool:
        if self._installed is not None and self._installed.has_changed:
            self._warmth = replace(self._warmth, stale=True, learnt_at=time.monotonic())
        return self._warmth.stale

    def learn(self, reports: Reports) -> None:
        """Learn from the reports of a run."""
        self._is_possible = self._is_possible or reports.begun
        self._environment_change = reports.changes_environment or self._environment_change
        if len(reports.read_below) != self._read_count:
            self._read_count = len(reports.read_below)
            self._own.update(_stem(path) for path in reports.read_below if path.endswith(".py"))
        if reports.wants_cold and reports is not self._gave_way:
            self._gave_way = reports
            self._warmth = misfitted(self._warmth, *reports.wants_cold, time.monotonic())
            self._unlearn()  # the cold run in its place tells what is the same in each
        if reports.imported:
            self._warmth = imported(self._warmth, time.monotonic())
        before = len(self._learnt)
        self._learnt.update((path, self._run) for path in reports.imported if self._is_learnt(path, reports.late))
        reports.imported.clear()
        if len(self._learnt) > before:
            self._warmth = replace(self._warmth, learnt=len(self._learnt), learnt_at=time.monotonic())

    def _is_learnt(self, path: str, late: Container[str]) -> bool:
        """Return whether a module is to be imported ahead; of what is imported late, all before compiled code."""
        if path in self._learnt or path not in late:
            return True
        if not self._is_late_over:
            self._late.add(path)
        return not self._is_late_over

    def _end_late(self, path: str) -> None:
        """Import ahead nothing that is imported late, from one on."""
        paths = list(self._learnt)
        for one in paths[paths.index(path) :] if path in self._learnt else paths:
            if one in self._late:
                del self._learnt[one]
        self._is_late_over = True

    def _unlearn(self) -> None:
        self._learnt.clear()
        self._late.clear()
        self._is_late_over = False

    def keep_up(self, now: float, *, running: bool) -> None:
        """Do what is due: drop a fork server that has ended, put the next one in place, make one, fork ahead."""
        if now < self._park_at:
            return
        self._drop_ended(now)
        if self._next and self._next.is_following:
            self._lead(self._next, now, running=running)
        if self._next and self._next.is_ready:
            self._put_in_place(self._next)
            self._warmth = replace(self._warmth, took=now - self._warmth.made_at)
        self._forget()
        due = self._make_at(running=running)
        if due is not None and due <= now:
            self._make(now, follows=self._follows and running and self._server is None)
        if self._server and not self._is_stale():
            self._server.park()

    def _lead(self, server: ForkServer, now: float, *, running: bool) -> None:
        """Let a fork server import what the run has imported since, and get ready if that was all."""
        made = self._warmth.made or 0
        if self._warmth.learnt > made:
            new = list(self._learnt)[made:]
            if self._next_installed:
                self._next_installed.add(map(_source_of, new))
            server.follow(map(self._marked, new))
            self._warmth = replace(self._warmth, made=self._warmth.learnt)
        elif complete_at(self._warmth, running=running) <= now:
            server.complete()

    def _forget(self) -> None:
        """Let the next fork server do without what runs have not imported for long, if this one has imported that."""
        if self._server is None or self._next or not self._forgets:
            return
        used = recent(self._learnt, self._run)
        if not set(used).issuperset(path for path in self._server.asked if path in self._learnt):
            self._learnt = {path: self._learnt[path] for path in used}
            self._warmth = replace(self._warmth, learnt=len(used), made=None)

    def _put_in_place(self, server: ForkServer) -> None:
        """Fork from this server, which has imported all, instead of the one before."""
        for outdated in (self._server, self._installed):
            if outdated:
                outdated.close()
        self._server, self._next = server, None
        python = self._program.python
        self._installed = Installed((*server.files, python, os.path.realpath(python)), server.opened)
        is_shadowed = not server.names.isdisjoint(self._own - self._beside)  # by what the run has come to since
        if is_shadowed or (self._next_installed and self._next_installed.has_changed):  # while it imported
            self._warmth = replace(self._warmth, stale=True, learnt_at=time.monotonic())
        self._memory_bytes = server.memory_bytes

    def due_at(self, now: float, *, running: bool) -> float | None:
        """Return when `keep_up` has something to do."""
        moments = [now + LOOKED_AT] if self._server or self._next else []
        if (due := self._make_at(running=running)) is not None:
            moments.append(due)
        if self._next and self._next.is_following:
            moments.append(complete_at(self._warmth, running=running))
        if now < self._park_at:
            moments.append(self._park_at)
        return max(min(moments), self._park_at) if moments else None

    def _make_at(self, *, running: bool) -> float | None:
        if self._next or not self._is_possible:
            return None
        return make_at(self._warmth, alive=self._server is not None, running=running, follows=self._follows)

    def _make(self, now: float, *, follows: bool) -> None:
        self._beside = self._own | importable(self._folder)
        plan = Preloads(
            follows=follows,
            paths=tuple(map(self._marked, self._learnt)),
            names=self._names,
            unfit=(*self._never, *(name for name, _ in self._warmth.unfit)),
            apart=self._warmth.apart,
            beside=tuple(sorted(self._beside)),
        )
        if self._warmth.stale and self._server:  # no run may be forked from it any more
            self._server.close()
            self._server = None
        pause = self._warmth.pause if self._warmth.stale else 2 * self._warmth.pause
        self._warmth = replace(
            self._warmth, made=len(self._learnt), made_at=now, pause=min(pause, APART_MAX), stale=False
        )
        if self._next_installed:
            self._next_installed.close()
        # Watched from before the first import on: a change during one may or may not be in it.
        self._next_installed = Installed(map(_source_of, self._learnt))
        try:
            self._next = self._start_server(self._program, plan)
        except OSError as error:
            log.warning("the fork server can't be started: %s", error)
            self._warmth = replace(self._warmth, failures=self._warmth.failures + 1)

    def _marked(self, path: str) -> str:
        return LATE + path if path in self._late else path

    def _drop_ended(self, now: float) -> None:
        for server in filter(None, (self._server, self._next)):
            limit = ANSWER_MAX if server.is_ready else IMPORT_MAX
            if server.is_awaited and now - server.heard_at > limit:
                server.give_up(catalogue.IMPORT_SLOW())
            if server.is_alive:
                continue
            if server is self._next:
                self._next = None
            else:
                self._server = None
            if server.late:
                self._end_late(server.late)
                self._warmth = replace(self._warmth, learnt=len(self._learnt), made=None)
            elif server.unfit:
                name, why = server.unfit
                unfit = (*self._warmth.unfit, (name.partition(".")[0], why))
                self._warmth = replace(self._warmth, unfit=unfit, made=None)
            else:
                self._warmth = replace(self._warmth, failures=self._warmth.failures + 1, made=None)

    def readers(self) -> list[ForkServer]:
        """Return the fork servers that are there."""
        return [server for server in (self._server, self._next) if server and server.is_alive]

    def streams(self) -> list[ForkServer | Installed]:
        """Return what to wait for: fork servers, and changes of what they have imported."""
        return [*self.readers(), *([self._installed] if self._installed else [])]

    def pids(self) -> list[int]:
        """Return the processes of the fork servers."""
        return [pid for server in self.readers() for pid in server.pids()]

    def describe(self) -> str:
        """Return which modules are imported ahead, which are not, and why."""
        parts = []
        if self._server:
            memory = f", {self._memory_bytes / 1e6:.0f} MB" if self._memory_bytes else ""
            parts.append(catalogue.IMPORTED_AHEAD(count=len(self._server.files), memory=memory))
        if self._warmth.is_given_up:
            parts.append(catalogue.NO_WARM_START())
        elif self._next or self._warmth.stale:
            parts.append(catalogue.WARM_IS_MADE())
        failed = list(self._server.failed.items())[:NAMED_MAX] if self._server else []
        raised = [(name, catalogue.IMPORT_RAISES(error=error)) for name, error in failed]
        parts += [catalogue.LEFT_TO_THE_RUN(module=name, why=why) for name, why in (*self._warmth.unfit, *raised)]
        if self._is_late_over:
            parts.append(catalogue.AFTER_A_VARIABLE(variable=self._environment_change))
        return "; ".join(parts)

    def close(self) -> None:
        """End the fork servers."""
        for part in (self._server, self._next, self._installed, self._next_installed):
            if part:
                part.close()
        self._server = self._next = None
        self._installed = self._next_installed = None


def folder_of(program: Program) -> str:
    """Return the folder, or the archive, that becomes ``sys.path[0]``."""
    first, *_ = program.argv
    if program.home:
        return program.home
    if first == "-m":
        return program.cwd
    path = os.path.join(program.cwd, first)
    is_first = os.path.isdir(path) or (not path.endswith(".py") and _packed(path) is not None)
    return path if is_first else os.path.dirname(os.path.realpath(path))


def _source_of(path: str) -> str:
    """Return where the source of a compiled file probably lies: in the folder above its cache."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.dirname(folder) if os.path.basename(folder) == "__pycache__" else folder, name)


def importable(folder: str, names: Container[str] | None = None) -> set[str]:
    """Return the top-level names, or which of some, that a folder or an archive offers before any other.

    A folder without `__init__` offers nothing: namespace packages come last.
    """
    try:
        entries = os.listdir(folder)
    except NotADirectoryError:
        entries = _packed(folder) or []
    except OSError:
        return set()
    found = set()
    for entry in entries:
        stem, _, suffix = entry.partition(".")
        if names is not None and stem not in names:
            continue
        if suffix.endswith(("py", "pyc", "so")) or (not suffix and os.path.exists(f"{folder}/{entry}/__init__.py")):
            found.add(stem)
    return found


def _packed(path: str) -> list[str] | None:
    """Return what an archive holds at its top, packages as modules; None if it is none."""
    import zipfile  # not for every script: it takes milliseconds

    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.replace("/__init__.", ".") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return None
    return [name for name in names if "/" not in name]


def _stem(path: str) -> str:
    """Return the name under which a file may be imported."""
    folder, name = os.path.split(path)
    stem = name.partition(".")[0]
    return os.path.basename(folder) if stem == "__init__" else stem
