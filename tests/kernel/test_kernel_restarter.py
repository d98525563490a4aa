"""The kernel's restarter, in the loop of a kernel that is none; the exec is refused."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import types

import fakes
import pytest
from fakes import ClosingGate, FakeShell, FakeSupervisor
from waiting import eventually

from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.ipython.ledger import Cell, Ledger
from ipy_autorestart.ipython.policy import Pace
from ipy_autorestart.kernel.restarter import KernelRestarter
from ipy_autorestart.protocol.messages import Asked, Hangup, Refused, Reran, Reread, Touched
from ipy_autorestart.reexec.interrupts import Interrupts, current
from ipy_autorestart.reexec.start import CantRestart


class Played:
    """A shell with a restarter that is armed."""

    def __init__(self, **options):
        self.shell = FakeShell()
        self.interrupted = []
        self.shell.kernel = types.SimpleNamespace(
            get_parent=lambda channel: {},
            parent=None,
            _send_interrupt_children=lambda: self.interrupted.append(True),
        )
        self.owner, self.script = FakeSupervisor(**options), FakeSupervisor()
        self.restarter = KernelRestarter(self.shell, [self.owner, self.script], Recorder(self.shell), lambda _: None)

    async def hang_up(self):
        os.kill(os.getpid(), signal.SIGHUP)
        await self.turn()

    async def turn(self):
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def until(self, count):
        while len(self.owner.reported) < count:
            await asyncio.sleep(0.001)


@pytest.fixture
def play(monkeypatch):
    """Play an act with one, in a loop."""
    monkeypatch.setattr(sys, "executable", "/nope")  # nothing must come to an exec here

    def run(act, **options):
        async def main():
            played = Played(**options)
            handler = signal.getsignal(signal.SIGHUP)
            played.restarter.arm(played.owner)
            try:
                await act(played)
            finally:
                played.restarter.close()
            assert signal.getsignal(signal.SIGHUP) == handler

        asyncio.run(main())

    return run


WHY = "the interpreter '/nope' is gone or can't be run; restart by hand"


def test_an_idle_kernel_restarts_at_once_and_reports_to_those_who_need_it(play):
    async def act(played):
        await played.hang_up()
        await played.until(2)
        assert played.owner.reported == [Hangup(), Refused(WHY)]
        assert played.script.reported == []

    play(act)


def test_a_signal_that_came_in_another_thread_is_handled_when_its_sender_asks(play):
    async def act(played):
        def receive():
            main = threading.main_thread().ident
            eventually(lambda: sys._current_frames()[main].f_code.co_name == "select")  # the loop has nothing to do
            signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
            played.restarter.wake()
            eventually(lambda: played.owner.reported)

        await asyncio.get_running_loop().run_in_executor(None, receive)

    play(act)


def test_a_program_may_have_signals_wake_a_loop_of_its_own(play):
    async def act(played):
        assert signal.set_wakeup_fd(-1) == -1  # trio warns of any other

    play(act)


def test_a_running_cell_is_waited_for(play):
    async def act(played):
        played.shell.events.trigger("pre_execute")
        await played.hang_up()
        assert played.restarter.describe() == "cell 1"
        await played.turn()
        assert set(played.owner.reported) == {Hangup()}
        assert not played.interrupted
        played.shell.events.trigger("post_execute")
        await played.until(len(played.owner.reported) + 1)
        assert played.owner.reported[-1] == Refused(WHY)

    play(act)


def test_interrupting_stops_the_running_cell_once(play):
    async def act(played):
        played.shell.events.trigger("pre_execute")
        await played.hang_up()
        await played.hang_up()
        assert played.interrupted == [True]
        played.shell.events.trigger("post_execute")
        await played.until(len(played.owner.reported) + 1)
        assert played.owner.reported[-1] == Refused(WHY)

    play(act, on_busy="interrupt")


def test_the_interrupt_of_a_restart_itself_stops_no_rerun(play):
    async def act(played):
        interrupts = played.restarter._interrupts = Interrupts()
        played.shell.events.trigger("pre_execute")
        await played.hang_up()
        interrupts.note()  # it came when the cell had just ended
        played.shell.events.trigger("post_execute")
        await played.until(len(played.owner.reported) + 1)
        assert not interrupts.noted

    handler = signal.getsignal(signal.SIGINT)
    play(act, on_busy="interrupt", rerun="all")
    assert signal.getsignal(signal.SIGINT) == handler


@pytest.mark.parametrize("runs", [True, False], ids=["a cell has run since", "no cell has run since"])
def test_an_interrupt_stops_no_rerun_if_a_cell_has_begun_after_it(play, runs):
    async def act(played):
        interrupts = played.restarter._interrupts = Interrupts()
        interrupts.note()  # right before a save
        if runs:
            played.shell.events.trigger("pre_execute")
        await played.hang_up()
        if runs:
            played.restarter._cells.pace = Pace(ended=time.monotonic())
            played.shell.events.trigger("post_execute")
        await played.until(len(played.owner.reported) + runs)
        assert interrupts.noted is not runs

    play(act, rerun="all")


def test_a_pending_restart_can_be_withdrawn(play):
    async def act(played):
        played.shell.events.trigger("pre_execute")
        await played.hang_up()
        assert played.restarter.withdraw()
        assert not played.restarter.withdraw()
        played.shell.events.trigger("post_execute")
        await played.turn()
        assert set(played.owner.reported) == {Hangup()}

    play(act)


def test_a_restart_can_be_withdrawn_while_a_checkpoint_is_made(play):
    async def act(played):
        played.restarter.behind = behind = FakeBehind()
        played.restarter.gate = gate = ClosingGate()
        gate.shut()
        behind.parking.is_begun = True
        await played.hang_up()
        assert played.restarter.withdraw()
        assert not gate.is_open  # the checkpoint needs it so
        behind.parking.is_begun = False
        played.restarter.check()
        await played.turn()
        assert played.owner.reported == [Hangup()]

    play(act, checkpoints=True)


def test_a_cleared_cell_is_told_to_every_supervisor(play):
    async def act(played):
        played.restarter._show_again("m1")
        assert played.owner.shown == played.script.shown == ["m1"]

    play(act)


def test_it_says_which_files_it_has_used_just_now(play, tmp_path):
    read, other = (Change(str(tmp_path / name), Kind.MODIFIED) for name in ("read.py", "other.py"))

    async def act(played):
        now = time.monotonic()
        assert not os.path.exists(read.path)
        with contextlib.suppress(FileNotFoundError), open(read.path):
            pass
        for number, asked in enumerate((read, other)):
            played.restarter.note_touched(played.owner, Touched(number, (asked,), now))
        assert played.owner.reported == [Reread(0, (read,)), Reread(1, ())]

    play(act)


def test_without_a_gate_no_cell_runs_again_and_that_is_told(play):
    async def act(played):
        played.restarter.replay()
        await played.turn()
        assert played.owner.reported == [Reran("", stopped="no cell is run again: this ipykernel is not supported")]

    play(act, rerun="all")


class HeldCells:
    """A gate in front of no kernel."""

    running, pace = 0, Pace()

    def __init__(self):
        self.waits = False

    def keep_cells(self):
        self.waits = True

    def let_all(self):
        self.waits = False

    def remove(self):
        pass


async def arm(played):
    """Go behind a proxy as far as the gate's closing; return the gate."""
    refuses, played.restarter.start = played.restarter.start, types.SimpleNamespace(check=lambda: None)
    played.restarter._kernel.eventloop = None
    played.restarter.gate = gate = ClosingGate()
    played.restarter._settle()
    await gate.begun.wait()
    assert played.restarter._is_restarting
    played.restarter.start = refuses  # a restart
    return gate


