"""A terminal's lines: what is said of a target stands alone, whatever else is printed."""

import contextlib
import threading
import types

import pytest
from fakes import FakeShell

from ipy_autorestart import State, Status
from ipy_autorestart.ipython.output import ShellLines
from ipy_autorestart.show.terminal import TerminalScreen


class Terminal:
    """Takes what is written, and does what it is given in the middle of a line."""

    def __init__(self):
        self.text = ""
        self.in_the_middle = lambda: None

    def write(self, text):
        self.text += text
        if text == "value":
            thread = threading.Thread(target=self.in_the_middle)
            thread.start()
            thread.join()
        return len(text)

    def flush(self):
        pass


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def shell():
    return FakeShell()


@pytest.fixture
def lines(shell):
    return ShellLines(shell)


@pytest.fixture
def screen(lines):
    return TerminalScreen(lines, "main.py")


@contextlib.contextmanager
def shown_on(terminal):
    with contextlib.redirect_stdout(terminal), contextlib.redirect_stderr(terminal):
        yield


def test_a_status_tears_no_line_of_a_cell(shell, screen, terminal):
    terminal.in_the_middle = lambda: screen.show(Status(State.RUNNING, runs=1, warm=False, running_for=2))
    with shown_on(terminal):
        shell.run_cell(lambda: terminal.write("value") + terminal.write(" 2\n"))
    assert terminal.text == "value 2\n\n⟳ main.py · running for 2.0 s · run 1\n"


def test_of_what_is_said_meanwhile_the_last_is_kept(shell, screen, lines, terminal):
    other = TerminalScreen(lines, "kernel")

    def speak():
        for number in range(3):
            screen.show(Status(State.FINISHED, runs=number, exit_status=0, warm=False))
            other.show(Status(State.RUNNING, runs=number))

    terminal.in_the_middle = speak
    with shown_on(terminal):
        shell.run_cell(lambda: terminal.write("value"))
    own, others = "⟳ main.py · finished · run 2", "⟳ kernel · running · 2 restarts"
    assert terminal.text == f"value\n{own}\n\n{others}\n"


def test_a_status_does_not_hang_on_the_last_line_of_a_run(shell, screen, terminal):
    shell.pt_app = types.SimpleNamespace(app=types.SimpleNamespace(is_running=True))
    with shown_on(terminal):
        screen.write("stdout", "10 %")
        screen.show(Status(State.FINISHED, exit_status=0))
        screen.write("stderr", "line\n")
        screen.show(Status(State.RUNNING))
    assert terminal.text == "10 %\n⟳ main.py · finished\nline\n⟳ main.py · running\n"


def test_a_cell_begins_behind_the_line_that_is_being_written(shell, lines, terminal):
    cell = threading.Thread(target=lambda: shell.run_cell(lambda: terminal.write("cell\n")))
    write = terminal.write

    def write_slowly(text):
        write(text[:3])
        if "⟳" in text:
            cell.start()
            cell.join(0.1)
        write(text[3:])

    terminal.write = write_slowly
    with shown_on(terminal):
        lines.say("main.py", "⟳ status")
        cell.join()
    assert terminal.text == "\n⟳ status\ncell\n"


def test_what_is_kept_is_said_when_it_closes(shell, terminal):
    callbacks = {name: len(functions) for name, functions in shell.events.callbacks.items()}
    lines = ShellLines(shell)

    def unload():
        lines.say("main.py", "ended")
        lines.close()

    with shown_on(terminal):
        shell.run_cell(unload)
    assert terminal.text == "\nended\n"
    assert {name: len(functions) for name, functions in shell.events.callbacks.items()} == callbacks
