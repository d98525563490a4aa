"""A plain program restarts itself in place after a SIGHUP, as soon as its main thread can be interrupted."""

from __future__ import annotations

import atexit
import contextlib
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

from ipy_autorestart import catalogue
from ipy_autorestart.client.supervisor import Supervisor
from ipy_autorestart.cluster.where import where_of
from ipy_autorestart.pristine import Timer, is_main_thread, os, signal, time, wall_ns
from ipy_autorestart.program.alarm import Alarm
from ipy_autorestart.program.failed import WAITING, can_wait, failure, with_shim
from ipy_autorestart.program.idle import IDLE_MAX, IdleWait, apart, running_loop
from ipy_autorestart.program.kept import Kept
from ipy_autorestart.program.ports import listening
from ipy_autorestart.protocol.messages import Started, State, Status
from ipy_autorestart.protocol.options import BadInput, OneOf, Options
from ipy_autorestart.protocol.request import Kernel, Request, check_platform
from ipy_autorestart.reexec.commandline import split
from ipy_autorestart.reexec.exec import Handover, SupervisorHandle
from ipy_autorestart.reexec.pushes import MORE
from ipy_autorestart.reexec.restarter import Restarter
from ipy_autorestart.reexec.start import CantRestart, ProgramStart, is_repeatable, main_file
from ipy_autorestart.reexec.state import ProgramState
from ipy_autorestart.reexec.surroundings import ignore_only
from ipy_autorestart.reexec.tty import Terminal
from ipy_autorestart.show.terminal import StderrScreen

if TYPE_CHECKING:
    import asyncio

#: Seconds until the next try where a restart was not possible yet.
SOON = 0.02


class ProgramRestarter(Restarter):
    """Restarts a plain program in place after a SIGHUP; its supervisor's session as well.

    If ``asked``, it restarts only where it calls `restart_if_changed`. It is told whether SIGHUP was ignored when the
    program was started, which the handler doesn't show after an exec; and of sockets, by their inodes, that were there
    ``early``: the next image binds these before it can be offered any.
    """

    def __init__(
        self, start: ProgramStart, *, asked: bool, hangup_ignored: bool, early: frozenset[int] = frozenset()
    ) -> None:
        self.supervisors: list[Supervisor] = []
        self.ports: list[Any] = []  # sockets that wait for the program, where another one waits in its place
        self.can_wait = can_wait(start.first.environment)
        super().__init__(self.supervisors)
        self._start = start
        self._asked = asked
        self._hangup_ignored = hangup_ignored
        self._early = early
        self._kept: list[Any] = []
        self._held = 0
        self._is_restarting = False
        self._wait: IdleWait | None = None
        self._looks = False  # whether one of a loop is due
        self._alarm = Alarm()

    @property
    def restarter(self) -> ProgramRestarter:
        """Return itself, for the supervisor, which asks its session."""
        return self

    @property
    def proxy(self) -> int:
        """Return that there is none."""
        return 0

    @property
    def waits(self) -> bool:
        """Return that it runs."""
        return False

    @property
    def why_not(self) -> str:
        """Return nothing: it can be restarted."""
        return ""

    @property
    def is_active(self) -> bool:
        """Whether SIGHUP restarts this process; it doesn't in a forked child."""
        return self.is_armed and os.getpid() == self._pid

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold restarts back while something is half done in the main thread."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self._restart_if_possible()

    def keep(self, sock: Any) -> None:
        """Keep a socket open over the exec; raises `BadInput` for anything else."""
        try:
            is_socket = stat.S_ISSOCK(os.fstat(sock.fileno()).st_mode)
        except (AttributeError, OSError, ValueError):
            is_socket = False
        if not is_socket:
            raise BadInput(catalogue.BAD_KEEP(value=sock))
        self._kept.append(sock)

    def arm(self, owner: SupervisorHandle, then: Callable[[], None] = lambda: None, *, previous: Any = None) -> None:
        """Make SIGHUP restart this process, then call ``then``; see `Restarter.arm`."""
        super().arm(owner, then, previous=signal.SIG_IGN if self._hangup_ignored else previous)

    def disarm(self, owner: SupervisorHandle) -> None:
        """Do nothing: a program is not to die of a SIGHUP because its supervisor has ended."""

    def describe(self) -> str:
        """Return what a pending restart waits for; in any thread."""
        if self._asked:
            return "restart_if_changed()"
        return catalogue.LOOP_IDLE() if self._wait else catalogue.MAIN_THREAD()

    def wake(self) -> None:
        """Wake a loop of Qt's or Tk's."""
        if not self._asked:
            self._alarm.ring()

    def close(self) -> None:
        """End the watch and give SIGHUP back; does nothing in a forked child."""
        if not self.is_active:
            return
        if not is_main_thread():
            raise BadInput(catalogue.CLOSE_ELSEWHERE())
        with self.held():
            for supervisor in list(self.supervisors):
                supervisor.stop()
            super().close()

    def _install(self) -> None:
        super()._install()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])  # a new image begins with it blocked
        atexit.register(self._end)  # else the supervisor's signal could end a program that is about to end by itself

    def _uninstall(self) -> None:
        atexit.unregister(self._end)
        super()._uninstall()
        if signal.SIGHUP in self._start.first.blocked:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])

    def _end(self) -> None:
        """End the watch with the program, unless its process is about to wait for a change."""
        if not self._waits:
            self.close()

    @property
    def _waits(self) -> bool:
        """Whether this is a next image, and has failed."""
        return self._start.is_next and self.can_wait and bool(failure())

    def wait_for_change(self, why: str, kept: Kept) -> None:
        """Have what waits for a change take the place of this program, whose exit functions have run."""
        self._is_restarting = True
        sockets = [sock for sock in self._kept if sock.fileno() >= 0]
        self._leave(
            ProgramHandover(
                self._start,
                self._terminal,
                sockets,
                survives=True,
                early=self._early,
                offers=kept.take_offers(),
                failed=why,
            )
        )

    # -- when ----------------------------------------------------------------------------------------------------------

    def _hang_up(self, frame: FrameType | None) -> None:
        if not self.is_armed or self._is_restarting:
            return
        if not _is_ending(frame):
            self._pending = time.monotonic()
            self._restart_if_possible()
        elif self._waits:  # for what waits in its place
            self._pending = time.monotonic()

    def _restart_if_possible(self) -> None:
        """Restart if that is pending and possible now, or have it tried again."""
        if self._pending is None or self._held or self._asked:
            return
        loop = running_loop()
        if loop is None:
            apart(self.restart_if_pending)
            return
        if self._wait is None or self._wait.loop is not loop:
            self._wait = IdleWait(loop, self.restart_if_pending)
        if not self._looks:
            self._looks = True
            self._look_again(IDLE_MAX, loop)  # for a loop that ends meanwhile

    def _look_again(self, seconds: float, loop: asyncio.AbstractEventLoop | None = None) -> None:
        def look() -> None:
            self._looks = False
            if self._pending is not None:
                self._hang_up_again()
                self.wake()

        try:
            Timer(seconds, look).start()
        except RuntimeError:  # no thread can be started: a limit was lowered
            if loop is None:
                raise
            loop.call_later(seconds, look)

    def restart_if_pending(self) -> None:
        """Restart if a SIGHUP has come, or report why not and continue."""
        self._wait = None
        if self._pending is None or self._is_restarting or not self.is_active:
            return
        # A supervisor that has no baseline yet would take a file saved before that for an old one.
        is_early = any(one.is_alive and one.status.state is State.STARTING for one in self.supervisors)
        if is_early or not _flush_outputs():
            self._look_again(SOON)
            return
        self._is_restarting = True  # for a SIGHUP that comes meanwhile: it would wait for this very thread
        try:
            self._hand_over(self._handover)
        finally:  # it was refused
            self._is_restarting = False

    def _handover(self) -> ProgramHandover:
        return ProgramHandover(
            self._start, self._terminal, self._kept, survives=self._own, early=self._early, noticed=self.can_wait
        )

    def _exec(self, handover: Handover) -> None:
        self._is_restarting = True
        atexit.unregister(self._end)
        super()._exec(handover)


