"""The terminal's restarter, at the prompt of a shell that is none; the exec is refused."""

import os
import signal
import sys
import threading

import pytest
from fakes import FakeShell, FakeSupervisor

from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.ipython.ledger import Cell, Ledger
from ipy_autorestart.ipython.terminal import TerminalRestarter, is_restartable
from ipy_autorestart.protocol.messages import Hangup, Refused, Reran


@pytest.fixture
def shell():
    return FakeShell()


@pytest.fixture
def recorder(shell):
    return Recorder(shell)


@pytest.fixture
def restarter(shell, recorder, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nope")  # nothing must come to an exec here
    restarter = TerminalRestarter(shell, [], recorder)
    yield restarter
    restarter.close()


def hang_up():
    os.kill(os.getpid(), signal.SIGHUP)


def test_at_the_prompt_a_pending_restart_comes_first(shell, restarter):
    supervisor = FakeSupervisor()
    restarter.arm(supervisor)
    assert shell.prompt_for_code() == "typed"
    assert supervisor.reported == []
    hang_up()
    assert shell.prompt_for_code() == "typed"
    why = "the interpreter '/nope' is gone or can't be run; restart by hand"
    assert supervisor.reported == [Hangup(), Refused(why)]
    assert shell.prompt_for_code() == "typed"
    assert len(supervisor.reported) == 2


def test_a_running_cell_is_waited_for(shell, restarter):
    restarter.arm(FakeSupervisor())
    assert restarter.describe() == ""
    said = []
    shell.run_cell(lambda: said.append(restarter.describe()))
    assert said == ["cell 1"]


def test_interrupting_ends_the_running_cell(shell, restarter):
    restarter.arm(FakeSupervisor(on_busy="interrupt"))
    with pytest.raises(KeyboardInterrupt):
        shell.run_cell(hang_up)
    shell.events.trigger("post_execute")
    assert restarter.withdraw()


def test_an_interrupt_beside_a_cell_stops_a_rerun(shell, recorder, restarter):
    def run_cell(code, *, store_history):
        raise KeyboardInterrupt

    shell.run_cell = run_cell
    recorder.ledger = Ledger((Cell("a", 1, "x", {}, {}, 0.1), Cell("b", 2, "y", {}, {}, 0.1)))
    supervisor = FakeSupervisor(rerun="all")
    restarter.arm(supervisor)
    restarter.replay()
    assert supervisor.reported == [Reran("cell 2 shows old output", stopped="stopped before cell 2: interrupted")]
    assert shell.execution_count == 3


def test_disarmed_it_gives_the_prompt_back(shell, restarter):
    supervisor = FakeSupervisor()
    own = shell.prompt_for_code
    restarter.arm(supervisor)
    assert shell.prompt_for_code != own
    restarter.disarm(supervisor)
    assert shell.prompt_for_code == own


def test_disarmed_in_another_thread_it_gives_all_back_at_the_next_prompt(shell, restarter):
    supervisor = FakeSupervisor()
    own, handler = shell.prompt_for_code, signal.getsignal(signal.SIGHUP)
    restarter.arm(supervisor)
    thread = threading.Thread(target=restarter.disarm, args=[supervisor])
    thread.start()
    thread.join()
    assert shell.prompt_for_code() == "typed"
    assert shell.prompt_for_code == own
    assert signal.getsignal(signal.SIGHUP) == handler


def test_only_the_main_thread_can_begin(shell, restarter):
    caught = []

    def arm():
        try:
            restarter.arm(FakeSupervisor())
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=arm)
    thread.start()
    thread.join()
    assert caught == ["in a terminal, only the main thread can start a watch; type it at the prompt"]


def test_an_embedded_shell_is_not_restartable(shell):
    assert not is_restartable(shell)
