"""The kernel's restarter, in the loop of a kernel that is none; the exec is refused."""

import asyncio
import os
import signal
import sys
import threading
import types

import pytest
from fakes import FakeShell, FakeSupervisor
from waiting import eventually

from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.ipython.policy import Pace
from ipy_autorestart.kernel.restarter import KernelRestarter
from ipy_autorestart.protocol.messages import Hangup, Refused, Reran
from ipy_autorestart.reexec.interrupts import Interrupts


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
        self.restarter = KernelRestarter(self.shell, [self.owner, self.script], Recorder(self.shell))

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


WHY = "the interpreter '/nope' is gone or can't be run; restart the kernel by hand"


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
            eventually(lambda: played.owner.reported, timeout=5)

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


def test_a_cleared_cell_is_told_to_every_supervisor(play):
    async def act(played):
        played.restarter._show_again("m1")
        assert played.owner.shown == played.script.shown == ["m1"]

    play(act)


def test_without_a_gate_no_cell_runs_again_and_that_is_told(play):
    async def act(played):
        played.restarter.replay()
        await played.turn()
        assert played.owner.reported == [Reran("no cell is run again: this ipykernel is not known")]

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


def cancel(played):
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


def fail(played):
    played.restarter._recorder.ledger = None


@pytest.mark.parametrize(("end", "why"), [(cancel, "cancelled by the kernel's own code"), (fail, "AttributeError: ")])
def test_whatever_ends_a_replay_lets_the_cells_that_wait_run(play, end, why):
    async def act(played):
        played.restarter._gate = gate = HeldCells()
        played.restarter.replay()
        assert gate.waits
        end(played)
        while gate.waits:
            await asyncio.sleep(0)
        [told] = played.owner.reported
        assert told.what.startswith(f"the cells could not be run again: {why}")
        assert not told.goes_on

    play(act, rerun="all")
