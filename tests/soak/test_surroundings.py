"""The disk is full, the folder read-only or gone, the clock wrong: it goes on, and says what is the matter."""

import contextlib
import errno
import math
import os
import shutil
import subprocess
import sys

import psutil
import pytest
from screens import Screen
from waiting import eventually

from ipy_autorestart import BadInput, Options, Script, Supervisor

pytestmark = pytest.mark.e2e

MAIN = """\
import sys, time
sys.path.insert(0, "src")
import a
print("value", a.V, flush=True)
time.sleep(600)
"""


@pytest.fixture(params=[True, False], ids=["warm", "cold"])
def watch(request, project):
    """Start the script, and stop it at the end."""
    project.script(MAIN)
    with contextlib.ExitStack() as stack:

        def start(folder):
            screen = Screen(keep=2)
            options = Options(warm=request.param)
            supervisor = Supervisor(Script("main.py", cwd=folder), ["src/"], screen=screen, options=options)
            stack.enter_context(supervisor)
            eventually(lambda: screen.text == "value 1\n", what=lambda: (screen.text, supervisor.status))
            return screen, supervisor

        yield start


@pytest.fixture
def mount():
    """Mount something for as long as the test lasts."""
    mounted = []

    def begin(folder, *words):
        done = subprocess.run(["mount", *words, folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"nothing may be mounted here, which takes root and CAP_SYS_ADMIN: {done.stderr.strip()}")
        mounted.append(folder)

    if shutil.which("mount") is None or sys.platform != "linux":
        pytest.skip("there is no mount(8) of Linux")
    yield begin
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder):
    """Leave no room on a disk, and return the file that takes it."""
    with (folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return folder / "ballast"


def test_a_disk_that_is_full_costs_no_content_once_there_is_room(project, watch, mount, monkeypatch):
    disk = project / "disk"
    disk.mkdir()
    mount(disk, "-t", "tmpfs", "-o", "size=256k", "tmpfs")
    shutil.copytree(project / "src", disk / "src")
    shutil.copy(project / "main.py", disk)
    monkeypatch.setenv("TMPDIR", str(disk))
    monkeypatch.chdir(disk)
    screen, supervisor = watch(disk)
    ballast = fill(disk)
    with pytest.raises(OSError, match="No space left") as caught:
        (disk / "src/a.py").write_text("#" * 10_000 + "\nV = 2\n")  # which leaves a part of it behind
    assert caught.value.errno == errno.ENOSPC
    eventually(lambda: "AttributeError" in screen.text, what=lambda: screen.texts)
    assert supervisor.is_alive
    ballast.unlink()
    (disk / "src/a.py").write_text("V = 2\n")
    eventually(lambda: screen.text == "value 2\n", what=lambda: (screen.texts, supervisor.status))


def test_what_is_read_only_runs_and_is_watched_all_the_same(project, watch, mount, monkeypatch):
    mount(project, "--bind", str(project))
    subprocess.run(["mount", "-o", "remount,ro,bind", project], check=True)
    monkeypatch.chdir(project)
    with pytest.raises(OSError, match="Read-only"):
        project.save("src/a.py", "V = 2\n")
    screen, supervisor = watch(project)
    supervisor.restart()
    eventually(lambda: supervisor.status.runs == 2 and screen.text == "value 1\n")
    subprocess.run(["mount", "-o", "remount,rw,bind", project], check=True)
    project.save("src/a.py", "V = 2\n")
    eventually(lambda: screen.text == "value 2\n", what=lambda: (screen.texts, supervisor.status))


def test_a_folder_that_was_deleted_is_told_and_run_in_once_it_is_there_again(project, watch, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(project, copy)
    screen, supervisor = watch(project)
    shutil.rmtree(project)
    supervisor.restart()
    eventually(lambda: not supervisor.status.pid, what=lambda: supervisor.status)
    assert supervisor.is_alive
    shutil.copytree(copy, project)
    project.save("src/a.py", "V = 2\n")
    eventually(lambda: screen.text == "value 2\n", what=lambda: (screen.texts, supervisor.status))


def test_a_watch_cannot_begin_in_a_folder_that_was_deleted(project):
    gone = project / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with pytest.raises(BadInput, match="the current folder has been deleted"):
        Supervisor(Script("main.py"))


#: A wall clock that is an hour ahead and an hour behind in turn, for whoever looks at it; files keep the system's.
CLOCK = """
import itertools, sys, time
if "--link" in sys.orig_argv:
    hours, now, now_ns = itertools.cycle([3600, -3600, 0]), time.time, time.time_ns
    time.time, time.time_ns = lambda: now() + next(hours), lambda: now_ns() + next(hours) * 10**9
"""


def test_a_wall_clock_that_is_set_forth_and_back_decides_nothing(project, watch, monkeypatch):
    site = project.parent / f"{project.name}-site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(CLOCK)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    values = dict.fromkeys("abcd", 1)
    for name in values:
        project.save(f"src/{name}.py", "V = 1\n")
    project.script(MAIN.replace("import a\n", "import a, b, c, d\na.V *= b.V * c.V * d.V\n"))
    screen, supervisor = watch(project)
    for number, shift in enumerate([0, 10**9, -(10**9), 3600, -3600, 1, -1] * 2, start=2):
        name = "abcd"[number % 4]  # the same few would be taken for a loop, and wait
        values[name] = number
        path = project / f"src/{name}.py"
        path.write_text(f"V = {number}\n")
        os.utime(path, (moment := os.stat(path).st_mtime + shift, moment))
        expected = f"value {math.prod(values.values())}\n"
        eventually(lambda expected=expected: screen.text == expected, what=lambda: (screen.texts, supervisor.status))
        eventually(lambda number=number: supervisor.status.runs == number)
        if supervisor.status.took is not None:
            assert 0 <= supervisor.status.took < 60
    [process] = psutil.Process().children()
    assert process.is_running()
