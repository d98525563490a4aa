"""Replace a process by a new image of itself, which finds the surroundings in which the first one was started."""

from __future__ import annotations

import abc
import array
import atexit
import contextlib
import dataclasses
import fcntl
import logging
import sys
import termios
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NoReturn, Protocol

from ipy_autorestart import catalogue
from ipy_autorestart.pristine import Event, Lock, Timer, get_ident, os, signal, time
from ipy_autorestart.protocol.messages import Record
from ipy_autorestart.protocol.request import Request
from ipy_autorestart.reexec import STATE
from ipy_autorestart.reexec.interrupts import Interrupts
from ipy_autorestart.reexec.process import Filed
from ipy_autorestart.reexec.start import CantRestart, ProcessStart
from ipy_autorestart.reexec.state import (
    Carried,
    KernelState,
    ProgramState,
    SupervisorState,
    TerminalState,
)
from ipy_autorestart.reexec.surroundings import put_back, put_limits_back, raise_limits
from ipy_autorestart.reexec.trackers import end_trackers

log = logging.getLogger(__name__)

#: Seconds that the user's exit functions may take.
END_MAX = 5.0

#: Seconds that may pass from then to the exec.
CLOSE_MAX = 10.0

#: Seconds in which the last output of C code must have been read.
READ_MAX = 0.2


class SupervisorHandle(Protocol):
    """A supervisor, seen from the process that it restarts."""

    request: Request

    @property
    def pid(self) -> int:
        """The process, by its number."""

    @property
    def known(self) -> object:
        """What it has reported by now, as a value that is equal to itself only while there is no more."""

    def fds(self) -> Iterator[int]:
        """Yield the descriptors that this process has of it."""

    def hush(self) -> None:
        """Stop listening to it for a while."""

    def listen_again(self) -> None:
        """Listen to it again, here or in a copy of this process."""

    def send(self, record: Record, /) -> None:
        """Report to its process."""

    def show_again(self, request_id: str, /) -> None:
        """Show its status again if that is shown in the cell of this request, which was cleared."""

    def has_hung_up(self) -> bool:
        """Return whether it has sent this process a SIGHUP since this was asked last; also in a signal handler."""

    def detach(self, *, quietly: bool = False) -> SupervisorState | None:
        """Return what another image of this process needs to continue; None if the supervisor has ended.

        ``quietly``, what is shown stays as it is.
        """

    def leave(self) -> None:
        """Close what this process has of it, in a copy of the one that goes on with it."""

    def snapshot(self) -> SupervisorState | None:
        """Return the same, and continue here."""


