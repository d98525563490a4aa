"""A target in a terminal: a line where its status has changed, or where a program has restarted."""

import os
import pty
import re
import sys
import termios
import types

import pytest

from ipy_autorestart import Cause, Files, State, Status, status_line
from ipy_autorestart.decide.facts import Reason
from ipy_autorestart.show.terminal import News, StderrScreen, TerminalScreen


def test_a_line_says_that_the_program_has_restarted_or_why_it_has_not(tmp_path, monkeypatch):
    with (tmp_path / "stderr").open("w") as file:
        monkeypatch.setattr(sys, "__stderr__", file)
        screen = StderrScreen("serve.py", Status(State.RUNNING, runs=1))
        running = Status(State.RUNNING, runs=2)
        unused = Status(State.RUNNING, runs=2, alike=Files(("a.py",)))
        for status in (Status(State.WAITING, runs=1), running, running, unused, unused, running):
            screen.show(status)
        screen.write("stdout", "the program's own")
    assert (tmp_path / "stderr").read_text().splitlines() == [
        "⟳ serve.py · running · 2 restarts",
        "⟳ serve.py · running · a.py changed: the code does the same, no restart (--strict) · 2 restarts",
    ]


def test_a_line_fits_the_terminal_and_breaks_between_words(monkeypatch):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    unused = Status(State.RUNNING, runs=3, warm=True, unused=Files(("src/quite/a/long/way/to/a_module.py",)))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "__stderr__", terminal)
        StderrScreen("main.py", Status()).show(unused)
    program = os.read(ours, 4096).decode().splitlines()
    os.close(ours)
    monkeypatch.setenv("COLUMNS", "80")
    shell = Lines()
    TerminalScreen(shell, "main.py").show(unused)
    assert program == shell.written[0].split("\n")
    assert len(program) == 3
    assert " ".join(map(str.strip, program)) == status_line("main.py", unused)
    assert all(len(line) <= 80 for line in program)


class Lines:
    def __init__(self):
        self.written = []

    def say(self, speaker, line):
        self.written.append(line)

    def write(self, stream, text):
        self.written += [text] if text else []


def test_in_a_terminal_time_alone_makes_no_line():
    lines = Lines()
    screen = TerminalScreen(lines, "main.py")
    for seconds in (0, 2, 3):
        screen.show(Status(State.RUNNING, runs=1, warm=False, running_for=seconds))
    screen.begin(1)
    screen.write("stdout", "value 1\n")
    assert lines.written == ["⟳ main.py · running for 2.0 s · run 1", "value 1\n"]
    assert screen.to_state() == {}


def lines_of(*statuses, name="main.py"):
    news = News(name)
    return [line for line in map(news.line, statuses) if line]


def test_a_run_that_ends_as_the_one_before_did_has_one_line():
    def run(number, **facts):
        return Status(State.RUNNING, runs=number, warm=True, **facts)

    def end(number, state=State.FINISHED, status=0):
        return Status(state, runs=number, warm=True, exit_status=status)

    first = [Status(), run(1), run(1, took=0.1), end(1)]
    assert lines_of(*first) == ["⟳ main.py · finished · run 1"]
    again = [Status(State.RESTARTING, runs=1), run(2), run(2, took=0.1), end(2)]
    assert lines_of(*first, *again)[1:] == ["⟳ main.py · finished · run 2"]
    long = [run(2), run(2, running_for=2), run(2, running_for=3), end(2, State.CRASHED, 3), run(3)]
    assert lines_of(*first, *long)[1:] == [
        "⟳ main.py · running for 2.0 s · run 2",
        "⟳ main.py · crashed with status 3 · run 2",
        "⟳ main.py · running · run 3",
    ]
    noted = [run(2, notes=("a limit",)), end(2)]
    assert lines_of(*first, *noted)[1:] == ["⟳ main.py · running · a limit · run 2", "⟳ main.py · finished · run 2"]


def test_a_restart_of_the_kernel_has_one_line_too():
    told = lines_of(
        Status(State.RUNNING),
        Status(State.WAITING),
        Status(State.WAITING, waits_for="cell 3"),
        Status(State.WAITING, Cause(Reason.CHANGE), waits_for="cell 3"),
        Status(State.RESTARTING),
        Status(State.RUNNING, runs=1),
        name="kernel",
    )
    assert told == ["⟳ kernel · running", "⟳ kernel · waiting for cell 3", "⟳ kernel · running · 1 restart"]


def test_a_start_that_takes_long_is_worth_a_line():
    assert lines_of(Status(), Status(notes=("looking at 9 files",))) == ["⟳ main.py · starting · looking at 9 files"]


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_traceback_has_the_shells_colours_but_none_where_nobody_wants_any(monkeypatch, no_color):
    monkeypatch.setenv("NO_COLOR", no_color)
    lines = Lines()
    screen = TerminalScreen(lines, "main.py", types.SimpleNamespace(colors="linux"))
    text = 'Traceback (most recent call last):\n  File "main.py", line 1, in <module>\nZeroDivisionError: zero\n'
    screen.write("stderr", text)
    screen.show(Status())
    assert ("\x1b[" in "".join(lines.written)) == (not no_color)
    assert re.sub(r"\x1b\[[\d;]*m", "", "".join(lines.written)) == text
