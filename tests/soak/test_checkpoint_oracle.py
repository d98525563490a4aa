"""Whatever people do with a notebook and its files, cells that run again leave what a fresh kernel would have come to.

Hypothesis makes notebooks and saves of files between and during their cells. A kernel that watches runs them and goes
back; another process runs, from nothing, what the kernel says is the past of its memory. Both must have come to the
same: names and objects, what cells show, numbers, history, folder, environment, chance, places in open files.
"""

import ast
import builtins
import contextlib
import dis
import importlib.util
import json
import os
import random
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import digest
import length
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from page import Page
from patience import PATIENT
from play import kernel as real_kernel
from project import Project
from reference import Reference, shown
from surroundings import SHARED_PORTS, environment

from ipy_autorestart.ipython import ledger
from ipy_autorestart.kernel.replay import OLD

HAS_PANDAS = importlib.util.find_spec("pandas") is not None

pytestmark = pytest.mark.e2e

# -- what notebooks are made of -------------------------------------------------------------------------------------

#: Runs first in each notebook. All that belongs to an example comes after its first look at ``epoch-….txt``.
BEGIN = """\
import os, random, sys
ROOT = {root!r}
os.chdir(ROOT)
epochs = [open(f"data/epoch-{{number}}.txt").read() for number in range(8)]
sys.path.insert(0, ROOT + "/src")
random.seed(7)
"""
BEGIN_NUMPY = "import numpy as np\nnp.random.seed(7)\n"

A = """\
import c
V = {n}
held = []

def f(x):
    return x + {n} + c.K

class P:
    kind = {n}
    def __init__(self, v):
        self.v = v
"""

FIRST = {
    "src/a.py": A.format(n=0),
    "src/b.py": "from a import f\nW = f(0)\n",
    "src/c.py": "K = 0\n",
    "src/extra.py": None,
    "src/pkg/__init__.py": "from .d import D\n",
    "src/pkg/d.py": "D = 0\n",
    "src/run.py": "made = 0\n",
    "data/rows.txt": "first 0\nsecond 0\nthird 0\n",
    "data/conf.json": '{"n": 0}\n',
    "data/table.csv": "a,b\n1,2\n3,0\n",
}

#: Cells, and the files that they may look at.
CELLS = {
    "import a\nx = a.f({n})": ("src/a.py", "src/c.py"),
    "import a\np = a.P({n})": ("src/a.py", "src/c.py"),
    "import b; y = b.W": ("src/b.py", "src/a.py", "src/c.py"),
    "import time; time.sleep(0.03)\nimport b\ny = b.W + {n}": ("src/b.py", "src/a.py", "src/c.py"),
    "from pkg import D\nz = D + {n}": ("src/pkg/__init__.py", "src/pkg/d.py"),
    "try:\n    import extra\n    e = extra.E\nexcept ImportError:\n    e = None\ne": ("src/extra.py",),
    "%run src/run.py": ("src/run.py",),
    "rows = open(ROOT + '/data/rows.txt').read().split()": ("data/rows.txt",),
    "f = open(ROOT + '/data/rows.txt')\nline = f.readline()": ("data/rows.txt",),
    "import json, pathlib\nconf = json.loads(pathlib.Path('data/conf.json').read_text())": ("data/conf.json",),
    "listed = sorted(os.listdir(ROOT + '/src'))": ("src/extra.py",),
    "import subprocess\nout = subprocess.run(['cat', ROOT + '/data/rows.txt'], capture_output=True).stdout": (
        "data/rows.txt",
    ),
    "line = f.readline(); line": (),
    "x = {n}": (),
    "x = x + {n}; x": (),
    "items = [{n}]": (),
    "items.append({n})": (),
    "items.append(x)\nitems": (),
    "alias = items\nalias.append({n})": (),
    "table = {{'a': {n}}}": (),
    "table['b'] = items": (),
    "r = random.random(); r": (),
    "own = random.Random({n}); r = own.random()": (),
    "p.v += {n}": (),
    "a.held.append({n})": (),
    "import c\nc.K = {n}": ("src/c.py",),
    "def g(x):\n    return x + {n}": (),
    "h = lambda: items": (),
    "x = g({n})": (),
    "gen = (one * {n} for one in range(9))": (),
    "x = next(gen)": (),
    "raise ValueError({n})": (),
    "1 / 0": (),
    "x = x + unknown": (),
    "raise KeyboardInterrupt": (),
    "x = (": (),
    "print('n', {n})": (),
    "print({n}, file=sys.stderr); print(x)": (),
    "display(x)": (),
    "from IPython.display import HTML, display\ndisplay(HTML('<b>{n}</b>'))\nx": (),
    "from IPython.display import clear_output\nprint('before')\nclear_output()\nprint({n})": (),
    "print(len(In), In[-1])": (),
    "q = _": (),
    "sorted(Out)": (),
    "os.chdir(ROOT + '/data')": (),
    "os.chdir(ROOT)": (),
    "%cd -q data": (),
    "os.environ['NB_{n}'] = str(x)": (),
    "os.environ.pop('NB_{n}', None)": (),
    "#| rerun: false\nx = {n}": (),
    "#| rerun: false\nitems = [{n}]": (),
    "del x": (),
    "%%capture cap\nprint({n})": (),
    "cap.stdout": (),
    "import asyncio\nawait asyncio.sleep(0)\nx = {n}": (),
}

