"""Several writers edit at random, in every way of saving; when they have ended, what ran last is what is on the disk."""

import os
import random
import subprocess
import sys
import threading

import length
import psutil
import pytest
import writers
from waiting import eventually

from ipy_autorestart import Options, Script, Supervisor

pytestmark = pytest.mark.e2e

SECONDS = length.seconds(2.5)

#: Longer than what has come by then may still take: bursts, scans, the pause of a seeming loop, and a slow machine.
SETTLED = 40


class Screen:
    """Keeps the output of the last two runs."""

    takes_all = False

    def __init__(self):
        self.texts = {0: ""}

    def show(self, status):
        pass

    def begin(self, run):
        self.texts = {**dict(list(self.texts.items())[-1:]), run: ""}

    def write(self, stream, text):
        self.texts[max(self.texts)] += text

    def to_state(self):
        return {}

    @property
    def last(self):
        return self.texts[max(self.texts)]


def pass_time(seconds):
    """Let people edit; how long is the case."""
    threading.Event().wait(seconds)


@pytest.fixture
def modules(project):
    modules = writers.make_project(project)
    (project / "main.py").write_text(writers.program(modules) + "import time\nif shared_0.V % 2: time.sleep(600)\n")
    return modules


@pytest.fixture
def seed():
    """Of this test's edits, shown where it fails."""
    seed = int(os.environ.get("IPY_AUTORESTART_TEST_SEED", random.randrange(10**6)))
    sys.stdout.write(f"IPY_AUTORESTART_TEST_SEED={seed}\n")
    return seed


def last_edits(people):
    return "\n".join(f"{person.name}: {person.log[-5:]}" for person in people)


@pytest.mark.timeout(120 + SECONDS)
@pytest.mark.parametrize("poll", [0.0, 0.1], ids=["events", "polling"])
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_the_last_content_runs_last(project, modules, seed, warm, poll):
    screen = Screen()
    options = Options(warm=warm, poll=poll)
    with Supervisor(Script("main.py"), ["src/"], screen=screen, options=options) as supervisor:
        eventually(lambda: screen.last.startswith("values"))
        with writers.editing(project, seed) as people:
            pass_time(SECONDS)
        expected = writers.on_disk(project, modules) + "\n"
        eventually(
            lambda: screen.last == expected,
            timeout=SETTLED,
            what=lambda: f"{expected!r} after {last_edits(people)}; {supervisor.status}\n{screen.texts}",
        )
        if SECONDS < 10:
            assert supervisor.status.runs > 2
        [process] = psutil.Process().children()
        assert psutil.STATUS_ZOMBIE not in [child.status() for child in process.children(recursive=True)]
    assert screen.last == expected
    assert not psutil.Process().children()