class Handover(abc.ABC):
    """Replaces this process by a new image of itself.

    Once `exec` is called, there is no way back: an error ends the process, with a status of its own and the reason on
    its real standard error, so that the program that started it, such as a server with its restarter, takes over.
    Until then, `CantRestart` tells that the process can't be replaced.
    """

    #: Whether SIGINT is only noted from `exec` on: the new image learns of it, as its bootstrap notes it too.
    notes_interrupts = True

    def __init__(self, start: ProcessStart) -> None:
        self._start = start
        self.check()
        self._supervisors: tuple[SupervisorState, ...] = ()
        self._hangup_ignored = False
        self._trouble = ""
        self._interrupts: Interrupts | None = None
        self._hung_up = False
        self._waiting = {signal.SIGHUP}  # signals that the new image gets
        self._once = Lock()
        self._late = Timer(END_MAX, self._close_and_exec)
        self._carrier = new_file()

    def check(self) -> None:
        """Raise `CantRestart` if the new image could not start."""
        self._start.check()

    def give_up(self) -> None:
        """Close what was opened, if there is to be no exec."""
        os.close(self._carrier)

    def end_life(self) -> None:
        """Do what may take long or hang, for it is the user's; in the main thread."""
        atexit._run_exitfuncs()  # noqa: SLF001  # the only way to run them before exec

    def close(self) -> None:
        """Restore and close what the new image is to find restored or closed; in any thread."""
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(AttributeError, ValueError, OSError):
                stream.flush()  # type: ignore[union-attr]
        # In the place of 1 and 2, ipykernel has put pipes that end with this image.
        for original, fd in zip(self._start.outputs, (1, 2), strict=True):
            if original != fd:
                os.dup2(original, fd)
        deadline = time.monotonic() + READ_MAX
        while any(map(_waiting_bytes, (sys.stdout, sys.stderr))) and time.monotonic() < deadline:
            time.sleep(0.002)  # one round more, for what ipykernel's thread has just read

    def end_trackers(self) -> None:
        """End the processes that clean up after this image."""
        end_trackers()

    def noted(self) -> Iterator[signal.Signals]:
        """Yield the signals that were only noted here, for the new image to act on."""
        if self._interrupts and self._interrupts.noted:
            yield signal.SIGINT
        if self._hung_up:
            yield signal.SIGHUP

    def hold_hangups(self) -> None:
        """Have SIGHUP stay pending in the main thread from now on, for the new image, whichever thread gets it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        signal.signal(signal.SIGHUP, self.hold_hangup)

    def hold_hangup(self, *_: object) -> None:
        """Have one that has come to another thread, or before, stay pending, too; in the main thread."""
        self._hung_up = True
        signal.pthread_kill(get_ident(), signal.SIGHUP)

    @abc.abstractmethod
    def own(self) -> KernelState | TerminalState | ProgramState:
        """Return the part of the state for this kind of process, whether or not `close` has succeeded."""

    def exec(self, supervisors: Iterable[SupervisorHandle], *, hangup_ignored: bool) -> NoReturn:
        """Replace the process; SIGHUP may be ignored while nothing is watched."""
        states = []
        for supervisor in list(supervisors):
            with logged("a watch"):  # one that fails is left behind, and ends
                states.append(supervisor.detach())
        self.exec_with(tuple(filter(None, states)), hangup_ignored=hangup_ignored)

    def exec_with(self, supervisors: tuple[SupervisorState, ...], *, hangup_ignored: bool) -> NoReturn:
        """Replace the process, given what is known of the supervisors."""
        self._supervisors = supervisors
        self._hangup_ignored = hangup_ignored
        if self.notes_interrupts and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            Interrupts()  # until it is blocked
            self._waiting.add(signal.SIGINT)
        self.hold_hangups()
        # They stay pending until the new image has its handlers: the default action would end the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, self._waiting)
        if signal.SIGINT in self._waiting:
            self._interrupts = _HeldInterrupts()  # for one that another thread takes, where it isn't blocked
        try:
            raise_limits(self._start.first.surroundings)
            _start(self._late)
            self.end_life()
        finally:
            self._close_and_exec()

    def _close_and_exec(self) -> NoReturn:
        """Continue in the main thread, or in the timer's if an exit function hangs in the main thread."""
        if not self._once.acquire(blocking=False):
            Event().wait()  # the other thread ends this one
        self._late.cancel()
        _start(Timer(CLOSE_MAX, self._exec_or_die))
        try:
            self.close()
            with logged("the trackers"):
                self.end_trackers()
        except Exception as error:  # the border: the new image logs it again, where it can be read
            log.exception("can't close all properly")
            self._trouble = f"{type(error).__name__}: {error}"
        finally:
            self._exec_or_die()

    def _exec_or_die(self) -> NoReturn:
        try:
            self.replace()
        except BaseException:  # noqa: BLE001  # the border: half a process must not go on
            os.write(self._start.outputs[1], traceback.format_exc().encode())
        finally:
            os._exit(FAILED)  # noqa: SLF001  # its name

    @property
    def carried(self) -> Carried:
        """What is handed over."""
        process = dataclasses.replace(self._start.first, hangup_ignored=self._hangup_ignored)
        return Carried(process, self._supervisors, self.own(), self._trouble)

    def left(self) -> Filed:
        """Return what is left to the new image."""
        return self.carried

    def command(self) -> list[str]:
        """Return the command line of the new image."""
        return self._start.command()

    def environment(self) -> Mapping[str, str]:
        """Return the environment of the new image, as its code is to find it but for what it is told."""
        return self._start.first.environment

    def replace(self) -> None:
        """Have the new image take over; it doesn't return, unless by an error."""
        start = self._start
        first = start.first
        put_back(first.surroundings)
        left = self.left()
        left.write(self._carrier)
        environment = {**self.environment(), STATE: str(self._carrier)}
        kept = {*left.fds, *start.inherited_fds(), self._carrier}
        for fd in map(int, os.listdir("/dev/fd")):
            if fd > 2:
                with contextlib.suppress(OSError):  # closed meanwhile, as the listing's own
                    os.set_inheritable(fd, fd in kept)
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        _forget_pending()
        # These stay blocked until the new image handles them.
        signal.pthread_sigmask(signal.SIG_SETMASK, first.blocked | self._waiting)
        with contextlib.suppress(OSError):  # privileges were given up; `check` knows that this is the folder
            os.chdir(first.folder if os.path.isdir(first.folder) else os.path.expanduser("~"))
        for signum in (*_taken(self._waiting), *self.noted()):
            signal.pthread_kill(get_ident(), signum)  # which waits, too, and where no other thread takes it
        command = self.command()
        put_limits_back(first.surroundings)
        # Not by the function that an attached debugger has put in its place.
        os.execve(start.executable, command, environment)


