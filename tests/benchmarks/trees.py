"""What it takes to watch trees of many files: this project's command line beside others'.

    python tests/benchmarks/trees.py [--rounds 2] [--sizes 1000,20000,200000] [--kinds own,project]

Two kinds of trees: "own" has nothing but Python files of the project's own, ten in each folder; in "project" one file
in twenty is of that kind, the others lie in ``node_modules``, ``.git`` and ``.venv``. Beside them stands
``src/mod.py``, which the script imports; the tools watch the whole folder for Python files, one tool at a time, in
random order.

A first start of each, not counted, tells how many inotify watches it comes to (by ``/proc/PID/fdinfo``), once they have
been the same for two seconds, and how many of them are for folders of the tree. In each round "first line" is the time
from the start until the script's first line runs, and "watching" until it has these watches. At that moment a file is
saved: if no new code comes of it in 10 s, it was missed. Then, when nothing is at work any more, or after 10 s: memory
is the proportional set size (PSS) of all processes together, less that of the script by itself, started by Python
alone; idle is the processor time over two seconds, as a part of one core; and "save" is the median of five, from a save
to the new code with its imports done, "slowest" the longest. This project keeps a fork server and a child that waits,
which is most of its memory where files are few. Linux only.
"""

import contextlib
import math
import os
import random
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

import peers
import projects
import psutil
import report

TOOLS = ("ipy-autorestart", "watchfiles", "watchmedo")
KINDS = {
    "own": {"src/package": 1.0},
    "project": {"src/package": 0.05, "node_modules": 0.55, ".git/objects": 0.2, ".venv/lib/site-packages": 0.2},
}
HEADS = (
    *("", "first line, s", "watching, s", "× ours", "inotify watches"),
    *("memory, MB", "× ours", "idle, % of a core", "save, ms", "× ours", "slowest, ms", "missed"),
)
STEADY, IDLE, PATIENCE, SAVED, SAVES = 2.0, 2.0, 30.0, 10.0, 5


class Tree(projects.Script):
    """A script amid many files."""

    def __init__(self, root, kind, size):
        super().__init__(root, f"{kind} {size}")
        for place, share in KINDS[kind].items():
            grow(self.folder / place, int(size * share))
        if ".venv/lib/site-packages" in KINDS[kind]:
            (self.folder / ".venv/pyvenv.cfg").write_text("")


def grow(root, size):
    """Make so many files of Python, ten in each folder, ten folders in each."""
    for number in range(math.ceil(size / 10)):
        folder = root / f"p{number // 1000}/p{number // 10 % 100}/p{number % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        for file in range(min(10, size - 10 * number)):
            (folder / f"m{file}.py").write_text(f"V = {file}\n")


def command(tool, paths):
    run = [sys.executable, "main.py"]
    watchmedo = ["-d", ".", "-R", "-p", "**/*.py", "--debounce-interval", "0.01", "--signal", "SIGTERM"]
    return {
        "ipy-autorestart": [sys.executable, "-m", "ipy_autorestart", ".", "main.py"],
        "watchfiles": [paths["watchfiles"], "--filter", "python", shlex.join(run), "."],
        "watchmedo": [paths["watchmedo"], "auto-restart", *watchmedo, "--no-restart-on-command-exit", "--", *run],
    }[tool]


def watches(pid):
    """Return a line of text for each watch of a process, of the inotify instance that has most: we have another one."""
    instances = [[]]
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{number}") == "anon_inode:inotify":
                instances.append(Path(f"/proc/{pid}/fdinfo/{number}").read_bytes().split(b"inotify wd:")[1:])
    return max(instances, key=len)


def growing(pid):
    """Yield the watches, again and again, as often as it costs little, for half a minute."""
    end = time.monotonic() + PATIENCE
    while (begun := time.monotonic()) < end:
        yield watches(pid)
        time.sleep(max(0.005, 10 * (time.monotonic() - begun)))


