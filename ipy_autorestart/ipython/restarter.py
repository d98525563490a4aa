"""IPython in a terminal: a SIGHUP is noted, and at the next prompt, or out of the one that waits, it restarts itself.

The prompt is left in order, so the terminal is as it was; what is half typed comes back in the new image.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.cells import Cells, Recorder, end_history
from ipy_autorestart.ipython.policy import OnBusy, Rerun, chosen, outcome, stopped
from ipy_autorestart.protocol.messages import Exited, Hangup, Record, Refused, Reran
from ipy_autorestart.reexec.exec import Exec
from ipy_autorestart.reexec.start import CantRestart, ProcessStart
from ipy_autorestart.reexec.state import TerminalState
from ipy_autorestart.reexec.terminal import Terminal, end_as_ever, standing

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipy_autorestart.reexec.terminal import Hangups

log = logging.getLogger(__name__)


class _LeavePrompt(EOFError):  # noqa: N818  # no error
    """Raised out of the prompt, which ends it as Ctrl-D does."""


class TerminalRestarter:
    """Restarts a terminal IPython in place after a SIGHUP.

    Parameters
    ----------
    shell
        A ``TerminalInteractiveShell``; relies on its ``prompt_for_code`` and ``pt_app``.
    guests
        Supervisors that go over the exec with it.
    recorder
        What knows the cells that may be run again.
    """

    def __init__(self, shell: InteractiveShell, guests: Sequence[Any], recorder: Recorder) -> None:
        self._shell: Any = shell
        self._recorder = recorder
        self._guests = guests
        self._start = ProcessStart.of(shell)
        self._terminal = Terminal()
        self._owners: list[Any] = []
        self._previous: Any = None
        self._prompt: Callable[[], str] | None = None
        self._owed = False
        self._cells: Cells | None = None
        self._typed = ""

    def arm(
        self,
        owner: Any,  # noqa: ANN401
        then: Callable[[], None] = lambda: None,
        *,
        previous: Any = None,  # noqa: ANN401
    ) -> None:
        """Make SIGHUP restart this process, then call ``then``; see `restarter.Restarter.arm`.

        Raises
        ------
        RuntimeError
            In another thread than the main one, which alone can set handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("in a terminal, only the main thread can begin to watch; do it at the prompt")
        self._owners.append(owner)
        if self._prompt is None:
            self._previous = standing() if previous is None else previous
            self._cells = Cells(self._shell, on_end=lambda: None)
            self._prompt = self._shell.prompt_for_code
            self._shell.prompt_for_code = self._prompt_or_leave
            signal.signal(signal.SIGHUP, self._note)
        then()

    def disarm(self, owner: object) -> None:
        """Take back `arm`; harmless if it was already."""
        if owner in self._owners:
            self._owners.remove(owner)
        if threading.current_thread() is threading.main_thread():  # else at the next prompt, or signal
            self._settle()

    def _settle(self) -> None:
        """Give back what was taken, once nobody needs it."""
        if not self._owners and self._prompt is not None:
            self._shell.prompt_for_code = self._prompt
            self._prompt = None
            if self._cells:
                self._cells.close()
            signal.signal(signal.SIGHUP, signal.SIG_DFL if self._previous is None else self._previous)

    def close(self) -> None:
        """Leave nothing behind."""
        for owner in list(self._owners):
            self.disarm(owner)

    def describe(self) -> str:
        """Say what is waited for, or nothing; in any thread."""
        return self._cells.describe() if self._cells else ""

    def withdraw(self) -> bool:
        """Forget that a restart is owed, and say whether one was."""
        was_owed, self._owed = self._owed, False
        return was_owed

    def _note(self, *_: object) -> None:
        if self._terminal.is_gone:
            end_as_ever()
            return
        if not self._owners:
            self._settle()
            os.kill(os.getpid(), signal.SIGHUP)  # for whom it was before
            return
        self._owed = True
        app = getattr(self._shell.pt_app, "app", None)
        if app is not None and app.is_running and app.loop is not None:
            app.loop.call_soon_threadsafe(self._leave_prompt, app)
        elif self.describe() and OnBusy(self._owners[-1].request.options.on_busy) is OnBusy.INTERRUPT:
            os.kill(os.getpid(), signal.SIGINT)

    def _leave_prompt(self, app: Any) -> None:  # noqa: ANN401  # a prompt_toolkit Application
        if self._owed and app.is_running and not app.is_done:
            self._typed = app.current_buffer.text
            app.exit(exception=_LeavePrompt())

    def _prompt_or_leave(self) -> str:
        while True:
            self._settle()
            if self._prompt is None:
                prompt: Callable[[], str] = self._shell.prompt_for_code
                return prompt()
            if self._owed:
                self._leave()
            app = getattr(self._shell.pt_app, "app", None)
            if app is not None:  # for the signal that comes before the prompt can be left
                app.pre_run_callables.append(lambda app=app: app.loop.call_soon(self._leave_prompt, app))
            with contextlib.suppress(_LeavePrompt):
                return self._prompt()

    def _leave(self) -> None:
        """Leave, or say why not and go on."""
        self._owed = False
        self._tell(Hangup())
        state = TerminalState(typed=self._typed, cells=self._recorder.to_plain(self._rerun))
        try:
            departure = TerminalExec(self._shell, self._start, self._terminal, state)
        except CantRestart as refusal:
            self._tell(Refused(str(refusal)))
            self._shell.set_next_input(self._typed)
            self._typed = ""
            return
        self._tell(Exited())
        departure.go(self._guests, hangup_ignored=self._previous is signal.SIG_IGN)

    @property
    def _rerun(self) -> Rerun:
        return Rerun(self._owners[-1].request.options.rerun) if self._owners else Rerun.NONE

    def replay(self) -> None:
        """Run what the image before has run again, before the first prompt, as if it were typed."""
        cells = chosen(self._recorder.ledger, self._rerun)
        began = time.monotonic()
        said = ""
        for place, cell in enumerate(cells):
            if self._owed:
                break
            sys.stdout.write(f"In [{cell.number}]: " + cell.code.replace("\n", "\n   ...: ") + "\n")
            with self._recorder.again(cell) as error:
                self._shell.run_cell(cell.code, store_history=True)
            if (why := error()) is not None:
                said = stopped(cell, why, cells[place + 1 :])
                break
        else:
            said = outcome(cells, self._recorder.ledger, seconds=time.monotonic() - began)
        self._recorder.go_on_from(self._recorder.ledger.last_number + 1)
        self._tell(Reran(said))

    def _tell(self, record: Record) -> None:
        for owner in list(self._owners):
            owner.send(record)


