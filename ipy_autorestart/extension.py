"""The extension in one shell: its supervisors and its restarter, and how a new image continues with them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipy_autorestart import catalogue
from ipy_autorestart.client.screen import Screen
from ipy_autorestart.client.session import ATTRIBUTE
from ipy_autorestart.client.supervisor import Supervisor
from ipy_autorestart.ipython import terminal
from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.ipython.ledger import from_plain, gone_back, without
from ipy_autorestart.ipython.output import ShellLines
from ipy_autorestart.ipython.policy import Pace
from ipy_autorestart.ipython.terminal import TerminalRestarter, is_restartable
from ipy_autorestart.kernel.arrive import Arrival
from ipy_autorestart.kernel.consoles import Consoles
from ipy_autorestart.kernel.ipykernel import host_of
from ipy_autorestart.kernel.restarter import KernelRestarter
from ipy_autorestart.kernel.standby import Standby
from ipy_autorestart.pristine import os, signal
from ipy_autorestart.protocol.messages import Reran, Started
from ipy_autorestart.protocol.request import Kernel
from ipy_autorestart.reexec.exec import logged
from ipy_autorestart.reexec.interrupts import current
from ipy_autorestart.reexec.state import Carried, KernelState, StandbyState, SupervisorState, TerminalState
from ipy_autorestart.show.cell import CellScreen, ConsoleScreen, Showing
from ipy_autorestart.show.terminal import TerminalScreen
from ipy_autorestart.wire.link import TakeOver

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ipy_autorestart.reexec.bootstrap import Hangups


class ShellSession:
    """The supervisors of one shell, and the restarter of its process if that can be restarted."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.supervisors: list[Supervisor] = []
        self.showing = Showing(lambda: [one.screen for one in self.supervisors])
        self.recorder = Recorder(shell, lambda: [one.request for one in self.supervisors])
        self.lines = ShellLines(shell) if getattr(shell, "kernel", None) is None else None
        self.consoles = Consoles(getattr(shell, "kernel", None))
        self._restarter: KernelRestarter | TerminalRestarter | None = None
        if self.lines is None:
            self._restarter = KernelRestarter(shell, self.supervisors, self.recorder, self.take_up)
        elif is_restartable(shell):
            self._restarter = TerminalRestarter(shell, self.supervisors, self.recorder)
        self._shell = shell

    @property
    def restarter(self) -> KernelRestarter | TerminalRestarter | None:
        """The restarter of this process, if it can be restarted."""
        return None if self.why_not else self._restarter

    @property
    def why_not(self) -> str:
        """The reason and the remedy, if it can't be; it may turn out only after the extension was loaded."""
        if self._restarter is None:
            return catalogue.NO_KERNEL()
        host = host_of(self._shell.kernel) if self.lines is None else ""  # type: ignore[attr-defined]  # ipykernel's
        return catalogue.PART_OF_A_PROGRAM(program=host) if host else ""

    @property
    def proxy(self) -> int:
        """The process that stays when this one is replaced by another, and that passes on its signals; 0 for none."""
        return os.getppid() if isinstance(self._restarter, KernelRestarter) and self._restarter.proxy else 0

    @property
    def waits(self) -> bool:
        """Whether this kernel waits behind a proxy, and may never have its turn: until then, nothing is begun."""
        proxy = self._restarter.proxy if isinstance(self._restarter, KernelRestarter) else None
        return proxy is not None and proxy.waits

    def take_up(self, states: Sequence[SupervisorState]) -> None:
        """Go on with these, in a kernel that has gone back, and so has left those that it had then."""
        before = {one.pid: one for one in self.supervisors}
        for state in states:
            if supervisor := before.pop(state.pid, None):
                supervisor.go_on(state)
            else:
                supervisor = _attached(self._shell, state)
                if isinstance(state.request.target, Kernel):
                    supervisor.rearm(previous=None)
        for supervisor in before.values():  # they have ended since
            self.supervisors.remove(supervisor)
            if self._restarter:
                self._restarter.disarm(supervisor)

    def close(self) -> None:
        """Take all of it out of the shell."""
        if self._restarter:
            self._restarter.close()
        self.recorder.close()
        self.consoles.close()
        if self.lines:
            self.lines.close()
        if hasattr(self._shell, ATTRIBUTE):
            delattr(self._shell, ATTRIBUTE)


def session_of(shell: InteractiveShell) -> ShellSession:
    """Return the shell's session, which is made at the first call."""
    session = getattr(shell, ATTRIBUTE, None)
    if session is None:
        session = ShellSession(shell)
        setattr(shell, ATTRIBUTE, session)
    assert isinstance(session, ShellSession)
    return session


log = logging.getLogger(__name__)


