import contextlib
import os
import queue
import time
from pathlib import Path

import pytest

from ipy_autorestart.decide.change import Found
from ipy_autorestart.decide.filters import Filter
from ipy_autorestart.watch.watch import Watch

#: How long something that must come may take on a machine that is busy with other things.
DEADLINE = 30.0


class Stage:
    """A project in a folder of its own, with a watch on it that a test can question."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "src"
        self.out = base / "out"
        self.hints = queue.SimpleQueue()
        self.watches = []
        for name in ("x.py", "pkg/__init__.py", "pkg/m.py"):
            self.write(name, "V = 1\n")
        self.write(self.out / "m.py", "V = 1\n")

    def path(self, name="") -> str:
        """Absolute path of what is named relative to the root."""
        return str(self.root / name)

    def write(self, name, text="V = 2\n"):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def watch(self, *roots, poll=None, which=None, **options) -> Watch:
        roots = [os.fspath(root) for root in roots] or [self.path()]
        watch = Watch(roots, filter=which or Filter(), on_hint=self.hints.put, poll=poll, **options)
        self.watches.append(watch)
        watch.start()
        return watch

    @contextlib.contextmanager
    def powerless(self):
        """Be somebody who can't read everything, even if root runs the tests."""
        for folder in (self.base, *self.base.parents):
            if not os.stat(folder).st_mode & 1:
                folder.chmod(0o711)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(was)

    def drain(self) -> list:
        hints = []
        while not self.hints.empty():
            hints.append(self.hints.get())
        return hints

    def shown(self, found: Found) -> dict:
        """What was found, by path relative to the root."""
        short = lambda path: os.path.relpath(path, self.root)  # noqa: E731 - two lines more for nothing
        return {
            **{short(change.path): change.kind.value for change in found.changes},
            **{short(path): "alike" for path in found.alike},
            **{short(broken.path): "broken" for broken in found.broken},
        }

    def hinted(self, watch: Watch, expected: dict) -> list:
        """Look after each hint, and at no other time, until that shows what is expected."""
        end = time.monotonic() + DEADLINE
        hints = []
        shown = {}
        while shown != expected:
            try:
                hints.append(self.hints.get(timeout=max(end - time.monotonic(), 0.0)))
            except queue.Empty:
                pytest.fail(f"after hints {hints}: {shown}, expected {expected}")
            shown = self.shown(watch.look())
        return hints

    def hint(self, matches) -> list:
        """Wait for a hint."""
        end = time.monotonic() + DEADLINE
        hints = []
        while not hints or not matches(hints[-1]):
            try:
                hints.append(self.hints.get(timeout=max(end - time.monotonic(), 0.0)))
            except queue.Empty:
                pytest.fail(f"no such hint among {hints}")
        return hints


@pytest.fixture
def stage(tmp_path):
    stage = Stage(Path(os.path.realpath(tmp_path)) / "stage")
    yield stage
    for watch in stage.watches:
        watch.stop()
