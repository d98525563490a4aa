"""From a save to the new code in a terminal: a script and an ASGI app, this project's command line beside others'.

    python tests/benchmarks/terminal.py [--rounds 11] [--import bare,pandas] [--nodemon PATH]

Every program runs all the time in a project of its own. In each round, every one's ``src/a.py`` is saved once by
rename, in random order, so that each round is one paired sample for each program, and the ratios are medians of those
of each round. The clock starts just before the rename. While one is measured, the others are stopped (SIGSTOP), as
some of them poll. They are commands as one types them, with what makes them faster where there is an option for it;
``restart_latency.py`` has the settings that only their APIs give. This project runs warm and ``--cold``.

The script reports its first line and the end of its imports through a FIFO. The app is served by uvicorn, and is asked
all the time: a new connection for each request, one after the other, 2 ms between them. It is away from its last good
response of the old code to the first of the new one. A request has failed that is refused, or cut off: reset, without
answer, or not answered in 5 s; as the refused ones come back at once, their number is about that of the pauses that
the app is away for. "Keeps its socket" is an app that restarts itself by ``restart_on_change(keep=[socket])``.

nodemon goes by the end of the shell that it starts commands in: it starts the new app while the old one still ends,
so its row is no like for like. With ``exec`` before the command it waits for the old one's end.

What is not there is left out and named, and so is a restart that has not come within 20 s.
Needs psutil, and uvicorn for the app.
"""

import argparse
import contextlib
import os
import random
import re
import select
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

import ipy_autorestart

MAIN = """import time; begun = time.monotonic_ns()
import os, sys
sys.path.insert(0, "src")
{imports}
import a
done = time.monotonic_ns()
with open({fifo!r}, "wb", buffering=0) as reports: reports.write(b"%d %d %d\\n" % (a.V, begun, done))
while True: time.sleep(60)
"""
APP = """{imports}
import a
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"value %d." % a.V}})
"""
SERVE = """import socket, sys
import uvicorn
from ipy_autorestart import kept_sockets, restart_on_change
[server] = kept_sockets() or [socket.create_server(("127.0.0.1", {port}))]
restart_on_change("src", keep=[server], enabled=True)
sys.path.insert(0, "src")
uvicorn.Server(uvicorn.Config("app:app", log_level="error")).run(sockets=[server])
"""
OURS, COLD, KEEPS = "ipy-autorestart", "ipy-autorestart --cold", "restarts itself, keeps its socket"
TOOLS = ("watchfiles", "watchmedo", "nodemon", "entr", "hupper", "uvicorn")
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
PAUSE, CONNECT, ANSWER, RESTART = 0.002, 0.25, 5.0, 20.0
ROWS = (OURS, COLD, KEEPS, *TOOLS[:3], "nodemon, exec", *TOOLS[3:5], "uvicorn --reload")
MARK = "IPY_AUTORESTART_BENCHMARK"  # in the environment of all that is started


class Project:
    """A folder with a module to be saved."""

    def __init__(self, root, name, imports):
        self.folder, self.value = Path(root, re.sub(r"\W+", "_", name)), 0
        (self.folder / "src").mkdir(parents=True)
        self.save()
        self.write(imports)

    def save(self):
        self.value += 1
        beside = self.folder / "src/.a.tmp"
        # Its length differs from save to save, or Python itself would trust the compiled form within a second.
        beside.write_text(f"V = {self.value}\n#{'#' * (self.value % 61)}\n")
        begun = time.monotonic_ns()
        os.replace(beside, self.folder / "src/a.py")
        return begun


class Script(Project):
    """A script that goes on until it is stopped."""

    columns, ratio = ("first line", "imports done"), "imports done"

    def write(self, imports):
        self.fifo = str(self.folder / "reports")
        os.mkfifo(self.fifo)
        (self.folder / "main.py").write_text(MAIN.format(imports=imports, fifo=self.fifo))
        self.run, self.ours, self.module = ["main.py"], ["main.py"], ["main"]

    def wait(self):
        """Return when the code that was saved last began and had its imports, None if it doesn't come."""
        end = time.monotonic() + RESTART
        with open(self.fifo, "r+b", buffering=0) as reports:
            while select.select([reports], [], [], max(0, end - time.monotonic()))[0]:
                for line in reports.read(65536).splitlines():
                    value, *moments = map(int, line.split())
                    if value == self.value:
                        return moments
        return None

    def restart(self):
        """Save, and return the figure of each column, None if nothing comes of it."""
        time.sleep(0.7 + 0.3 * random.random())
        begun = self.save()
        moments = self.wait()
        return moments and [(moment - begun) / 1e6 for moment in moments]


