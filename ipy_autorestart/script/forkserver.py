"""A fork server, seen from the supervisor: a process that has imported a script's modules and forks its runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import termios
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ipy_autorestart import catalogue
from ipy_autorestart.protocol.link import ready
from ipy_autorestart.script.pipes import Ends, ends
from ipy_autorestart.script.program import Program
from ipy_autorestart.script.run import Run, environment, spawn

#: No message is larger; the second one says that a run has imported what it needs.
MESSAGE_BYTES, NO_MORE = 1 << 16, b"."


#: Before the path of a module that a run imports after it has changed its environment.
LATE = "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preloads:
    """Modules that a fork server imports ahead.

    Attributes
    ----------
    follows
        More modules are to come, by `ForkServer.follow`, before it is to be ready.
    paths
        Files of modules that runs have imported, in their order; `LATE` stands before those that are imported after a
        change of the environment.
    names
        Modules by name, in any case.
    unfit
        Modules that only a run may import; of a package, all that is in it.
    apart
        Those of them that may not be imported by other modules either.
    beside
        Top-level modules in the script's folder or in watched ones, which go before installed ones.
    """

    follows: bool = False
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


@dataclass(slots=True)
class Parked:
    """A run that waits before the first line of its script."""

    pid: int
    go: int
    ends: Ends

    def close(self) -> None:
        """End it: it exits at the end of its pipe."""
        os.close(self.go)
        self.ends.close()


class ForkServer:
    """A process whose other side is in `shim/_ipy_autorestart_forkserver.py`.

    Attributes
    ----------
    is_ready
        All modules are imported, and it forks on request.
    unfit
        The module that made it give up, and the reason.
    late
        The file that made it give up, as with it compiled code is imported after a change of the environment.
    heard_at
        Time of its last message, or of the last request.
    files, asked, names, failed, opened
        Once it is ready: files of all modules, those of the modules that it has imported for themselves, top-level
        names, modules that could not be imported with the reason, and what else was opened, with its state then
        (`pipes.state_of`).
    """

    def __init__(self, program: Program, plan: Preloads) -> None:
        self.is_ready = False
        self.unfit: tuple[str, str] | None = None
        self.late = ""
        self.files: tuple[str, ...] = ()
        self.asked: tuple[str, ...] = ()
        self.names: frozenset[str] = frozenset()
        self.failed: dict[str, str] = {}
        self.opened: dict[str, str] = {}
        self.heard_at = time.monotonic()
        self._program = program
        self._importing = ""
        self._parked: Parked | None = None
        self._asked: Parked | None = None  # one that is being forked
        self._follows = plan.follows
        self._to_import: list[str] = []  # files of modules that it is yet to be told of
        self._unimported = 1  # how many messages with such are not done
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(0)
        self._plan = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
        lines = (
            *(("name", name) for name in plan.names),
            *(("unfit", name) for name in plan.unfit),
            *(("apart", name) for name in plan.apart),
            *(("path", path) for path in plan.paths),
            *([("follows", "")] if plan.follows else []),
            *(("beside", name) for name in plan.beside),
            ("cwd", program.cwd),
            ("module", program.argv[1] if program.argv[0] == "-m" else ""),
        )
        self._plan.writelines(f"{kind} {value}\n" for kind, value in lines if "\n" not in value)
        self.pid = self._spawn(program, theirs)

    def _spawn(self, program: Program, theirs: socket.socket) -> int:
        printed, stdio = _stand_in(program.stdio)
        self._plan.write(f"output {printed}\n")
        self._plan.flush()
        self._plan.seek(0)
        with theirs:
            try:
                control, plan = theirs.fileno(), self._plan.fileno()
                variables = environment(program, control, plan=plan)
                return spawn(program, stdio, (control, plan, printed), variables)
            except BaseException:
                self._socket.close()
                self._plan.close()
                raise
            finally:
                for fd in (printed, *stdio):
                    os.close(fd)

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._socket.fileno() >= 0

    @property
    def is_awaited(self) -> bool:
        """Whether it owes an answer."""
        return not (self.is_ready or self.is_following) or self._asked is not None

    @property
    def is_following(self) -> bool:
        """Whether it has imported all that it was told to, and waits for more."""
        return self._follows and not (self._unimported or self._to_import)

    def follow(self, paths: Iterable[str]) -> None:
        """Have it import more modules, given by their files."""
        self._to_import += [path for path in paths if "\n" not in path]
        self._tell()

    def _tell(self) -> None:
        while self._to_import and self.is_alive:
            size = count = 0
            for path in self._to_import:
                size += len(os.fsencode(path)) + 1
                if size > MESSAGE_BYTES:
                    break
                count += 1
            try:
                self._socket.send(os.fsencode("\n".join(self._to_import[:count])))
            except BlockingIOError:  # it imports, and says when it has done so
                return
            except OSError:
                self.give_up(catalogue.IMPORT_ENDED())
                return
            self.heard_at = time.monotonic()
            self._unimported += 1
            del self._to_import[:count]

    def complete(self) -> None:
        """Let it get ready, if it is following: that was all."""
        if self.is_following:
            self._follows = False
            self.heard_at = time.monotonic()
            with contextlib.suppress(OSError):  # its end is heard of
                self._socket.send(NO_MORE)

    @property
    def has_parked(self) -> bool:
        """Whether a run waits to be let go."""
        return self._parked is not None

    @property
    def memory_bytes(self) -> int:
        """Its proportional share of the machine's memory (PSS), 0 if unknown."""
        with contextlib.suppress(OSError, ValueError, StopIteration), open(f"/proc/{self.pid}/smaps_rollup") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        return 0

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    def read(self) -> None:
        """Take its messages; at their end it is closed."""
        while self.is_alive:
            try:
                data = self._socket.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if not data:
                self.give_up(catalogue.IMPORT_ENDED())
                return
            self._take(*data.decode("utf-8", "surrogateescape").split(" ", 2))

    def _take(self, kind: str, *fields: str) -> None:
        self.heard_at = time.monotonic()
        match kind:
            case "importing":
                self._importing = fields[0]
            case "imported":
                self._importing = ""
                self._unimported -= 1
                self._tell()
            case "unfit":
                self.unfit = (fields[0], fields[1])
            case "late":
                self.late = " ".join(fields)
            case "ready":
                self._importing = ""
                self._plan.seek(0)
                found: dict[str, list[str]] = {}
                for line in self._plan:  # which holds the result now
                    word, _, value = line.rstrip("\n").partition(" ")
                    found.setdefault(word, []).append(value)
                self._plan.close()
                self.files = tuple(found.get("file", ()))
                self.asked = tuple(found.get("asked", ()))
                self.names = frozenset(found.get("name", ()))
                self.failed = dict(value.rsplit(" ", 1) for value in found.get("failed", ()))
                self.opened = {path: state for state, _, path in (one.partition(" ") for one in found.get("read", ()))}
                self.is_ready = True
            case "forked" if self._asked:
                self._asked.pid = int(fields[0])
            case "parked" if self._asked:
                self._parked, self._asked = self._asked, None

    def pids(self) -> tuple[int, ...]:
        """Return its processes: itself, and the run that is forked ahead, of which it tells before that is adopted."""
        self.read()
        return (self.pid, *(one.pid for one in (self._parked, self._asked) if one))

    def park(self) -> None:
        """Have a run forked ahead if there is none."""
        if self._parked or self._asked or not self.is_ready or not self.is_alive:
            return
        with contextlib.suppress(OSError):  # no more descriptors are to be had now
            self._park()

    def _park(self) -> None:
        with ends(self._program) as (ours, theirs):
            go_read, go = os.pipe()
            self._asked = Parked(0, go, ours)
            self.heard_at = time.monotonic()
            try:
                socket.send_fds(self._socket, [b"p"], [go_read, *theirs.stdio, *theirs.others])
            except OSError:
                self.give_up(catalogue.IMPORT_ENDED())
            finally:
                os.close(go_read)

    def go(self, *, lossless: bool, within: float, guard: Callable[[int], None]) -> Run | None:
        """Let the parked run begin, or one that is forked ``within`` some seconds; return None if there is none.

        ``guard`` is called with its process group before it begins.
        """
        self.park()
        deadline = time.monotonic() + within
        while self._asked and self.is_alive and (left := deadline - time.monotonic()) >= 0:
            ready([self], [], left)
            self.read()
        parked, self._parked = self._parked, None
        if parked is None:
            return None
        guard(parked.pid)
        try:
            os.write(parked.go, b"g")  # last, as the run may take this process's place on the processor
        except BrokenPipeError:  # it was killed while it waited
            parked.close()
            return None
        os.close(parked.go)
        return Run(parked.pid, parked.ends, lossless=lossless)

    def close(self) -> None:
        """End it, and the run that is parked."""
        if not self.is_alive:
            return
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # if reaped, the number is another's
            os.kill(self.pid, signal.SIGKILL)
        self._socket.close()
        self._plan.close()
        for parked in filter(None, (self._parked, self._asked)):
            parked.close()
        self._parked = self._asked = None

    def give_up(self, why: str) -> None:
        """End it because of the import that it is busy with, if any."""
        if self._importing and not self.unfit and not self.late:
            self.unfit = (self._importing, why)
        self.close()


def _stand_in(stdio: tuple[int, int, int] | None) -> tuple[int, tuple[int, int, int]]:
    """Return a descriptor from which anything printed can be read, and three streams of the kind that runs will have.

    Python at its start, and modules at their import, ask whether these are a terminal, and how wide. So they are either
    a terminal that nobody sees or a pipe.
    """
    stdin = -1
    if stdio and os.isatty(stdio[1]) and os.isatty(stdio[2]):
        printed, output = os.openpty()
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetwinsize(output, termios.tcgetwinsize(stdio[1]))
        if os.isatty(stdio[0]):
            stdin = os.dup(output)
    else:
        printed, output = os.pipe()
    if stdin < 0:
        stdin = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    return printed, (stdin, output, os.dup(output))