#: Those of which only a kernel knows that has the libraries.
LIBRARIES = {
    "v = np.arange({n} + 2)": (),
    "v += {n}": (),
    "v = np.random.rand({n} + 1); v": (),
    "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1)); plt.plot(items); plt.title('{n}')": (),
}

if HAS_PANDAS:
    LIBRARIES |= {
        "import pandas as pd\nframe = pd.read_csv(ROOT + '/data/table.csv')": ("data/table.csv",),
        "frame['c'] = frame['a'] * {n}": (),
        "frame.loc[0, 'a'] = {n}; frame": (),
        "frame.drop(0, inplace=True)": (),
    }

#: Other contents of files, with a number.
CONTENTS = {
    "src/a.py": [
        A,
        "V = {n}\nheld = [{n}]\n\ndef f(x):\n    raise ValueError({n})\n",
    ],
    "src/b.py": ["from a import f\nW = f({n})\n", "W = {n}\n"],
    "src/c.py": ["K = {n}\n"],
    "src/extra.py": ["E = {n}\n", None],
    "src/pkg/__init__.py": ["from .d import D\n", "D = {n}\n"],
    "src/pkg/d.py": ["D = {n}\n"],
    "src/run.py": ["made = {n}\n", "made = x = {n}\n", "import c\nmade = c.K + {n}\n"],
    "data/rows.txt": ["first {n}\nsecond {n}\nthird {n}\n", "only {n}\n"],
    "data/conf.json": ['{{"n": {n}}}\n'],
    "data/table.csv": ["a,b\n1,2\n3,{n}\n", "a,b\n{n},1\n"],
}


@dataclass(frozen=True)
class Run:
    """Run a cell, and wait for so much of what comes back before the next step.

    Where it fails, what is queued behind it may be aborted, as front ends ask for.
    """

    key: str
    code: str
    until: str = "idle"
    stops: bool = False


@dataclass(frozen=True)
class Save:
    """Save a file; it is deleted if there is no text."""

    name: str
    text: str | None
    by_rename: bool = False


@dataclass(frozen=True)
class Delete:
    """Delete a cell."""

    key: str


@dataclass(frozen=True)
class HangUp:
    """Send the kernel a signal, of which nothing is known."""


@dataclass(frozen=True)
class Crash:
    """Run a cell that kills the kernel."""

    key: str


@dataclass(frozen=True)
class Settle:
    """Wait until all is done, and compare."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What the notebooks of one kernel are like.

    Attributes
    ----------
    warm
        Modules that the kernel imports at its start.
    begin
        The first cell of each.
    cells
        The others, and the files that they may look at.
    steps
        How many things a person does, at least and at most.
    hangs_up
        How often, of four times that a person could do so.
    takes_long
        How often a cell behind the first is worth a checkpoint, of four.
    again_one_in
        And of those that run again.
    errors
        How errors are shown, as ``%xmode`` names it.
    """

    warm: tuple[str, ...] = ()
    begin: str = BEGIN
    cells: dict[str, tuple[str, ...]]
    steps: tuple[int, int]
    hangs_up: int
    takes_long: int
    again_one_in: int = 1
    errors: str = "Context"


#: Of these there can be many: their kernel is small, what they do is short, and what takes as long as several of them,
#: checkpoints and fresh starts, is rare.
SMALL = Kind(cells=CELLS, steps=(3, 8), hangs_up=0, takes_long=1, again_one_in=2, errors="Plain")

