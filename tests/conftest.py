"""Real kernels, real files, and the rule that nothing is left behind."""

import compileall
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import uuid

import kept_bytecode  # noqa: F401  # before what it is for
import psutil
import pytest
from hypothesis import HealthCheck, settings
from jupyter_client.connect import LocalPortCache
from jupyter_core.utils import ensure_event_loop
from light import SLOW
from play import Player
from play import kernel as real_kernel
from ports import Ports
from processes import MARK, all_tasks, marked_processes, newest_process, our_threads
from project import Project
from surroundings import SHARED_PORTS, environment
from waiting import eventually

import ipy_autorestart

# What a background job or nohup ignores would be ignored by all that is started here.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

sys.modules.setdefault(SLOW, None)

# No test asserts a time.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

ensure_event_loop()  # the one that jupyter_client uses and keeps, made before anything is counted


def pytest_configure(config):
    """Make sure that kernels import this very package, and compile it.

    With PYTHONDONTWRITEBYTECODE each of a thousand processes would do the latter.
    """
    if hasattr(config, "workerinput"):
        return
    package = os.path.dirname(ipy_autorestart.__file__)
    code = "import ipy_autorestart, os; print(os.path.dirname(ipy_autorestart.__file__))"
    installed = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True).stdout.strip()
    if installed != package:
        pytest.exit(f"kernels would not import {package}; run: python -m pip install --editable .", returncode=2)
    compileall.compile_dir(package, quiet=1)


def pytest_collection_finish():
    """Spare the garbage collector what has been collected: it would look at all of it every few tests."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_ports():
    """Give kernels ports that no other worker chooses; yields who chooses them."""
    with contextlib.closing(Ports()) as ports, pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalPortCache, "instance", lambda: ports)
        yield ports


def open_files():
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the list itself was open
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch):
    """Fail the test that leaves a thread, process, file descriptor or signal handler behind."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    newest, tasks = newest_process(), all_tasks()
    threads, handler = set(threading.enumerate()), signal.getsignal(signal.SIGHUP)
    files = open_files() if os.path.isdir("/proc/self/fd") else {}
    folder = os.getcwd()
    yield
    os.chdir(folder)
    try:
        eventually(lambda: not marked_processes(mark, after=newest))
    except AssertionError:
        commands = []
        for process in marked_processes(mark):
            with contextlib.suppress(psutil.NoSuchProcess):
                commands.append((process.pid, process.ppid(), process.cmdline()))
                process.kill()
        pytest.fail(f"processes are left: {commands}")
    eventually(
        lambda: not set(threading.enumerate()) - threads,
        what=lambda: f"threads to end: {set(threading.enumerate()) - threads}",
    )
    eventually(lambda: not our_threads(besides=tasks))
    assert signal.getsignal(signal.SIGHUP) == handler
    eventually(lambda: not unreaped(), what=unreaped)
    if files and left_open(files):
        gc.collect()  # now only, for it takes longer than most tests
        eventually(lambda: not left_open(files), what=lambda: f"the end of {left_open(files)}")


def unreaped():
    """Return a child that has ended and that nobody has waited for, None if there is none."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # there are no children
        return None


def left_open(before):
    """What is open and was not before: under a number that was free, or had another file."""
    left = {number: target for number, target in open_files().items() if before.get(number) != target}
    if SHARED_PORTS:
        connections = psutil.Process().net_connections("tcp")
        shared = {str(one.fd) for one in connections if one.raddr and one.raddr.port in SHARED_PORTS}
        left = {number: target for number, target in left.items() if number not in shared}
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
        return real_kernel(cwd=str(project), env=environment(), **options)

    return start


@pytest.fixture
def kernel(request):
    """A real kernel in the project's folder, with the extension loaded.

    A module that uses `kernel_of_module` has one for all its tests but those with the mark ``own_kernel``.
    """
    shared = "kernel_of_module" in request.fixturenames and not request.node.get_closest_marker("own_kernel")
    return request.getfixturevalue("kernel_as_new" if shared else "own_kernel")


@pytest.fixture
def own_kernel(start_kernel):
    with start_kernel() as player:
        assert player.run("%load_ext ipy_autorestart").error == ""
        yield player


@pytest.fixture(scope="module")
def kernel_of_module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernel")
    with real_kernel(cwd=str(folder), env={**environment(), "IPYTHONDIR": str(folder)}) as player:
        ports = {port for name, port in player.manager.get_connection_info().items() if name.endswith("_port")}
        SHARED_PORTS.update(ports)
        yield player
        SHARED_PORTS.difference_update(ports)


@pytest.fixture
def kernel_as_new(kernel_of_module, project):
    """The module's, with nothing in it of the test before, as far as that has only started supervisors."""
    player = Player(kernel_of_module.manager, kernel_of_module.client)
    begin = f"import os; os.chdir({str(project)!r}); os.environ[{MARK!r}] = {os.environ[MARK]!r}"
    for line in ("%reset -f", begin, "%reset -f", "%load_ext ipy_autorestart"):
        assert player.run(line).error == ""
    yield player
    assert player.run("%unload_ext ipy_autorestart").error == ""
