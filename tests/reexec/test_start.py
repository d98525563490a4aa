"""The command line of the next image."""

import json
import os
import subprocess
import sys
import types
from dataclasses import replace

import pytest
from carried import PROCESS

from ipy_autorestart.reexec.start import FIRST, CantRestart, ProcessStart, ProgramStart, first_environment


def started(*argv, of=ProcessStart, executable=sys.executable, folder="/", path="", **more):
    first = replace(PROCESS, argv=argv, folder=folder, environment={"PATH": path})
    return of(executable=executable, outputs=(1, 2), first=first, **more)


def program(*argv, inherited=(), **more):
    return started(*argv, of=ProgramStart, file="", inherited=inherited, since_ns=0, **more)


@pytest.fixture
def python(tmp_path):
    """An interpreter in a folder of its own."""
    path = tmp_path / "bin/python"
    path.parent.mkdir()
    path.touch(0o700)
    return path


def test_a_shell_is_started_through_the_bootstrap_with_its_flags_first():
    [name, *flags, bootstrap, how, what, option] = started("py", "-X", "dev", "-m", "IPython", "-i").command()
    assert (name, flags, how, what, option) == (sys.executable, ["-X", "dev"], "-m", "IPython", "-i")
    assert os.path.basename(bootstrap) == "bootstrap.py"


def test_a_program_keeps_its_command_line(python):
    start = program("python", "main.py", executable=str(python), path=str(python.parent))
    assert start.command() == ["python", "main.py"]
    start = program("bin/python", "main.py", executable=str(python), folder=str(python.parents[1]))
    assert start.command() == ["bin/python", "main.py"]


@pytest.mark.parametrize("name", ["python", "bin/python"])
def test_an_interpreter_that_its_name_does_not_lead_to_goes_by_its_path(python, name):
    assert program(name, "main.py", executable=str(python)).command() == [str(python), "main.py"]


def test_what_has_no_script_is_refused():
    with pytest.raises(CantRestart, match="tell how this process was started"):
        started("python").check()


def test_an_interpreter_that_is_gone_is_refused():
    for start in (started("python", "main.py", executable="/nope"), program("python", "main.py", executable="/nope")):
        with pytest.raises(CantRestart, match="'/nope' is gone or can't be run"):
            start.check()


def test_a_folder_that_is_gone_is_refused(tmp_path):
    with pytest.raises(CantRestart, match="where it was started is gone"):
        program("python", "main.py", folder=str(tmp_path / "none")).check()


def test_descriptors_are_inherited_while_they_lead_to_the_same_file(tmp_path):
    with (tmp_path / "one").open("w") as one, (tmp_path / "two").open("w") as two:
        status = os.fstat(one.fileno())
        start = program("python", inherited=((one.fileno(), status.st_dev, status.st_ino),))
        assert start.inherited_fds() == [one.fileno()]
        os.dup2(two.fileno(), one.fileno())
        assert start.inherited_fds() == []


def test_the_first_image_finds_what_it_was_started_with():
    start = ProgramStart.of_program("/somewhere", None)
    assert start.first.argv == tuple(sys.orig_argv)
    assert start.since_ns > 0
    assert "IPY_AUTORESTART_STATE" not in start.first.environment


def test_a_later_image_reads_nothing_again():
    first = started("python", "-m", "IPython").first
    shell = types.SimpleNamespace(**{FIRST: first})
    assert ProcessStart.of(shell).first is first


def test_the_first_environment_is_not_what_the_program_has_made_of_it(monkeypatch):
    monkeypatch.setenv("LATE", "1")
    assert "LATE" not in first_environment()
    assert first_environment()["PATH"]


#: Does to this process what setproctitle does: the title is where the arguments and the environment were.
ENTITLE = """
import ctypes, json, os
from ipy_autorestart.reexec.start import first_environment
with open("/proc/self/stat") as file:
    fields = file.read().rpartition(")")[2].split()
start, end = int(fields[48 - 3]), int(fields[51 - 3])
title = b"a=title that is longer than the arguments were " * 9
ctypes.memset(start, 0, end - start)
ctypes.memmove(start, title, min(len(title), end - start - 1))
print(json.dumps(first_environment()))
"""


@pytest.mark.e2e
def test_a_title_over_the_environment_is_not_taken_for_it():
    environment = {**os.environ, "LAST": "one"}
    shown = subprocess.run(
        [sys.executable, "-c", ENTITLE, "a"], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout) == environment


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_program_that_does_not_compile_is_not_started_whichever_folder_is_entered(tmp_path, monkeypatch, is_gone):
    (folder := tmp_path / "entered").mkdir()
    monkeypatch.chdir(folder)
    (broken := folder.parent / "broken.py" if is_gone else folder / "broken.py").write_text("def")
    module = types.ModuleType("broken")
    module.__file__ = str(broken)
    monkeypatch.setitem(sys.modules, "broken", module)
    one = replace(program("x"), since_ns=broken.stat().st_ctime_ns - 1)
    if is_gone:
        folder.rmdir()
    with pytest.raises(CantRestart, match=str(broken) if is_gone else r"\bbroken\.py:1"):
        one.check()
