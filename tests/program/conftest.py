"""Real programs that restart themselves."""

import os
import re
import signal
import subprocess
import sys

import psutil
import pytest
from processes import MARK, supervisors
from waiting import eventually

#: Without what would keep standard output from being buffered.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}

#: What most programs begin with: a module that is saved later, and what tells one image from the next.
HEAD = """\
import os, sys, time, atexit, signal, socket, threading
sys.path.insert(0, "src")
import a
from ipy_autorestart import kept_sockets, restart_if_changed, restart_on_change
def say(*words): print(*words, flush=True)
"""


class Program:
    """A program in a process of its own, killed at the end."""

    def __init__(self, folder, *words, env=None, name=sys.executable, **options):
        self.folder = folder
        self.out, self.err = folder.parent / f"{folder.name}.out", folder.parent / f"{folder.name}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            environment = {**ENVIRONMENT, MARK: os.environ[MARK], **(env or {})}
            options = {
                "cwd": folder,
                "executable": sys.executable,
                "env": environment,
                "stdin": subprocess.DEVNULL,
                "stdout": out,
                "stderr": err,
                **options,
            }
            self.process = subprocess.Popen([name, *words], start_new_session=True, **options)
        self.pid = self.process.pid

    @property
    def text(self):
        return self.out.read_text()

    @property
    def told(self):
        return self.err.read_text()

    def wait(self, pattern, *, times=1):
        """Wait until it has printed what a pattern matches so many times; return the last match."""

        def found():
            matches = list(re.finditer(pattern, self.text, re.MULTILINE))
            return matches[-1] if len(matches) >= times else None

        return eventually(found, what=lambda: f"{pattern!r} in {self.text!r} and {self.told!r}")

    def wait_told(self, pattern):
        """Wait for what it writes to standard error."""
        return eventually(lambda: re.search(pattern, self.told), what=lambda: f"{pattern!r} in {self.told!r}")

    def save(self, value):
        self.folder.save("src/a.py", f"V = {value}\n")

    def hang_up(self):
        os.kill(self.pid, signal.SIGHUP)

    def children(self):
        return psutil.Process(self.pid).children()

    def supervisor(self):
        [supervisor] = eventually(lambda: supervisors(self.pid))  # whose words are there a moment later
        return supervisor

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def start(project):
    """Write main.py and start it."""
    programs = []

    def begin(code, words=("main.py",), *, head=HEAD, **options):
        if code is not None:
            project.script(head + code)
        programs.append(Program(project, *words, **options))
        return programs[-1]

    yield begin
    for program in programs:
        program.close()