def watches_of_the_tree(program, tree):
    """Return how many watches a program comes to that are for folders of the tree."""
    lines, since = [], time.monotonic()
    for now in growing(program.process.pid):
        if len(now) != len(lines):
            lines, since = now, time.monotonic()
        if lines and time.monotonic() > since + STEADY:
            break
    folders = {b"ino:%x" % os.stat(folder).st_ino for folder, _, _ in os.walk(tree.folder)}
    return sum(line.split()[1] in folders for line in lines)


def until_watching(program, wanted):
    """Return when it has so many watches, NaN if it doesn't come to that."""
    reached = any(len(lines) >= wanted for lines in growing(program.process.pid))
    return time.monotonic() if reached else math.nan


def memory(processes):
    """Return the megabytes that processes take together."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / 1e6


def alone(tree):
    """Return the megabytes that the script takes when nothing watches it."""
    with peers.ending([peers.Program("plain", [sys.executable, "main.py"], tree)]) as programs:
        tree.wait()
        return memory(programs[0].processes())


@contextlib.contextmanager
def started(tree, tool, paths):
    with peers.ending([]) as programs:
        begun = time.monotonic()
        programs.append(peers.Program(tool, command(tool, paths), tree))
        yield begun, programs[0]


def measure(tree, tool, paths, wanted):
    """Return the figures of one start."""
    bare = alone(tree)
    with started(tree, tool, paths) as (begun, program):
        watching = until_watching(program, wanted) - begun
        began = tree.wait(SAVED)
        first = began[0] / 1e9 - begun if began else math.nan
        tree.save()
        missed = tree.wait(SAVED) is None
        program.settle(timeout=SAVED)
        before = program.spent()
        time.sleep(IDLE)
        idle = (program.spent() - before) / IDLE * 100
        taken = memory(program.processes()) - bare
        saves = [moments[1] if (moments := not missed and tree.restart()) else math.nan for _ in range(SAVES)]
        save, slowest = statistics.median(saves), max(saves)
        return first, watching, len(watches(program.process.pid)), taken, idle, save, slowest, missed


def measure_all(tree, tools, rounds, paths):
    wanted = {}
    for tool in tools:
        with started(tree, tool, paths) as (_, program):
            wanted[tool] = watches_of_the_tree(program, tree)
    found = {tool: [] for tool in tools}
    for number in range(rounds):
        report.progress(f"{tree.folder.name}: round {number + 1} of {rounds}")
        for tool in random.sample(tools, len(tools)):
            found[tool].append(measure(tree, tool, paths, wanted[tool]))
    return found


def show(title, found, rounds):
    ours, rows = [*zip(*found[peers.OURS], strict=True)], []
    for tool, figures in found.items():
        first, watching, number, taken, idle, save, slowest, missed = columns = [*zip(*figures, strict=True)]
        ratios = {place: report.times(report.ratio(columns[place], ours[place])) for place in (1, 3, 5)}
        times = (report.spread(first, digits=2), report.spread(watching, digits=2), ratios[1])
        cells = (f"{statistics.median(number):,.0f}", report.spread(taken), ratios[3], report.spread(idle))
        rows.append(
            (tool, *times, *cells, report.spread(save), ratios[5], report.spread(slowest), f"{sum(missed)} of {rounds}")
        )
    report.table(f"{title}: medians of {rounds} rounds (quartiles)", HEADS, rows)


def main():
    parser = report.options(__doc__, rounds=2)
    parser.add_argument("--sizes", default="1000,20000,200000")
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    peers.heed_signals()
    paths = peers.find()
    tools = [tool for tool in TOOLS if tool == peers.OURS or paths[tool]]
    for kind in options.kinds.split(","):
        for size in map(int, options.sizes.split(",")):
            report.progress(f"making {size} files, {kind}")
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
                tree = Tree(root, kind, size)
                show(f"{size:,} files, {kind}", measure_all(tree, tools, options.rounds, paths), options.rounds)
    peers.measured_with(paths, TOOLS[1:], options.rounds)


if __name__ == "__main__":
    main()
