import logging
import sys
import threading

import pytest
from watchdog import events
from watchdog.utils import BaseThread

from ipy_autorestart.decide.change import Progress
from ipy_autorestart.watch.events import EVENTS, Deaths, Handler, Overflow
from ipy_autorestart.watch.plan import Spot

EVERYTHING = ("", Progress.UNKNOWN, True)
WRITING = Progress.WRITING if sys.platform.startswith("linux") else Progress.UNKNOWN


class Notices(list):
    def __call__(self, path, progress, *, folder):
        self.append((path, progress, folder))


@pytest.fixture
def notices():
    return Notices()


@pytest.fixture
def handler(notices):
    return Handler(Spot("/real/src", (1, 2), recursive=True, shown="/p/src"), notices)


def test_path_is_passed_on_as_the_user_knows_it(handler, notices):
    handler.dispatch(events.FileModifiedEvent("/real/src/pkg/a.py"))
    handler.dispatch(events.FileClosedEvent(b"/real/src/pkg/a.py"))

    assert notices == [("/p/src/pkg/a.py", WRITING, False), ("/p/src/pkg/a.py", Progress.DONE, False)]


def test_both_ends_of_a_move_are_passed_on(handler, notices):
    handler.dispatch(events.FileMovedEvent("/real/src/.a.tmp", "/real/src/a.py"))

    assert notices == [("/p/src/.a.tmp", Progress.DONE, False), ("/p/src/a.py", Progress.DONE, False)]


def test_file_in_a_new_folder_may_be_finished(handler, notices):
    handler.dispatch(events.DirCreatedEvent("/real/src/new"))
    handler.dispatch(events.FileCreatedEvent("/real/src/new/a.py"))

    assert notices == [("/p/src/new", Progress.UNKNOWN, True), ("/p/src/new/a.py", Progress.UNKNOWN, False)]


def test_created_name_without_a_dot_may_be_a_symlink_to_a_folder(handler, notices):
    handler.dispatch(events.FileCreatedEvent("/real/src/link"))

    assert notices == [("/p/src/link", WRITING, True)]


def test_deleted_spot_is_gone(handler, notices):
    handler.dispatch(events.DirDeletedEvent("/real/src/pkg"))
    assert not handler.gone

    handler.dispatch(events.DirDeletedEvent("/real/src"))

    assert handler.gone
    assert notices[-1] == ("/p/src", Progress.UNKNOWN, True)


def test_spot_for_single_names_passes_on_these_alone(notices):
    handler = Handler(Spot("/real", (1, 2), names=(("/real/src", "/p/src"), ("/real/src", "/q/src"))), notices)

    handler.dispatch(events.DirModifiedEvent("/real"))
    handler.dispatch(events.FileModifiedEvent("/real/other.py"))
    handler.dispatch(events.DirCreatedEvent("/real/src"))

    assert notices == [("/p/src", Progress.UNKNOWN, True), ("/q/src", Progress.UNKNOWN, True)]


def test_receiver_that_raises_does_not_raise_in_watchdogs_thread(caplog):
    def notice(path, progress, *, folder):
        raise ZeroDivisionError

    Handler(Spot("/p", (1, 2), shown="/p"), notice).dispatch(events.FileClosedEvent("/p/a.py"))

    assert "an event was lost" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_reading_a_file_is_no_event():
    assert events.FileOpenedEvent not in EVENTS
    assert events.FileClosedNoWriteEvent not in EVENTS


class Emitter(BaseThread):
    """A thread of watchdog's that an exception ends."""

    __module__ = "watchdog.observers.test"

    def __init__(self):
        super().__init__()
        self._is_reading = True

    def run(self):
        raise ZeroDivisionError


@pytest.fixture
def deaths(notices):
    deaths = Deaths(notices)
    deaths.start()
    yield deaths
    deaths.stop()


def end(thread):
    thread.start()
    thread.join()


def test_death_of_a_thread_of_watchdogs_asks_for_a_look_at_everything(deaths, notices, caplog):
    emitter = Emitter()

    end(emitter)

    assert deaths.seen
    assert notices == [EVERYTHING]
    assert not emitter._is_reading, "so that it closes its descriptors"
    assert "a thread of watchdog's died, and is started again" in caplog.text


def test_death_of_another_thread_is_left_to_the_previous_hook(notices, monkeypatch):
    left = []
    monkeypatch.setattr(threading, "excepthook", left.append)
    deaths = Deaths(notices)
    deaths.start()

    end(threading.Thread(target=lambda: 1 / 0))

    deaths.stop()
    assert [died.exc_type for died in left] == [ZeroDivisionError]
    assert not deaths.seen
    assert threading.excepthook == left.append


def test_hook_that_was_set_since_stays(deaths, monkeypatch):
    def hook(died):
        pass

    monkeypatch.setattr(threading, "excepthook", hook)

    deaths.stop()

    assert threading.excepthook is hook


def test_warning_of_watchdogs_asks_for_a_look_at_everything(notices):
    logger = logging.Logger("watchdog.observers.inotify_c")
    logger.addHandler(Overflow(notices))

    logger.info("nothing of interest")
    logger.warning("Inotify queue overflowed; events were lost")

    assert notices == [EVERYTHING]