class ProgramHandover(Handover):
    """Replaces a plain program by a new image of itself; the sockets in ``kept``, and where it listens, stay open.

    ``offers`` are descriptors of sockets that wait for it to bind their addresses. If its failure is to be ``noticed``,
    its process waits for the next change then. One that has ``failed`` is replaced by what waits.
    """

    _start: ProgramStart
    notes_interrupts = False  # its handler is the program's, and the new image has no bootstrap

    def __init__(
        self,
        start: ProgramStart,
        terminal: Terminal,
        kept: Iterable[Any],
        *,
        survives: bool,
        early: frozenset[int] = frozenset(),
        offers: Iterable[int] = (),
        noticed: bool = False,
        failed: str = "",
    ) -> None:
        self._noticed = noticed
        self._failed = failed
        super().__init__(start)
        self._terminal = terminal
        self._survives = survives
        self._since_ns = wall_ns()
        self._kept: list[int] = []
        self._ports = list(offers)
        try:
            for sock in kept:  # the program's own may be closed by its exit functions
                if (fd := sock.fileno()) >= 0:
                    self._kept.append(os.dup(fd))
            self._ports += listening(self._kept, early)
        except OSError as error:
            self.give_up()
            raise CantRestart(catalogue.SOCKETS_NOT_KEPT(error=error)) from error

    def give_up(self) -> None:
        """Close what was opened."""
        super().give_up()
        for fd in (*self._kept, *self._ports):
            os.close(fd)

    def check(self) -> None:
        """Raise `CantRestart` if the program could not start."""
        if not self._failed:
            super().check()

    def end_life(self) -> None:
        """Run the exit functions, unless they have run."""
        if not self._failed:
            super().end_life()

    def environment(self) -> Mapping[str, str]:
        """Return that of the first image, with what notices that the new one fails."""
        environment = super().environment()
        return with_shim(environment) if self._noticed else environment

    def command(self) -> list[str]:
        """Return the command line of the program, or of what waits in its place."""
        return [self._start.executable, "-I", WAITING] if self._failed else super().command()

    def close(self) -> None:
        """Restore the terminal and the signals, too."""
        super().close()
        self._terminal.forget_input()  # it was typed for this image
        self._terminal.give_back(survives=self._survives)
        with contextlib.suppress(ChildProcessError):  # the new image doesn't know those that have ended
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        if is_main_thread():  # it may hang in an exit function
            ignore_only(self._start.first.ignored, besides={signal.SIGHUP})

    def own(self) -> ProgramState:
        """Return what the next image can't find out by itself."""
        return ProgramState(
            pid=os.getpid(),
            inherited=self._start.inherited,
            kept=tuple(self._kept),
            ports=tuple(self._ports),
            since_ns=self._since_ns,
            file=self._start.file,
            failed=self._failed,
        )


