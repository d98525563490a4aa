"""The handover of a kernel: end its life as an interpreter does, and close its connections so that nothing is lost."""

from __future__ import annotations

import atexit
import contextlib
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from ipy_autorestart.ipython.history import end_session, end_session_later
from ipy_autorestart.kernel.arrive import has_plain_debugger, is_embed_early
from ipy_autorestart.kernel.children import end_children, left_to_exit_functions
from ipy_autorestart.kernel.comms import close_comms
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.kernel.sockets import Frames, NoSockets, Sockets
from ipy_autorestart.pristine import Event, Lock, os, time
from ipy_autorestart.protocol.request import Kernel
from ipy_autorestart.reexec.exec import Handover, SupervisorHandle, logged, new_file
from ipy_autorestart.reexec.process import Filed, ListeningSocket, ProxyState
from ipy_autorestart.reexec.start import ProcessStart
from ipy_autorestart.reexec.state import Carried, KernelState, StandbyState
from ipy_autorestart.wire.connection import connection_of
from ipy_autorestart.wire.link import Leaving, Link
from ipy_autorestart.wire.messages import END

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

log = logging.getLogger(__name__)

#: The program of a proxy, which lies beside.
PROXY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "proxy", "__main__.py")

#: Seconds in which ipykernel's thread must have taken what is to be published.
PUBLISHED_MAX = 2.0


def state_of(
    kernel: Any,
    start: ProcessStart,
    connection: Mapping[str, Any],
    *,
    gate: Gate | None,
    cells: Mapping[str, Any] | None,
) -> KernelState:
    """Return what another kernel needs of a kernel that goes on."""
    app = kernel.parent
    return KernelState(
        connection_file=os.path.join(start.first.folder, app.abs_connection_file),
        connection={**connection, **connection_of(app)},
        owns_connection_file=False,
        plain_debugger=has_plain_debugger(kernel),
        early_embed=is_embed_early(),
        subshells=(),
        listeners=(),
        requests={},
        gaps=gate.pace.gaps if gate else (),
        cells=cells,
        comms=tuple(kernel.comm_manager.comms),
    )


class KernelEnd(Handover):
    """Ends a kernel, for another to go on; raises `CantRestart` before anything has been changed."""

    def __init__(
        self,
        shell: InteractiveShell,
        start: ProcessStart,
        gate: Gate | None,
        *,
        connection: Mapping[str, Any],
        cells: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(start)
        self._shell = shell
        self._gate = gate
        self._connection = connection
        self._cells = cells
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]
        self._app = self._kernel.parent
        self._plain_debugger = has_plain_debugger(self._kernel)
        self._early_embed = is_embed_early()
        self._owns_connection_file = False
        self._subshells: list[str] = []
        try:  # what a kernel lacks must be found while there is a way back
            self._exit_functions = (self._app.cleanup_connection_file, self._app.close, self._kernel.iopub_thread.stop)
            KernelEnd.own(self)
        except BaseException:
            Handover.give_up(self)
            raise

    def end_history(self) -> None:
        """End the session of the history."""
        end_session(self._shell)

    def end_life(self) -> None:
        """Do what an interpreter does at its end, in the same order; what fails is logged, and the rest is done."""
        self.end_history()
        with logged("the comms"):
            close_comms(self._kernel)
        # Not ipykernel's own exit functions: the connection file stays, and `close` closes the rest.
        first, *others = self._exit_functions
        cleanup = _Registered(first)
        for function in (cleanup, *others):
            atexit.unregister(function)  # it is compared, never called
        self._owns_connection_file = cleanup.was_found
        with left_to_exit_functions():
            super().end_life()

    def close(self) -> None:
        """End what the exit functions have left, and publish what was printed."""
        self.end_children()
        super().close()
        for stream in (sys.stdout, sys.stderr):
            with logged("the last output"):
                stream.flush()
        published = Event()  # then libzmq has got all, in order
        self._kernel.iopub_thread.schedule(published.set)
        published.wait(PUBLISHED_MAX)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError):  # nobody shows any more what children say, such as trackers
                stream._should_watch = False  # type: ignore[union-attr]  # noqa: SLF001  # iostream.OutStream's

    def end_children(self) -> None:
        """End children that the exit functions have left."""
        end_children()

    def own(self) -> KernelState:
        """Return what the next kernel needs."""
        return replace(
            state_of(self._kernel, self._start, self._connection, gate=self._gate, cells=self._cells),
            owns_connection_file=self._owns_connection_file,
            plain_debugger=self._plain_debugger,
            early_embed=self._early_embed,
            subshells=tuple(self._subshells),
        )


