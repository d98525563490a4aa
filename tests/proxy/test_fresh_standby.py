"""A standby has started before the restart, and is used only if a start at that moment would come to the same."""

import contextlib
import os
from pathlib import Path

import psutil
import pytest
from behind import USE, Behind
from waiting import eventually, pass_time

pytestmark = pytest.mark.e2e

#: Says that a start has come to its end, for it is the last of the startup files.
TRACE = "import os\nopen(os.path.join({folder!r}, str(os.getpid())), 'w').close()\n"


class Standbys(Behind):
    """One that knows when a standby has started, by what its startup files leave."""

    def __init__(self, kernel, project, started):
        self.started = started
        super().__init__(kernel, project)

    def wait(self):
        """Wait until another kernel has started than the one that answers."""
        wait_for_standby(self.kernel, self.started)


def wait_for_standby(kernel, started):
    others = {int(kernel.run("__import__('os').getpid()").text), kernel.pid}  # the latter was the first kernel
    eventually(lambda: any(map(psutil.pid_exists, pids(started) - others)))


def pids(started):
    return set(map(int, os.listdir(started)))


@pytest.fixture
def profile():
    return Path(os.environ["IPYTHONDIR"], "profile_default")


@pytest.fixture
def write(project, profile):
    """Write a file by its name: of the profile, or of a folder in PYTHONPATH."""

    def save(name, text):
        path = profile / name if name.startswith(("startup/", "ipython")) else project / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return save


def test_what_its_start_has_read_must_be_the_same_still(start_kernel, project, write, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project / "lib"), os.environ.get("PYTHONPATH", "")]))
    started = tmp_path_factory.mktemp("started")
    write("sitecustomize.py", "import builtins\nbuiltins.FOUND = ['site']\n")
    write("helper.py", "V = 'helper'\n")
    write("startup/a.py", "import helper\nFOUND = [*FOUND, 'a', helper.V]\n")
    write("startup/zz.py", TRACE.format(folder=str(started)))
    session = "(lambda h: (h.writeout_cache(), h.session_number)[1])(get_ipython().history_manager)"
    expected = ["site", "a", "helper"]
    with start_kernel() as kernel:
        behind = Standbys(kernel, project, started)
        first = int(kernel.run(session).text)
        for value, (name, text, *found) in enumerate(
            (
                ("startup/a.py", "import helper\nFOUND = [*FOUND, 'changed', helper.V]\n", "site", "changed", "helper"),
                ("helper.py", "V = 'other helper'\n", "site", "changed", "other helper"),
                ("sitecustomize.py", "import builtins\nbuiltins.FOUND = ['s']\n", "s", "changed", "other helper"),
                ("startup/b.py", "FOUND += ['b']\n", "s", "changed", "other helper", "b"),
                (
                    "ipython_kernel_config.py",
                    "c.InteractiveShellApp.exec_lines = ['FOUND += [1]']\n",
                    "s",
                    "changed",
                    "other helper",
                    "b",
                    1,
                ),
            ),
            3,
        ):
            assert kernel.run("FOUND").text == repr(expected)
            behind.wait()
            write(name, text)
            behind.save(value)
            expected = found
        assert kernel.run("FOUND").text == repr(expected)
        behind.wait()
        waiting = pids(started)
        behind.save(99)
        assert behind.live in waiting
        assert int(kernel.run(session).text) == first + behind.restarts - 1  # those that were dropped had none
        behind.wait()
        write("startup/b.py", "FOUND += ['c']\n")
        cell = kernel.send("import os; os._exit(1)")  # another one follows as if it had been asked to
        kernel.wait(lambda: cell.done)
        assert kernel.run("FOUND").text == repr([*expected[:3], "c", 1])


def supervisors(kernel):
    """Return the processes that watch."""
    found = set()
    for one in psutil.Process(kernel.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            found |= {one.pid} if "--link" in one.cmdline() else set()
    return found


def test_what_a_startup_file_watches_is_watched_once(start_kernel, project, write, tmp_path_factory):
    started = tmp_path_factory.mktemp("started")
    write("startup/a.ipy", "%load_ext ipy_autorestart\n%watch_restart src/ --rerun all\n%watch_restart src/ main.py\n")
    write("startup/zz.py", TRACE.format(folder=str(started)))
    with start_kernel() as kernel:
        use = kernel.run(USE, cell_id="use")
        watching = supervisors(kernel)
        assert len(watching) == 2
        for value in (2, 3):
            project.save("src/a.py", f"V = {value}\n")
            kernel.wait(lambda value=value: use.streams() == f"value {value}\n")
            wait_for_standby(kernel, started)
            assert supervisors(kernel) == watching
        assert len(kernel.run("%watch_status").text.split("\n\n")[0].splitlines()) == 3  # with a head
        kernel.run("%unwatch src/ main.py")
        kernel.run("%unwatch")
        eventually(lambda: not supervisors(kernel))
        pass_time(0.1)
        kernel.run("'the proxy knows by now'")
        kernel.send("import os; os._exit(1)")  # as a fresh start, another one begins what there is in the file
        eventually(lambda: len(supervisors(kernel)) == 2)


#: Whether it waits to be imported, and isn't there before.
IS_AHEAD = (
    "import sys, _frozen_importlib\n"
    "cells = _frozen_importlib._find_and_load_unlocked.__closure__ or ()\n"
    "owners = [getattr(cell.cell_contents, '__self__', None) for cell in cells]\n"
    "shelf = next((owner for owner in owners if owner), sys.modules)\n"
    "print(shelf is not sys.modules and 'matplotlib.pyplot' not in sys.modules"
    " and shelf.get('matplotlib.pyplot') is not None)"
)
DRAW = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"


def test_figures_are_shown_by_a_kernel_that_has_imported_ahead_what_draws_them(kernel, project):
    behind = Behind(kernel, project)
    is_ahead = kernel.run(IS_AHEAD, cell_id="is ahead")
    drawn = kernel.run(DRAW, cell_id="draw")
    while is_ahead.text != "True\n":
        behind.save(behind.restarts)
        assert [list(output["data"]) for output in drawn.outputs] == [["text/plain", "image/png"]]
