"""How fast a script's output reaches the notebook, against sending it line by line; and what a flood does to it.

    python tests/benchmarks/output_rate.py [--rounds 5]

Lines of 79 bytes, a real kernel, all ways once in each round in random order. A way's time is from the word "begin"
that the client gets to the last line; the ratios are medians of those of each round.
"""

import os
import random
import re
import sys
import tempfile
import time
from pathlib import Path

import report

sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))
from play import kernel

LINES = 12_000
LINE = "x" * 78
BEGIN = "print('begin', flush=True)\n"
SCRIPT = f"{BEGIN}for _ in range({LINES}): print('{LINE}')\n"
FLOOD = f"import os, time\nend = time.monotonic() + 3\nwhile time.monotonic() < end: os.write(1, b'{LINE}\\n' * 800)\n"

WAYS = {
    "watched script": None,
    "a flush for each line, in the kernel": f"for _ in range({LINES}): print('{LINE}', flush=True)",
    "a message for each line": (
        "import ipykernel, IPython\nk = get_ipython().kernel\n"
        f"for _ in range({LINES}):\n    k.session.send(k.iopub_socket, 'stream', "
        f"{{'name': 'stdout', 'text': '{LINE}\\n'}}, parent=k.get_parent('shell'), ident=b'stream')"
    ),
    "print in a cell, in ipykernel's own batches": f"for _ in range({LINES}): print('{LINE}')",
}


def rate(player, way):
    """Return the lines of each second that arrive: a kernel drops what a client is too slow for."""
    moments = []
    player.on_show = lambda cell, text: moments.append(time.perf_counter()) if "begin" in text or LINE in text else None
    if way is None:
        Path("main.py").write_text(SCRIPT)
        cell = player.run("%watch_restart main.py")
    else:
        cell = player.send(BEGIN + way)
    player.wait(lambda: cell.streams().count("\n") == LINES + 1 or (way and cell.done))
    player.on_show = None
    player.run("%unwatch")
    return (cell.streams().count("\n") - 1) / (moments[-1] - moments[0])


def flood(player):
    """Return MB/s that the script could write, MB shown, and the longest time in which a cell was answered."""
    Path("main.py").write_text(FLOOD)
    cell = player.run("%watch_restart main.py")
    slowest, asked = 0.0, 0
    while "finished in" not in cell.text:
        begun = time.perf_counter()
        player.run("1")
        slowest, asked = max(slowest, time.perf_counter() - begun), asked + 1
    left_out = sum(
        float(n) * {"kB": 1e3, "MB": 1e6, "GB": 1e9}[u] for n, u in re.findall(r"([\d.]+) (.B) left", cell.text)
    )
    shown = len(cell.streams())
    player.run("%unwatch")
    return (left_out + shown) / 3e6, shown / 1e6, slowest, asked


def main():
    rounds = report.options(__doc__, rounds=5).parse_args().rounds
    rates = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with kernel(cwd=folder) as player:
            player.run("%load_ext ipy_autorestart")
            for number in range(rounds):
                report.progress(f"output: {report.round_of(number, rounds)}")
                for name in random.sample(list(WAYS), len(WAYS)):
                    rates[name].append(rate(player, WAYS[name]))
            flooded = flood(player)
        os.chdir("/")
    show(rates, flooded, rounds)
    report.measured_with(("ipykernel",), rounds=rounds)


def show(rates, flooded, rounds):
    rows = []
    for name, each in rates.items():
        megabytes = [lines * len(f"{LINE}\n") / 1e6 for lines in each]
        ratio = report.times(report.ratio(rates["watched script"], each))
        rows.append((name, report.spread(each, digits=0), report.spread(megabytes, digits=2), ratio))
    title = f"output of {LINES:,} lines: medians of {rounds} rounds (quartiles)"
    report.table(title, ("", "lines/s", "MB/s", "a watched script is × that"), rows)
    written, shown, slowest, asked = flooded
    row = ("watched script", f"{written:,.0f}", f"{shown:.2f}", asked, f"{slowest * 1000:.0f}")
    report.table("a flood for 3 s", ("", "MB/s written", "MB shown", "cells answered", "slowest, ms"), [row])


if __name__ == "__main__":
    main()