def test_a_change_before_the_copy_is_made_is_for_the_restart(play):
    async def act(played):
        gate = await arm(played)
        await played.hang_up()
        assert played.owner.reported == [Hangup()]
        gate.closed.set()
        await played.until(2)
        assert played.owner.reported[1] == Refused(WHY)
        assert gate.is_open

    play(act, rerun="all")


def test_a_hangup_right_before_the_copy_is_made_is_not_in_its_memory(play):
    async def act(played):
        gate = await arm(played)
        pending = []

        def hush():
            os.kill(os.getpid(), signal.SIGHUP)
            pending.append(played.restarter._pending)

        for one in (played.owner, played.script):
            one.hush, one.listen_again = hush, lambda: None
        gate.closed.set()
        await played.until(1)
        assert pending == [None, None]
        assert played.owner.reported == [Refused(WHY)]  # there is none, and so it acts here
        assert gate.is_open

    play(act, rerun="all")


def test_a_watch_that_ends_before_the_copy_is_made_needs_no_proxy(play):
    async def act(played):
        gate = await arm(played)
        played.restarter.close()
        gate.closed.set()
        await played.turn()
        assert gate.is_open
        assert not played.restarter._is_restarting
        assert played.restarter._way_behind.since is None  # the next watch tries again

    play(act, rerun="all")


