"""From a save to a notebook that is new: this project's ways beside ``KernelManager.restart_kernel``.

    python tests/benchmarks/kernel_restart.py [--rounds 9] [--libraries bare,torch] [--python other/bin/python]

Each way has a kernel of its own, which runs all the time, and a notebook of three cells: one imports a library, one a
module of the project, and the last prints a value of that. In each round, in random order, every one's module is saved
once. A kernel "answers" when it has replied to a ``kernel_info_request`` that is sent at the first word of the restart;
the manager's, when ``wait_for_ready`` has returned. "Cells are new" when the last one shows the new value: with
``--rerun all`` by themselves, and the request may come behind them; otherwise all are sent by hand, at once, as soon as
the kernel answers. The clock starts just before the save, so the 15 ms in which a second file might follow count;
``restart_kernel`` is called right after the save.

A second table tells the parts of that time apart, by what the watch says that it decided (``%watch_status --json``), an
exit function of the notebook, and the last cell: the quiet; noticing, the rest until a restart is decided; leaving,
until the old kernel has run its exit functions (none where it is just killed); taking over, until the new one reports
itself; the cells.

In brackets stands how a kernel was restarted: by exec, or by another one that took over behind a proxy. What is not
installed is left out and named. ``--python`` measures the same with another environment too, such as one with
ipykernel 6.

Where the milliseconds of a restart by exec go (ipykernel 7.4; each stage's end since the SIGHUP, by stamps put into a
copy of the code, on a machine that was about a third slower than when the README's figures were taken):

      6  still: what runs has been answered, nothing is read any more
     30  the old life has ended: history, exit functions, children, connections
    105  the new interpreter is up, and the old memory gone
    225  what was carried is read, asyncio and this project imported
    510  ipykernel, IPython, zmq and jupyter_client imported
    590  the kernel's application, sockets and shell made, without the debugger, which is made when it is asked for
    625  the clients are there again, the extension is loaded
    637  the first request is answered
"""

import contextlib
import importlib.util
import itertools
import random
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import kernels
import report
from projects import IMPORTS

from ipy_autorestart.decide.timing import Timing

LIBRARIES = ("bare", "pandas", "sklearn", "torch")
PACKAGES = {"sklearn": "scikit-learn"}
WAYS = (kernels.RERUN, kernels.COLD, "")
LEAVE = "import atexit, time; atexit.register(lambda: open({left!r}, 'w').write(str(time.time())))"
CELLS = (f"{{imports}}\n{LEAVE}", "import sys; sys.path.insert(0, 'src'); import a", "print('value', a.V)")
STATUS = "#| rerun: false\n%watch_status --json"
PARTS = ("quiet", "noticing", "leaving", "taking over", "cells")
QUIET = Timing().lone


class Notebook:
    """A kernel with three cells, which its manager restarts."""

    name = "restart_kernel(), cells by hand"

    def __init__(self, player, folder, library):
        self.player, self.value = player, 0
        self.module, self.left = folder / "src/a.py", folder / "left"
        imports = IMPORTS.get(library, f"import {library}")
        self.codes = [code.format(imports=imports, left=str(self.left)) for code in CELLS]
        self.run_all()

    def save(self):
        """Save the next value; return when it began."""
        self.value += 1
        self.left.unlink(missing_ok=True)
        begun = time.time()
        self.module.write_text(f"V = {self.value}\n")
        return begun

    def run_all(self):
        """Run all cells by hand; return when they are new."""
        self.cells = [self.player.send(code, cell_id=str(place)) for place, code in enumerate(self.codes)]
        return kernels.moments(self.player, self.are_new)[0]

    def are_new(self):
        return self.cells[-1].streams() == f"value {self.value}\n"

    def restart(self):
        """Return when a save began, when the kernel answers, and when its cells are new."""
        begun = self.save()
        self.player.manager.restart_kernel()
        self.player.client.wait_for_ready(timeout=60)
        return begun, time.time(), self.run_all()

    def finish(self):
        """Wait until all is over; return when it was decided, the old kernel left and the new one came, if known."""
        self.player.wait(lambda: all(cell.idle for cell in self.cells))
        return ()

    def describe(self):
        return self.name


