"""The cells that a shell executes, by its events."""

import asyncio
import contextlib
import datetime
import os
import subprocess
import sys
import threading
import time
import types

import pytest
from fakes import FakeShell

from ipy_autorestart.ipython.cells import Bindings, Cells, Recorder
from ipy_autorestart.ipython.ledger import Cell, Rerun, gone_back
from ipy_autorestart.ipython.writes import FILES_CLOCK
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.request import Kernel, Request


class FakeKernel:
    """Knows the request in progress."""

    def __init__(self):
        self.request = {}

    def get_parent(self, channel):
        assert channel == "shell"
        return self.request


class FakeHistory:
    """Keeps the inputs of this session and those that go to the file."""

    def __init__(self):
        self.input_hist_parsed, self.input_hist_raw, self.db_input_cache = [""], [""], []
        self.db_input_cache_lock = threading.Lock()
        self.db_cache_size = 0

    def store_inputs(self, number, source, raw=None):
        self.input_hist_parsed.append(source)
        self.input_hist_raw.append(raw)
        self.db_input_cache.append((number, source, raw))


@pytest.fixture
def shell():
    return FakeShell()


@pytest.fixture
def recorder(shell):
    return Recorder(shell)


def execute(shell, code="x", *, number=1, error=None, store_history=True, silent=False, act=lambda: None):
    info = types.SimpleNamespace(raw_cell=code, transformed_cell=code, store_history=store_history, silent=silent)
    result = types.SimpleNamespace(
        info=info, result=None, error_before_exec=None, error_in_exec=error, execution_count=number
    )
    shell.events.trigger("pre_run_cell", info)
    act()
    shell.events.trigger("post_run_cell", result)


def test_a_cell_counts_from_its_beginning_to_its_end(shell):
    ended = []
    cells = Cells(shell, on_end=lambda: ended.append(cells.running))
    shell.run_cell(lambda: ended.append((cells.running, cells.describe())))
    assert ended == [(1, "cell 1"), 0]
    assert (cells.running, cells.describe()) == (0, "")
    assert cells.pace.ended == float("-inf")  # it was silent
    cells.close()


def test_a_cell_inside_a_cell_is_no_second_one(shell):
    cells = Cells(shell, on_end=lambda: None)
    found = []
    shell.run_cell(lambda: found.extend([shell.run_cell(lambda: None), cells.running]))
    assert found == [None, 1]
    cells.close()


def test_once_closed_nothing_is_counted(shell):
    cells = Cells(shell, on_end=lambda: None)
    cells.close()
    shell.events.trigger("pre_execute")
    assert cells.running == 0


def test_a_cell_that_has_run_is_recorded(shell, recorder):
    execute(shell, "x = 1", number=3)
    [cell] = recorder.ledger.cells
    assert (cell.number, cell.code, cell.error) == (3, "x = 1", "")
    assert recorder.to_plain()["cells"][0]["number"] == 3


def test_without_the_front_ends_id_each_execution_is_a_cell(shell, recorder):
    execute(shell, "i += 1", number=1)
    execute(shell, "i += 1", number=2)
    assert [cell.number for cell in recorder.ledger.cells] == [1, 2]


def test_executions_before_it_was_loaded_are_known_to_be_missing(shell, recorder):
    assert recorder.ledger.unknown == 0
    shell.execution_count = 4  # the third loads it
    assert Recorder(shell).ledger.unknown == 2


def test_input_transformers_run_once(shell, recorder):
    shell.history_manager = FakeHistory()
    shell.history_manager.store_inputs(1, "y = 1", "twice y = 1")
    shell.transform_cell = None
    info = types.SimpleNamespace(raw_cell="twice y = 1\n", store_history=True, silent=False)  # before IPython 9
    result = types.SimpleNamespace(
        info=info, result=None, error_before_exec=None, error_in_exec=None, execution_count=1
    )
    shell.events.trigger("pre_run_cell", info)
    shell.user_ns["y"] = 1
    shell.events.trigger("post_run_cell", result)
    assert recorder.ledger.cells[0].made == {"y"}
    shell.history_manager.input_hist_parsed.clear()  # as %reset does
    shell.transform_cell = lambda code: code.removeprefix("twice ")
    shell.events.trigger("post_run_cell", result)
    assert recorder.ledger.cells[1].made == {"y"}


def test_what_a_cell_has_made_is_found_by_its_code_and_by_what_came_of_it(shell, recorder):
    def act():
        shell.user_ns.update(star=1, _i=code, _7=2, table={}, os=os)

    shell.user_ns["same"] = shell.user_ns["old"] = []
    code = "from x import *\nsame = same\nnever = 1\ntable['a'] = 1\nos.chdir('x')"
    execute(shell, code, act=act)
    [cell] = recorder.ledger.cells
    assert cell.made == {"star", "same", "_7", "table", "os"}
    execute(shell, "os.chdir(star)\nold.append(1)")
    assert recorder.ledger.cells[1].made == {"old"}  # a module is not the worse for being used
    assert recorder.ledger.cells[1].after == {cell.key}


