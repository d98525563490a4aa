"""From a save to a notebook that is new where loading takes long, and the price of what makes that quick: checkpoints.

    python tests/benchmarks/checkpoints.py [--rounds 7] [--seconds 5] [--megabytes 100] [--parts 1 0.1]
        [--python other/bin/python]

The notebook that people have: one cell watches, one loads a DataFrame of so many megabytes and takes so many seconds
for it, one imports the project, and four use both, with all of the data or with a part of it. Each way has it in a
kernel of its own, which runs all the time. In each round, in random order, every one's module is saved once; the clock
starts just before that, and stops when each of the four shows the new value.

- ``--rerun all`` goes back to a checkpoint, if there is one, so that only the cells that use the project run again; in
  brackets stands how often the data was loaded anew. With ``--cold`` all run again after an exec.
- ``restart_kernel()`` is called right after the save, and all cells are sent, at once, as soon as it answers. A person
  takes longer: whoever restarts by hand has to notice, to click, and to confirm.
- ``%autoreload 2``: the four cells are sent right after the save. Which ones they are, a person has to know, and find;
  that takes time that isn't counted. Nor is it sure: what was made of the old code (objects, constants imported by
  name, registries, all that is decorated) stays or is patched. Here it is right, for the cells read ``a.V`` anew.
- marimo runs the cells again by itself that depend on the import, with ``auto_reload = "autorun"``; it looks for saved
  modules once a second. It reloads as ``%autoreload`` does, and its cells may not bind one name twice.

"The cells alone" is what the import and the four take by hand in the kernel that has just been restarted, behind its
data; "beyond" is what a way takes longer than that, in each round.

The price: what is from the end of a cell to the beginning of the one that is queued behind it, a checkpoint between
them, beside the same in a plain kernel; how long the first change of old memory takes after a checkpoint, as the pages
changed are copied then, beside a second one; and the memory of all processes beyond that of a plain kernel (pages that
several have count once), before and after the change. Cells of 50 ms are too short for a checkpoint: they are delayed
by all else that watching a kernel with ``--rerun`` takes.
"""

import contextlib
import importlib.util
import itertools
import random
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import kernels
import psutil
import reactive
import report

LOAD = """import time
began = time.monotonic()
import numpy as np, pandas as pd
frame = pd.DataFrame(np.random.default_rng(0).random(({rows}, 10)), columns=list("abcdefghij"))
time.sleep(max(0, {seconds} - (time.monotonic() - began)))
print("loaded", time.time())"""
ROW_BYTES = 80
IMPORT = "import sys\nsys.path.insert(0, 'src')\nimport a"
USES = (
    "scaled = a.scale(frame['a'][:{rows}])\nprint('value', a.V, scaled.mean())",
    "largest = a.scale(frame['b'][:{rows}]).nlargest(5)\nprint('value', a.V, list(largest))",
    "half = frame['d'][:{rows}] > 0.5\nprint('value', a.V, *a.scale(frame['c'][:{rows}]).groupby(half).mean())",
    "parts = a.scale(frame.head(1000)).describe()\nprint('value', a.V, parts.shape)",
)
# Its length differs from save to save, or Python itself would trust the compiled form within a second.
MODULE = "V = {value}\n#{padding}\n\n\ndef scale(column):\n    return column * V\n"
WARMING_UP = 2  # rounds that don't count
ALONE = "the cells that use the project, alone"


class Notebook:
    """The notebook in a kernel that its manager restarts.

    Attributes
    ----------
    uses
        The cells that use the project and the data.
    alone
        Seconds that the cells behind the data have taken, each time that all were run by hand.
    """

    name = "`restart_kernel()`, cells by hand"

    def __init__(self, stack, folder, load, uses):
        self.folder, self.codes, self.uses, self.value = folder, [load, IMPORT, *uses], uses, 0
        self.alone, self.cells = [], {}
        self.start(stack)

    def start(self, stack):
        """Start it and run all cells."""
        self.player = stack.enter_context(kernels.start(self.folder))
        self.save()
        self.run_all()

    def save(self):
        """Save the next value; return when it began."""
        self.value += 1
        begun = time.time()
        (self.folder / "src/a.py").write_text(MODULE.format(value=self.value, padding="#" * (self.value % 61)))
        return begun

    def texts(self):
        """Return what each cell shows."""
        return [self.cells[code].streams() for code in self.codes]

    def are_new(self):
        return all(text.startswith(f"value {self.value} ") for text in self.texts()[-len(self.uses) :])

    def send(self, codes):
        self.cells |= {code: self.player.send(code, cell_id=str(self.codes.index(code))) for code in codes}

    def run_all(self):
        """Run all cells by hand; return when they are new."""
        self.send(self.codes)
        loaded, done = kernels.moments(self.player, lambda: self.cells[self.codes[0]].idle, self.are_new)
        self.alone.append(done - loaded)
        return done

    def renew(self):
        """Save; return after how many seconds the cells are new."""
        begun = self.save()
        self.player.manager.restart_kernel()
        self.player.client.wait_for_ready(timeout=60)
        return self.run_all() - begun

    def rest(self):
        """Wait until nothing is at work any more."""
        kernels.settle(self.player)

    def describe(self):
        return self.name


