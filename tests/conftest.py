"""Real kernels, real files, and the rule that nothing is left behind."""

import gc
import os
import signal
import threading
import uuid

import pytest
from hypothesis import settings
from jupyter_core.utils import ensure_event_loop
from play import kernel as real_kernel
from processes import MARK, marked_processes, our_threads
from project import Project
from waiting import eventually

for number in (signal.SIGHUP, signal.SIGINT):  # nohup and background jobs ignore them, and what is started inherits it
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGHUP else signal.default_int_handler)

settings.register_profile("suite", deadline=None)  # no test asserts a time
settings.load_profile("suite")

ensure_event_loop()  # the one that jupyter_client uses and keeps, made before anything is counted


def open_files():
    return {
        number: os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if _is_open(number)
    }


def _is_open(number):
    try:
        os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch):
    """Fail the test that leaves a thread, process, file descriptor or signal handler behind."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    threads, ours, handler = set(threading.enumerate()), our_threads(), signal.getsignal(signal.SIGHUP)
    files = open_files() if os.path.isdir("/proc/self/fd") else {}
    folder = os.getcwd()
    yield
    os.chdir(folder)
    try:
        eventually(lambda: not marked_processes(mark), timeout=5)
    except AssertionError:
        left = marked_processes(mark)
        commands = [(process.pid, process.ppid(), process.cmdline()) for process in left]
        for process in left:
            process.kill()
        pytest.fail(f"processes are left: {commands}")
    eventually(
        lambda: not set(threading.enumerate()) - threads,
        timeout=5,
        what=lambda: f"threads to end: {set(threading.enumerate()) - threads}",
    )
    eventually(lambda: our_threads() == ours, timeout=5)
    assert signal.getsignal(signal.SIGHUP) == handler
    assert not unreaped()
    if files and left_open(files):
        gc.collect()  # now only, for it takes longer than most tests
        assert not left_open(files)


def unreaped():
    """Return a child that has ended and that nobody has waited for, None if there is none."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there are no children
        return None


def left_open(before):
    """What is open and was not before: under a number that was free, or had another file."""
    left = {number: target for number, target in open_files().items() if before.get(number) != target}
    return {number: target for number, target in left.items() if "memfd" not in target and "/proc/" not in target}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A script that prints a value of a module below src/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path.parent / f"{tmp_path.name}-ipython"))
    project = Project(tmp_path)
    project.save("src/a.py", "V = 1\n")
    project.script("import sys\nsys.path.insert(0, 'src')\nimport a\nprint('value', a.V)\n")
    return project


@pytest.fixture
def start_kernel(project):
    """Start a real kernel in the project's folder, as a context manager."""

    def start(**options):
        # ipykernel leaves descriptors 1 and 2 alone where it sees pytest.
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        return real_kernel(cwd=str(project), env=environment, **options)

    return start


@pytest.fixture
def kernel(start_kernel):
    """A real kernel in the project's folder, with the extension loaded."""
    with start_kernel() as player:
        assert player.run("%load_ext ipy_autorestart").error == ""
        yield player