class App(Project):
    """An ASGI app that is asked all the time."""

    columns, ratio = ("first new response", "away", "failed requests", "of them cut off"), "away"

    def write(self, imports):
        self.port = free_port()
        (self.folder / "src/app.py").write_text(APP.format(imports=imports))
        (self.folder / "serve.py").write_text(SERVE.format(port=self.port))
        options = ["--app-dir", "src", "--port", str(self.port), "--log-level", "error"]
        self.module = ["uvicorn", "app:app", *options]
        self.run, self.ours = ["-m", *self.module], ["-m", "uvicorn", "app:app", "--", *options]

    def ask(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=CONNECT) as client:
                client.settimeout(ANSWER)
                client.sendall(REQUEST)
                answer = b"".join(iter(lambda: client.recv(4096), b""))
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "cut off"
        value, end, _ = answer.partition(b"value ")[2].partition(b".")
        return int(value) if end else "cut off"

    def answers(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            yield self.ask(), time.monotonic_ns()
            time.sleep(PAUSE)

    def wait(self):
        return any(answer == self.value for answer, _ in self.answers(RESTART))

    def restart(self):
        """Save while it is asked, and return the figure of each column, None if nothing comes of it."""
        good = [moment for answer, moment in self.answers(0.7 + 0.3 * random.random()) if answer == self.value]
        begun, failed = self.save(), []
        for answer, moment in self.answers(RESTART):
            if isinstance(answer, str):
                failed.append(answer)
            else:
                good.append(moment)
            if answer == self.value:
                break
        else:
            return None
        failed += [answer for answer, _ in self.answers(0.3) if isinstance(answer, str)]
        away = good[-1] - (good[-2] if good[1:] else begun)
        return [(good[-1] - begun) / 1e6, away / 1e6, len(failed), failed.count("cut off")]


def free_port():
    """Return one below those that clients get: there one that asks a closed port might be connected to itself."""
    while True:
        port = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Program:
    """A command that runs in a project; what it says goes to a file."""

    def __init__(self, name, argv, project, mark):
        self.name, self.project, self.mark, self.log = name, project, mark, project.folder / "log"
        own = {key: value for key, value in os.environ.items() if key == "PYTHONPATH" or not key.startswith("PYTHON")}
        files = project.folder / "files"
        files.write_text("src/a.py\n")
        with self.log.open("wb") as log, files.open() as watched:  # which entr reads
            options = {"stdin": watched, "stdout": log, "stderr": log, "start_new_session": True}
            self.process = subprocess.Popen(argv, cwd=project.folder, env={**own, MARK: mark}, **options)

    def warm_up(self):
        """Restart three times, each time until nothing is at work any more; return whether it restarts."""
        self.process.send_signal(signal.SIGCONT)
        able = all(self.project.restart() and self.settle() for _ in range(3))
        self.process.send_signal(signal.SIGSTOP)
        if not able:
            sys.stderr.write(f"{self.name} is left out, it does not restart:\n{self.log.read_text()}\n")
        return able

    def settle(self):
        end, before, now = time.monotonic() + 30, -1.0, 0.0
        while now - before > 0.05 and time.monotonic() < end:
            time.sleep(1)
            before, now = now, sum(sum(process.cpu_times()[:2]) for process in marked(self.mark))
        return True


def commands(project, paths):
    python, served = sys.executable, isinstance(project, App)
    run, ours = [python, *project.run], [python, "-m", "ipy_autorestart", "src/"]
    found = {OURS: [*ours, *project.ours], COLD: [*ours, "--cold", *project.ours]}
    if served and hasattr(ipy_autorestart, "restart_on_change"):
        found[KEEPS] = [python, "serve.py"]
    watchmedo = ["-d", "src", "-R", "-p", "**/*.py", "--debounce-interval", "0.01", "--signal", "SIGTERM"]
    nodemon = ["-q", "--watch", "src", "--ext", "py", "--delay", "1ms", "--signal", "SIGTERM"]
    reload = ["--reload", "--reload-dir", "src", "--reload-delay", "0.01"]
    options = {
        "watchfiles": ["--filter", "python", shlex.join(run), "src"],
        "watchmedo": ["auto-restart", *watchmedo, "--no-restart-on-command-exit", "--", *run],
        "nodemon": [*nodemon, "--exec", shlex.join(run)],
        "nodemon, exec": [*nodemon, "--exec", f"exec {shlex.join(run)}"],
        "entr": ["-n", "-r", *run],
        "hupper": ["-q", "-m", *project.module],
        "uvicorn --reload": [*project.module[1:], *reload] if served else [],
    }
    where = {name: paths[name.split()[0].rstrip(",")] for name in options}
    return found | {name: [where[name], *words] for name, words in options.items() if words and where[name]}


def marked(mark):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            found += [process] if process.environ().get(MARK) == mark else []
    return found


@contextlib.contextmanager
def running(kind, imports, paths):
    """Start all that can be, stopped by SIGSTOP; end it, and what it has started."""
    mark, programs = uuid.uuid4().hex, []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        try:
            for name in ROWS:
                project = kind(root, name, imports)
                if words := commands(project, paths).get(name):
                    programs.append(Program(name, words, project, mark))
                    project.wait()
                    programs[-1].process.send_signal(signal.SIGSTOP)
            yield [program for program in programs if program.warm_up()]
        finally:
            held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            for program in programs:
                program.process.terminate()
                program.process.send_signal(signal.SIGCONT)
            psutil.wait_procs(marked(mark), timeout=5)
            while left := marked(mark):
                for process in left:
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                psutil.wait_procs(left, timeout=1)
            signal.pthread_sigmask(signal.SIG_SETMASK, held)


def measure(kind, imports, rounds, paths):
    """Return the figures of each program in each round: {name: {round: [figure of each column]}}."""
    with running(kind, imports, paths) as programs:
        found = {program.name: {} for program in programs}
        for number in range(rounds):
            for program in random.sample(programs, len(programs)):
                program.process.send_signal(signal.SIGCONT)
                if figures := program.project.restart():
                    found[program.name][number] = figures
                else:
                    sys.stderr.write(f"{program.name}: no new code in round {number}\n")
                time.sleep(0.1)
                program.process.send_signal(signal.SIGSTOP)
    return {name: rows for name, rows in found.items() if len(rows) > 1}


def report(kind, library, rounds, found):
    """Print a table; the ratio is that of the column before it."""
    place = kind.columns.index(kind.ratio)
    heads = " | ".join((*kind.columns[: place + 1], "× ours", *kind.columns[place + 1 :]))
    print(f"\n{kind.__name__}, {library}: medians of {rounds} rounds (quartiles), times in ms\n")
    print(f"| | {heads} |\n|---|{'--:|' * (len(kind.columns) + 1)}")
    for name, rows in found.items():
        quarters = [statistics.quantiles(column, method="inclusive") for column in zip(*rows.values(), strict=True)]
        cells = [f"{middle:.1f} ({low:.1f} to {high:.1f})" for low, middle, high in quarters]
        paired = [rows[turn][place] / row[place] for turn, row in found.get(OURS, {}).items() if turn in rows]
        cells.insert(place + 1, f"{statistics.median(paired):.2f}" if paired else "")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def versions(paths):
    yield f"Python {sys.version.split()[0]}, ipy-autorestart {ipy_autorestart.__version__}"
    for name in ("watchfiles", "watchdog", "hupper", "uvicorn"):
        with contextlib.suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
    for name in filter(paths.get, ("nodemon", "entr")):
        run = subprocess.run([paths[name], "-h" if name == "entr" else "--version"], capture_output=True, text=True)
        yield f"{name} {re.search(r'[0-9][0-9.]*', run.stdout + run.stderr)[0]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--import", dest="libraries", default="bare,pandas")
    parser.add_argument("--nodemon", default="nodemon")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and watchfiles stops with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    where = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    paths = {name: shutil.which(options.nodemon if name == "nodemon" else name, path=where) for name in TOOLS}
    missing = [name for name in TOOLS if not paths[name]]
    missing += [] if hasattr(ipy_autorestart, "restart_on_change") else ["restart_on_change"]
    print(", ".join(versions(paths)) + (f"; left out: {', '.join(missing)}" if missing else ""))
    for kind in [Script, App] if paths["uvicorn"] else [Script]:
        for library in options.libraries.split(","):
            imports = "" if library == "bare" else f"import {library}"
            report(kind, library, options.rounds, measure(kind, imports, options.rounds, paths))


if __name__ == "__main__":
    main()
