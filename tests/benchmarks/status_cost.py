"""What a watch and its status line cost a kernel that is at work, as a ratio to the same kernel that watches nothing.

    python tests/benchmarks/status_cost.py [--rounds 9]

A cell does the same work of pure Python over and over: alone; while a watched script runs, whose status line tells the
seconds; and while that script is saved ten times a second, so that it restarts and its line changes as often as it can.
In each round all three in random order. Wall time tells what the kernel's thread that listens takes of the main one's,
processor time what both take together.
"""

import itertools
import random
import statistics
import sys
import tempfile
import threading
from pathlib import Path

import report

sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))
from play import kernel

WORK = """
import time
def work():
    wall, cpu, total = time.perf_counter(), time.process_time(), 0
    for number in range(12_000_000):
        total += number
    print(time.perf_counter() - wall, time.process_time() - cpu)
"""

ARMS = ("nothing watched", "a script runs", "saved ten times a second")


MODULES = [f"m{number}" for number in range(16)]  # the same file over and over would be taken for a loop

SCRIPT = f"import time, {', '.join(MODULES)}\nwhile True: time.sleep(1)\n"


def saving(folder, ended):
    for number in itertools.count(1):
        if ended.wait(0.1):
            return
        folder.joinpath(f"{MODULES[number % len(MODULES)]}.py").write_text(f"V = {number}\n")


def measure(player, file, arm):
    """Return seconds of wall and of processor time."""
    ended = threading.Event()
    writer = threading.Thread(target=saving, args=(file.parent, ended))
    if arm != ARMS[0]:
        cell = player.run(f"%watch_restart {file.parent} {file}")
        player.wait(lambda: "running" in cell.text)
    if arm == ARMS[2]:
        writer.start()
    try:
        return [float(word) for word in player.run("work()").streams().split()]
    finally:
        ended.set()
        if writer.ident:
            writer.join()
        if arm != ARMS[0]:
            player.run("%unwatch")


def main():
    rounds = report.options(__doc__, rounds=9).parse_args().rounds
    times = {arm: [] for arm in ARMS}
    with tempfile.TemporaryDirectory() as root, kernel(cwd=root) as player:
        file = Path(root, "main.py")
        file.write_text(SCRIPT)
        for name in MODULES:
            file.with_name(f"{name}.py").write_text("V = 0\n")
        player.run("%load_ext ipy_autorestart")
        player.run(WORK)
        for number in range(-1, rounds):
            report.progress(f"cost of the status: {report.round_of(number, rounds)}")
            for arm in random.sample(ARMS, len(ARMS)):
                taken = measure(player, file, arm)
                if number >= 0:
                    times[arm].append(taken)
    show(times)
    report.measured_with(("ipykernel",), rounds=rounds)


def show(times):
    rows = []
    for arm, pairs in times.items():
        both = zip(pairs, times[ARMS[0]], strict=True)
        ratios = [[mine / other for mine, other in zip(*two, strict=True)] for two in both]
        seconds = f"{statistics.median(wall for wall, _ in pairs):.2f}"
        rows.append((arm, seconds, *(report.spread(column, digits=3) for column in zip(*ratios, strict=True))))
    title = f"what a status line costs a kernel at work: medians of {len(times[ARMS[0]])} rounds (quartiles)"
    report.table(title, ("", "s", "wall, × nothing", "processor, × nothing"), rows)


if __name__ == "__main__":
    main()
