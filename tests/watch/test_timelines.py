"""Random timelines against a plain model: no change is lost, and none is made up."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.watch import snapshot
from ipy_autorestart.watch.watch import Watch

FOLDERS = st.sampled_from(["", "a", "b", "a/c", "b/.venv"])
FILES = st.sampled_from(["", "a", "b", "a/c", "b/.venv"]).flatmap(
    lambda folder: st.sampled_from(["x.txt", "y.txt", "x.txt~"]).map(lambda name: os.path.join(folder, name))
)
TEXTS = st.sampled_from(["", "1", "2", "33"])


class Timeline(RuleBasedStateMachine):
    """Files of one suffix that is not compiled: what counts is what they hold."""

    @initialize()
    def begin(self):
        self.base = Path(tempfile.mkdtemp())
        self.root = self.base / "root"
        for folder in ("a/c", "b"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "a/x.txt").write_text("1")
        self.watch = Watch([str(self.root)], filter=Filter(patterns=("*.txt",)), on_hint=print, poll=0.1)
        self.watch.start()
        self.baseline = self.contents()
        self.seen = self.baseline

    def teardown(self):
        if hasattr(self, "base"):
            self.watch.stop()
            shutil.rmtree(self.base)

    def contents(self):
        """What counts, the plain way."""
        found = {}
        for path in self.root.rglob("*.txt"):
            if path.is_file() and ".venv" not in path.relative_to(self.root).parts and not path.is_symlink():
                found[str(path)] = path.read_text()
        return found

    @rule(name=FILES, text=TEXTS)
    def write(self, name, text):
        if (self.root / name).parent.is_dir():
            (self.root / name).write_text(text)

    @rule(name=FILES, text=TEXTS)
    def replace(self, name, text):
        if (self.root / name).parent.is_dir():
            (self.base / "new").write_text(text)
            os.replace(self.base / "new", self.root / name)

    @rule(name=FILES, stamp=st.sampled_from([1, 10**9, 2 * 10**18]))
    def forge_mtime(self, name, stamp):
        if (self.root / name).exists():
            os.utime(self.root / name, ns=(stamp, stamp))

    @rule(name=FILES)
    def unlink(self, name):
        (self.root / name).unlink(missing_ok=True)

    @rule(folder=FOLDERS)
    def make(self, folder):
        (self.root / folder).mkdir(parents=True, exist_ok=True)

    @rule(folder=FOLDERS)
    def remove(self, folder):
        shutil.rmtree(self.root / folder, ignore_errors=True)
        self.root.mkdir(exist_ok=True)

    @rule(one=FOLDERS, other=FOLDERS)
    def move(self, one, other):
        with contextlib.suppress(OSError):
            os.rename(self.root / one, self.root / other)

    @rule()
    def exchange(self):
        shutil.copytree(self.root, self.base / "copy")
        shutil.rmtree(self.root)
        os.rename(self.base / "copy", self.root)

    @rule()
    def look(self):
        self.seen = self.contents()
        found = {change.path: change.kind.value for change in self.watch.look().changes}
        assert found == difference(self.baseline, self.seen)

    @rule()
    def commit(self):
        self.watch.commit()
        self.baseline = self.seen


def difference(before, after):
    kinds = dict.fromkeys(before.keys() - after.keys(), "deleted")
    kinds |= dict.fromkeys(after.keys() - before.keys(), "added")
    both = before.keys() & after.keys()
    return kinds | {path: "modified" for path in both if before[path] != after[path]}


class LargeTimeline(Timeline):
    """The same where not each file is tracked."""

    @initialize()
    def begin(self):
        snapshot.SMALL_FILES = 0
        super().begin()

    def teardown(self):
        snapshot.SMALL_FILES = SMALL_FILES
        super().teardown()


SMALL_FILES = snapshot.SMALL_FILES
TestTimeline = pytest.mark.e2e(Timeline.TestCase)
TestTimeline.settings = settings(max_examples=60, stateful_step_count=30)
TestLargeTimeline = pytest.mark.e2e(LargeTimeline.TestCase)
TestLargeTimeline.settings = settings(max_examples=60, stateful_step_count=30)