class Gone:
    """A proxy of what is gone, as `weakref`'s: whatever it is asked for raises, its class too."""

    def __getattribute__(self, name):
        raise ReferenceError


def test_whatever_a_cell_leaves_it_is_recorded(shell, recorder, caplog):
    execute(shell, "p.x = 1", act=lambda: shell.user_ns.update({"p": Gone(), 7: "no name"}))
    assert [cell.made for cell in recorder.ledger.cells] == [{"p", "7"}]
    assert caplog.text == ""


def test_a_cell_that_can_not_be_recorded_keeps_nobody_from_going_on(shell, recorder, caplog):
    shell.kernel = FakeKernel()
    shell.kernel.request = {"metadata": ["odd"], "content": {"code": "x"}}
    recorder.settles_later = True
    execute(shell, "x")
    shell.kernel.request = {}
    execute(shell, "y")
    assert [cell.code for cell in recorder.ledger.cells] == ["y"]
    assert "a cell could not be noted" in caplog.text


def test_code_that_did_not_come_to_run_has_made_nothing(shell, recorder):
    shell.user_ns["x"] = 1
    info = types.SimpleNamespace(raw_cell="x = ", store_history=True, silent=False)
    result = types.SimpleNamespace(info=info, error_before_exec=SyntaxError(), error_in_exec=None, execution_count=1)
    shell.events.trigger("pre_run_cell", info)
    shell.events.trigger("post_run_cell", result)
    [cell] = recorder.ledger.cells
    assert (cell.error, cell.made) == ("SyntaxError", frozenset())


@pytest.mark.parametrize("how", [{"silent": True}, {"store_history": False}])
def test_code_that_the_user_has_not_run_is_not_recorded(shell, recorder, how):
    execute(shell, **how)
    assert not recorder.ledger.cells


def test_in_a_kernel_a_cell_is_known_by_the_front_ends_id(shell, recorder):
    shell.kernel = FakeKernel()
    date = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    shell.kernel.request = {
        "header": {"msg_id": "m", "date": date},
        "metadata": {"cellId": "a"},
        "content": {"code": "x"},
    }
    execute(shell, "other")  # run by a cell's own code
    execute(shell, "x")
    [cell] = recorder.ledger.cells
    assert (cell.key, cell.header) == ("a", {"msg_id": "m", "date": "2026-01-02T00:00:00+00:00"})


def test_a_cell_that_was_deleted_is_forgotten(shell, recorder):
    shell.kernel = FakeKernel()
    for key in "ab":
        shell.kernel.request = {"metadata": {"cellId": key}, "content": {"code": key}}
        execute(shell, key)
    recorder.forget(["a", "unknown"])
    assert [one.key for one in recorder.ledger.cells] == ["b"]
    for deleted in ("c", 7, ["b"]):
        shell.kernel.request = {"metadata": {"cellId": "c", "deletedCells": deleted}, "content": {"code": "c"}}
        execute(shell, "c")
    assert [one.key for one in recorder.ledger.cells] == ["c"]


def test_a_cell_that_failed_is_recorded_with_its_error(shell, recorder):
    execute(shell, "good")
    execute(shell, "bad", number=2, error=ValueError())
    execute(shell, "long", number=3, error=KeyboardInterrupt())
    assert [cell.error for cell in recorder.ledger.cells] == ["", "ValueError", "KeyboardInterrupt"]


def test_a_cell_that_runs_again_keeps_its_number_and_is_not_written_to_the_history_twice(shell, recorder):
    shell.history_manager = history = FakeHistory()
    cell = Cell("a", 3, "x", {}, {}, 0.5)
    recorder.ledger = recorder.ledger._replace(cells=(cell,))
    with recorder.again(cell) as error:
        assert shell.execution_count == 3
        history.store_inputs(3, "x")
        subshell = threading.Thread(target=history.store_inputs, args=(4, "z", "%z"))
        subshell.start()
        subshell.join()
        execute(shell, "x", number=3, error=ValueError("again"))
    assert str(error()) == "again"
    assert history.input_hist_raw == ["", "", "", "x", "%z"]
    assert history.db_input_cache == [(4, "z", "%z")]
    assert [one.number for one in recorder.ledger.cells] == [3]
    history.store_inputs(4, "y")
    assert [source for _, source, _ in history.db_input_cache] == ["z", "y"]


def test_a_closed_recorder_records_nothing(shell, recorder):
    recorder.close()
    execute(shell)
    assert not recorder.ledger.cells


def test_a_cell_that_a_restart_interrupts_has_not_failed(shell, recorder):
    execute(shell, error=KeyboardInterrupt(), act=recorder.expect_interrupt)
    execute(shell, error=ValueError(), act=recorder.expect_interrupt)
    execute(shell, error=KeyboardInterrupt())
    assert [cell.error for cell in recorder.ledger.cells] == ["", "ValueError", "KeyboardInterrupt"]


