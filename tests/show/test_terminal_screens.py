"""A target in a terminal: a line where its status has changed, or where a program has restarted."""

import sys

from ipy_autorestart import Files, State, Status
from ipy_autorestart.show.terminal import StderrScreen, TerminalScreen


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
    assert lines.written == ["⟳ main.py · running · run 1", "value 1\n"]
    assert screen.to_state() == {}
