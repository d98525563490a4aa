"""How the benchmarks tell what they have found: tables, each with what it was measured with below it."""

import argparse
import contextlib
import math
import os
import platform
import re
import statistics
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version


def options(doc, *, rounds):
    """Return the parser of a benchmark's command line: its module's text is the help."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, metavar="N", help=f"how often each is measured: {rounds}")
    return parser


def progress(text):
    """Say on standard error how far it is; standard output has the tables alone."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def round_of(number, rounds):
    """Say in which round it is; those before the first are not counted."""
    return "warming up" if number < 0 else f"round {number + 1} of {rounds}"


def spread(figures, *, digits=1):
    """Return a median and its quartiles as text, of what is there; of one figure itself."""
    there = [figure for figure in figures if not math.isnan(figure)]
    if not there:
        return "–"
    middle = f"{statistics.median(there):,.{digits}f}"
    if len(there) == 1:
        return middle
    low, _, high = statistics.quantiles(there, method="inclusive")
    return f"{middle} ({low:,.{digits}f} to {high:,.{digits}f})"


def ratio(theirs, ours):
    """Return the median of the ratios of each round, NaN if there is none."""
    pairs = zip(theirs, ours, strict=True)
    ratios = [one / other for one, other in pairs if other and not math.isnan(one / other)]
    return statistics.median(ratios) if ratios else math.nan


def times(figure):
    """Return a ratio as text: with two digits where they tell something."""
    return "–" if math.isnan(figure) else f"{figure:,.{2 if figure < 10 else 0}f}"


def table(title, heads, rows):
    """Print a table in Markdown; the first column is text, the others are figures."""
    print(f"\n{title}\n\n| {' | '.join(heads)} |\n|---|{'--:|' * (len(heads) - 1)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    sys.stdout.flush()


def version_of(path, name):
    """Return what a program that isn't Python's says about its version, as a list: empty where it says nothing."""
    run = subprocess.run([path, "-h" if name == "entr" else "--version"], capture_output=True, text=True)
    found = re.search(r"[0-9][0-9.]*", run.stdout + run.stderr)
    return [f"{name} {found[0]}"] if found else []


def measured_with(packages=(), *, rounds, tools=(), missing=()):
    """Print versions, rounds and cores, and what is not there; ``tools`` are names with their versions."""
    words = [f"Python {platform.python_version()}"]
    for name in ("ipy-autorestart", *packages):
        with contextlib.suppress(PackageNotFoundError):
            words.append(f"{name} {version(name)}")
    words += tools
    left_out = f"; left out, not installed: {', '.join(missing)}" if missing else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"\n{', '.join(words)}; {rounds} rounds, {cores} cores, {platform.system()}{left_out}", flush=True)
