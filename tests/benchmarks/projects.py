"""Projects to be saved: a module below ``src/``, and something that runs and tells which version of it it has."""

import os
import random
import re
import select
import time
from pathlib import Path

RESTART = 20.0  # seconds in which new code must have come
TAILS = {"ended": "", "looping": "while True: time.sleep(60)\n"}
IMPORTS = {
    "bare": "",
    "numpy": "import numpy",
    "pandas": "import pandas",
    "sklearn": "from sklearn.ensemble import RandomForestClassifier",
    "torch": "import torch",
}
MAIN = """import time; begun = time.monotonic_ns()
import os, sys
{imports}
from src import mod
done = time.monotonic_ns()
fifo = os.open({fifo!r}, os.O_WRONLY)
os.write(fifo, b"%d %d %d %d\\n" % (mod.V, begun, done, os.getpid()))
os.close(fifo)
{tail}"""


class Project:
    """A folder with a module to be saved; ``run`` is what Python is given to run it, ``ours`` what this project is."""

    columns: tuple[str, ...]  # the heads of what `restart` returns
    ratio: str  # the column that is compared

    def __init__(self, root, name):
        self.folder, self.value = Path(root, re.sub(r"\W+", "_", name)), 100
        (self.folder / "src").mkdir(parents=True)
        (self.folder / "src/__init__.py").write_text("")
        self.module = self.folder / "src/mod.py"
        self.module.write_text(self.source())

    def source(self):
        # Its length differs from save to save, or Python itself would trust the compiled form within a second.
        return f"V = {self.value}\n#{'#' * (self.value % 61)}\n"

    def save(self, *, in_place=False):
        """Save the next value, by rename if not in place; return when it began."""
        self.value += 1
        if in_place:
            begun = time.monotonic_ns()
            with open(self.module, "w") as file:
                file.write(self.source())
            return begun
        beside = self.folder / "src/.mod.tmp"
        beside.write_text(self.source())
        begun = time.monotonic_ns()
        os.replace(beside, self.module)
        return begun


class Script(Project):
    """A script that reports through a FIFO; it ends by itself, or goes on until it is stopped."""

    columns, ratio = ("first line", "imports done"), "imports done"

    def __init__(self, root, name, library="bare", tail="looping"):
        super().__init__(root, name)
        fifo = str(self.folder / "reports")
        os.mkfifo(fifo)
        self.fifo, self.rest = os.open(fifo, os.O_RDWR | os.O_NONBLOCK), b""
        imports = IMPORTS.get(library, f"import {library}")
        (self.folder / "main.py").write_text(MAIN.format(imports=imports, fifo=fifo, tail=TAILS[tail]))
        self.run, self.ours, self.argv = ["main.py"], ["main.py"], ["main"]

    def wait(self, timeout=RESTART):
        """Return when the code saved last began, when it had its imports, and its pid; None if it doesn't come."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            *lines, self.rest = self.rest.split(b"\n")
            for line in lines:
                value, *moments = map(int, line.split())
                if value == self.value:
                    return moments
            if select.select([self.fifo], [], [], left)[0]:
                self.rest += os.read(self.fifo, 65536)
        return None

    def restart(self):
        """Save, and return the figure of each column, None if nothing comes of it."""
        time.sleep(0.7 + 0.3 * random.random())
        begun = self.save()
        moments = self.wait()
        return moments and [(moment - begun) / 1e6 for moment in moments[:2]]

    def close(self):
        os.close(self.fifo)