@pytest.mark.parametrize(("interrupts", "error"), [(True, "KeyboardInterrupt"), (False, "CancelledError")])
def test_a_cell_that_awaits_is_interrupted_by_cancelling_it(shell, recorder, interrupts, error):
    async def cell():
        def act():
            if interrupts:
                asyncio.current_task().cancel()

        execute(shell, error=asyncio.CancelledError(), act=act)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)

    asyncio.run(cell())
    assert [one.error for one in recorder.ledger.cells] == [error]
    shell.events.trigger("post_run_cell", None)
    assert len(recorder.ledger.cells) == 1


def test_a_cell_of_this_projects_magics_alone_is_told_apart(shell, recorder):
    execute(shell, "get_ipython().run_line_magic('watch_restart', 'src/')")
    execute(shell, "watch = 1", number=2)
    assert [cell.own for cell in recorder.ledger.cells] == [True, False]


def test_the_extension_stays_while_cells_run_again(shell, recorder):
    manager = shell.extension_manager
    with recorder.again(Cell("a", 3, "x", {}, {}, 0.5)):
        assert recorder.is_running_again
        manager.load_extension("ipy_autorestart")
        manager.unload_extension("ipy_autorestart")
        manager.reload_extension("autoreload")
    assert not recorder.is_running_again
    manager.reload_extension("ipy_autorestart")
    assert manager.asked == ["autoreload", "ipy_autorestart"]


def test_cells_have_a_pace(shell):
    cells = Cells(shell, on_end=lambda: None)
    execute(shell)
    execute(shell, number=2)
    assert len(cells.pace.gaps) == 1
    cells.close()
    execute(shell)
    assert len(cells.pace.gaps) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the clock of files can't be read")
def test_what_was_saved_just_before_a_cell_is_not_taken_for_what_its_programs_have_written(shell, tmp_path):
    request = Request(Kernel(), (str(tmp_path),), Options(rerun="all"), str(tmp_path))
    recorder = Recorder(shell, lambda: [request])
    saved, written = tmp_path / "saved.py", tmp_path / "written.py"
    saved.write_text("V = 1\n")
    while time.clock_gettime_ns(FILES_CLOCK) <= saved.stat().st_ctime_ns:
        pass  # what comes in one tick can't be told apart
    execute(shell, act=lambda: subprocess.run(["touch", str(written)], check=True))
    assert recorder.ledger.cells[0].wrote == (str(written),)
    recorder.close()


def test_cells_are_chosen_though_the_folder_is_gone(shell, tmp_path, monkeypatch):
    request = Request(Kernel(), (str(tmp_path),), Options(rerun="all"), str(tmp_path))
    recorder = Recorder(shell, lambda: [request])
    (folder := tmp_path / "notebooks").mkdir()
    execute(shell, act=(tmp_path / "written.py").touch)
    monkeypatch.chdir(folder)
    folder.rmdir()
    recorder.ledger = gone_back(recorder.ledger)
    [left] = recorder.choose(Rerun.ALL).left
    assert left.why == f"writes {tmp_path / 'written.py'}"
    recorder.close()


def test_names_are_known_that_are_bound_to_something_else_than_before():
    before = Bindings(["a", "b", "c"], [1, 2, 3])
    assert Bindings(["a", "b", "c"], [1, 2, 3]).since(before) == set()
    assert Bindings(["a", "b", "c", "d"], [1, 4, 3, 2]).since(before) == {"b", "d"}
    assert Bindings(["a", "c", "b"], [1, 3, 4]).since(before) == {"b"}  # deleted and bound again
    assert Bindings(["b", "d"], [2, 1]).since(before) == {"d"}
    assert Bindings([], []).since(before) == set()


def test_a_cell_comes_into_the_ledger_later_where_its_client_waits(shell, recorder):
    recorder.settles_later = True
    execute(shell, "x = 1", number=1, act=lambda: shell.user_ns.update(x=1))
    shell.user_ns["y"] = 2  # by something else, after its end
    [cell] = recorder.ledger.cells
    assert (cell.code, cell.made) == ("x = 1", {"x"})
    execute(shell, "1 / 0", number=2, error=ZeroDivisionError())
    execute(shell, "z", number=3)  # settles what has ended before
    recorder.settles_later = False
    assert [(one.number, one.error) for one in recorder.ledger.cells] == [(1, ""), (2, "ZeroDivisionError"), (3, "")]


def test_a_cell_that_has_ended_comes_into_the_ledger_once_whichever_thread_asks(shell, recorder):
    recorder.settles_later = True
    for number in range(50):
        execute(shell, f"x = {number}", number=number + 1)
        found = []
        threads = [threading.Thread(target=lambda: found.append(recorder.ledger.last_number)) for _ in range(4)]  # noqa: B023
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [number + 1] * 4
    assert len(recorder.ledger.cells) == 50
