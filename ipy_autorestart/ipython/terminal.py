"""IPython in a terminal restarts itself in place after a SIGHUP, at the next prompt or out of the one that waits.

The prompt ends as it does for Ctrl-D, so the terminal is in order; half-typed text is back in the new image.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart import catalogue
from ipy_autorestart.ipython.cells import Cells, Recorder
from ipy_autorestart.ipython.history import end_session
from ipy_autorestart.ipython.ledger import Course, Rerun, outcome, stopped, went_on
from ipy_autorestart.ipython.policy import OnBusy
from ipy_autorestart.pristine import is_main_thread, os, signal, time
from ipy_autorestart.protocol.messages import Reran
from ipy_autorestart.reexec.exec import Handover, SupervisorHandle
from ipy_autorestart.reexec.interrupts import Interrupts
from ipy_autorestart.reexec.process import ProcessState
from ipy_autorestart.reexec.restarter import Restarter
from ipy_autorestart.reexec.start import FIRST, ProcessStart
from ipy_autorestart.reexec.state import TerminalState
from ipy_autorestart.reexec.tty import Terminal, end_as_ever

if TYPE_CHECKING:
    from types import FrameType

    from IPython.core.interactiveshell import InteractiveShell

    from ipy_autorestart.reexec.bootstrap import Hangups

log = logging.getLogger(__name__)


class _EndPrompt(EOFError):  # noqa: N818  # no error
    """Raised in the prompt, which it ends as Ctrl-D does."""


class TerminalRestarter(Restarter):
    """Restarts a terminal IPython in place after a SIGHUP; relies on its ``prompt_for_code`` and ``pt_app``."""

    def __init__(self, shell: InteractiveShell, supervisors: Sequence[SupervisorHandle], recorder: Recorder) -> None:
        super().__init__(supervisors)
        self._shell: Any = shell
        self._recorder = recorder
        self._start = ProcessStart.of(shell)
        self._prompt: Callable[[], str]  # the shell's own, while this is armed
        self._cells: Cells | None = None
        self._typed = ""

    def arm(self, owner: SupervisorHandle, then: Callable[[], None] = lambda: None, *, previous: Any = None) -> None:
        """Make SIGHUP restart this process, as `Restarter.arm` does; raises RuntimeError outside of the main thread."""
        if not is_main_thread():
            raise RuntimeError(catalogue.WATCH_AT_THE_PROMPT())
        super().arm(owner, then, previous=previous)

    def describe(self) -> str:
        """Return what a pending restart waits for, or nothing; in any thread."""
        return self._cells.describe() if self._cells else ""

    def _install(self) -> None:
        self._cells = Cells(self._shell, on_end=lambda: None)
        self._prompt = self._shell.prompt_for_code
        self._shell.prompt_for_code = self._prompt_or_restart
        super()._install()

    def _uninstall(self) -> None:
        self._shell.prompt_for_code = self._prompt
        if self._cells:
            self._cells.close()
        super()._uninstall()

    # -- when ----------------------------------------------------------------------------------------------------------

    def _hang_up(self, _: FrameType | None) -> None:
        if not self._owners:  # disarmed in another thread
            self._settle()
            os.kill(os.getpid(), signal.SIGHUP)  # for the handler before
            return
        self._pending = time.monotonic()
        app = getattr(self._shell.pt_app, "app", None)
        if app is not None and app.is_running and app.loop is not None:
            app.loop.call_soon_threadsafe(self._end_prompt, app)
        elif self.describe() and OnBusy(self._owners[-1].request.options.on_busy) is OnBusy.INTERRUPT:
            self._recorder.expect_interrupt()
            os.kill(os.getpid(), signal.SIGINT)

    def _end_prompt(self, app: Any) -> None:
        if self._pending is not None and app.is_running and not app.is_done:
            self._typed = app.current_buffer.text
            app.exit(exception=_EndPrompt())

    def _prompt_or_restart(self) -> str:
        while True:
            self._settle()
            if not self.is_armed:
                return self._prompt()
            if self._pending is not None:
                self._hand_over(self._prepare)
            app = getattr(self._shell.pt_app, "app", None)
            if app is not None:  # for a signal that comes before the prompt can end
                app.pre_run_callables.append(lambda app=app: app.loop.call_soon(self._end_prompt, app))
            with contextlib.suppress(_EndPrompt):
                return self._prompt()

    def _prepare(self) -> TerminalHandover:
        cells = self._recorder.to_plain() if self._rerun is not Rerun.NONE else None
        state = TerminalState(typed=self._typed, cells=cells)
        return TerminalHandover(self._shell, self._start, self._terminal, state, survives=self._own)

    def _refuse(self, why: str) -> None:
        super()._refuse(why)
        self._shell.set_next_input(self._typed)
        self._typed = ""

    @property
    def _rerun(self) -> Rerun:
        return Rerun(self._owners[-1].request.options.rerun) if self._owners else Rerun.NONE

    def replay(self) -> None:
        """Run the cells of the image before again, as if they were typed at the first prompt."""
        course = Course(self._recorder.choose(self._rerun))
        began = time.monotonic()
        interrupts = Interrupts()  # with those that came during the restart
        try:
            while self._pending is None and (cell := course.next):
                if interrupts.noted:
                    course = course._replace(interrupted=True)
                    break
                sys.stdout.write(f"In [{cell.number}]: " + cell.code.replace("\n", "\n   ...: ") + "\n")
                with self._recorder.again(cell) as error, interrupts.let_through():
                    self._shell.run_cell(cell.code, store_history=True)
                course = went_on(course, error())
        finally:
            interrupts.end()
        self._recorder.go_on_from(self._recorder.ledger.last_number + 1)
        result = outcome(course, self._recorder.ledger, seconds=time.monotonic() - began)
        self._report(Reran(result, stopped=stopped(course)) if self._pending is None else Reran(""))


class TerminalHandover(Handover):
    """Replaces a terminal IPython by a new image of itself."""

    def __init__(
        self, shell: InteractiveShell, start: ProcessStart, terminal: Terminal, state: TerminalState, *, survives: bool
    ) -> None:
        super().__init__(start)
        self._shell = shell
        self._terminal = terminal
        self._state = state
        self._survives = survives

    def end_life(self) -> None:
        """End the session of the history, too."""
        end_session(self._shell)
        super().end_life()

    def close(self) -> None:
        """Restore the terminal, too."""
        super().close()
        self._terminal.give_back(survives=self._survives)

    def own(self) -> TerminalState:
        """Return the typed text and the cells to run again."""
        return self._state


def is_restartable(shell: object) -> bool:
    """Return whether a shell is a terminal IPython of its own, not embedded in another program."""
    ipapp = sys.modules.get("IPython.terminal.ipapp")
    return ipapp is not None and isinstance(getattr(shell, "parent", None), ipapp.TerminalIPythonApp)


def prepare(typed: str, process: ProcessState, hangups: Hangups, *, resume: Callable[[InteractiveShell], None]) -> None:
    """Have the IPython that is about to start continue where the image before ended; see `kernel.arrive.Arrival`."""
    if hangups.noted and Terminal().is_gone:
        end_as_ever()
    from IPython.terminal.ipapp import TerminalIPythonApp

    extensions, start = TerminalIPythonApp.init_extensions, TerminalIPythonApp.start

    def init_extensions(app: Any) -> None:
        gc.enable()
        setattr(app.shell, FIRST, process)
        extensions(app)  # type: ignore[no-untyped-call]
        app.shell.extension_manager.load_extension("ipy_autorestart")  # startup files may use it

    def start_once(app: Any) -> None:
        del TerminalIPythonApp.init_extensions
        TerminalIPythonApp.start = start  # type: ignore[method-assign]
        if typed:
            app.shell.set_next_input(typed)
        resume(app.shell)
        start(app)  # type: ignore[no-untyped-call]

    TerminalIPythonApp.init_extensions = init_extensions  # type: ignore[method-assign]
    TerminalIPythonApp.start = start_once  # type: ignore[method-assign]
