"""The history stands while its kernel is copied, and what a kernel runs on is looked at before it is touched."""

import atexit
import contextlib
import os
import queue
import sqlite3
import sys
import threading
import types

import pytest
from IPython.core.history import HistoryManager
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from waiting import eventually, pass_time

from ipy_autorestart.kernel import machinery
from ipy_autorestart.kernel.inherited import CantCopy
from ipy_autorestart.kernel.machinery import (
    Machinery,
    _let_go_of_history,
    _renew_history,
    _stop_history,
)


@pytest.fixture
def shell():
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell
    atexit.unregister(shell.atexit_operations)


@pytest.fixture
def history(shell, tmp_path):
    """A history in a file, with a line that isn't written yet."""
    options = {"connection_options": {"check_same_thread": False, "timeout": 0.05}}
    history = HistoryManager(shell=shell, hist_file=str(tmp_path / "history.sqlite"), **options)
    history.db_cache_size = 10  # it writes when it is asked to
    history.store_inputs(1, "'a line'")
    yield history
    if history.save_thread is not None:
        history.save_thread.stop()
    history.db.close()


def links():
    """Return what the open files of this process are."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def written(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("select session, line, source from history").fetchall()


def test_a_history_that_stands_is_written_and_holds_nothing(history):
    threads = threading.active_count()
    session = history.session_number
    go_on = _stop_history(history)
    assert threading.active_count() == threads - 1
    assert written(history.hist_file) == [(session, 1, "'a line'")]
    go_on()
    assert threading.active_count() == threads
    assert history.session_number == session
    history.db_cache_size = 0
    history.store_inputs(2, "'the next'")
    eventually(lambda: len(written(history.hist_file)) == 2)
    assert written(history.hist_file)[-1] == (session, 2, "'the next'")


def test_who_has_the_connection_of_the_history_keeps_it_whatever_is_copied(history):
    database, cursor = history.db, history.db.execute("select 1")
    cursor.fetchall()
    go_on = _stop_history(history)
    told, tell = os.pipe()
    if not (pid := os.fork()):
        try:
            _let_go_of_history(history)
            closed = [link for link in links() if "history" in link] == []
            _renew_history(history)
            history.new_session()
            history.store_inputs(2, "'in the copy'")
            history.writeout_cache()
            lines = database.execute("select source from history").fetchall()
            os.write(tell, repr((closed, lines, cursor.execute("select 2").fetchall())).encode())
        finally:
            os._exit(0)
    os.close(tell)
    os.waitpid(pid, 0)
    go_on()
    assert os.read(told, 999).decode() == str((True, [("'a line'",), ("'in the copy'",)], [(2,)]))
    os.close(told)
    assert history.db is database
    assert cursor.fetchone() is None
    assert len(database.execute("select source from history").fetchall()) == 2


def test_a_history_that_is_being_read_can_not_be_copied(history):
    history.store_inputs(2, "'the next'")
    history.writeout_cache()
    rows = history.search("*")
    assert next(rows)[1:] == (1, "'a line'")
    with pytest.raises(CantCopy, match="the history is being read"):
        _stop_history(history)
    assert history.save_thread.is_alive()
    assert [source for *_, source in rows] == ["'the next'"]
    _stop_history(history)()


def test_the_history_of_a_copy_has_no_session_until_one_is_begun(history):
    session = history.session_number
    _stop_history(history)
    _renew_history(history)
    assert history.session_number == 0
    history.new_session()
    assert history.session_number == session + 1
    history.store_inputs(2, "'in the copy'")
    history.writeout_cache()
    assert written(history.hist_file)[-1] == (session + 1, 2, "'in the copy'")


@contextlib.contextmanager
def locked(path):
    """Let another kernel be in the middle of writing."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("begin exclusive")
        yield
        database.rollback()


def test_a_history_that_another_kernel_writes_for_long_can_not_be_copied(history):
    with locked(history.hist_file), pytest.raises(CantCopy, match="the history can't be written: database is locked"):
        _stop_history(history)
    assert history.save_thread.is_alive()
    history.store_inputs(2, "'the next'")
    history.writeout_cache()
    assert written(history.hist_file)[-1][-1] == "'the next'"


def test_a_history_that_is_locked_stays_where_it_is(history, tmp_path):
    _stop_history(history)
    with locked(history.hist_file):
        _renew_history(history)
    assert str(history.hist_file) == str(tmp_path / "history.sqlite")
    assert [path.name for path in tmp_path.glob("history*")] == ["history.sqlite"]
    assert len(written(tmp_path / "history.sqlite")) == 1


def test_a_history_in_memory_is_left_alone(shell):
    history = HistoryManager(shell=shell, hist_file=":memory:")
    session = history.session_number
    _stop_history(history)()
    _renew_history(history)
    assert history.db.execute("select session from sessions").fetchall() == [(session,)]
    history.db.close()
    assert _stop_history(None)() is None


def test_the_connection_is_made_as_ipython_makes_it(history):
    def kinds():
        [row] = history.db.execute("select start from sessions limit 1").fetchall()
        return [type(one).__name__ for one in row]

    before = kinds()
    _stop_history(history)
    _renew_history(history)
    assert kinds() == before == ["datetime"]


class Bare(Machinery):
    """Of a kernel with one thread."""

    def __init__(self, shell):
        self._kernel, self._shell = types.SimpleNamespace(eventloop=None), shell
        self._calls = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while call := self._calls.get():
            call()

    def end(self):
        self._calls.put(None)
        self.thread.join()

    def _ways_into_threads(self):
        yield self._calls.put

    def _outputs(self):
        return []

    def _contexts(self):
        return []

    @property
    def stands(self):
        frame = sys._current_frames()[self.thread.ident]
        while frame and frame.f_code is not machinery._stand.__code__:
            frame = frame.f_back
        return frame is not None


def test_threads_stand_until_they_are_told_to_go_on(shell, history, monkeypatch):
    monkeypatch.setattr(machinery, "STAND_MAX", 0.05)
    shell.history_manager = history
    history.connection_options["timeout"] = 10
    _stop_history(history)()  # with that one
    bare = Bare(shell)
    database = sqlite3.connect(history.hist_file, check_same_thread=False)
    database.execute("begin exclusive")
    writer = threading.Timer(0.1, database.rollback)  # longer than a thread may take to stand
    writer.start()
    go_on = bare.stand()
    writer.join()
    database.close()
    pass_time(0.07)
    assert bare.stands
    go_on()
    eventually(lambda: not bare.stands)
    assert history.save_thread.is_alive()
    bare.end()
    shell.history_manager = None


def test_all_goes_on_if_a_thread_is_busy(shell, history):
    shell.history_manager = history
    bare, busy = Bare(shell), threading.Event()
    bare._calls.put(busy.wait)
    with pytest.raises(CantCopy, match="busy"):
        bare.stand(within=0.05)
    assert history.save_thread.is_alive()
    busy.set()
    bare.end()
    shell.history_manager = None


def test_an_unknown_kernel_is_not_touched():
    app = types.SimpleNamespace(kernel=types.SimpleNamespace())
    with pytest.raises(CantCopy, match="not known"):
        Machinery(app)