#: Of these there are few.
FULL = Kind(
    warm=("numpy", "matplotlib.pyplot", "matplotlib_inline.backend_inline", *(["pandas"] if HAS_PANDAS else [])),
    begin=BEGIN + BEGIN_NUMPY + digest.LONG,
    cells=CELLS | LIBRARIES,
    steps=(8, 20),
    hangs_up=4,
    takes_long=4,
)

KEYS = "pqrstuvw"
NUMBERS = range(1, 10)


def needs(code):
    """Return the names that must be there before a cell, and those that are after it, as far as its bytecode tells."""
    try:
        compiled = compile(code.format(n=1), "", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        return set(), set()
    needed, there = set(), set()
    for one in dis.get_instructions(compiled):
        if one.opname == "STORE_NAME":
            there.add(one.argval)
        elif one.opname in ("LOAD_NAME", "DELETE_NAME") and one.argval not in there:
            needed.add(one.argval)
    return needed - set(dir(builtins)), there


#: Names that each notebook has.
OWN = {"os", "random", "sys", "np", "ROOT", "In", "Out", "_", "display"}


def notebook(chance, kind):
    """Return what a person does, as steps."""
    steps, cells, used, there = [], {}, [], set(OWN)
    for _ in range(chance.randint(*kind.steps)):
        kinds = ["new"] * 5 + ["again"] * bool(cells) + ["edit"] * bool(cells) + ["delete"] * bool(cells)
        kinds += ["save"] * 6 * bool(used) + ["settle"]
        kinds += ["save anything", "crash", "hang up"] * (len(cells) > 3)
        chosen = chance.choice(kinds)
        if chosen in ("new", "edit", "again"):
            unused = [key for key in KEYS if key not in cells]
            key = chance.choice(sorted(cells)) if chosen != "new" or not unused else unused[0]
            if chosen != "again":
                code = chance.choice(sorted(kind.cells))
                is_first = not cells
                # One that lacks a name tells no more than that, and where no file is used no save does anything.
                while not (needs(code)[0] <= there and (is_first or used or kind.cells[code])):
                    if chance.random() < 0.1:
                        break
                    code = chance.choice(sorted(kind.cells))
                there |= needs(code)[1]
                used += kind.cells[code]
                is_long = is_first or chance.randrange(4) < kind.takes_long
                cells[key] = code.format(n=chance.choice(NUMBERS)) + digest.LONG * is_long
            until = chance.choice(["idle", "idle", "reply", "nothing"])
            steps.append(Run(key, cells[key], until, stops=chance.random() < 0.5))
        elif chosen == "delete":
            key = chance.choice(sorted(cells))
            del cells[key]
            steps.append(Delete(key))
        elif chosen == "settle":
            if steps[-1:] != [Settle()]:
                steps.append(Settle())
        elif chosen == "hang up":
            if chance.randrange(4) < kind.hangs_up:
                steps.append(HangUp())
        elif chosen == "crash":
            steps.append(Crash(chance.choice(KEYS)))
        else:
            steps.append(save(chance, used if chosen == "save" else sorted(CONTENTS)))
            if chance.random() < 0.5:
                steps.append(Settle())
    if used and not any(isinstance(step, Save) for step in steps):
        steps.append(save(chance, used))
    return [*steps, Settle()]


def save(chance, names):
    """Return the save of one of these files."""
    name = chance.choice(names)
    text = chance.choice(CONTENTS[name])
    return Save(name, text and text.format(n=chance.choice(NUMBERS)), by_rename=chance.random() < 0.5)


# -- a kernel that plays them ---------------------------------------------------------------------------------------

WATCH = "%watch_restart src/ data/ --pattern '*.txt' --pattern '*.json' --pattern '*.csv' --debounce 0.01 --rerun all"

#: Not of the examples: what the kernel is like in all of them. Cells say whether they are worth a checkpoint, and none
#: waits for somebody who might save, or run, one more.
SET_UP = """\
import sys
sys.path.append({support!r})
import digest
from ipy_autorestart.ipython import policy
from ipy_autorestart.kernel import checkpoint_policy
policy.QUIET = policy.QUIET_MAX = 0.01
list(map(__import__, {warm!r}))
get_ipython().InteractiveTB.set_mode({errors!r})
get_ipython().whole = digest.Digest(get_ipython(), {root!r})
checkpoint_policy.is_worth = get_ipython().whole.is_worth({again_one_in})
del checkpoint_policy, digest, policy, sys
"""

CRASH = "import os; os.kill(os.getpid(), 9)"

#: Seconds between deaths: three in a row, of which none has answered for 5 s, are the end of it.
APART = 6.0

#: Seconds after a save in which the kernel has begun to go back, if it does: to compare sooner is in vain.
BEGUN = 0.2

#: Seconds until all is settled, where the machine is busy with much else.
SETTLED = 40


class Notebook:
    """A kernel that watches, and the page of the example that it is at."""

    def __init__(self, kind, project, page, reference):
        self._kind, self._project, self._page, self._reference = kind, project, page, reference
        self._epoch, self._last, self._died = 0, {}, float("-inf")
        self._saved = float("-inf"), ""
        self.counts = {"examples": 0, "settled": 0, "kept": 0, "again": 0}
        for name, text in FIRST.items():
            self._write(name, text)
        for number in range(8):
            self._write(f"data/epoch-{number}.txt", "0")
        assert page.run("%load_ext ipy_autorestart").error == ""
        self.watching = page.run(WATCH, cell_id="watch")
        page.wait(lambda: "running" in self.watching.text)
        support = str(Path(digest.__file__).parent)
        own = {"root": str(project), "warm": kind.warm, "errors": kind.errors, "again_one_in": kind.again_one_in}
        cell = page.run(SET_UP.format(support=support, **own) + PATIENT, cell_id="set up")
        assert cell.error == "", cell.text
        self._begin()

    def _write(self, name, text, *, by_rename=False):
        path = self._project / name
        if text is None:
            path.unlink(missing_ok=True)
        elif not path.exists() or path.read_text() != text:
            if by_rename:
                self._project.save(name + ".new~", text).rename(path)
            else:
                self._project.save(name, text)

    def _begin(self):
        page = self._page
        page.until_idle()
        for key in [key for key in page.shown if key != "begin"]:
            page.delete(key)
        first = page.begin("begin", self._kind.begin.format(root=str(self._project)))
        page.until_idle()
        assert first.error == "", first.text
        before = self._told("past")
        for name, text in FIRST.items():
            self._write(name, text)
        self._epoch += 1
        self._write(f"data/epoch-{self._epoch % 8}.txt", str(self._epoch))
        page.ask("get_ipython()._ipy_autorestart.supervisors[0].resume()")  # a person asks: this is no loop

        def is_new():
            told = self._told("past")
            return told and told["pid"] != before["pid"] and [one[2] for one in told["log"]] == [first.id]

        try:
            page.wait(is_new, timeout=SETTLED)
        except TimeoutError:
            raise AssertionError(f"no new notebook: {self._told('past')}\n{self.watching.text}") from None
        self._last.clear()

    def status(self):
        return self._page.run("%watch_status").text

    def _told(self, what="told"):
        """Return what the kernel tells of itself, nothing as long as it has just started."""
        return json.loads(self._page.ask(f"hasattr(get_ipython(), 'whole') and get_ipython().whole.{what}()") or "{}")

    def play(self, steps):
        """Play an example."""
        self.counts["examples"] += 1
        self._begin()
        for step in steps:
            match step:
                case Run(key, code, until, stops):
                    cell = self._page.begin(key, code, stops=stops)
                    if until == "reply":
                        self._page.wait(lambda cell=cell: cell.reply is not None)
                    elif until == "idle":
                        self._page.wait(lambda cell=cell: cell.done)
                case Save(name, text, by_rename):
                    self._note_save()
                    self._write(name, text, by_rename=by_rename)
                case Delete(key):
                    self._page.delete(key)
                case HangUp():
                    self._note_save()
                    os.kill(self._page.pid, signal.SIGHUP)
                case Crash(key) if time.monotonic() > self._died + APART:
                    self._died = time.monotonic()
                    self._page.begin(key, CRASH)
                    self._page.until_idle()
                case Settle():
                    self._settle()

    def _note_save(self):
        self._saved = time.monotonic(), self.watching.text

    def _settle(self):
        """Wait until the kernel has come to what a fresh one comes to."""
        page, before, told, differences = self._page, None, {}, []
        page.until_idle()
        since, status = self._saved
        page.wait(lambda: self.watching.text != status or time.monotonic() > since + BEGUN)

        def is_same():
            nonlocal before, told, differences
            told = self._told()
            if "rerunning" in self.watching.text or not told.get("log"):  # nor has a kernel that has just started
                return False
            if (now := [told, self._shows()]) == before:  # nor has anything changed on the page
                return not differences
            before = now
            past = [(number, code) for *_, number, code in told["log"]]
            state, shown_by = self._reference.run(self._project, past, following=told["next"])
            differences = [*differing(state, told["state"]), *self._shown_otherwise(told["log"], shown_by)]
            differences += self._run_otherwise(told, shown_by)
            return not differences

        try:
            page.wait(is_same, timeout=SETTLED)
        except TimeoutError:
            past = "\n".join(
                f"{pid} {'again' if again else '     '} [{number}] {code!r}"
                for pid, again, _, number, code in told["log"]
            )
            raise AssertionError("\n".join([*differences, past, self.watching.text])) from None
        self._last |= {cell.id: self._shows()[key] for key, cell in page.shown.items()}
        self.counts["settled"] += 1
        self.counts["again"] += sum(again for _, again, *_ in told["log"])
        self.counts["kept"] += sum(pid != told["pid"] for pid, *_ in told["log"][1:])

    def _shows(self):
        return {key: shown(without_old(cell.outputs)) for key, cell in self._page.shown.items()}

    def _shown_otherwise(self, log, shown_by):
        """Compare what the cells show; one that has not run in this memory shows what it has shown before."""
        last = {request: place for place, (_, _, request, *_) in enumerate(log)}
        for key, shows in self._shows().items():
            cell = self._page.shown[key]
            expected = shown_by[last[cell.id]] if cell.id in last else self._last.get(cell.id, shows)
            is_old = len(without_old(cell.outputs)) < len(cell.outputs)
            if plain(shows) != plain(expected):
                yield f"cell {key}, {cell.code!r}, shows {plain(shows)}, not {plain(expected)}"
            if is_old and cell.id in last:
                yield f"cell {key}, {cell.code!r}, is marked as old"

    def _run_otherwise(self, told, shown_by):
        """Compare the cells that have run again in this process with those that were to."""
        log, known = told["log"], ledger.from_plain(told["ledger"])
        number_of = {cell.header["msg_id"]: cell for cell in known.cells}
        kept = {request for pid, _, request, *_ in log if pid != told["pid"]}
        own = [(again, request, place) for place, (pid, again, request, *_) in enumerate(log) if pid == told["pid"]]
        ran = [request for again, request, _ in own if again and request in number_of]
        new = {request for again, request, _ in own if not again}
        behind = [cell for cell in known.cells if cell.header["msg_id"] not in kept | new and cell.key != "set up"]
        behind = [cell._replace(**({"last": 0} if "last" in cell._fields else {})) for cell in behind]
        # A program is taken to have written what was saved while it ran, from the next time on.
        left = [cell for cell in behind if "subprocess" in cell.code and cell.header["msg_id"] not in ran]
        writers = {cell.key: cell.wrote[0] for cell in left if cell.wrote}
        chosen = ledger.chosen(ledger.Ledger(tuple(behind)), ledger.Rerun.ALL, writers)
        due = [cell.header["msg_id"] for cell in chosen.cells]
        if any(again for again, *_ in own[next((i for i, one in enumerate(own) if not one[0]), len(own)) :]):
            yield "a cell has run again after a new one"
        places = [place for again, _, place in own if again]
        stopped = bool(places) and any("ename" in one for one in shown_by[places[-1]][1])
        if set(ran) != set(due) and not (stopped and set(ran) < set(due)):
            yield f"have run again: {[number_of[one].code for one in ran]}, not {[number_of[one].code for one in due]}"
        elif not new and ran != due[: len(ran)]:
            yield f"in this order: {[number_of[one].code for one in ran]}, not {[number_of[one].code for one in due]}"
        if not new and ran and told["next"] != known.last_number + 1:
            yield f"the next number is {told['next']} after {known.last_number}"


def without_old(outputs):
    return [one for one in outputs if one.get("data") != OLD["data"]]


def plain(shows):
    """Return what is shown as something to be compared and read: pictures are long, and errors of many colours."""
    text = re.sub(r"\\u001b\[[\d;]*m", "", json.dumps(shows))
    text = re.sub(r"\((\d+\.py|<ipython-input-[-\w]+>), ", "(a cell, ", text)  # what the code is called
    text = re.sub(r"([^\s\"]*/ipykernel_\d+/\d+\.py|<ipython-input-[-\w]+>):(?=\d+: )", "a cell:", text)  # by warnings
    return json.loads(text, object_hook=shortened)


def shortened(data):
    return {
        key: digest.short(each) if isinstance(each, str) and len(each) > 3000 else each for key, each in data.items()
    }


def differing(expected, found, where="state"):
    """Yield in what two states differ."""
    for name in expected.keys() | found.keys():
        if expected.get(name) == found.get(name):
            continue
        if isinstance(expected.get(name), dict) and isinstance(found.get(name), dict):
            yield from differing(expected[name], found[name], f"{where}[{name!r}]")
        else:
            yield f"{where}[{name!r}] is {found.get(name)!r}, not {expected.get(name)!r}"


class Life:
    """The kernel of the examples of a kind: another one after an example that has failed."""

    def __init__(self, kind, folders):
        self._kind, self._folders = kind, folders
        self._whole, self._stack, self._notebook = contextlib.ExitStack(), contextlib.ExitStack(), None
        self._reference = self._whole.enter_context(Reference(*kind.warm, errors=kind.errors))
        self.counts = {}

    def play(self, steps):
        if self._notebook is None:
            self._notebook = self._start()
        try:
            self._notebook.play(steps)
        except BaseException:
            self.end()
            raise

    def _start(self):
        folder = self._folders.mktemp("notebook")
        variables = {**environment(), "IPYTHONDIR": str(folder / "ipython")}
        project = Project(folder / "project")
        (project / "src").mkdir(parents=True)
        (project / "data").mkdir()
        player = self._stack.enter_context(real_kernel(cwd=str(project), env=variables))
        ports = {port for name, port in player.manager.get_connection_info().items() if name.endswith("_port")}
        SHARED_PORTS.update(ports)
        self._stack.callback(SHARED_PORTS.difference_update, ports)
        player.client.session.copy_threshold = 1 << 30  # pyzmq keeps a thread for ever for what isn't copied
        return Notebook(self._kind, project, Page(player.manager, player.client), self._reference)

    def status(self):
        """Return the kernel's own word of its checkpoints."""
        return self._notebook.status() if self._notebook else ""

    def end(self):
        """End the kernel; there may be another one."""
        if self._notebook:
            for name, count in self._notebook.counts.items():
                self.counts[name] = self.counts.get(name, 0) + count
        self._notebook = None
        self._stack.close()

    def close(self):
        """End the kernel and its reference."""
        self.end()
        self._whole.close()


@pytest.fixture
def lives(tmp_path_factory):
    """Return a function that makes the kernel of a kind of notebooks."""
    with contextlib.ExitStack() as stack:
        yield lambda kind: stack.enter_context(contextlib.closing(Life(kind, tmp_path_factory)))


def played(life, kind, count, part=0):
    """Play so many notebooks of a kind; those of another part are others."""

    # Hypothesis draws a seed only: of what it drew itself, it would make the same notebook again with little changed.
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=not length.is_long,  # who has changed nothing has broken nothing
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(seed=st.integers(0, 1 << 32))
    def play(seed):
        steps = notebook(random.Random(f"{part} {seed}"), kind)
        note(f"{steps}")
        life.play(steps)

    play()
    checkpoints = life.status()
    life.end()
    sys.stdout.write(f"{life.counts}\n")
    assert life.counts["kept"] > life.counts["settled"] / 5, checkpoints  # else it tells little of checkpoints


#: Those that are played at the same time, where tests run side by side.
PARTS = range(2)
SMALL_ONES = length.notebooks(200) // len(PARTS)


@pytest.mark.timeout(180 + SMALL_ONES * 3)
@pytest.mark.parametrize("part", PARTS)
def test_what_runs_again_comes_to_what_a_fresh_kernel_comes_to(lives, part):
    played(lives(SMALL), SMALL, SMALL_ONES, part)


@pytest.mark.timeout(180 + length.long_notebooks(4) * 8)
def test_so_it_does_in_long_notebooks_with_libraries(lives):
    played(lives(FULL), FULL, length.long_notebooks(4), part=4)  # four of which much is kept


@pytest.mark.parametrize("kind", [SMALL, FULL], ids=["small", "full"])
def test_what_they_are_compared_with_comes_to_what_a_process_of_its_own_comes_to(kind, project):
    for name, text in FIRST.items():
        if text is not None:
            project.save(name, text)
    for number in range(8):
        project.save(f"data/epoch-{number}.txt", "0")

    def log(seed):
        cells = [step.code for step in notebook(random.Random(seed), kind) if isinstance(step, Run)]
        return list(enumerate([kind.begin.format(root=str(project)), *cells], start=1))

    logs = [log(seed) for seed in range(3)]
    with Reference(*kind.warm, errors=kind.errors) as forked:
        found = [forked.run(project, each, following=50) for each in logs]
    with Reference(errors=kind.errors) as fresh:
        assert found[-1] == fresh.run(project, logs[-1], following=50)