def _flush_outputs() -> bool:
    """Flush the standard streams; return False if the main thread is in the middle of writing to one."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except RuntimeError:  # "reentrant call": the signal has interrupted a write, whose rest would be lost
            return False
        except (AttributeError, ValueError, OSError):  # None, closed, or without a reader
            continue
    return True


def _is_ending(frame: FrameType | None) -> bool:
    """Return whether the interpreter runs its exit functions, which it does once, after it has waited for threads."""
    if threading.main_thread().is_alive():
        return False
    while frame is not None:
        if frame.f_code is threading._shutdown.__code__:  # type: ignore[attr-defined]  # noqa: SLF001
            return False
        frame = frame.f_back
    return True


def begin(
    paths: Sequence[str | os.PathLike[str]],
    kept: Kept,
    *,
    folder: str,  # the current one, from as early as possible
    early: frozenset[int],  # sockets
    keep: Iterable[Any],
    when: str,
    quiet: bool,
    cluster: object,
    options: Options | None,
) -> ProgramRestarter:
    """Begin a watch, or continue that of the image before; see `restart_on_change`."""
    check_platform()
    try:
        OneOf(("anywhere", "asked"))(when)
    except BadInput as error:
        raise BadInput(f"when: {error}") from None
    if options is not None and not isinstance(options, Options):
        raise BadInput(catalogue.BAD_OPTIONS(value=options))
    _check_process()
    options = options or Options()
    if cluster:
        named = os.fspath(cluster) if isinstance(cluster, str | os.PathLike) else where_of("cluster", cluster)
        options = replace(options, cluster=named)
    request = _request(paths, options)
    request.check()
    start = ProgramStart.of_program(folder, kept.carried)
    hangup_ignored = kept.carried is not None and kept.carried.process.hangup_ignored
    restarter = ProgramRestarter(start, asked=when == "asked", hangup_ignored=hangup_ignored, early=early)
    for sock in keep:
        restarter.keep(sock)
    with restarter.held():
        try:
            state = kept.take_supervisor(request)
            screen = None if quiet else StderrScreen(request.target.label, state.status if state else Status())
            if state:
                supervisor = Supervisor.attach(state, screen=screen, session=restarter)
                supervisor.rearm(previous=None)
                supervisor.send(Started())
            else:
                supervisor = Supervisor.of(request, screen=screen, session=restarter)
                supervisor.start(since_ns=start.since_ns)
                _wait_for_push(supervisor)
            kept.drop()
        except BaseException:
            restarter.close()
            raise
    return restarter


def wait_for_change(why: str, kept: Kept, *, folder: str, early: frozenset[int]) -> None:
    """Have what waits for a change take the place of a program that has failed before it was watched."""
    assert kept.carried
    start = ProgramStart.of_program(folder, kept.carried)
    handover = ProgramHandover(
        start, Terminal(), kept.hold(), survives=True, early=early, offers=kept.take_offers(), failed=why
    )
    handover.exec_with(kept.supervisors, hangup_ignored=kept.carried.process.hangup_ignored)


def _wait_for_push(supervisor: Supervisor) -> None:
    """Wait until each worker of a cluster has the code, for what the program does next may run there."""
    options = supervisor.request.options
    end = time.monotonic() + options.cluster_timeout + MORE
    while options.cluster and supervisor.is_alive and time.monotonic() < end:
        if supervisor.status.cluster or supervisor.status.error:
            return
        time.sleep(SOON)


def _check_process() -> None:
    """Raise `BadInput` where this process can't restart itself."""
    if not is_main_thread():
        raise BadInput(catalogue.NOT_MAIN_THREAD())
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        raise BadInput(catalogue.IN_IPYTHON())
    if not is_repeatable(sys.orig_argv[1:]):
        raise BadInput(catalogue.NOT_REPEATABLE())


def _request(paths: Sequence[str | os.PathLike[str]], options: Options) -> Request:
    """Return the request for this program, whose own folder is watched by default."""
    file = main_file()
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    is_package = spec is None or spec.parent
    watched = [os.fspath(path) for path in paths] or [os.path.dirname(file) if file and is_package else os.getcwd()]
    line = split(sys.orig_argv[1:])
    name = {"": os.path.basename(line.what), "-m": f"-m {line.what}"}.get(line.how, line.how)
    return Request(Kernel(name), tuple(dict.fromkeys([*watched, *filter(None, [file])])), options)