def test_code_that_cancels_all_tasks_leaves_a_kernel_that_restarts(play):
    async def act(played):
        gate = await arm(played)
        await played.hang_up()
        cancel(played)
        await played.until(2)
        assert played.owner.reported[1] == Refused(WHY)
        assert gate.is_open

    play(act, rerun="all")


def test_code_that_cancels_all_tasks_cancels_a_restart_not_the_next(play):
    async def act(played):
        played.restarter.start = types.SimpleNamespace(check=lambda: None)
        played.restarter.gate = gate = ClosingGate()
        await played.hang_up()
        await gate.begun.wait()
        await played.hang_up()
        cancel(played)
        played.restarter.start = types.SimpleNamespace(check=refuse)
        await played.until(3)
        assert played.owner.reported[2:] == [Refused("cancelled by the kernel's own code"), Refused(WHY)]

    play(act, rerun="all")


def test_code_that_cancels_all_tasks_shuts_no_gate_even_before_the_first_step_of_a_restart(play):
    async def act(played):
        played.restarter.start = types.SimpleNamespace(check=lambda: None)
        played.restarter.gate = gate = ClosingGate()
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        assert played.restarter._is_restarting
        cancel(played)
        await played.until(2)
        assert played.owner.reported == [Hangup(), Refused("cancelled by the kernel's own code")]
        assert gate.is_open
        assert not gate.begun.is_set()

    play(act, rerun="all")


def worked(played, seconds):
    played.restarter._recorder.ledger = Ledger((Cell("cell", 1, "", {}, {}, seconds, last=1),), 1)


async def begin_to_arm(played):
    """Have a cell wait for the way behind a proxy; return the gate."""
    played.restarter._kernel.eventloop, played.restarter._kernel._aborting = None, False
    played.restarter.gate = gate = ClosingGate()
    gate.running = 1
    played.restarter._settle()
    assert played.restarter._admits(is_cell=True)
    worked(played, 1.0)
    assert played.restarter._admits(is_cell=False)
    assert not played.restarter._admits(is_cell=True)
    assert not gate.is_open
    return gate


@pytest.mark.parametrize("options", [{"rerun": "all"}, {"checkpoints": True}], ids=["rerun", "checkpoints"])
def test_an_interrupt_while_a_cell_waits_is_for_that_cell_and_one_before_is_for_none(play, options):
    async def act(played):
        async def run_code(code, result=None, *, async_=False):
            exec(code)

        played.shell.run_code = run_code
        played.restarter.gate = ClosingGate()
        played.restarter._note_end()  # of the cell that watches
        interrupts = current()
        assert interrupts
        interrupts.note()
        await begin_to_arm(played)
        await played.turn()
        assert played.restarter._admits(is_cell=True)
        assert played.shell.run_code is run_code
        worked(played, 2.0)
        assert not played.restarter._admits(is_cell=True)
        interrupts.note()
        await played.turn()
        assert played.restarter._admits(is_cell=True)
        with pytest.raises(KeyboardInterrupt):
            await played.shell.run_code(compile("", "cell", "exec"))
        played.restarter._note_end()
        assert played.shell.run_code is run_code
        assert played.restarter._admits(is_cell=True)
        assert played.shell.run_code is run_code

    play(act, **options)


