"""The common part of the restarters of kernels, terminals and plain programs: SIGHUP, reports, and the handover."""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn, assert_never

from ipy_autorestart import catalogue
from ipy_autorestart.decide.hangup import Meaning, hangup_means
from ipy_autorestart.pristine import is_main_thread, os, signal
from ipy_autorestart.protocol.checkpoint import Checkpoint
from ipy_autorestart.protocol.messages import Changed, Exited, Hangup, PushFailed, Record, Refused, Reran, Touched
from ipy_autorestart.protocol.options import BadInput
from ipy_autorestart.reexec.exec import Handover, SupervisorHandle
from ipy_autorestart.reexec.pushes import Pushes, clients_here
from ipy_autorestart.reexec.start import CantRestart
from ipy_autorestart.reexec.tty import Terminal, end_as_ever, give_hangups_back, hangup_handler

log = logging.getLogger(__name__)


class Restarter(abc.ABC):
    """Restarts this process in place after a SIGHUP; each kind of it decides when.

    The handler of SIGHUP notes that a restart is pending, and never raises. The supervisors continue after the exec;
    their list may change.
    """

    def __init__(self, supervisors: Sequence[SupervisorHandle]) -> None:
        self._supervisors = supervisors
        self._owners: list[SupervisorHandle] = []
        self._previous: Any = None
        self._pid = os.getpid()
        self._terminal = Terminal()
        self._is_again = False  # whether the next SIGHUP is the last one once more
        self._own = False  # whether that was our own
        self.is_armed = False  # whether SIGHUP restarts this process
        self._pending: float | None = None  # since when, in seconds of the monotonic clock
        self._pushes: Pushes | None = None  # to clusters, which a restart waits for
        self._has_exited = False  # the owners were told so, ahead of that

    def arm(self, owner: SupervisorHandle, then: Callable[[], None] = lambda: None, *, previous: Any = None) -> None:
        """Make SIGHUP restart this process, then call ``then``.

        Parameters
        ----------
        owner
            The supervisor that needs it, to which each SIGHUP and its outcome are reported. SIGHUP is given back when
            the last one disarms.
        then
            Called when the handler is set; before that, a SIGHUP would end the process.
        previous
            The handler to give back; by default the one that is set now.
        """
        self._owners.append(owner)

        def act() -> None:
            self._settle(previous)
            then()

        self._in_main_thread(act)

    def disarm(self, owner: SupervisorHandle) -> None:
        """Undo `arm`; harmless if that was done already."""
        if owner in self._owners:
            self._owners.remove(owner)
        self._in_main_thread(self._settle)

    def close(self) -> None:
        """Disarm for all."""
        self._owners.clear()
        self._in_main_thread(self._settle)

    @abc.abstractmethod
    def describe(self) -> str:
        """Return what a pending restart waits for, or nothing; in any thread."""

    def say(self, what: str, *, stopped: str = "") -> None:
        """Report what has become of the cells that were to run again, as `Reran` has it."""
        self._report(Reran(what, stopped=stopped))

    def wake(self) -> None:  # noqa: B027  # most need no help
        """Have the handler of a SIGHUP called that was sent just now, where that takes help; in another thread."""

    def note_changes(self, owner: SupervisorHandle, answer: Changed | PushFailed) -> None:
        """Take what an owner answers that has heard that this process exits: what has changed; in another thread."""
        if self._pushes:
            self._pushes.note(owner, answer)

    def note_touched(self, owner: SupervisorHandle, record: Touched) -> None:  # noqa: B027  # only kernels know
        """Say which of these files this process has used since they were changed and put back; in another thread."""

    def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the checkpoints that there are, and the cells after which there is none; in any thread."""
        return ()

    def go_back(self, cell: int | None) -> None:
        """Go back to the newest checkpoint before a cell, by default the last that ran, when this is idle.

        Raises
        ------
        BadInput
            If there is none.
        """
        before = "" if cell is None else catalogue.BEFORE_CELL(cell=cell)
        raise BadInput(catalogue.NO_CHECKPOINT(before=before))

    def withdraw(self) -> bool:
        """Cancel a pending restart; return whether there was one."""
        was_pending, self._pending = self._pending is not None, None
        return was_pending

    # -- for the kinds of it -------------------------------------------------------------------------------------------

    def _in_main_thread(self, act: Callable[[], None]) -> None:
        """Call a function if this is the main thread, which alone can set handlers; else `_settle` follows later."""
        if is_main_thread():
            act()

    def _settle(self, previous: Any = None) -> None:  # what signal.signal takes
        """Take SIGHUP if it is needed, else give it back."""
        if self._owners and not self.is_armed:
            self._previous = hangup_handler() if previous is None else previous
            self.is_armed, self._pending = True, None
            self._install()
        elif not self._owners and self.is_armed:
            self.is_armed, self._pending = False, None
            self._uninstall()

    def _install(self) -> None:
        signal.signal(signal.SIGHUP, self._note)

    def _uninstall(self) -> None:
        give_hangups_back(self._previous)

    def _note(self, _: int, frame: FrameType | None) -> None:
        """Handle SIGHUP: an error is told, and never raised where the program is interrupted."""
        try:
            self._judge(frame)
        except Exception as error:  # the border
            log.exception("SIGHUP could not be handled")
            self._report(Refused(f"{type(error).__name__}: {error}"))

    def _judge(self, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a forked child has inherited the handler only
            give_hangups_back(self._previous)
            os.kill(os.getpid(), signal.SIGHUP)
            return
        again, self._is_again = self._is_again, False
        if not again:
            self._own = True in [owner.has_hung_up() for owner in self._owners]  # all are asked
        own = self._own or again
        meaning = hangup_means(
            own=own, ignored=self._previous is signal.SIG_IGN, gone=not own and self._terminal.is_gone
        )
        match meaning:
            case Meaning.RESTART:
                self._hang_up(frame)
            case Meaning.END:
                end_as_ever()
            case Meaning.NOTHING:
                pass
            case _:
                assert_never(meaning)

    @abc.abstractmethod
    def _hang_up(self, frame: FrameType | None) -> None:
        """Note that a restart is wanted; in the handler of SIGHUP."""

    def _hang_up_again(self) -> None:
        """Let the last SIGHUP come once more; in any thread."""
        self._is_again = True
        os.kill(self._pid, signal.SIGHUP)

    def _hand_over(self, prepare: Callable[[], Handover]) -> None:
        """Replace this process, or report why not and continue."""
        self._pending = None
        self._report(Hangup())
        try:
            self._push()
            handover = prepare()
        except CantRestart as refusal:
            self._refuse(str(refusal))
        else:
            self._exec(handover)

    def _push(self) -> None:
        """Wait until clusters have the new code, if they are to; raises `CantRestart`."""
        self._pushes = Pushes(self._owners)
        if not self._pushes.is_over:
            self._report(Exited(clients=clients_here()))
            self._pushes.wait()
            self._has_exited = True
        if why := self._pushes.refusal:
            raise CantRestart(why)

    def _refuse(self, why: str) -> None:
        """Report why there is no restart, and continue."""
        self._has_exited = False
        self._report(Refused(why))

    def _exec(self, handover: Handover) -> None:
        if not self._has_exited:
            self._report(Exited())
        self._leave(handover)

    def _leave(self, handover: Handover) -> NoReturn:
        """Have who follows take over, and act on a SIGHUP that has come meanwhile."""
        handover.hold_hangups()
        if self._pending is not None:
            handover.hold_hangup()
        handover.exec(self._supervisors, hangup_ignored=self._previous is signal.SIG_IGN)

    def _report(self, record: Record) -> None:
        for owner in list(self._owners):
            owner.send(record)
