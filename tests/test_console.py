"""A watch in a terminal: lines on standard error, and what signals mean."""

import os
import pty
import re
import signal
import termios
from dataclasses import replace

import pytest
from fakes import FakeTerminal

from ipy_autorestart import Script, Status
from ipy_autorestart.console import Console
from ipy_autorestart.decide.change import Broken, Change, Kind
from ipy_autorestart.decide.facts import Cause, Reason, State
from ipy_autorestart.protocol.messages import Close, Decided, Files, Forward, Paused
from ipy_autorestart.protocol.request import Request

FIRST, CHANGED = Cause(Reason.FIRST), Cause(Reason.CHANGE, (Change("a.py", Kind.MODIFIED),))


@pytest.fixture
def terminal():
    return FakeTerminal()


@pytest.fixture
def console(project, terminal):
    return Console(Request(Script("main.py"), cwd=str(project)), terminal=terminal, quiet=False)


@pytest.fixture
def lines(console, capfd):
    """The lines that are written for some records."""

    def lines(*records):
        for record in records:
            console.send(record)
        return capfd.readouterr().err.splitlines()

    return lines


def begins(run, cause=FIRST):
    return Status(State.RUNNING, cause, runs=run, warm=False)


def running(run, cause=FIRST, **facts):
    return Status(State.RUNNING, cause, runs=run, pid=7, warm=False, **facts)


def test_the_first_run_is_told_of_when_it_goes_on_and_each_after_one_that_goes_on_before_it_begins(lines):
    assert lines(begins(1), running(1), running(1, took=0.005)) == []
    assert lines(running(1, running_for=2)) == ["⟳ main.py · running for 2.0 s · run 1"]
    assert lines(running(1, running_for=3), running(1)) == []
    assert lines(begins(2, CHANGED)) == ["⟳ main.py · running · run 2 · a.py changed"]


def test_a_run_that_will_end_as_the_one_before_did_has_one_line(lines):
    finished = Status(State.FINISHED, FIRST, runs=1, exit_status=0, lasted=0.01, warm=False)
    assert lines(begins(1), running(1), finished) == ["⟳ main.py · finished in 10 ms · run 1"]
    again = replace(finished, cause=CHANGED, runs=2)
    told = ["⟳ main.py · finished in 10 ms · run 2 · a.py changed"]
    assert lines(begins(2, CHANGED), running(2, CHANGED), again) == told


def test_a_ctrl_c_that_ends_the_watch_says_so(console, capfd):
    console.send(Status(State.FINISHED, FIRST, runs=1, exit_status=0, warm=False))
    assert list(console.handle({signal.SIGINT})) == [Close()]
    console.close()
    assert capfd.readouterr().err.splitlines()[-1] == "⟳ main.py · watch ended"


def test_what_a_run_is_in_need_of_is_told_once(lines):
    broken = Status(State.BROKEN, FIRST, runs=1, pid=7, warm=False, broken=Broken("a.py", "invalid syntax", 3))
    told = ["⟳ main.py · syntax error at a.py:3 · invalid syntax; the old code keeps running · run 1"]
    assert lines(begins(1), running(1), broken, broken) == told


def test_an_end_is_told_and_what_comes_and_goes_is_not(lines):
    starting, restarting = Status(State.STARTING), Status(State.RESTARTING, runs=1)
    finished = Status(State.FINISHED, FIRST, runs=1, exit_status=0, lasted=2.0, warm=False)
    assert lines(starting, begins(1), running(1), finished, restarting, Status(State.ENDED, runs=1)) == [
        "⟳ main.py · finished in 2.0 s · run 1"
    ]