class Watched(Notebook):
    """One that restarts itself."""

    def __init__(self, *how, options):
        self.options, self.loaded = options, []
        super().__init__(*how)

    def start(self, stack):
        self.player = stack.enter_context(kernels.start(self.folder))
        kernels.watch(self.player, self.options)
        kernels.settle(self.player)  # by now it is behind its proxy
        self.save()
        self.run_all()

    def renew(self):
        self.loaded = [*self.loaded, self.texts()[0]]
        begun = self.save()
        return kernels.moments(self.player, self.are_new)[0] - begun

    def describe(self):
        times = len({*self.loaded[WARMING_UP:], self.texts()[0]}) - 1
        return f"`%watch_restart src/ {self.options}` (data loaded anew {times} times)"


class Reloaded(Notebook):
    """One in which IPython reloads modules, and a person runs the stale cells again."""

    name = "`%autoreload 2`, stale cells by hand"

    def start(self, stack):
        super().start(stack)
        self.player.run("%load_ext autoreload\n%autoreload 2")

    def renew(self):
        begun = self.save()
        self.send(self.uses)
        return kernels.moments(self.player, self.are_new)[0] - begun


class Reactive(Notebook):
    """One of marimo's."""

    name = "marimo, autorun"

    def start(self, stack):
        (self.folder / "src").mkdir(parents=True)
        self.save()
        self.player = stack.enter_context(reactive.Page(self.folder, self.codes))
        self.player.wait(self.are_new)

    def texts(self):
        return self.player.shown

    def renew(self):
        begun = self.save()
        return self.player.wait(self.are_new) - begun


def start_all(stack, root, *cells):
    """Start the notebook in each way; return them, this project's with checkpoints first."""
    folders = (Path(root, str(number)) for number in range(9))
    return [
        *(Watched(stack, next(folders), *cells, options=options) for options in (kernels.RERUN, kernels.COLD)),
        Notebook(stack, next(folders), *cells),
        Reloaded(stack, next(folders), *cells),
        *(Reactive(stack, next(folders), *cells) for _ in range(is_there("marimo"))),
    ]


def measure(rounds, rows, seconds, part):
    """Return the seconds of each round, {name: [seconds, …]}, with those of the cells alone."""
    load = LOAD.format(rows=rows, seconds=seconds)
    uses = [code.format(rows=int(rows * part)) for code in USES]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, contextlib.ExitStack() as stack:
        notebooks = start_all(stack, root, load, uses)
        found = {notebook: [] for notebook in notebooks}
        for number in range(-WARMING_UP, rounds):
            report.progress(f"checkpoints: {report.round_of(number, rounds)}")
            for notebook in random.sample(notebooks, len(notebooks)):
                notebook.rest()
                time.sleep(random.random())  # marimo looks once a second
                found[notebook].append(notebook.renew())
        figures = {notebook.describe(): seconds[-rounds:] for notebook, seconds in found.items()}
        return {**figures, ALONE: notebooks[2].alone[-rounds:]}


def show(found, what):
    ours, rows = next(iter(found.values())), []
    for name, each in found.items():
        beyond = [mine - alone for mine, alone in zip(each, found[ALONE], strict=True)]
        rows.append((name, spread(each), spread(beyond), report.times(report.ratio(each, ours))))
    what = f"{what}, ipykernel {version('ipykernel')}"
    title = f"{what}: ms from the save to the last new output, medians of {len(ours)} rounds (quartiles)"
    report.table(title, ("", "new", "beyond the cells", "× ours"), rows)


# -- the price ---------------------------------------------------------------------------------------------------------

WORK = 3  # seconds: a checkpoint of anything below is worth it
CLOCK = "import time; print(time.time())"
FILL = f"import time\n{{make}}\ntime.sleep({WORK})\nprint(time.time())"
CHANGE = """from time import perf_counter
began = perf_counter()
{change}
between = perf_counter()
{change}
print(between - began, perf_counter() - between)"""
SHORT, SHORTS = "import time; print(time.time()); time.sleep(0.05); print(time.time())", 20

#: What is in memory: how it is made, and what writes to it. To read an object of Python's is to write its count of
#: references.
MEMORY = {
    "little": ("x = 0", "x += 1"),
    "an array of 100 MB": ("import numpy as np\nx = np.ones(100_000_000 // 8)", "x += 1"),
    "an array of 1 GB": ("import numpy as np\nx = np.ones(1_000_000_000 // 8)", "x += 1"),
    "5 million objects": ("x = [float(number) for number in range(5_000_000)]", "sum(x)"),
}