def refuse():
    raise CantRestart(WHY)


SHELL = """
import os, pty, sys, types
from fakes import FakeShell
from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.kernel.restarter import KernelRestarter
from ipy_autorestart.reexec.tty import Terminal

def child(act):
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        os._exit(act())
    finally:
        os._exit(99)

def kernel():  # it stands in the terminal that its parent, a shell, leads
    shell = FakeShell()
    shell.kernel = types.SimpleNamespace(parent=None, get_parent=lambda channel: {})
    restarter = KernelRestarter(shell, [], Recorder(shell), print)
    assert restarter._terminal._controls
    def copy():
        os.setsid()
        restarter.live_on(types.SimpleNamespace(send=lambda *_: None), False)
        return restarter._terminal.is_gone
    return child(copy)

pid, terminal = pty.fork()
if pid == 0:
    os._exit(child(kernel))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.e2e
def test_a_copy_of_a_kernel_in_a_terminal_is_in_none():
    """A SIGHUP to it doesn't tell of a terminal: the proxy is in that."""
    support = os.path.dirname(fakes.__file__)
    subprocess.run([sys.executable, "-c", SHELL], check=True, env={**os.environ, "PYTHONPATH": support})


def cancel(played):
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


def fail(played):
    played.restarter._recorder.ledger = None


@pytest.mark.parametrize(("end", "why"), [(cancel, "cancelled by the kernel's own code"), (fail, "AttributeError: ")])
def test_whatever_ends_a_replay_lets_the_cells_that_wait_run(play, end, why):
    async def act(played):
        played.restarter.gate = gate = HeldCells()
        played.restarter.replay()
        assert gate.waits
        end(played)
        while gate.waits:
            await asyncio.sleep(0)
        [told] = played.owner.reported
        assert told.stopped.startswith(f"the cells could not be run again: {why}")
        assert not told.goes_on

    play(act, rerun="all")


class FakeBehind:
    """A proxy's side of a kernel that makes no checkpoint; it counts how often it is to look at those."""

    def __init__(self):
        self.link = types.SimpleNamespace(send=lambda word: None)
        self.parking = types.SimpleNamespace(
            is_begun=False, is_on=False, check_later=self.note, before=lambda cell: (1,), end=lambda: None
        )
        self.noted = 0

    def note(self):
        self.noted += 1

    def watch(self, roots):
        pass

    def back_up(self, owners):
        pass

    def end_telling(self):
        pass


def test_checkpoints_are_looked_at_when_cells_have_run_again(play):
    async def act(played):
        played.restarter.behind = behind = FakeBehind()
        played.restarter.gate = HeldCells()
        played.restarter.replay()
        assert behind.noted == 0
        while played.restarter.is_replaying:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert behind.noted == 1

    play(act, rerun="all")


def test_going_back_is_forgotten_when_the_watch_ends_that_is_to_have_it_done(play):
    async def act(played):
        restarter = played.restarter
        restarter.behind = FakeBehind()
        restarter.arm(played.script)
        restarter.go_back(None)
        assert played.script.reported == [Asked()]
        assert not restarter.is_free
        restarter.disarm(played.script)
        assert restarter.is_free
        restarter.arm(played.script)
        played.shell.events.trigger("pre_execute")
        restarter.go_back(None)
        await played.hang_up()
        restarter.disarm(played.script)
        assert restarter._undo  # it has come
        restarter.disarm(played.owner)
        restarter.arm(played.owner)
        assert restarter.is_free

    play(act)
