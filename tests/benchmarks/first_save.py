"""The first save after a start: from it to the new code with its imports done, and what the first run pays for it.

    python tests/benchmarks/first_save.py [--rounds 4] [--libraries pandas,torch] [--modes ended,looping] [--after 1]

In each round, in random order, a watch starts in a new project for each row, its first run imports the library, and
``--after`` seconds later the first save comes. *the first run* is the time from its first line until its imports are
done: where a fork server imports beside it, that may cost it something. It is measured from a terminal.
"""

import contextlib
import importlib.util
import math
import os
import random
import subprocess
import sys
import tempfile
import time

import report
from projects import Script

PACKAGES = {"sklearn": "scikit-learn"}

ROWS = {"ipy-autorestart": [], "ipy-autorestart --cold": ["--cold"]}


@contextlib.contextmanager
def watch(project, options):
    """Watch a project from a command line."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    argv = [sys.executable, "-m", "ipy_autorestart", *options, "src/", "main.py"]
    process = subprocess.Popen(
        argv, cwd=project.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def first_save(project, options, after):
    """Return the milliseconds of the first run's imports, and of the first save."""
    with watch(project, options):
        if not (found := project.wait(60)):
            return math.nan, math.nan
        begun, done, _ = found
        time.sleep(after + 0.05 * random.random())
        saved = project.save()
        moments = project.wait(60)
        return (done - begun) / 1e6, (moments[1] - saved) / 1e6 if moments else math.nan


def measure(library, mode, rounds, after):
    """Return the figures of each row in each round."""
    found = {row: [] for row in ROWS}
    for number in range(-1, rounds):
        report.progress(f"{library}, script {mode}: {report.round_of(number, rounds)}")
        for row in random.sample(list(ROWS), len(ROWS)):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
                with contextlib.closing(Script(root, "first", library, mode)) as project:
                    figures = first_save(project, ROWS[row], after)
                if number >= 0:
                    found[row].append(figures)
    return found


def main():
    parser = report.options(__doc__, rounds=4)
    parser.add_argument("--libraries", default="pandas,sklearn,torch", metavar="NAMES")
    parser.add_argument("--modes", default="ended,looping", metavar="NAMES")
    parser.add_argument("--after", type=float, default=1.0, metavar="S", help="seconds from the imports to the save")
    options = parser.parse_args()
    libraries = options.libraries.split(",")
    missing = [name for name in libraries if name != "bare" and not importlib.util.find_spec(name)]
    for library in (name for name in libraries if name not in missing):
        for mode in options.modes.split(","):
            found = measure(library, mode, options.rounds, options.after)
            rows = []
            for row, pairs in found.items():
                firsts, saves = zip(*pairs, strict=True)
                rows.append((row, report.spread(firsts), report.spread(saves)))
            title = f"{library}, script {mode}: ms, medians of {options.rounds} rounds (quartiles)"
            report.table(title, ("", "the first run", f"a save {options.after:g} s later"), rows)
    report.measured_with([PACKAGES.get(name, name) for name in libraries], rounds=options.rounds, missing=missing)


if __name__ == "__main__":
    main()