class _HeldInterrupts(Interrupts):
    """Notes SIGINT and has it stay pending, too, where that is blocked; else it would come again and again."""

    def note(self, *_: object) -> None:
        super().note()
        signal.pthread_kill(get_ident(), signal.SIGINT)


def new_file() -> int:
    """Return the descriptor of a file without a name; raises `CantRestart` if there is no room."""
    try:
        if hasattr(os, "memfd_create"):
            return os.memfd_create("ipy_autorestart")
        import tempfile

        fd, path = tempfile.mkstemp()
        os.unlink(path)
    except OSError as error:
        raise CantRestart(catalogue.NO_ROOM(error=error)) from error
    return fd


def _start(timer: Timer) -> None:
    """Start a timer, or do without where a hard limit on memory leaves no room for a thread."""
    with contextlib.suppress(RuntimeError, MemoryError):
        timer.start()


def _forget_pending() -> None:
    """Discard signals that are pending as this image has blocked them: the next one may not expect them."""
    for_all_images = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}
    while hasattr(signal, "sigtimedwait") and (pending := signal.sigpending() - for_all_images):
        signal.sigtimedwait(pending, 0)


def _taken(signals: Collection[signal.Signals]) -> Iterator[int]:
    """Take those of these blocked signals that are pending, before a thread does that has not blocked them."""
    while hasattr(signal, "sigtimedwait") and (found := signal.sigtimedwait(signals, 0)):
        yield found.si_signo


def _waiting_bytes(stream: object) -> int:
    """Return the number of bytes that C code has written and ``iostream.OutStream._watch_pipe_fd`` has not read."""
    found = array.array("i", [0])
    with contextlib.suppress(AttributeError, OSError, TypeError):
        fcntl.ioctl(stream._fid, termios.FIONREAD, found)  # type: ignore[attr-defined]  # noqa: SLF001
    return found[0]


#: The status of a process that has failed where another one is to go on.
FAILED = os.EX_SOFTWARE


@contextlib.contextmanager
def or_end() -> Iterator[None]:
    """End this process if what follows fails, for another one goes on; the reason stands on standard error."""
    try:
        yield
    except BaseException:  # noqa: BLE001  # the border
        try:
            os.write(2, traceback.format_exc().encode(errors="replace"))
        finally:
            os._exit(FAILED)  # noqa: SLF001  # its name


@contextlib.contextmanager
def logged(what: str) -> Iterator[None]:
    """Log an exception and continue: a new image heals more than half an end does."""
    try:
        yield
    except Exception:  # the border
        log.exception("can't end %s properly", what)