class Filled:
    """A kernel whose memory is filled, and then changed."""

    def __init__(self, stack, folder, *, watched):
        self.player = stack.enter_context(kernels.start(folder))
        if watched:
            kernels.watch(self.player, kernels.RERUN)
        kernels.settle(self.player)

    def queue(self, *codes):
        """Run cells that are queued at once; return the figures that each has printed."""
        cells = [self.player.send(code, cell_id=f"{len(codes)}-{place}") for place, code in enumerate(codes)]
        self.player.wait(lambda: all(cell.done for cell in cells))
        return [[float(word) for word in cell.streams().split()] for cell in cells]

    def delay(self, make):
        """Fill memory; return the seconds until the next cell begins."""
        [filled], [begun] = self.queue(FILL.format(make=make), CLOCK)
        return begun - filled

    def change(self, how):
        """Change all of it twice; return the seconds of each."""
        [[first, second]] = self.queue(CHANGE.format(change=how))
        return first, second

    def short_delay(self):
        """Run short cells; return the median of the seconds between them."""
        moments = self.queue(*[SHORT] * SHORTS)
        return statistics.median(after[0] - before[1] for before, after in itertools.pairwise(moments))

    def memory(self):
        """Return the megabytes of all its processes; what they share counts once (proc_pid_smaps(5))."""
        itself = psutil.Process(self.player.pid)
        return sum(one.memory_full_info().pss for one in (itself, *itself.children(recursive=True))) / 1e6

    def rest(self):
        """Wait until nothing is at work any more, such as a kernel that is made ahead."""
        kernels.settle(self.player)


def price(rounds, make, change):
    """Return the columns of the price of a checkpoint with so much in memory."""
    columns = [], [], [], [], []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, contextlib.ExitStack() as stack:
        plain, watched = (Filled(stack, Path(root, str(one)), watched=one) for one in (False, True))

        def more(figures):
            return figures[watched] - figures[plain]

        for _ in range(rounds):
            delays = {kernel: kernel.delay(make) for kernel in random.sample([plain, watched], 2)}
            watched.rest()
            memory = [more({kernel: kernel.memory() for kernel in (plain, watched)})]
            seconds = {kernel: kernel.change(change) for kernel in random.sample([plain, watched], 2)}
            watched.rest()
            memory.append(more({kernel: kernel.memory() for kernel in (plain, watched)}))
            for column, figure in zip(columns, (more(delays), *seconds[watched], *memory), strict=True):
                column.append(figure)
    return columns


def price_of_looking(rounds):
    """Return what short cells that are queued are delayed by, in each round."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, contextlib.ExitStack() as stack:
        plain, watched = (Filled(stack, Path(root, str(one)), watched=one) for one in (False, True))
        found = ({one: one.short_delay() for one in random.sample([plain, watched], 2)} for _ in range(rounds))
        return [delays[watched] - delays[plain] for delays in found]


def show_price(rounds):
    rows = []
    for name, how in MEMORY.items():
        report.progress(f"checkpoints: the price with {name}")
        *seconds, before, after = price(rounds, *how)
        rows.append((name, *map(spread, seconds), *(report.spread(column) for column in (before, after))))
    rows.append((f"cells of 50 ms, {SHORTS} in a row", spread(price_of_looking(rounds), digits=1), *["–"] * 4))
    heads = ("in memory", "next cell later, ms", "first change, ms", "second, ms", "more memory, MB", "then, MB")
    report.table(f"price of a checkpoint: medians of {rounds} rounds (quartiles)", heads, rows)


def spread(seconds, digits=0):
    return report.spread([1000 * one for one in seconds], digits=digits)


def is_there(library):
    return importlib.util.find_spec(library) is not None


def main():
    parser = kernels.options(__doc__, rounds=7)
    parser.add_argument("--seconds", type=float, default=5, metavar="N")
    parser.add_argument("--megabytes", type=float, default=100, metavar="N")
    parser.add_argument("--parts", type=float, nargs="+", default=(1, 0.1), metavar="N", help="of the data are used")
    options = parser.parse_args()
    missing = [library for library in ("pandas", "marimo") if not is_there(library)]
    if "pandas" not in missing:
        rows = int(options.megabytes * 1e6 / ROW_BYTES)
        for part in options.parts:
            found = measure(options.rounds, rows, options.seconds, part)
            used = f"of which the cells use {part:.0%}"
            show(found, f"{options.megabytes:g} MB of data that take {options.seconds:g} s to load, {used}")
        show_price(options.rounds)
    report.measured_with((*kernels.PACKAGES, "pandas", "marimo"), rounds=options.rounds, missing=missing)
    kernels.measure_with_others()


if __name__ == "__main__":
    main()