def test_decisions_are_kept_to_itself(lines):
    assert lines(Decided(0.0, "a.py changed: restart")) == []


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_of_80_columns_tears_no_word_with_colours_and_without(project, terminal, monkeypatch, no_color):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    error = os.dup(2)
    os.dup2(theirs, 2)
    try:
        shown = Console(Request(Script("main.py"), cwd=str(project)), terminal=terminal, quiet=False)
        unused = Files(("src/quite/a/long/way/to/a_module.py",))
        shown.send(running(3, unused=unused))
    finally:
        os.dup2(error, 2)
        for fd in (error, theirs):
            os.close(fd)
    text = os.read(ours, 4096).decode()
    os.close(ours)
    assert ("\x1b" in text) == (not no_color)
    lines = re.sub(r"\x1b\[\d*m", "", text).rpartition(" \r")[2].split()
    assert " ".join(lines) == (
        "⟳ main.py · running · src/quite/a/long/way/to/a_module.py changed, not used by main.py: "
        "not restarted (--all) · run 3"
    )
    assert all(len(line) < 80 for line in re.sub(r"\x1b\[\d*m", "", text).rpartition(" \r")[2].splitlines())


def test_a_quiet_one_says_nothing(project, terminal, capfd):
    console = Console(Request(Script("main.py"), cwd=str(project)), terminal=terminal, quiet=True)
    console.send(begins(1))
    assert capfd.readouterr().err == ""


def test_the_terminal_is_restored_before_each_run_and_after_the_last(console, terminal):
    console.send(begins(1))
    assert terminal.restored == 1
    console.send(running(1))
    assert terminal.restored == 1
    console.close()
    assert terminal.restored == 2


def test_what_was_typed_for_one_run_is_forgotten_before_the_next(console, terminal):
    console.send(begins(1))
    assert terminal.forgot == 0, "it may have been typed for this program"
    console.send(running(1))
    console.send(begins(2, CHANGED))
    assert terminal.forgot == 1


def test_the_watch_stops_with_the_run_and_goes_on_with_it(console, monkeypatch):
    records = console.handle({signal.SIGTSTP})
    assert [next(records), next(records)] == [Forward(signal.SIGSTOP), Paused()], "before this process stops"
    assert list(console.handle({signal.SIGCONT})) == [Forward(signal.SIGCONT), Paused(on=False)]


def test_the_watch_ends_in_silence_when_nobody_reads_its_pipe(project, terminal, capfd):
    reading, writing = os.pipe()
    stdout = os.dup(1)
    os.dup2(writing, 1)
    os.close(writing)
    try:
        console = Console(Request(Script("main.py"), cwd=str(project)), terminal=terminal, quiet=False)
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    os.close(reading)
    assert console.fileno() == 1
    with pytest.raises(EOFError):
        console.receive()
    assert console.ended_by == signal.SIGPIPE
    console.send(begins(1))
    assert capfd.readouterr().err == ""


def test_ctrl_c_is_the_runs_first_then_the_watchs_and_ends_it_at_once_the_third_time(console, capfd):
    console.send(begins(1))
    assert list(console.handle({signal.SIGINT})) == [Forward(signal.SIGINT)]
    assert list(console.handle({signal.SIGINT})) == [Close()]
    assert list(console.handle({signal.SIGINT})) == [Close(0.0)]
    assert console.ended_by == signal.SIGINT
    assert "Ctrl-C again ends it at once" in capfd.readouterr().err


def test_a_hangup_ends_the_watch_only_with_the_terminal(console, terminal):
    assert list(console.handle({signal.SIGHUP})) == []
    terminal.is_gone = True
    assert list(console.handle({signal.SIGHUP})) == [Close(0.0)]
    assert console.ended_by == signal.SIGHUP


def test_other_signals_of_the_terminal_are_passed_on(console):
    assert list(console.handle({signal.SIGWINCH})) == [Forward(signal.SIGWINCH)]
    assert list(console.handle({signal.SIGQUIT})) == [Forward(signal.SIGQUIT), Close()]
    assert list(console.handle({signal.SIGTERM})) == [Close()]
    assert console.ended_by == signal.SIGQUIT, "the first counts"


def test_it_has_nothing_to_wait_for_nor_to_say(console):
    console.flush()
    assert (console.fileno(), list(console.receive()), console.backlog) == (-1, [], 0)
