"""Loops that wait outside of Python are woken, so that the handler of SIGHUP is called there, too."""

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import types

import pytest
from processes import our_threads
from waiting import DEADLINE, eventually

from ipy_autorestart.program.alarm import QT, Alarm


def test_without_a_loop_nothing_happens():
    Alarm().ring()
    assert not our_threads()


class FakeTk:
    """An interpreter of Tk's whose loop is about to end."""

    def __init__(self):
        self.asked = queue.Queue()
        self.tk = self

    def call(self, *words):
        self.asked.put(words)
        raise RuntimeError("main thread is not in main loop")


def test_tk_is_asked_something_in_a_thread_of_its_own_whatever_it_says(monkeypatch):
    root = FakeTk()
    monkeypatch.setitem(sys.modules, "tkinter", types.SimpleNamespace(_default_root=root))
    Alarm().ring()
    assert root.asked.get(timeout=DEADLINE) == ("info", "patchlevel")
    eventually(lambda: not our_threads())


def test_a_tk_that_has_no_window_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", types.SimpleNamespace(_default_root=None))
    Alarm().ring()
    assert not our_threads()


class FakeSignal:
    """A signal that keeps its receiver for the application's thread."""

    def connect(self, receiver):
        self.receiver = receiver

    def emit(self):
        QUEUED.append(self.receiver)


class FakeObject:
    """An object of Qt's."""

    def moveToThread(self, thread):  # noqa: N802  # Qt's name
        self.thread = thread


QUEUED = []


@pytest.mark.parametrize("signal", ["Signal", "pyqtSignal"])
@pytest.mark.parametrize("binding", QT)
def test_qts_thread_is_given_a_function_of_pythons_to_call(monkeypatch, binding, signal):
    app = types.SimpleNamespace(thread=lambda: "the application's")
    core = types.SimpleNamespace(
        QCoreApplication=types.SimpleNamespace(instance=lambda: app), QObject=FakeObject, **{signal: FakeSignal}
    )
    monkeypatch.setitem(sys.modules, f"{binding}.QtCore", core)
    Alarm().ring()
    receiver = QUEUED.pop()
    assert receiver.__self__.thread == "the application's"
    receiver()
    assert not QUEUED


def test_without_an_application_qt_is_left_alone(monkeypatch):
    core = types.SimpleNamespace(QCoreApplication=types.SimpleNamespace(instance=lambda: None))
    monkeypatch.setitem(sys.modules, "PySide6.QtCore", core)
    Alarm().ring()
    assert not QUEUED


WATCH = 'restart_on_change("src", enabled=True)\n'
LOOPS = {
    "tkinter": 'import tkinter\nroot = tkinter.Tk()\nsay("value", a.V)\nroot.mainloop()\n',
    **{
        binding: f'from {binding}.QtWidgets import QApplication\napp = QApplication([])\nsay("value", a.V)\n'
        '(app.exec if hasattr(app, "exec") else app.exec_)()\n'
        for binding in QT
    },
}


@pytest.fixture
def display():
    """An X server of our own; for Qt none is needed."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb, to open a window of Tk's")
    reader, writer = os.pipe()
    with contextlib.closing(os.fdopen(reader)) as number:
        server = subprocess.Popen(["Xvfb", "-displayfd", str(writer)], pass_fds=[writer], stderr=subprocess.DEVNULL)
        os.close(writer)
        yield f":{number.readline().strip()}"
    server.terminate()
    server.wait()


@pytest.mark.e2e
@pytest.mark.parametrize("toolkit", LOOPS)
def test_a_save_restarts_a_program_that_waits_in_the_loop_of(start, request, toolkit):
    pytest.importorskip(toolkit, reason=f"needs {toolkit}")
    tk = toolkit == "tkinter"
    env = {"DISPLAY": request.getfixturevalue("display")} if tk else {"QT_QPA_PLATFORM": "offscreen"}
    program = start(WATCH + LOOPS[toolkit], env=env)
    program.wait("value 1")
    for value in (2, 3):
        program.save(value)
        program.wait(f"value {value}")
