"""A kernel behind a proxy that makes checkpoints, and what its notebook's page shows."""

import re

from page import Page
from patience import PATIENT
from waiting import eventually

WATCH = "%watch_restart src/ data/ --pattern '*.txt'"

#: A checkpoint is worth its price after each cell that takes so long, on a machine that is busy with much else, too.
SET_UP = """\
from ipy_autorestart.kernel import checkpoint_policy
checkpoint_policy.is_worth = lambda work, cost: work >= 0.3
import os, sys, time
sys.path.insert(0, {src!r})
"""
SLOW = "time.sleep(0.31)\n"

MADE = "[one for one in get_ipython()._ipy_autorestart.restarter.checkpoints() if not one.why]"


class Checkpointed(Page):
    """The page of such a kernel, whose cells can be counted by what they leave in a file."""

    def __init__(self, player, project, options="--rerun all"):
        super().__init__(player.manager, player.client)
        self.project, self.restarts = project, 0
        (project / "data").mkdir(exist_ok=True)
        assert self.do("extension", "%load_ext ipy_autorestart").error == ""
        self.ask(f"exec({PATIENT!r}, {{}})")
        self.watching = self.do("watch", f"{WATCH} {options}")
        self.wait(lambda: "running" in self.status)
        assert self.do("set up", SET_UP.format(src=str(project / "src")) + PATIENT).error == ""

    def do(self, key, code, *, until="idle"):
        """Run a cell and wait for its end."""
        cell = self.begin(key, code)
        self.wait(lambda: cell.reply is not None and (cell.idle or until == "reply"), what=code)
        return cell

    def noted(self, key, code):
        """Run a cell that leaves its name in a file, each time that it runs."""
        return self.do(
            key, f"with open({str(self.project / 'runs')!r}, 'a') as runs: print({key!r}, file=runs)\n{code}"
        )

    def load(self, key, code=""):
        """Run such a cell that takes long enough for a checkpoint, and wait for that."""
        self.noted(key, SLOW + code)
        number = self.ask("get_ipython().execution_count") - 1
        self.wait(lambda: number in self.ask(f"[one.after for one in {MADE}]"), what="a checkpoint")

    def runs(self, key):
        """Return how often that has run."""
        return (self.project / "runs").read_text().split("\n").count(key)

    @property
    def status(self):
        """The line below the cell that watches."""
        return self.watching.text

    def save(self, name, text, *, again=False):
        """Save a file and wait until the cells have run again; ``again`` and again, what is no loop."""
        if again:
            self.ask("get_ipython()._ipy_autorestart.supervisors[0].resume()")  # as a person does who asks for it
        self.project.save(name, text)
        self.until_restarted()

    def until_restarted(self):
        """Wait until the cells have run again once more."""
        self.restarts += 1
        ends = ("rerun in", "no cell to rerun", "to be run again", "left out", "stopped", "as asked")
        over = rf"({'|'.join(ends)}).*· {self.restarts} restart"
        self.wait(lambda: re.search(over, self.status), what=over)

    def shows(self, key):
        """Return what a cell has printed."""
        return self.shown[key].streams()

    @property
    def live(self):
        """The process of the kernel that answers."""
        return self.ask("__import__('os').getpid()")

    def until_armed(self):
        """Wait until the process that is known has become the proxy."""
        eventually(lambda: self.live != self.pid, what="a proxy")

    @property
    def parked(self):
        """The processes of the checkpoints, the oldest first."""
        return self.ask(f"[one.pid for one in {MADE}]")
