"""What it costs a run to report what it uses: the same scripts with and without, in turn.

    python tests/benchmarks/audit_cost.py [ROUNDS]

Prints the median of the ratios of each pair; 1.00 is no cost.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile

from ipy_autorestart.script.cold import environment
from ipy_autorestart.script.program import Program

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
    roots = (os.path.join(os.getcwd(), ""),)
    program = Program(python=sys.executable, words=(script,), cwd=os.getcwd(), environment=os.environ, roots=roots)
    begun = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    variables = environment(program, link=write) if reports else os.environ
    subprocess.run([sys.executable, script], env=variables, pass_fds=[write], check=True)
    elapsed = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - begun
    os.close(read)
    os.close(write)
    return elapsed


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("data.txt", "w") as file:
            file.write("x" * 1000)
        for name, code in SCRIPTS.items():
            with open("main.py", "w") as file:
                file.write(code)
            pairs = []
            for number in range(rounds + 2):
                order = (True, False) if number % 2 else (False, True)
                times = {reports: spent("main.py", reports=reports) for reports in order}
                pairs.append((times[True] / times[False], times[False]))
            ratios = [ratio for ratio, _ in pairs[2:]]
            base = statistics.median(plain for _, plain in pairs[2:])
            low, _, high = statistics.quantiles(ratios, n=4)
            print(f"{name:40} {base * 1000:7.1f} ms  ratio {statistics.median(ratios):.3f}  ({low:.3f} to {high:.3f})")
        os.chdir("/")


if __name__ == "__main__":
    main()
