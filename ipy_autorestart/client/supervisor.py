"""The supervisor as its session sees it: a process that keeps one target running, and a thread that listens to it."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

from ipy_autorestart import catalogue
from ipy_autorestart.client.history import History, Statistics
from ipy_autorestart.client.process import Listener, Process
from ipy_autorestart.client.screen import LeavingScreen, RichScreen, Screen, show, state_of
from ipy_autorestart.client.session import Session, current_session
from ipy_autorestart.pristine import Event, os, socket, wall_ns
from ipy_autorestart.protocol.link import Link
from ipy_autorestart.protocol.messages import (
    Ask,
    Asked,
    Changed,
    Close,
    Decided,
    Keyed,
    Paused,
    PushFailed,
    Ran,
    Record,
    State,
    Status,
    Touched,
    Waiting,
)
from ipy_autorestart.protocol.options import BadInput, Options
from ipy_autorestart.protocol.request import Kernel, Launch, Request, Script, absolute, check_platform
from ipy_autorestart.reexec.commandline import inherited, split
from ipy_autorestart.reexec.keys import name_no_versions, name_versions
from ipy_autorestart.reexec.restarter import Restarter
from ipy_autorestart.reexec.state import SupervisorState
from ipy_autorestart.text import relative


class Supervisor:
    """Runs a script, or watches this kernel, and restarts it when files change.

    It is a context manager: ``with`` starts and stops it. Otherwise call `start` and `stop`.

    Parameters
    ----------
    target
        A `Script` or a `Kernel`.
    paths
        Folders and files to watch. By default, the script's folder. The script itself is always watched.
    options
        All other settings, as `Options`.
    screen
        The place where output and status are shown, a `Screen`. By default, nothing is shown, and ``status`` tells
        where the target stands.
    label
        A name of your own for this watch.
    cwd
        The folder that relative paths start from. By default, the script's, or the current one.

    Raises
    ------
    BadInput
        If a path can't be watched; if the target is a `Kernel` and this process is none; on platforms without SIGHUP.

    Examples
    --------
    >>> import time
    >>> with Supervisor(Script("main.py"), ["src/"]) as supervisor:
    ...     while supervisor.status.state != "finished":
    ...         time.sleep(0.01)
    ...     supervisor.status.runs
    1
    """

    def __init__(
        self,
        target: Script | Kernel,
        paths: Sequence[str | os.PathLike[str]] = (),
        *,
        options: Options | None = None,
        screen: Screen | None = None,
        label: str = "",
        cwd: str | os.PathLike[str] = "",
    ) -> None:
        check_platform()
        folder = absolute(cwd or (target.cwd if isinstance(target, Script) else ""))
        names = tuple(os.fspath(path) for path in paths)
        self._prepare(Request(target, names, options or Options(), folder), screen=screen, label=label)
        self.request.check()

    @classmethod
    def of(cls, request: Request, *, screen: Screen | None, label: str = "", session: Session | None = None) -> Self:
        """Make one of a request; ``session`` is this process where it is no shell. Raises as the constructor does."""
        check_platform()
        self = cls.__new__(cls)
        self._prepare(request, screen=screen, label=label, session=session)
        request.check()
        return self

    def _prepare(self, request: Request, *, screen: Screen | None, label: str, session: Session | None = None) -> None:
        self.request = request
        self.screen = screen
        self._rich = screen if isinstance(screen, RichScreen) else None
        self.label = label
        self.status = Status()
        self._told = Event()  # what is so after the start
        self._history = History(request.target.name)
        self._link: Link | None = None
        self._listener: Listener | None = None
        self._process: Process | None = None
        self._asked_ns = 0
        self._keyed: Keyed | None = None
        self.has_begun = False  # to start the process, or to go on with it
        self._stopping = False
        self._session = session or current_session()
        self._restarter: Restarter | None = None
        if isinstance(request.target, Kernel):
            if self._session is None or self._session.restarter is None:
                raise BadInput(self._session.why_not if self._session else catalogue.NO_KERNEL())
            self._restarter = self._session.restarter

    @property
    def is_alive(self) -> bool:
        """Whether the supervisor's process runs and can be reached."""
        return self._listener is not None and self._listener.thread.is_alive

    @property
    def pid(self) -> int:
        """The process id of the supervisor; 0 if it doesn't run."""
        return self._process.pid if self._process else 0

    @property
    def known(self) -> object:
        """What it has reported by now."""
        return self.status, self._history.runs, self._history.decisions

    def fds(self) -> Iterator[int]:
        """Yield the descriptors that this process has of it, which a copy would share with this one."""
        if self._link and (link := self._link.fileno()) >= 0:
            yield link
        for part in (self._process, self._listener):
            if part:
                yield from part.fds()

    def start(self, *, since_ns: int = 0) -> None:
        """Start the process; returns at once, and the target starts as soon as the process is up.

        In a kernel that waits for its turn, the process starts when that has come.

        Parameters
        ----------
        since_ns
            When a target that runs already began to read its files, in nanoseconds since 1970; by default it is now.
        """
        self._asked_ns = since_ns or wall_ns()
        if self._session:
            self._session.supervisors.append(self)
        if not (self._session and self._session.waits):
            self.begin()

    def begin(self) -> None:
        """Start the process if `start` has left that for later."""
        if self.has_begun:
            return
        self.has_begun = True
        try:
            if self._restarter:
                self._restarter.arm(self, then=self._launch)
            else:
                self._launch()
        except RuntimeError as error:
            self._give_up(str(error))
            raise BadInput(str(error)) from error

    def _launch(self) -> None:
        """Start the process; it may be that `start` has returned before, and then an error is only shown."""
        if self._stopping:  # stopped before the main thread got here
            return
        proxy = self._session.proxy if self._session else 0
        launch = Launch(
            request=self.request,
            flags=inherited(split(sys.orig_argv[1:]).flags),
            lossless=self.screen is not None and self.screen.takes_all,
            displays=self._rich.displays if self._rich else None,
            since_ns=self._asked_ns if self._restarter else 0,
            parent=proxy,
            pid=os.getpid() if proxy else 0,
        )
        try:
            with contextlib.ExitStack() as undo:
                ours, theirs = map(undo.enter_context, map(contextlib.closing, socket.socketpair()))
                self._process = Process.start(link=theirs.fileno())
                undo.callback(self._process.end)
                link = Link(ours)
                link.send(launch)
                self._listen(link)
                undo.pop_all()
        except (OSError, RuntimeError) as error:  # the latter of a thread that can't be started
            hint = catalogue.CHECK_LIMITS(program=sys.executable)
            if isinstance(error, OSError) and error.errno == errno.E2BIG:  # the command line says next to nothing
                hint = catalogue.TOO_MANY_VARIABLES()
            failure = BadInput(catalogue.NO_SUPERVISOR(error=error, hint=hint))
            self._give_up(str(failure))
            raise failure from error
        theirs.close()

    def wait_until_told(self, seconds: float) -> None:
        """Wait, at most so long, until the screen has shown more than that it starts."""
        self._told.wait(seconds)

    def restart(self) -> None:
        """Restart the target without a change."""
        self.send(Asked())

    def pause(self) -> None:
        """Hold restarts back: changes wait for `resume` or `restart`."""
        # A kernel that waits to be idle forgets that it was to restart; the change stays to be served.
        withdrawn = self._restarter.withdraw() if self._restarter else False
        self.send(Paused(withdrawn=withdrawn))

    def resume(self) -> None:
        """End a pause, with a restart if something has changed since `pause`."""
        self.send(Paused(on=False))

    def statistics(self) -> Statistics:
        """Return the status, the latest runs and the latest decisions."""
        request = self.request
        watched = request.paths or (relative(request.roots[0], request.cwd) or os.curdir,)
        checkpoints = tuple(self._restarter.checkpoints()) if self._restarter else ()
        runs, decisions = self._history.runs, self._history.decisions
        return Statistics(request.target.title, watched, self.status, runs, decisions, checkpoints)

    def send(self, record: Record) -> None:
        """Say something to the process; lost if it is gone."""
        if self._link:
            self._link.send(record)

    def stop(self) -> None:
        """Stop the target and the supervisor, and wait for both: at most a second longer than ``stop_timeout``."""
        self._stopping = True
        self.send(Close())
        if self._listener and self._listener.thread.is_current:
            return  # it can't wait for itself, and tidies up when the process has ended
        if self._listener and self._process:
            self._listener.thread.join(self.request.options.stop_timeout + 1)
            if self._listener.thread.is_alive:
                self._process.kill()
                self._listener.thread.join()
        self._depart()  # once more: here it may be the main thread, which has no loop to wait for

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def show_again(self, request_id: str) -> None:
        """Show the status once more if it stands in the cell of this request, which was cleared."""
        if self._rich:
            self._rich.show_again(request_id)

    def rearm(self, *, previous: Any) -> None:  # noqa: ANN401  # what signal.signal takes
        """Make SIGHUP restart the kernel again, in its new image; ``previous`` is the handler to give back."""
        assert self._restarter
        self._restarter.arm(self, previous=previous)
        if self._session and self not in self._session.supervisors:  # its process has ended just now
            self._restarter.disarm(self)

    def has_hung_up(self) -> bool:
        """Return whether it has sent this process a SIGHUP since this was asked last; also in a signal handler."""
        return self._process is not None and self._process.has_hung_up()

    # -- over the kernel's exec ----------------------------------------------------------------------------------------

    def detach(self, *, quietly: bool = False) -> SupervisorState | None:
        """Stop listening and return what `attach` needs to go on in another image of this process.

        None if there is nothing to go on with. ``quietly``, what is shown stays as it is.
        """
        if self._link is None or self._listener is None or self._process is None:
            return None
        self._listener.stop()
        if self._session and self not in self._session.supervisors:  # its process ended just now
            return None
        if isinstance(self.screen, LeavingScreen) and quietly:
            self.screen.flush()
        elif isinstance(self.screen, LeavingScreen):
            self.screen.before_exec(self.status.restarting() if self._restarter else self.status)
        return replace(self._state(self._link, self._process), received=self._link.received, link=self._link.detach())

    def hush(self) -> None:
        """Stop listening for a while; what is said meanwhile waits."""
        if self._listener:
            self._listener.stop()

    def listen_again(self) -> None:
        """Listen again, here or in a copy of this process, where there is no thread that does."""
        if self._link and self._link.fileno() >= 0:
            self._listen(self._link)

    def leave(self) -> None:
        """Close what this process has of it; in a copy of the one that goes on with it, where nobody listens."""
        if self._link:
            self._link.close()
        if self._process:
            self._process.leave()

    def go_on(self, state: SupervisorState) -> None:
        """Go on, in the copy that has left it, from where another copy has detached."""
        self._process = Process(state.pid, hangups=state.hangups)
        self._history.runs, self._history.decisions = state.runs, state.decisions
        self.request, self.label, self.status = state.request, state.label, state.status
        self._take_keyed(state.keyed)
        if isinstance(self.screen, LeavingScreen) and state.screen is not None:
            self.screen.go_on(state.status, state.screen)
        self._listen(Link(socket.socket(fileno=state.link), state.received))

    def snapshot(self) -> SupervisorState | None:
        """Return what `attach` needs to go on in another process, should this one be gone without `detach`.

        What is on its way then is lost.
        """
        is_there = self._link is not None and self._link.fileno() >= 0
        return self._state(self._link, self._process) if is_there and self._link and self._process else None

    def _state(self, link: Link, process: Process) -> SupervisorState:
        return SupervisorState(
            received=b"",
            link=link.fileno(),
            pid=process.pid,
            hangups=process.hangups,
            request=self.request,
            label=self.label,
            screen=state_of(self.screen),
            status=self.status,
            runs=self._history.runs,
            decisions=self._history.decisions,
            keyed=self._keyed,
        )

    @classmethod
    def attach(cls, state: SupervisorState, *, screen: Screen | None = None, session: Session | None = None) -> Self:
        """Go on where `detach` left off."""
        self = cls.__new__(cls)
        self._prepare(state.request, screen=screen, label=state.label, session=session)
        self._process = Process(state.pid, hangups=state.hangups)
        self.has_begun = True
        self._history.runs, self._history.decisions = state.runs, state.decisions
        self.status = state.status
        self._take_keyed(state.keyed)
        if self._session:
            self._session.supervisors.append(self)
        self._listen(Link(socket.socket(fileno=state.link), state.received))
        return self

    def _take_keyed(self, keyed: Keyed | None) -> None:
        self._keyed = keyed
        if keyed:
            name_versions(keyed)

    # -- in the listening thread ---------------------------------------------------------------------------------------

    def _listen(self, link: Link) -> None:
        self._link = link
        self._listener = Listener(link, on_record=self._take, on_end=self._end)

    def _take(self, record: Record) -> None:
        if isinstance(record, Status):
            self.status = record
        elif isinstance(record, Ran | Decided):
            self._history.take(record)
            return
        elif isinstance(record, Changed | PushFailed):
            if self._restarter:
                self._restarter.note_changes(self, record)
            return
        elif isinstance(record, Touched):
            if self._restarter:
                self._restarter.note_touched(self, record)
            return
        elif isinstance(record, Keyed):
            self._take_keyed(record)
            return
        elif isinstance(record, Ask):
            if self._restarter:
                self._restarter.wake()
            if self._restarter and (busy := self._restarter.describe()):
                self.send(Waiting(busy))
            return
        if self.screen:
            show(self.screen, record, rich=self._rich)
        if self.status.state is not State.STARTING:
            self._told.set()

    def _end(self) -> None:
        """Tidy up after the process, which has closed its end."""
        assert self._link is not None
        assert self._process is not None
        self._link.close()
        last_words = self._process.wait() or catalogue.NOTHING_MORE()
        self._give_up("" if self._stopping else catalogue.SUPERVISOR_ENDED(why=last_words))

    def _give_up(self, message: str) -> None:
        """Show that the target isn't watched any more, and why."""
        self._depart()
        self._take(self.status.ended(message))

    def _depart(self) -> None:
        """Leave the session; harmless if it has been done."""
        if self._keyed:
            name_no_versions(self._keyed)
            self._keyed = None
        if self._session and self in self._session.supervisors:
            self._session.supervisors.remove(self)
        if self._restarter:
            self._restarter.disarm(self)
