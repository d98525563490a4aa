"""What `restart_on_change` costs a program at its start, in milliseconds more than ``python -c pass``.

    python tests/benchmarks/import_cost.py [--rounds 20]

Each round starts an interpreter for each case, in random order; the peer's time is taken from the others' of the same
round. Watchdog is imported in the supervisor's process only, and stands here to be compared with.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report

PEER = "pass"
IMPORT = "from ipy_autorestart import restart_on_change"
# The exit is left out: it waits for the supervisor.
CASES = {
    "import ipy_autorestart": "import ipy_autorestart",
    "the import": IMPORT,
    "the import, and watchdog": f"{IMPORT}; import watchdog.observers",
    "the import, and a call that is switched off": f"{IMPORT}; restart_on_change('.', enabled=False)",
    "the import, and a call that watches": f"{IMPORT}; restart_on_change('.', enabled=True); import os; os._exit(0)",
    "for comparison: asyncio": "import asyncio",
}


def started(code, folder):
    """Return the milliseconds that a program takes from its start to its end."""
    (folder / "main.py").write_text(code)
    began = time.perf_counter()
    subprocess.run([sys.executable, "main.py"], check=True, cwd=folder)
    return (time.perf_counter() - began) * 1000


def main():
    rounds = report.options(__doc__, rounds=20).parse_args().rounds
    taken = {name: [] for name in CASES}
    bare = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            order = [PEER, *CASES]
            random.shuffle(order)
            times = {name: started(CASES.get(name, name), Path(folder)) for name in order}
            if number:  # the first reads from disk
                bare.append(times[PEER])
                for name in CASES:
                    taken[name].append(times[name] - times[PEER])
    rows = [(name, report.spread(extra)) for name, extra in taken.items()]
    title = f"ms more than `python main.py` that does nothing ({statistics.median(bare):.1f}), medians (quartiles)"
    report.table(title, ("", "ms"), rows)
    report.measured_with(("watchdog",), rounds=rounds)


if __name__ == "__main__":
    main()
