"""The command line of this project and others' beside it: found, started, measured in the same rounds, and ended."""

import contextlib
import math
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil
import report

OURS, COLD = "ipy-autorestart", "ipy-autorestart --cold"
TOOLS = ("watchfiles", "watchmedo", "nodemon", "entr", "hupper", "uvicorn", "waitress-serve", "flask", "django-admin")
PACKAGES = {"watchmedo": "watchdog", "waitress-serve": "waitress", "django-admin": "django"}
MARK = "IPY_AUTORESTART_BENCHMARK"  # in the environment of all that is started


def heed_signals():
    """Make the signals that end a benchmark end what it has started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and watchfiles stops with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def find(nodemon=""):
    """Return each tool's path: beside this interpreter or in PATH; None for what is not there."""
    where = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {name: shutil.which(nodemon if nodemon and name == "nodemon" else name, path=where) for name in TOOLS}


def measured_with(paths, names, rounds):
    """Print what the tools of some names are, and what is not there."""
    programs = [name for name in ("nodemon", "entr") if name in names and paths[name]]
    tools = [words for name in programs for words in report.version_of(paths[name], name)]
    packages = [PACKAGES.get(name, name) for name in names if paths[name]]
    report.measured_with(packages, rounds=rounds, tools=tools, missing=[name for name in names if not paths[name]])


def restarters(project, paths):
    """Return the commands that restart anything, at their fastest where there is an option for it."""
    python = sys.executable
    run, ours = [python, *project.run], [python, "-m", "ipy_autorestart", "src/"]
    watchmedo = ["-d", "src", "-R", "-p", "**/*.py", "--debounce-interval", "0.01", "--signal", "SIGTERM"]
    nodemon = ["-q", "--watch", "src", "--ext", "py", "--delay", "1ms", "--signal", "SIGTERM"]
    options = {
        "watchfiles": ["--filter", "python", shlex.join(run), "src"],
        "watchmedo": ["auto-restart", *watchmedo, "--no-restart-on-command-exit", "--", *run],
        "nodemon": [*nodemon, "--exec", shlex.join(run)],
        "nodemon, exec": [*nodemon, "--exec", f"exec {shlex.join(run)}"],
        "entr": ["-n", "-r", *run],
        "hupper": ["-q", "-m", *project.argv],
    }
    where = {name: paths[name.partition(",")[0]] for name in options}
    found = {OURS: [*ours, *project.ours], COLD: [*ours, "--cold", *project.ours]}
    return found | {name: [where[name], *words] for name, words in options.items() if where[name]}


class Program:
    """A command that runs in a project; what it says goes to a file beside the project's folder."""

    def __init__(self, name, argv, project):
        self.name, self.project, self.mark = name, project, uuid.uuid4().hex
        self.log = Path(f"{project.folder}.log")
        own = {key: value for key, value in os.environ.items() if key == "PYTHONPATH" or not key.startswith("PYTHON")}
        files = Path(f"{project.folder}.files")
        files.write_text("src/mod.py\n")
        with self.log.open("wb") as log, files.open() as watched:  # which entr reads
            self.process = subprocess.Popen(
                argv, cwd=project.folder, env={**own, MARK: self.mark}, stdin=watched, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def warm_up(self):
        """Restart three times, each time until nothing is at work any more; return whether it restarts."""
        self.go_on()
        able = all(self.project.restart() and self.settle() for _ in range(3))
        self.pause()
        if not able:
            report.progress(f"{self.name} does not restart:\n{self.log.read_text()}")
        return able

    def settle(self, timeout=30):
        end, before, now = time.monotonic() + timeout, -1.0, 0.0
        while now - before > 0.05 and time.monotonic() < end:
            time.sleep(1)
            before, now = now, self.spent()
        return True

    def spent(self):
        """Return the seconds of processor time that all its processes have taken so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def processes(self):
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                found += [process] if process.environ().get(MARK) == self.mark else []
        return found

    def ask_to_end(self):
        self.process.terminate()
        self.go_on()

    def end(self):
        """End it and what it has started, if need be by force."""
        self.ask_to_end()
        psutil.wait_procs(self.processes(), timeout=5)
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=1)
        self.process.wait()


def alive(programs, known):
    """Return the process ids of all that programs have started; what is found out about each goes into ``known``."""
    marks, now = {program.mark for program in programs}, psutil.pids()
    for pid in now:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if pid not in known:
                process = psutil.Process(pid)
                # What ended at once is seen only until its parent has noticed, and has no environment any more.
                ended = process.status() == psutil.STATUS_ZOMBIE
                known[pid] = known.get(process.ppid()) if ended else process.environ().get(MARK) in marks
    return {pid for pid in now if known.get(pid)}


@contextlib.contextmanager
def ending(programs):
    """End all programs of a list that grows meanwhile."""
    try:
        yield programs
    finally:
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        for program in programs:
            program.ask_to_end()
        for program in programs:
            program.end()
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextlib.contextmanager
def running(kind, library, paths):
    """Start all that can be, stopped by SIGSTOP."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, ending([]) as programs:
        for name in kind.rows:
            project = kind(root, name, library)
            if words := kind.commands(project, paths).get(name):
                programs.append(Program(name, words, project))
                project.wait()
                programs[-1].pause()
        yield programs


def measure(kind, library, rounds, paths):
    """Return the figures of each program in each round: {name: [[figure of each column], …]}, NaN for what is not."""
    nothing = [math.nan] * len(kind.columns)
    with running(kind, library, paths) as programs:
        able = [program for program in programs if program.warm_up()]
        found = {program.name: [] if program in able else [nothing] * rounds for program in programs}
        for number in range(rounds):
            report.progress(f"{kind.__name__}, {library}: round {number + 1} of {rounds}")
            for program in random.sample(able, len(able)):
                program.go_on()
                figures = program.project.restart()
                found[program.name].append(figures or nothing)
                if not figures:
                    report.progress(f"{program.name}: no new code in round {number + 1}")
                time.sleep(0.1)
                program.pause()
    return found


def show(kind, library, rounds, found):
    """Print a table; the ratio is that of the column before it."""
    place, rows = kind.columns.index(kind.ratio), []
    ours = [figures[place] for figures in found[OURS]]
    for name, rounds_of_it in found.items():
        columns = list(zip(*rounds_of_it, strict=True))
        cells = [report.spread(column) for column in columns]
        cells.insert(place + 1, report.times(report.ratio(columns[place], ours)))
        rows.append((name, *cells))
    heads = ["", *kind.columns[: place + 1], "× ours", *kind.columns[place + 1 :]]
    report.table(f"{kind.title}, {library}: medians of {rounds} rounds (quartiles), times in ms", heads, rows)
