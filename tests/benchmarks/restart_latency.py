"""From a save to the new code with its imports done: this project beside others and beside a plain start of Python.

    python tests/benchmarks/restart_latency.py [--rounds 4] [--libraries bare,torch] [--modes ended,looping] [--memory]

Every peer runs all the time in a project of its own. In each round, every one's ``src/mod.py`` is saved once, in random
order, in turn in place and by rename; the new code reports through a FIFO when it has begun and has its imports.
So each round is one paired sample for each peer, and the ratios are medians of those of each round. The clock starts
just before the save; the peers are at their fastest settings. This project runs in a real kernel: idle, in a cell that
spins in Python, and in a cell that sits in one call of C; also after a burst of files, and without the fork server, as
it is while that is made anew. While one is measured, the others are stopped (SIGSTOP), as
nobody runs six restarters at once and some of them poll.

What is not installed is left out and named: libraries, watchfiles, watchmedo (of watchdog), hupper, nodemon
(``--nodemon PATH``).
``--memory`` prints instead what a run takes of memory for itself alone, warm and cold.

Where a warm restart's milliseconds go (nothing imported, script ended, idle kernel, plain start 20 ms; each stage's
end as time since the save, by stamps put into a copy of the code):

    0.6  inotify's event has come through watchdog's two threads to our handler
    0.8  the hint has woken the loop, another thread            (each change of threads about 0.1)
    1.7  looked: the file read, compiled, compared with the code before
    1.9  decided, SIGHUP sent and taken
    2.3  the compiled form deleted, names beside the script compared with those imported ahead
    2.6  the run that was forked ahead is awake
    3.7  first line: CPython has opened, read and compiled main.py
    4.8  imports done: `src` and `src.mod` found, the latter compiled and its compiled form written

With a script to be stopped come 1.5 to 2 ms from the stop signal to its end: the system goes through what it has in
memory page by page, and mapping by mapping (scikit-learn: 5, and 15 with torch before that lay in huge pages).
"""

import contextlib
import importlib.util
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import report
from projects import IMPORTS, Script

sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))
from play import kernel

WATCHFILES = """import shlex, sys
from watchfiles import run_process
run_process("src", target=shlex.join([sys.executable, "main.py"]), target_type="command", debounce=1, step=1)
"""
HUPPER = """import hupper, os, runpy, sys
def main():
    sys.path.insert(0, os.getcwd())
    runpy.run_path("main.py", run_name="__main__")
if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    os.environ["PYTHONPATH"] = os.getcwd()
    hupper.start_reloader("hupper_run.main", verbose=0, reload_interval=0.01, shutdown_interval=1)
"""
#: The floor of every cold design: it waits in inotify, kills and starts.
FLOOR = """import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init1(os.O_CLOEXEC)
libc.inotify_add_watch(fd, b"src", 0x8 | 0x80)
run = None
while True:
    if run is not None and run.poll() is None:
        run.terminate()
        run.wait()
    run = subprocess.Popen([sys.executable, "main.py"])
    while b".py" not in os.read(fd, 65536):
        pass
"""
BUSY = {
    "a cell spins": "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass",
    "a cell in C": "sum(range(60_000_000))",
}
OURS = "ipy_autorestart"
PEERS = ("watchfiles", "watchdog", "hupper")
PACKAGES = {"sklearn": "scikit-learn"}


