"""The command line of the next image."""

import os
import sys

import pytest

from ipy_autorestart.reexec.start import CantRestart, ProcessStart, ProgramStart


def started(*argv, of=ProcessStart, executable=sys.executable, folder="/", path="", **more):
    return of(
        executable=executable,
        argv=argv,
        folder=folder,
        environment={b"PATH": path.encode()},
        outputs=(1, 2),
        ignored=frozenset(),
        blocked=frozenset(),
        **more,
    )


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
    with pytest.raises(CantRestart, match="not known how this process was started"):
        started("python").check()


def test_an_interpreter_that_is_gone_is_refused():
    for start in (started("python", "main.py", executable="/nope"), program("python", "main.py", executable="/nope")):
        with pytest.raises(CantRestart, match="'/nope' is gone or can't be run"):
            start.check()


def test_a_folder_that_is_gone_is_refused(tmp_path):
    with pytest.raises(CantRestart, match="in which it was started, is gone"):
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
    assert start.argv == tuple(sys.orig_argv)
    assert start.since_ns > 0
    assert b"IPY_AUTORESTART_STATE" not in start.environment
