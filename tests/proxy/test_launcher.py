"""How a proxy starts kernels: here, programs that write down what they find."""

import contextlib
import json
import os
import sys
from dataclasses import replace

import pytest
from carried import PROCESS
from waiting import eventually

from ipy_autorestart.memory import ENDED_NEXT
from ipy_autorestart.proxy.launcher import Launcher
from ipy_autorestart.reexec.state import Carried, ProgramState
from ipy_autorestart.script.orphans import adopt_orphans

pytestmark = pytest.mark.e2e

CODE = """
import json, os, sys
with open(sys.argv[1] + ".part", "w") as file:
    order = int(open("/proc/self/oom_score_adj").read())
    json.dump([os.environ.get("JPY_PARENT_PID"), os.environ.get("PAGER"), os.getcwd(), order], file)
os.rename(sys.argv[1] + ".part", sys.argv[1])
import fractions
"""


@pytest.fixture
def launcher(tmp_path):
    process = replace(
        PROCESS,
        argv=(sys.executable, "-c", CODE, str(tmp_path / "found")),
        folder=str(tmp_path),
        environment={**os.environ, "JPY_PARENT_PID": "1"},
    )
    own = ProgramState(pid=0, inherited=(), kept=(), since_ns=0)
    carried = Carried(process, (), own, entry="operator:is_")
    with open(tmp_path / "start", "wb") as file:
        carried.write(file.fileno())
    launcher = Launcher(sys.executable, str(tmp_path / "start"), process, [])
    adopt_orphans(really=True)  # as a proxy does
    yield launcher
    launcher.close()
    adopt_orphans(really=False)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def found_by(run, tmp_path):
    path = tmp_path / "found"
    eventually(path.exists)
    found = json.loads(path.read_text())
    path.unlink()
    os.waitpid(run.pid, 0)
    run.drain()
    return found


def test_a_kernel_is_started_as_the_first_image_was_but_for_its_parent(launcher, tmp_path):
    run = launcher.start_cold()
    found = found_by(run, tmp_path)
    assert found[:3] == [str(os.getpid()), os.environ.get("PAGER"), str(tmp_path)]
    for pipe in run.close():
        pipe.close()
    assert launcher.start_forked() is None
    assert (launcher.source, launcher.readers(), launcher.due_at(0.0)) == (None, [], None)


def test_what_one_has_imported_is_imported_ahead_of_the_next_in_its_environment(launcher, tmp_path):
    run = launcher.start_cold()
    found_by(run, tmp_path)
    launcher.preload({"PAGER": "cat"})
    launcher.learn(run.reports)
    launcher.keep_up()
    assert launcher.readers() == []  # not while nobody answers
    launcher.begin(complete=False)
    for pipe in run.close():
        pipe.close()

    def there():
        launcher.keep_up()
        for reader in launcher.readers():
            reader.read()
        return launcher.source

    source = eventually(there)
    assert source in [reader.pid for reader in launcher.readers()]
    forked = launcher.start_forked()
    _, pager, _, order = found_by(forked, tmp_path)
    assert (pager, order) == ("cat", ENDED_NEXT)
    assert any("fractions" in path for reader in launcher.readers() for path in reader.files)
    for pipe in forked.close():
        pipe.close()
    launcher.watch([])  # as before
    assert launcher.source == source
    assert not launcher.is_shadowed
    (tmp_path / "fractions.py").touch()  # in the folder that goes first
    assert launcher.is_shadowed
    (tmp_path / "fractions.py").unlink()
    launcher.watch([str(tmp_path)])
    assert launcher.source is None
    assert eventually(there) != source
    assert any("fractions" in path for reader in launcher.readers() for path in reader.files)


def test_where_all_is_known_it_is_imported_at_once(launcher, tmp_path):
    run = launcher.start_cold()
    found_by(run, tmp_path)
    launcher.preload({})
    launcher.learn(run.reports)
    launcher.begin(complete=True)
    for pipe in run.close():
        pipe.close()
    launcher.keep_up()
    [server] = launcher.readers()
    assert launcher.is_preloading

    def there():
        server.read()
        return not launcher.is_preloading

    eventually(there)
    launcher.keep_up()
    assert launcher.source == server.pid
