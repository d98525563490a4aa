"""IPython in a terminal, a real one: it restarts itself and leaves the terminal as it was."""

import os
import signal
import sys

import psutil
import pytest
from hanging import hang_up
from shell import Shell
from waiting import eventually

pytestmark = pytest.mark.e2e

IPYTHON = f"{sys.executable} -m IPython --no-banner --no-confirm-exit --colors=NoColor"


class Terminal(Shell):
    """A shell in a terminal and an IPython in that, which watches."""

    def start(self, options=""):
        self.shell.sendline(IPYTHON)
        self.wait(r"In \[1\]:$")
        self.pid = int(self.run("import os; print('pid', os.getpid())", r"pid (\d+)\s+In \[2\]:$").group(1))
        self.run("%load_ext ipy_autorestart", r"In \[3\]:$")
        self.run(f"%watch_restart src/ {options}", r"kernel · running[^⟳]*In \[4\]:$")

    def hang_up(self):
        self.clear()
        os.kill(self.pid, signal.SIGHUP)


@pytest.fixture
def terminal(project):
    terminal = Terminal()
    terminal.start()
    yield terminal
    terminal.close()


def test_a_save_restarts_it_at_its_prompt_and_what_is_half_typed_comes_back(terminal, project):
    terminal.run("x = 'once'", r"In \[5\]:$")
    terminal.shell.send("half_typed = 12")
    terminal.wait(r"In \[5\]: half_typed = 12$")
    terminal.clear()
    project.save("src/a.py", "V = 2\n")
    terminal.wait(r"In \[1\]: half_typed = 12$")
    terminal.run("3", r"In \[2\]:$")
    terminal.run("import os; print(half_typed, os.getpid(), 'x' in globals())", rf"123 {terminal.pid} False")
    terminal.run("%watch_status", "src/a.py changed")
    terminal.run("%env COLUMNS=80", r"COLUMNS=80\s+In")
    terminal.run("%watch_restart src/ main.py --port 80", r"put arguments of\s*\n  main.py after --")
    terminal.run("%history -g once", r"\d+/\d+: x = 'once'")


def test_a_running_cell_is_finished_first(terminal, project):
    terminal.run("import time; print('be' + 'gun'); time.sleep(1); print('ended', 6 * 7)", "begun")
    terminal.hang_up()
    terminal.wait(r"ended 42[\s\S]*In \[1\]:$")


def test_interrupting_stops_the_running_cell(project):
    terminal = Terminal()
    try:
        terminal.start("--on-busy interrupt")
        terminal.run("import time; print('be' + 'gun'); time.sleep(60)", "begun")
        terminal.hang_up()
        terminal.wait(r"KeyboardInterrupt[\s\S]*In \[1\]:$")
    finally:
        terminal.close()


def test_the_shell_finds_its_terminal_as_it_was(project):
    terminal = Terminal()
    try:
        terminal.shell.sendline("stty -a; echo")
        before = terminal.wait(r"(speed[\s\S]*)shell> $").group(1)
        terminal.clear()
        terminal.start()
        for number in (1, 2):
            terminal.hang_up()
            terminal.wait(rf"· {number} restart[\s\S]*In \[1\]:$")
        terminal.clear()
        terminal.shell.send("\x04")
        terminal.wait("shell> $")
        terminal.clear()
        terminal.shell.sendline("stty -a; echo")
        assert terminal.wait(r"(speed[\s\S]*)shell> $").group(1) == before
    finally:
        terminal.close()


def test_closing_the_terminal_ends_it_as_ever(terminal, project):
    children = psutil.Process(terminal.pid).children(recursive=True)
    hang_up(terminal.shell)
    eventually(lambda: not psutil.pid_exists(terminal.pid))
    eventually(lambda: not any(child.is_running() for child in children))


def test_without_a_watch_the_signal_is_the_users(terminal, project):
    terminal.run("%unwatch", r"In \[5\]:$")
    terminal.run("import signal; print('default', signal.getsignal(signal.SIGHUP) == signal.SIG_DFL)", "default True")