def arrive(carried: Carried, hangups: Hangups) -> None:
    """Have the kernel or the IPython that is about to start continue where the image before ended."""
    own = carried.own
    assert isinstance(own, KernelState | TerminalState)  # a program's is read by `program.kept`
    go_on = functools.partial(resume, states=carried.supervisors, hangups=hangups, cells=own.cells)
    match own:
        case KernelState(gaps=gaps, no_proxy=why):
            Arrival(carried, own, resume=functools.partial(go_on, gaps=gaps, no_proxy=why)).replace_methods()
        case TerminalState(typed=typed):
            terminal.prepare(typed, carried.process, hangups, resume=go_on)


def stand_by(carried: Carried, hangups: Hangups) -> None:
    """Have the kernel that is about to start do so behind a proxy, and go on when its turn has come."""
    own = carried.own
    assert isinstance(own, StandbyState)

    def take_over(shell: InteractiveShell, before: Carried, word: TakeOver) -> None:
        state = before.own
        assert isinstance(state, KernelState)
        if state.undoes:  # the checkpoint has just gone; nothing was to run again
            word = replace(word, rerun=False)
        resume(shell, before.supervisors, hangups, state.cells, state.gaps, word)

    def prepare(shell: InteractiveShell) -> None:
        if isinstance(restarter := session_of(shell).restarter, KernelRestarter):
            restarter.prepare()

    standby = Standby(carried, own, prepare=prepare, resume=take_over)
    standby.replace_methods()


def resume(
    shell: InteractiveShell,
    states: Sequence[SupervisorState],
    hangups: Hangups,
    cells: Mapping[str, Any] | None,
    gaps: tuple[float, ...] = (),
    word: TakeOver = TakeOver(),  # noqa: B008  # a value
    no_proxy: str = "",
) -> None:
    """Continue the watches of the image before, and run its cells again if that is wanted; it may have died."""
    session, interrupts = session_of(shell), current()
    if isinstance(session.restarter, KernelRestarter):
        session.restarter.pace = Pace(gaps=gaps)
    if cells:  # first, for the proxy is given it as soon as something is watched
        session.recorder.ledger = without(gone_back(from_plain(cells)), word.gone)
    asked = list(session.supervisors)  # by startup files
    begun = {one.request.target for one in asked if one.has_begun}  # these are watched already
    attached = []
    for state in states:
        try:
            attached.append(_attached(shell, state))
        except Exception:  # the border: the others go on
            log.exception("can't continue with %s", state.request.target.name)
            for fd in state.fds:  # which ends it
                os.close(fd)
    for supervisor in attached:
        if supervisor.request.target in begun:
            supervisor.stop()
            continue
        if isinstance(supervisor.request.target, Kernel):
            supervisor.rearm(previous=hangups.previous)
            if cells and word.rerun:
                supervisor.send(Reran("", goes_on=True))
            supervisor.send(Started(os.getpid() if session.proxy else 0))
    goes_on = {one.request.target for one in attached}
    for supervisor in asked:
        if not supervisor.has_begun and supervisor.request.target in goes_on:  # maybe as a cell has changed it since
            supervisor.stop()
        else:
            with logged("a watch"):
                supervisor.begin()
    hangups.end()
    if cells and session.restarter and session.restarter.is_armed:
        if word.rerun and isinstance(session.restarter, KernelRestarter):
            before = catalogue.AFTER_A_DEATH(how=word.died) if word.died else ""
            session.restarter.replay(before, catalogue.BY_EXEC(why=no_proxy) if no_proxy else "")
        elif word.rerun:
            session.restarter.replay()
        else:
            why = catalogue.DIED_RERUNNING(how=word.died) if word.died else catalogue.NO_CHECKPOINT_LEFT()
            session.restarter.say("", stopped=why)
    if interrupts:
        interrupts.end()  # unless those are taken over that are yet to stop something
    if hangups.noted and session.restarter and session.restarter.is_armed:
        os.kill(os.getpid(), signal.SIGHUP)


def _attached(shell: InteractiveShell, state: SupervisorState) -> Supervisor:
    supervisor = Supervisor.attach(state, screen=_screen(shell, state))
    if isinstance(supervisor.screen, CellScreen):
        supervisor.screen.arrive(supervisor)
    return supervisor


def _screen(shell: InteractiveShell, state: SupervisorState) -> Screen | None:
    if state.screen is None:
        return None
    name = state.request.target.label
    lines = session_of(shell).lines
    if lines:
        return TerminalScreen(lines, name, shell)
    plain = dict(state.screen)
    kind = ConsoleScreen if plain.pop("prints", False) else CellScreen
    try:
        return kind(getattr(shell, "kernel", None), name, **plain, showing=session_of(shell).showing)
    except TypeError:  # a user's own screen, which stays behind
        log.warning("the screen of %s is not known here: the watch continues without", name)
        return None
