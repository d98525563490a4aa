"""Measure all that the README and the site tell in figures, one benchmark after the other.

    python tests/benchmarks [--rounds N] [--nodemon PATH] [--into FOLDER] [NAME …]

Each prints its tables as soon as they are there, and below them with what and how often it has been measured; what is
not installed is named there. How far it is, is said on standard error. A benchmark that fails does not stop the others:
the exit status is how many have failed.
"""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import report

FOLDER = Path(__file__).parent
NAMES = (
    "kernel_restart", "checkpoints", "kernel_traffic", "terminal", "servers", "counts", "output_rate", "import_cost",
    "status_cost", "audit_cost", "trees", "first_save", "restart_latency", "clusters",
)  # fmt: skip
BESIDE_NODEMON = ("restart_latency", "terminal", "servers")


def run(name, words, *, into=""):
    """Run a benchmark, and keep what it has printed in a file of its name; return whether it went well."""
    print(f"\n## {name}", flush=True)
    begun, lines = time.monotonic(), []
    process = subprocess.Popen([sys.executable, FOLDER / f"{name}.py", *words], stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
        status = process.wait()
    except BaseException:  # by a signal: it ends what it has started, and so it is waited for
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    how = f"failed with status {status}" if status else "done"
    report.progress(f"{name}: {how} after {time.monotonic() - begun:.0f} s")
    if into and not status:
        Path(into, f"{name}.md").write_text("".join(lines))
    if status:
        print(f"\n{name} failed with status {status}", flush=True)
    return not status


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is given")
    parser.add_argument("--rounds", type=int, metavar="N", help="instead of each one's own number")
    parser.add_argument("--nodemon", default="", metavar="PATH", help="where nodemon is, if not in PATH")
    parser.add_argument("--into", default="", metavar="FOLDER", help="keep the tables in a file for each, too")
    options = parser.parse_args()
    if unknown := set(options.names).difference(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    words = ["--rounds", str(options.rounds)] if options.rounds else []
    nodemon = ["--nodemon", options.nodemon] if options.nodemon else []
    names = [name for name in NAMES if name in (options.names or NAMES)]
    return sum(
        not run(name, [*words, *(nodemon if name in BESIDE_NODEMON else [])], into=options.into) for name in names
    )


if __name__ == "__main__":
    sys.exit(main())