class KernelHandover(KernelEnd):
    """Replaces a kernel by a new image of itself, or by a proxy, behind which kernels follow each other from then on.

    The gate is closed, and its requests go on in the new image; where there is none, unanswered requests are lost.
    """

    def __init__(self, *args: Any, folder: str, no_proxy: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._folder, self._no_proxy = folder, no_proxy  # the former for a proxy's sockets, if it is to be one
        self._copied = 0  # the process of a copy that goes on as the kernel
        self._files: list[int] = []  # for what kernels read behind the proxy
        self._sockets: Sockets | None = None
        if self._gate:
            try:
                self._sockets = Sockets(self._app)
            except (NoSockets, OSError) as why:
                log.warning("requests that come during the restart may be lost: %s", why)
                if folder:
                    os.rmdir(folder)
                    self._no_proxy, self._folder = str(why), ""
        if self._folder:
            self._files = [new_file(), new_file()]

    def give_up(self) -> None:
        """Close what was opened, if there is to be no exec."""
        for fd in self._files:
            os.close(fd)
        super().give_up()

    def close(self) -> None:
        """End what the exit functions have left, and close the connections so that nothing on them is lost."""
        super().close()
        if self._gate is None or self._sockets is None:
            self._app.close()  # which waits until all that was sent has left
            return
        # But not the thread of iopub: its end closes the socket and the connections.
        self._subshells = self._gate.subshells()
        self._gate.release()
        self._sockets.release()

    def command(self) -> list[str]:
        """Return the command line of the new image."""
        if self._folder:
            return [self._start.executable, "-P", PROXY, *self._start.first.argv[1:]]  # so that it is known in lists
        return super().command()

    def left(self) -> Filed:
        """Return what is left to the new image, or to the proxy."""
        return self._left_to_proxy() if self._folder else super().left()

    def _left_to_proxy(self) -> ProxyState:
        """Write what kernels will read behind the proxy, which passes it on; return what is its own."""
        carried, own = self.carried, self.own()
        start = StandbyState(
            folder=self._folder,
            connection_file=own.connection_file,
            connection=own.connection,
            plain_debugger=own.plain_debugger,
            early_embed=own.early_embed,
        )
        stand_by = Carried(carried.process, (), start, entry="ipy_autorestart.extension:stand_by")
        backup = replace(carried, own=replace(own, listeners=(), requests={}))
        for file, each in zip(self._files, (stand_by, backup), strict=True):
            each.write(file)
        return ProxyState(
            process=carried.process,
            connection_file=own.connection_file,
            connection=own.connection,
            owns_connection_file=own.owns_connection_file,
            listeners=own.listeners,
            requests=own.requests,
            folder=self._folder,
            packages=os.path.dirname(os.path.dirname(os.path.abspath(sys.modules["zmq"].__file__ or ""))),
            copied=self._copied,
            roots=tuple(
                root
                for one in carried.supervisors
                if isinstance(one.request.target, Kernel)
                for root in one.request.roots
            ),
            start=self._files[0],
            backup=(self._files[1], *backup.fds),
        )

    def own(self) -> KernelState:
        """Return what the kernel's new image needs."""
        listeners: tuple[ListeningSocket, ...] = ()
        requests: dict[str, list[Frames]] = {}
        if sockets := self._sockets:
            requests = dict(sockets.requests)
            listeners = tuple(
                ListeningSocket(channel, getattr(self._app, f"{channel}_port"), fd, sockets.clients.get(channel))
                for channel, fd in sockets.listeners.items()
            )
        if self._gate:
            requests["shell"] = [*self._gate.held, *requests.get("shell", ())]
        return replace(
            super().own(),
            listeners=listeners,
            requests={channel: tuple(map(tuple, each)) for channel, each in requests.items()},
            no_proxy=self._no_proxy,
        )


class KernelSwitch(KernelEnd):
    """Has the next kernel behind the proxy take over; that has a copy of each request that isn't answered."""

    def __init__(self, shell: Any, start: ProcessStart, gate: Gate, *, proxy: Link, cold: bool, **options: Any) -> None:
        super().__init__(shell, start, gate, **options)
        self._gate: Gate = gate
        self._proxy = proxy
        self._cold = cold
        self._handed_over = Lock()
        self._end_history: Callable[[], None] = lambda: None

    def end_history(self) -> None:
        """Put off the end of the session, which waits for a disk."""
        with logged("the history"):
            self._end_history = end_session_later(self._shell)

    def end_life(self) -> None:
        """Do what an interpreter does at its end, but say no goodbye: the proxy goes on."""
        atexit.unregister(self._proxy.say_goodbye)
        super().end_life()

    def close(self) -> None:
        """End what the exit functions have left."""
        self.end_children()
        self._subshells = self._gate.subshells()

    @property
    def word(self) -> Leaving:
        """What the proxy is told; signals that are pending in this process are seen by it."""
        return Leaving(interrupted=self._interrupts is not None and self._interrupts.noted, cold=self._cold)

    def replace(self) -> None:
        """Hand over the state, publish what was printed, send the last message of each channel, and end.

        The next kernel takes over meanwhile: clients hear nothing of it before the last message of this one.
        """
        if not self._handed_over.acquire(blocking=False):
            Event().wait()
        carried = self.carried
        carried.write(self._carrier)
        self._proxy.send(self.word, [self._carrier, *carried.fds])
        with logged("the last output"):
            super().close()
        with logged("the channels"):
            self._gate.finish(END)
        self._kernel.iopub_thread.send_multipart([END])
        with logged("the history"):
            self._end_history()
        self._proxy.wait_for_end()  # it has all that was sent
        os._exit(0)  # noqa: SLF001  # its name


class KernelBack(KernelSwitch):
    """Has a checkpoint of this kernel go on, in the state that it had then.

    Parameters
    ----------
    back
        The numbers of those that are right, the best first.
    undoes
        Whether nothing is to run again.
    """

    def __init__(self, *args: Any, back: tuple[int, ...], undoes: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        self._back, self._undoes = back, undoes
        self._left_at = time.monotonic()

    def exec(self, supervisors: Iterable[SupervisorHandle], *, hangup_ignored: bool) -> NoReturn:
        """Give way; what the supervisors show stays."""
        states = []
        for supervisor in list(supervisors):
            with logged("a watch"):
                states.append(supervisor.detach(quietly=True))
        self.exec_with(tuple(filter(None, states)), hangup_ignored=hangup_ignored)

    def end_life(self) -> None:
        """End the history, but run no exit functions: what they would remove is in the copy, too."""
        atexit.unregister(self._proxy.say_goodbye)
        self.end_history()

    def own(self) -> KernelState:
        """Return what the copy needs, which knows all that is older than itself."""
        return replace(super().own(), left_at=self._left_at, undoes=self._undoes)

    @property
    def word(self) -> Leaving:
        """What the proxy is told."""
        return replace(super().word, back=self._back)


class _Registered:
    """An equal of a function that notes whether it was compared with it: atexit doesn't tell what is registered."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self.was_found = False

    def __eq__(self, other: object) -> bool:
        self.was_found = self.was_found or other == self._function
        return bool(other == self._function)
