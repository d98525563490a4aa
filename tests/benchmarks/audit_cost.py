"""What it costs a run to report what it uses: the same scripts with and without, in turn.

    python tests/benchmarks/audit_cost.py [--rounds 9]

Prints the median of the ratios of each pair; 1.00 is no cost.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile

import report

from ipy_autorestart.script.program import Program
from ipy_autorestart.script.run import environment

SCRIPTS = {
    "nothing": "",
    "imports": "import http.server, asyncio, unittest.mock, xml.dom.minidom",
    "2,000 files read": "for i in range(2000): open('data.txt').read()",
    "pure Python": "x = 0\nfor i in range(3_000_000): x += i",
    "many small functions made by exec": "for i in range(20_000): exec('y = 1')",
}


def spent(script, *, reports):
    """Return the seconds of processor time that one run takes, which load beside it disturbs less than the clock."""
    read, write = os.pipe()
    plain, cwd = dict(os.environ), os.getcwd()
    program = Program(python=sys.executable, argv=(script,), cwd=cwd, environment=plain, roots=(f"{cwd}/",))
    env = environment(program, write) if reports else plain
    begun = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    subprocess.run([sys.executable, script], env=env, pass_fds=[write], check=True)
    elapsed = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - begun
    os.close(read)
    os.close(write)
    return elapsed


def measure(rounds):
    """Return [(seconds with reports, seconds without)] of each round; the first two don't count."""
    pairs = []
    for number in range(rounds + 2):
        order = (True, False) if number % 2 else (False, True)
        times = {reports: spent("main.py", reports=reports) for reports in order}
        pairs.append((times[True], times[False]))
    return pairs[2:]


def main():
    rounds, rows = report.options(__doc__, rounds=9).parse_args().rounds, []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("data.txt", "w") as file:
            file.write("x" * 1000)
        for name, code in SCRIPTS.items():
            report.progress(f"cost of reporting: {name}")
            with open("main.py", "w") as file:
                file.write(code)
            pairs = measure(rounds)
            ratios = [reporting / plain for reporting, plain in pairs]
            base = statistics.median(plain for _, plain in pairs) * 1000
            rows.append((name, f"{base:.1f}", report.spread(ratios, digits=3)))
        os.chdir("/")
    title = f"what it costs a run to report what it uses, medians of {rounds} rounds (quartiles)"
    report.table(title, ("", "ms of processor time without", "× with"), rows)
    report.measured_with(rounds=rounds)


if __name__ == "__main__":
    main()
