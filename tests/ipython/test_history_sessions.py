"""One life of a shell is one session of the history, even where the next shell has started before it is its turn."""

import atexit
import contextlib
import sqlite3

import pytest
from IPython.core.history import HistoryManager
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from waiting import eventually

from ipy_autorestart.ipython.history import NEED_NUMBER, begin_session_later, end_session, end_session_later


@pytest.fixture
def shells(tmp_path, monkeypatch):
    """Make shells with a history in one file; those that wait have no session."""
    made = []

    def shell(*, waits=False, name="history.sqlite"):
        options = {"hist_file": name if name == ":memory:" else str(tmp_path / name), "enabled": name != ""}
        with monkeypatch.context() as patch:
            if waits:
                patch.setattr(HistoryManager, "new_session", lambda *_: None)
            made.append(InteractiveShell(config=Config({"HistoryManager": options})))
        return made[-1]

    yield shell
    for one in made:
        atexit.unregister(one.atexit_operations)
        if one.history_manager.save_thread is not None:
            one.history_manager.save_thread.stop()
        if one.history_manager.enabled:
            one.history_manager.db.close()


def sessions(shell):
    with contextlib.closing(sqlite3.connect(shell.history_manager.hist_file)) as database:
        return database.execute("select session, end is not null from sessions").fetchall()


def lines(shell, session):
    return [line for *_, line in shell.history_manager.get_range(session)]


def test_a_shell_that_has_waited_has_the_next_session_and_one_that_is_dropped_none(shells):
    first, dropped, second = shells(), shells(waits=True), shells(waits=True)
    first.history_manager.store_inputs(1, "'a line'")
    end = end_session_later(first)
    begin_session_later(second)
    second.history_manager.store_inputs(1, "'another'")
    assert lines(second, -1) == ["'a line'"]  # it has waited for its number
    assert second.history_manager.session_number == 2
    eventually(lambda: not vars(second.history_manager).keys() & set(NEED_NUMBER))
    assert not dropped.history_manager.session_number
    assert sessions(first) == [(1, False), (2, False)]
    end()
    assert sessions(first) == [(1, True), (2, False)]
    end_session(second)
    assert sessions(first) == [(1, True), (2, True)]
    third = shells()
    assert lines(third, -1) == ["'another'"]


def test_a_session_is_begun_when_there_is_time_or_its_number_is_needed(shells):
    shells()
    put_off, needed, copied = shells(waits=True), shells(waits=True), shells(waits=True)
    later = []
    begin_session_later(put_off, later.append)
    assert not put_off.history_manager.session_number
    later.pop()()
    eventually(lambda: put_off.history_manager.session_number == 2)
    begin_session_later(needed, later.append)
    needed.history_manager.writeout_cache()
    later.pop()()
    assert needed.history_manager.session_number == 3
    begin_session_later(copied, later.append)
    begin_session_later(copied, later.append)
    for begin in later:
        begin()
    eventually(lambda: not vars(copied.history_manager).keys() & set(NEED_NUMBER))
    assert len(sessions(copied)) == 4


def test_it_has_one_at_most_and_none_without_a_file(shells):
    first = shells()
    begin_session_later(first)
    first.history_manager.writeout_cache()
    assert sessions(first) == [(1, False)]
    for name in ("", ":memory:"):
        shell = shells(waits=True, name=name)
        end_session_later(shell)()
        begin_session_later(shell)
        assert shell.history_manager.session_number == (1 if name else 0)
        end_session(shell)


def test_a_session_that_cannot_begin_holds_nobody_up(shells, caplog):
    shell = shells(waits=True)
    with contextlib.closing(sqlite3.connect(shell.history_manager.hist_file)) as database:
        database.execute("drop table sessions")
        database.execute("create table sessions (session)")
    begin_session_later(shell)
    shell.history_manager.writeout_cache()
    assert "can't be begun" in caplog.text