class Watched(Notebook):
    """One that restarts itself."""

    def __init__(self, player, folder, library, *, options, status):
        self.reruns, self.status = kernels.RERUN in options, status
        self.name = f"%watch_restart src/ {options}" if self.reruns else "%watch_restart src/, cells by hand"
        super().__init__(player, folder, library)

    def restart(self):
        seen, begun = len(self.player.others), self.save()
        kernels.moments(self.player, lambda: any(map(is_start, self.player.others[seen:])) or self.has_restarted())
        asked = kernels.ask(self.player)
        conditions = [lambda: asked.reply is not None, *([self.are_new] if self.reruns else [])]
        answered, *done = kernels.moments(self.player, *conditions)
        return begun, answered, done[0] if done else self.run_all()

    def has_restarted(self):
        return f"· {self.value} restart" in self.status.text

    def finish(self):
        super().finish()
        self.player.wait(self.has_restarted)
        shown = self.player.run(STATUS, cell_id="status").outputs
        [watched] = shown[0]["data"]["application/json"]
        latest = watched["decisions"][::-1]
        decided = next(one["at"] for one in latest if one["why"].endswith(": restart"))
        started = next(one["at"] for one in latest if one["why"].startswith("start "))
        return decided, float(self.left.read_text()) if self.left.exists() else decided, started

    def describe(self):
        return f"{self.name} ({kernels.way_of(self.player)})"


def is_start(message):
    """Whether a kernel says that it starts, or that it is there without having been asked."""
    return not message["parent_header"] and message["content"].get("execution_state") in ("starting", "idle")


def start_all(stack, root, library):
    """Start a notebook for each way; return them."""
    found: list[Notebook] = []
    for number, options in enumerate(WAYS):
        folder = Path(root, str(number))
        player = stack.enter_context(kernels.start(folder))
        found.append(Watched(player, folder, library, options=options, status=kernels.watch(player, options)))
    folder = Path(root, "managed")
    found.append(Notebook(stack.enter_context(kernels.start(folder)), folder, library))
    return found


def measure(library, rounds):
    """Return the seconds of each round: {name: [(answers, cells are new, parts), …]}."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, contextlib.ExitStack() as stack:
        notebooks = start_all(stack, root, library)
        found = {notebook: [] for notebook in notebooks}
        for number in range(-2, rounds):
            report.progress(f"kernel restart, {library}: {report.round_of(number, rounds)}")
            for notebook in random.sample(notebooks, len(notebooks)):
                time.sleep(0.7 + 0.3 * random.random())
                begun, answered, done = notebook.restart()
                parts = parts_of(begun, notebook.finish(), done)
                if number >= 0:
                    found[notebook].append((answered - begun, done - begun, parts))
                else:  # what is done once, such as imports ahead, is over before the first that counts
                    kernels.settle(notebook.player)
        return {notebook.describe(): figures for notebook, figures in found.items()}


def parts_of(begun, stages, done):
    """Return the seconds of each part, nothing if the stages are not known."""
    moments = [begun + QUIET, *stages, done]
    return (QUIET, *(after - before for before, after in itertools.pairwise(moments))) if stages else ()


def show(library, found, rounds):
    columns = {name: list(zip(*figures, strict=True)) for name, figures in found.items()}
    ours = next(iter(columns.values()))
    rows = []
    for name, each in columns.items():
        pairs = zip(each[:2], ours[:2], strict=True)
        figures = [(spread(mine), report.times(report.ratio(mine, best))) for mine, best in pairs]
        rows.append((name, *itertools.chain(*figures)))
    what = f"kernel restart, ipykernel {version('ipykernel')}, {library}"
    heads = ("", "answers", "× ours", "cells are new", "× ours")
    report.table(f"{what}: ms from the save, medians of {rounds} rounds (quartiles)", heads, rows)
    parts = {name: each[2] for name, each in columns.items() if each[2][0]}
    rows = [(name, *map(spread, zip(*each, strict=True))) for name, each in parts.items()]
    report.table(f"{what}: ms of each part", ("", *PARTS), rows)


def spread(seconds):
    return report.spread([1000 * one for one in seconds], digits=0)


def is_there(library):
    return library == "bare" or importlib.util.find_spec(library)


def main():
    parser = kernels.options(__doc__, rounds=9)
    parser.add_argument("--libraries", default=",".join(LIBRARIES))
    options = parser.parse_args()
    libraries = options.libraries.split(",")
    for library in filter(is_there, libraries):
        show(library, measure(library, options.rounds), options.rounds)
    missing = [library for library in libraries if not is_there(library)]
    packages = [PACKAGES.get(library, library) for library in libraries]
    report.measured_with((*kernels.PACKAGES, *packages), rounds=options.rounds, missing=missing)
    kernels.measure_with_others()


if __name__ == "__main__":
    main()
