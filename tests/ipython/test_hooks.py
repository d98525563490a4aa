"""An interrupt that comes while functions of ours run before a cell stops the cell, and nothing of ours is shown."""

import atexit
import gc
import os
import signal
import threading

import pytest
from fakes import FakeShell
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from waiting import eventually

from ipy_autorestart.ipython.cells import Cells, Recorder
from ipy_autorestart.ipython.hooks import Hooks

LONG = "import threading; threading.Event().wait(20)"


def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def shell():
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_cell("0")  # what IPython imports at the first cell would be interrupted, with its files open
    gc.disable()  # hypothesis is told of collections, and what interrupts that is lost, as in any such callback
    yield shell
    gc.enable()
    atexit.unregister(shell.atexit_operations)
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("event", ["pre_execute", "pre_run_cell"])
def test_an_interrupt_before_a_cell_stops_the_cell(shell, capsys, event):
    after = []
    hooks = Hooks(shell, {event: interrupt, "post_run_cell": lambda result: after.append(result)})
    assert isinstance(shell.run_cell(LONG).error_in_exec, KeyboardInterrupt)
    assert "Error in callback" not in "".join(capsys.readouterr())
    hooks.close()
    assert shell.run_cell("1 + 1").result == 2
    assert len(after) == 1


def test_one_after_a_cell_has_nothing_to_stop(shell, capsys):
    hooks = Hooks(shell, {"post_execute": interrupt, "post_run_cell": interrupt})
    assert [shell.run_cell(code).result for code in ("1 + 1", "2 + 2")] == [2, 4]
    assert "Interrupt" not in "".join(capsys.readouterr())
    hooks.close()


def test_one_whose_cell_has_ended_meets_no_other():
    shell, came = FakeShell(), []
    handler = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        hooks = Hooks(shell, {"pre_execute": interrupt})
        shell.run_cell(lambda: hooks.close())  # forgotten then
        before = threading.active_count()
        shell.run_cell(lambda: eventually(lambda: True))
        assert threading.active_count() == before
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(came) <= 1


def test_another_thread_has_no_interrupts(shell):
    found = []
    hooks = Hooks(shell, {"pre_execute": lambda: found.append(signal.getsignal(signal.SIGINT))})
    thread = threading.Thread(target=shell.events.trigger, args=("pre_execute",))
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
    hooks.close()


def test_what_is_recorded_of_a_cell_takes_no_interrupt_away(shell, capsys, monkeypatch):
    recorder, cells = Recorder(shell), Cells(shell, on_end=lambda: None)
    monkeypatch.setattr(recorder, "_bindings", lambda look=recorder._bindings: (interrupt(), look())[1])
    assert isinstance(shell.run_cell(LONG, store_history=True).error_in_exec, KeyboardInterrupt)
    assert "Error in callback" not in "".join(capsys.readouterr())
    cells.close()
    recorder.close()