class TerminalExec(Exec):
    """The exec of a terminal IPython."""

    def __init__(self, shell: InteractiveShell, start: ProcessStart, terminal: Terminal, state: TerminalState) -> None:
        super().__init__(start)
        self._shell = shell
        self._terminal = terminal
        self._state = state

    def end_life(self) -> None:
        """End the history's session too."""
        end_history(self._shell)
        super().end_life()

    def close(self) -> None:
        """Give the terminal back too."""
        super().close()
        self._terminal.give_back()

    def own(self) -> TerminalState:
        """Return what was typed and what is run again."""
        return self._state


def is_restartable(shell: object) -> bool:
    """Whether a shell is a terminal IPython that was started as such, and not embedded in another program."""
    ipapp = sys.modules.get("IPython.terminal.ipapp")
    return ipapp is not None and isinstance(getattr(shell, "parent", None), ipapp.TerminalIPythonApp)


def prepare(
    typed: str,
    hangups: Hangups,
    *,
    load: Callable[[InteractiveShell], None],
    resume: Callable[[InteractiveShell], None],
) -> None:
    """Have the IPython that is about to start go on where the image before has left; see `kernel.arrive.Arrival`."""
    if hangups.noted and Terminal().is_gone:
        end_as_ever()
    from IPython.terminal.ipapp import TerminalIPythonApp

    extensions, start = TerminalIPythonApp.init_extensions, TerminalIPythonApp.start

    def init_extensions(app: Any) -> None:  # noqa: ANN401
        gc.enable()
        extensions(app)  # type: ignore[no-untyped-call]
        load(app.shell)

    def start_once(app: Any) -> None:  # noqa: ANN401
        del TerminalIPythonApp.init_extensions
        TerminalIPythonApp.start = start  # type: ignore[method-assign]
        if typed:
            app.shell.set_next_input(typed)
        resume(app.shell)
        start(app)  # type: ignore[no-untyped-call]

    TerminalIPythonApp.init_extensions = init_extensions  # type: ignore[method-assign]
    TerminalIPythonApp.start = start_once  # type: ignore[method-assign]
