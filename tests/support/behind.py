"""A kernel that watches behind a proxy."""

import os
import re

import psutil
from page import ask
from patience import PATIENT
from waiting import eventually, pass_time

USE = "import sys; sys.path.insert(0, 'src'); import a; print('value', a.V)"


#: Has a kernel, and those that start after it, make no checkpoint, whatever the machine takes for a cell.
WITHOUT_CHECKPOINTS = """
def without_checkpoints():
    from pathlib import Path
    line = "import ipy_autorestart.kernel.checkpoint_policy as policy; policy.WORK_MIN = float('inf'); del policy"
    Path(get_ipython().profile_dir.startup_dir, "without.py").write_text(line)
    exec(line)
without_checkpoints()
del without_checkpoints
"""


def without_checkpoints(kernel):
    """Have each restart of a kernel be a fresh start."""
    kernel.client.execute(WITHOUT_CHECKPOINTS, silent=True, store_history=False)


def live(kernel):
    """Return the process of the kernel that answers."""
    return ask(kernel, "__import__('os').getpid()")


def until_armed(kernel):
    """Wait until the process that is known has become the proxy of a kernel."""
    eventually(lambda: live(kernel) != kernel.pid, what="a proxy")


class Behind:
    """A kernel that watches, behind a proxy since its first restart, which is for a first value if there is one.

    It starts afresh each time.
    """

    def __init__(self, kernel, project, options="--rerun all", value=2):
        self.kernel, self.project, self.restarts = kernel, project, 0
        assert kernel.run("%load_ext ipy_autorestart").error == ""
        without_checkpoints(kernel)
        kernel.client.execute(PATIENT, silent=True, store_history=False)
        pass_time(0.05)  # files are older than the first cell
        self.watching = kernel.run(f"%watch_restart src/ {options}", cell_id="watch")
        kernel.wait(lambda: "running" in self.watching.text)
        self.use = kernel.run(USE, cell_id="use")
        if value is not None:
            self.save(value)

    def save(self, value):
        """Save a new value and wait until the cells have run again."""
        self.project.save("src/a.py", f"V = {value}\n")
        self.until_restarted()

    def until_restarted(self):
        """Wait until the cells have run again once more."""
        self.restarts += 1
        self.kernel.wait(lambda: re.search(rf"rerun in.*· {self.restarts} restart", self.watching.text))

    @property
    def live(self):
        """The process of the kernel that answers."""
        return live(self.kernel)

    def until_armed(self):
        """Wait until the process that is known has become the proxy."""
        until_armed(self.kernel)

    @property
    def folder(self):
        """The proxy's folder, by the sockets that it listens at."""
        found = [one.laddr for one in psutil.Process(self.kernel.pid).net_connections("unix") if one.laddr]
        return os.path.dirname(next(path for path in found if path.endswith("/link")))
