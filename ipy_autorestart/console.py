"""A watch in a terminal: reports go to standard error, the keyboard sends signals."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Iterable, Iterator

from ipy_autorestart import catalogue
from ipy_autorestart.decide.ctrl_c import Answer, CtrlC, pressed
from ipy_autorestart.decide.events import Close, Paused
from ipy_autorestart.protocol.messages import Cause, Forward, Record, State, Status
from ipy_autorestart.protocol.request import Request
from ipy_autorestart.reexec.tty import Terminal
from ipy_autorestart.script.foreground import unstopped
from ipy_autorestart.show.status import is_later, message, status_line
from ipy_autorestart.text import wrapped

#: What a terminal or a shell sends to the group in the foreground, and others mean for this process.
SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH)

#: Not worth a line: something else follows, or nobody is to know.
BRIEF = frozenset({State.STARTING, State.RESTARTING, State.ENDED})

#: How a line looks: beside what the script prints, but for what needs a hand.
DIM, RED, PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[0m"

#: A terminal's width where it has none to report.
COLUMNS = 80


class Console:
    """The engine's front in the same process; stands where a `Link` leads to another's.

    If ``quiet``, it says nothing. ``ended_by`` is the signal that ended the watch, if one has.
    """

    backlog = 0

    def __init__(self, request: Request, *, terminal: Terminal, quiet: bool) -> None:
        self._name = request.target.label
        self._terminal = terminal
        self._quiet = quiet
        self._status = Status()
        self._shown = ""
        self._begun: tuple[Cause | None, int] = (None, 0)
        self._is_held = False  # the line of the run that has begun
        self._run, self._running = 0, False
        self._ctrl_c = CtrlC()
        self._pipe = next(filter(_is_pipe, (1, 2)), -1)
        self.ended_by: signal.Signals | None = None
        self._is_terminal = os.isatty(2) and os.environ.get("TERM") != "dumb"
        self._is_coloured = not os.environ.get("NO_COLOR")

    def fileno(self) -> int:
        """Return the pipe that the output goes to, whose reader may go away; -1 for none: the rest comes as signals."""
        return self._pipe

    def receive(self) -> Iterable[Record]:
        """Return nothing; raises EOFError if nobody reads the pipe any more."""
        if self._pipe < 0:
            return ()
        self.ended_by = self.ended_by or signal.SIGPIPE
        raise EOFError

    def flush(self) -> None:
        """Do nothing: all is written at once."""

    def send(self, record: Record) -> None:
        """Show what the engine reports."""
        if not isinstance(record, Status):  # a terminal keeps no history
            return
        status, before = record, self._status
        self._status = status
        begins = status.state is State.RUNNING and not status.pid  # said now: what a run prints is not to be torn apart
        self._run, self._running = status.runs, begins or bool(status.pid)
        if not status.pid:
            self._terminal.restore()
        if begins and status.runs > 1:  # what was typed was for the run before
            self._terminal.forget_input()
        line, start = status_line(self._name, status), (status.cause, status.runs)
        if begins:
            self._begun = start
            # The first one, and one after another that has finished, will probably do so: its end is worth a line.
            self._is_held = not before.runs or before.state is State.FINISHED
            if self._is_held:
                return
        else:
            said = status.state is State.RUNNING and start == self._begun and not message(status)
            goes_on = said and self._is_held and status.running_for
            if not goes_on and (said or status.state in BRIEF or line == self._shown or is_later(status, before)):
                return
            self._is_held = False
            self._shown = line
        self._say(line, RED if status.state in (State.CRASHED, State.BROKEN) else DIM)

    def _say(self, line: str, colour: str = DIM) -> None:
        if self._quiet or self.ended_by == signal.SIGPIPE:
            return
        if self._is_terminal:
            # To a new line unless the cursor is at the beginning of one, as shells do it.
            with contextlib.suppress(OSError):
                columns = os.get_terminal_size(2).columns or COLUMNS
                line = wrapped(line, columns)
                line = f"{colour}{line}{PLAIN}" if self._is_coloured else line
                line = " " * (columns - 1) + f"\r{line}"
        with unstopped(), contextlib.suppress(OSError):  # the terminal is gone, or nobody reads
            os.write(2, f"{line}\n".encode(errors="replace"))

    def handle(self, signums: set[int]) -> Iterator[Record]:
        """Yield what signals mean to the engine, but for those that mean the same to every front."""
        if signal.SIGHUP in signums and self._terminal.is_gone:
            yield from self._end(signal.SIGHUP, within=0.0)
        if signal.SIGTERM in signums:
            yield from self._end(signal.SIGTERM)
        if signal.SIGWINCH in signums:
            yield Forward(signal.SIGWINCH)
        if signal.SIGQUIT in signums:
            yield Forward(signal.SIGQUIT)
            yield from self._end(signal.SIGQUIT)
        if signal.SIGINT in signums:
            yield from self._interrupt()
        if signal.SIGTSTP in signums:
            # It stops with what runs, and goes on with it: changes meanwhile wait. SIGSTOP, because the run's group is
            # orphaned, as one in a session of its own is, and SIGTSTP doesn't stop such.
            yield Forward(signal.SIGSTOP)
            yield Paused()
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGCONT)  # the first process of a container doesn't stop, nor is continued
        if signal.SIGCONT in signums:
            yield Forward(signal.SIGCONT)
            yield Paused(on=False)

    def _end(self, signum: signal.Signals, within: float | None = None) -> Iterator[Record]:
        self.ended_by = self.ended_by or signum
        yield Close(within)

    def _interrupt(self) -> Iterator[Record]:
        self._ctrl_c, answer = pressed(self._ctrl_c, run=self._run, running=self._running)
        match answer:
            case Answer.FORWARD:
                yield Forward(signal.SIGINT)
                self._say(f"⟳ {self._name} · {catalogue.INTERRUPTED_ONCE()}")
            case Answer.END:
                if self._running:
                    self._say(f"⟳ {self._name} · {catalogue.STOPPING_NOW()}")
                yield from self._end(signal.SIGINT)
            case Answer.KILL:
                yield from self._end(signal.SIGINT, within=0.0)

    def close(self) -> None:
        """Leave the terminal as it was, and say that it is over to whom nothing else tells it."""
        self._terminal.restore()
        if self.ended_by is signal.SIGINT:
            self._say(f"⟳ {self._name} · {catalogue.WATCH_ENDED()}")


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False