class Peer:
    """Another tool, or the floor."""

    def __init__(self, name, argv, project, files=()):
        self.name, self.project = name, project
        for file, text in dict(files).items():
            (project.folder / file).write_text(text)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.process = subprocess.Popen(
            argv, cwd=project.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def rows(self):
        yield self.name, contextlib.nullcontext

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        itself = psutil.Process(self.process.pid)
        for one in (itself, *itself.children(recursive=True)):  # watchmedo's child has a session of its own
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()


class Ours:
    """A watch in a real kernel."""

    def __init__(self, project, options=""):
        self.name, self.project = f"{OURS} {options}".strip(), project
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.stack = contextlib.ExitStack()
        self.player = self.stack.enter_context(kernel(cwd=str(project.folder), env=environment))
        self.player.run("%load_ext ipy_autorestart")
        self.cell = self.player.run(f"%watch_restart src/ main.py {options}")

    def until_warm(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            said = self.player.run("%watch_status").text
            if "imported ahead" in said and "being made" not in said:
                return
            time.sleep(0.3)

    def rows(self):
        yield f"{self.name}, idle kernel", contextlib.nullcontext
        if self.name != OURS:
            return
        for name in BUSY:
            yield f"{OURS}, {name}", lambda name=name: self.busy(name)
        yield f"{OURS}, last of 20 files", self.burst

    def pause(self):
        """Nothing: it does nothing while there is no change."""

    def go_on(self):
        """Nothing."""

    @contextlib.contextmanager
    def burst(self):
        files = [self.project.folder / f"src/of_a_burst{number}.py" for number in range(19)]
        for file in files:
            file.write_text("")
            time.sleep(0.005)
        yield
        for file in files:
            file.unlink()
        time.sleep(0.5)

    @contextlib.contextmanager
    def busy(self, name):
        cell = self.player.send(BUSY[name])
        time.sleep(0.3)
        yield
        self.player.wait(lambda: cell.done)

    def stop(self):
        self.stack.close()


def peers(root, library, mode, nodemon):
    """Start all that can be."""

    def project(name):
        return Script(root, name, library, mode)

    python, folder = sys.executable, Path(sys.executable).parent
    yield Ours(project(OURS))
    yield Ours(project("cold"), "--cold")  # as it is while the fork server is made anew
    yield Peer("plain start of Python", [python, "floor.py"], project("floor"), {"floor.py": FLOOR})
    if importlib.util.find_spec("watchfiles"):
        yield Peer("watchfiles", [python, "watch.py"], project("watchfiles"), {"watch.py": WATCHFILES})
    if (folder / "watchmedo").exists() and importlib.util.find_spec("yaml"):
        options = ["-d", "src", "-R", "-p", "**/*.py", "--debounce-interval", "0.01", "--signal", "SIGTERM"]
        argv = [folder / "watchmedo", "auto-restart", *options, "--no-restart-on-command-exit", "--", python, "main.py"]
        yield Peer("watchmedo", argv, project("watchmedo"))
    if importlib.util.find_spec("hupper"):
        yield Peer("hupper", [python, "hupper_run.py"], project("hupper"), {"hupper_run.py": HUPPER})
    if nodemon:
        options = ["-q", "--watch", "src", "--ext", "py", "--delay", "1ms", "--signal", "SIGTERM"]
        argv = [nodemon, *options, "--exec", f"{python} main.py"]
        yield Peer("nodemon", argv, project("nodemon"))


def measure(library, mode, rounds, nodemon):
    """Return the milliseconds of each row in each round: {row: [(first, done), …]}."""
    found = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        started = list(peers(root, library, mode, nodemon))
        try:
            for peer in started:
                peer.project.wait()
            started[0].until_warm()
            time.sleep(3)
            for peer in started:
                found |= {row: [] for row, _ in peer.rows()}
                peer.pause()
            for number in range(-1, rounds):
                report.progress(f"{library}, script {mode}: {report.round_of(number, rounds)}")
                turns = [(peer, row, how) for peer in started for row, how in peer.rows()]
                for peer, row, how in random.sample(turns, len(turns)):
                    peer.go_on()
                    time.sleep(0.7 + 0.3 * random.random())
                    with how():
                        begun = peer.project.save(in_place=bool(number % 2))
                        moments = peer.project.wait(timeout=30)
                    time.sleep(0.1)
                    peer.pause()
                    if number >= 0:
                        first, done = moments[:2] if moments else (math.nan, math.nan)
                        found[row].append(((first - begun) / 1e6, (done - begun) / 1e6))
        finally:
            for peer in started:
                peer.stop()
    return found


def show(library, mode, found):
    ours = [done for _, done in found[f"{OURS}, idle kernel"]]
    rows = []
    for row, pairs in found.items():
        firsts, dones = zip(*pairs, strict=True)
        ratio = report.times(report.ratio(dones, ours))
        rows.append((row, report.spread(firsts), report.spread(dones), ratio))
    title = f"{library}, script {mode}: ms from the save, medians of {len(ours)} rounds (quartiles)"
    report.table(title, ("", "first line", "imports done", "× ours"), rows)


def private_bytes(pid):
    """Return what a process has for itself alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def memory(library):
    """Print what a run takes for itself alone, warm and cold."""
    sizes = {}
    for how in ("", "--cold"):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
            ours = Ours(Script(root, "memory", library, "looping"), how)
            ours.project.wait()
            for _ in range(3):  # what is imported ahead is what earlier runs have come to
                time.sleep(6)
                if not how:
                    ours.until_warm()
                ours.project.save()
                _, _, pid = ours.project.wait()
            time.sleep(0.5)
            sizes[how] = private_bytes(pid)
            ours.stop()
    warm, cold = sizes[""] / 1e6, sizes["--cold"] / 1e6
    print(f"{library}: private memory of a run {warm:.1f} MB warm, {cold:.1f} MB cold: {cold / warm:.1f} × less")


def main():
    parser = report.options(__doc__, rounds=4)
    parser.add_argument("--libraries", default=",".join(IMPORTS))
    parser.add_argument("--modes", default="ended,looping")
    parser.add_argument("--nodemon", default="")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and watchfiles stops with it
    libraries = options.libraries.split(",")
    missing = [name for name in (*libraries, *PEERS) if name != "bare" and not importlib.util.find_spec(name)]
    nodemon = shutil.which(options.nodemon or "nodemon")
    for library in (name for name in libraries if name not in missing):
        if options.memory:
            memory(library)
            continue
        for mode in options.modes.split(","):
            show(library, mode, measure(library, mode, options.rounds, nodemon))
    names = [PACKAGES.get(name, name) for name in (*libraries, *PEERS)]
    tools = report.version_of(nodemon, "nodemon") if nodemon else []
    missing += [] if nodemon else ["nodemon"]
    report.measured_with([*names, "ipykernel"], rounds=options.rounds, tools=tools, missing=missing)


if __name__ == "__main__":
    main()
