"""Several writers edit at random, in every way of saving; when they have ended, what ran last is what is on disk."""

import contextlib
import subprocess
import sys
import textwrap
import time

import length
import psutil
import pytest
import writers
from screens import Screen
from waiting import DEADLINE, eventually, pass_time

from ipy_autorestart import Options, Script, Supervisor

pytestmark = pytest.mark.e2e

SECONDS = length.seconds(1.5)


def is_zombie(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return False


@pytest.mark.timeout(120 + SECONDS)
@pytest.mark.parametrize("poll", [0.0, 0.1], ids=["events", "polling"])
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_the_last_content_runs_last(project, modules, seed, warm, poll):
    screen = Screen(keep=2)
    options = Options(warm=warm, poll=poll)
    with Supervisor(Script("main.py"), ["src/"], screen=screen, options=options) as supervisor:
        eventually(lambda: screen.text.startswith("values"))
        with writers.editing(project, seed) as people:
            pass_time(SECONDS)
        expected = writers.on_disk(project, modules) + "\n"
        eventually(
            lambda: screen.text == expected,
            timeout=writers.SETTLED,
            what=lambda: f"{expected!r} after {writers.last_edits(people)}; {supervisor.status}\n{screen.texts}",
        )
        if SECONDS < 10:
            assert supervisor.status.runs > 1  # in how many bursts the edits come, the machine's load decides
        [process] = psutil.Process().children()
        eventually(lambda: not any(map(is_zombie, process.children(recursive=True))))
    assert screen.text == expected
    assert not psutil.Process().children()


@pytest.mark.timeout(120 + SECONDS)
def test_the_last_content_is_what_the_kernel_shows_last(kernel, project, modules, seed):
    watching = kernel.run("%watch_restart src/ --rerun all")
    kernel.wait(lambda: "running" in watching.text)
    cell = kernel.run(writers.program(modules))
    assert cell.streams() == writers.on_disk(project, modules) + "\n"
    with writers.editing(project, seed) as people:
        end = time.monotonic() + SECONDS
        kernel.wait(lambda: time.monotonic() > end, timeout=SECONDS + DEADLINE)
    expected = writers.on_disk(project, modules) + "\n"
    kernel.wait(
        lambda: cell.streams() == expected,
        timeout=writers.SETTLED,
        what=f"{expected} after {writers.last_edits(people)}",
    )
    kernel.run("%unwatch")


PROGRAMS = {
    "command line": (["-m", "ipy_autorestart", "--quiet", "src/", "main.py"], "{}"),
    "itself": (
        ["main.py"],
        "from ipy_autorestart import restart_on_change\nrestart_on_change('src', enabled=True)\n{}",
    ),
}


@pytest.mark.timeout(120 + SECONDS)
@pytest.mark.parametrize("how", PROGRAMS)
def test_the_last_content_runs_last_in_a_terminal_too(project, modules, seed, how):
    words, code = PROGRAMS[how]
    # What ends in an ImportError can't restart itself: a module that is missing for a moment is waited for.
    caught = (
        "try:\n" + textwrap.indent(writers.program(modules), "    ") + "except Exception as error: print(repr(error))\n"
    )
    project.script(code.format(caught) + "import time\nwhile True: time.sleep(0.05)\n")
    shown = project.parent / f"{project.name}.out"
    with shown.open("wb") as file:
        program = subprocess.Popen([sys.executable, *words], stdout=file, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: "values" in shown.read_text())
        with writers.editing(project, seed) as people:
            pass_time(SECONDS)
        expected = writers.on_disk(project, modules)
        eventually(
            lambda: shown.read_text().splitlines()[-1:] == [expected],
            timeout=writers.SETTLED,
            what=lambda: f"{expected!r} after {writers.last_edits(people)}: {shown.read_text()[-5000:]}",
        )
    finally:
        program.terminate()
        program.wait(timeout=DEADLINE)
