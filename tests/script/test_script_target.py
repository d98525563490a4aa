"""A script as a target, started cold."""

import contextlib
import os
import shutil
import signal
import time

import psutil
import pytest
from starting import program
from waiting import eventually

from ipy_autorestart.decide.events import Exited
from ipy_autorestart.protocol.messages import Began, Output
from ipy_autorestart.script.run import start_cold
from ipy_autorestart.script.target import ScriptTarget


@pytest.fixture
def sent():
    return []


@pytest.fixture
def target(project, sent):
    target = ScriptTarget(program("main.py", roots=[f"{project}/"]), stop_signal=signal.SIGTERM, send=sent.append)
    yield target
    target.close()


def until_it_ends(target):
    """Do as an engine does; return the last news of the end."""

    def has_ended():
        for stream in target.streams():
            stream.read()
        exited = target.poll(time.monotonic())
        target.send_output(time.monotonic())
        return exited if exited and not exited.left else None

    return eventually(has_ended)


def until_it_is_gone(target):
    target.kill()
    until_it_ends(target)
    target.close()
    with contextlib.suppress(ChildProcessError):  # no more of them
        while True:
            os.wait()


def printed(sent):
    return "".join(record.text for record in sent if isinstance(record, Output))


def test_a_run_prints_ends_and_has_read_its_files(project, target, sent):
    target.launch([], 1)
    assert psutil.Process(target.pid).is_running()
    assert target.is_warm is False

    assert until_it_ends(target).status == 0

    assert target.pid == 0
    assert isinstance(sent[0], Began)
    assert printed(sent) == "value 1\n"
    assert str(project / "src/a.py") in target.used().read


def test_a_run_that_is_asked_to_end_ends_by_the_stop_signal(project, target):
    project.script("import time\ntime.sleep(60)\n")
    target.launch([], 1)

    target.terminate()

    assert until_it_ends(target).status == -signal.SIGTERM


def test_after_a_failure_everything_counts(project, target):
    project.script("1 / 0\n")
    target.launch([], 1)

    assert until_it_ends(target).status == 1

    assert target.used().read is None


@pytest.mark.parametrize("end", ["1 / 0", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_everything_counts_from_the_failure_on_though_it_has_not_been_heard_of(project, target, end):
    """What is saved just behind an end is judged before that is polled for: the run can't read it any more."""
    project.script(f"import os, signal\n{end}\n")
    target.launch([], 1)
    eventually(lambda: psutil.Process(target.pid).status() == psutil.STATUS_ZOMBIE)

    assert target.used().read is None

    assert until_it_ends(target).status


def test_what_a_run_has_read_is_known_when_its_end_has_not_been_heard_of(project, target):
    target.launch([], 1)
    eventually(lambda: psutil.Process(target.pid).status() == psutil.STATUS_ZOMBIE)

    assert str(project / "src/a.py") in target.used().read

    assert until_it_ends(target).status == 0


def test_a_run_that_closes_its_descriptors_may_read_anything(project, target):
    """As daemons do: nothing is heard of what it imports then."""
    project.script("import os, time\ntime.sleep(0.3)\nos.closerange(3, 1000)\ntime.sleep(1)\n")
    target.launch([], 1)
    eventually(lambda: target.used().read is not None)
    eventually(lambda: target.used().read is None)

    assert until_it_ends(target).status == 0

    assert target.used().read is None


def test_what_a_run_writes_that_leaves_beside_the_next_one_is_known(project, sent):
    project.script(
        "import signal, sys, time\ndef end(*_):\n    open('src/state.json', 'w').close()\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nprint('up', flush=True)\ntime.sleep(600)\n"
    )
    what = program("main.py", roots=[f"{project}/"])
    target = ScriptTarget(what, stop_signal=signal.SIGTERM, send=sent.append, overlap=9.0)
    target.launch([], 1)
    eventually(lambda: target.used().read and any(stream.read() for stream in target.streams()))
    target.terminate()
    assert target.poll(time.monotonic()) == Exited(-signal.SIGTERM)
    project.script("import time\ntime.sleep(600)\n")
    target.launch([], 2)

    eventually(lambda: target.used().written == {str(project / "src/state.json")})

    until_it_is_gone(target)


class Ahead:
    """What forks runs that ask for a cold start in their place once they have written."""

    def __init__(self, what):
        self._what = what

    def start(self, changed, *, lossless, guard):
        run = start_cold(self._what, lossless=lossless)
        run.reports.take_bytes(b"!\0w/p/out\0cmatplotlib it\0")
        guard(run.pid)
        return run

    def __getattr__(self, name):
        return lambda *_, **__: ()


def test_what_a_run_has_written_is_known_when_a_cold_one_is_in_its_place(project, sent):
    what = program("main.py", roots=[f"{project}/"])
    target = ScriptTarget(what, stop_signal=signal.SIGTERM, send=sent.append, preloader=Ahead(what))
    target.launch([], 1)
    eventually(lambda: target.poll(time.monotonic()) or target.is_warm is False)
    assert "/p/out" in target.used().written
    until_it_is_gone(target)


def test_a_cold_one_that_cannot_start_in_its_place_is_a_refusal(project, sent):
    project.script("import time\ntime.sleep(600)\n")
    what = program("main.py", roots=[f"{project}/"])
    target = ScriptTarget(what, stop_signal=signal.SIGTERM, send=sent.append, preloader=Ahead(what))
    target.launch([], 1)
    shutil.rmtree(project)
    os.kill(target.pid, signal.SIGKILL)

    assert "No such file" in eventually(lambda: target.poll(time.monotonic())).why

    assert target.pid == 0
    assert target.used().read is None  # the next change of any file is worth a try
    target.close()


def test_a_folder_that_is_gone_is_an_error(tmp_path, project, sent, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    target = ScriptTarget(program("main.py"), stop_signal=signal.SIGTERM, send=sent.append)
    (tmp_path / "gone").rmdir()

    with pytest.raises(FileNotFoundError):
        target.launch([], 1)

    monkeypatch.chdir(tmp_path)
    target.close()
