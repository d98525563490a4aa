"""The API outside a notebook: real processes, no kernel."""

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading

import psutil
import pytest
from processes import runners, status_of
from screens import Screen
from waiting import eventually

from ipy_autorestart import BadInput, Options, Script, Supervisor
from ipy_autorestart.decide.change import Change, Kind

pytestmark = pytest.mark.e2e


@pytest.fixture
def screen():
    return Screen()


def test_a_script_runs_again_when_a_file_changes(project, screen):
    with Supervisor(Script("main.py"), ["src/"], screen=screen) as supervisor:
        eventually(lambda: screen.printed == "value 1\n")
        project.save("src/a.py", "V = 2\n")
        eventually(lambda: screen.printed.endswith("value 2\n"))
        eventually(lambda: supervisor.status.runs == 2)
        assert supervisor.status.cause.changes == (Change("src/a.py", Kind.MODIFIED),)
        assert list(screen.texts) == [1, 2]
    assert supervisor.status.state == "ended"
    assert not supervisor.is_alive


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are listed in /proc")
def test_it_names_its_process_and_all_that_it_has_open(project, screen):
    def there():
        return {int(number) for number in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{number}")}

    before = there()
    supervisor = Supervisor(Script("main.py"), screen=screen)
    assert (supervisor.pid, list(supervisor.fds())) == (0, [])
    with supervisor:
        assert supervisor.pid in {child.pid for child in psutil.Process().children()}
        assert there() - before == set(supervisor.fds())
    assert list(supervisor.fds()) == []


def test_a_restart_can_be_asked_for(project, screen):
    with Supervisor(Script("main.py"), screen=screen) as supervisor:
        eventually(lambda: supervisor.status.state == "finished")
        supervisor.restart()
        eventually(lambda: supervisor.status.runs == 2)
        assert supervisor.status.cause.reason == "asked"


def test_a_script_that_ignores_the_stop_is_killed(project, screen):
    project.script("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up')\ntime.sleep(60)\n")
    with Supervisor(Script("main.py"), screen=screen, options=Options(stop_timeout=0.3)) as supervisor:
        eventually(lambda: "up" in screen.printed)
        project.script("print('new')\n")
        eventually(lambda: supervisor.status.runs == 2 and "new" in screen.printed)


def test_the_stop_signal_can_be_chosen(project, screen):
    project.script(
        "import time\nprint('up')\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    )
    with Supervisor(Script("main.py"), screen=screen, options=Options(stop_signal="INT")):
        eventually(lambda: "up" in screen.printed)
    assert "interrupted" in screen.printed


def test_leading_and_trailing_output_of_a_run_is_complete(project, screen):
    project.script("import sys\nprint('é' * 100_000)\nprint('last words', end='', file=sys.stderr)\n")
    with Supervisor(Script("main.py"), screen=screen) as supervisor:
        eventually(lambda: supervisor.status.state == "finished")
        eventually(lambda: screen.printed.count("é") == 100_000 and "last words" in screen.printed)


def test_signals_are_the_defaults_even_if_the_front_ignores_them(project, screen):
    project.script(
        "import signal\nprint(signal.getsignal(signal.SIGINT) is signal.default_int_handler,"
        " signal.getsignal(signal.SIGHUP) == signal.SIG_DFL, signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
    )
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        with Supervisor(Script("main.py"), screen=screen):
            eventually(lambda: screen.printed.endswith("\n"))
    finally:
        signal.signal(signal.SIGINT, old)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    assert screen.printed == "True True set()\n"


def test_a_supervisor_started_by_a_thread_outlives_the_thread(project, screen):
    supervisor = Supervisor(Script("main.py"), screen=screen)
    thread = threading.Thread(target=supervisor.start)
    thread.start()
    thread.join()
    eventually(lambda: "value 1" in screen.printed)
    project.save("src/a.py", "V = 2\n")
    eventually(lambda: "value 2" in screen.printed)
    supervisor.stop()


def test_a_killed_supervisor_is_told_and_takes_its_run_along(project, screen):
    project.script("import os, time\nprint(os.getpid())\ntime.sleep(60)\n")
    with Supervisor(Script("main.py"), screen=screen) as supervisor:
        eventually(lambda: supervisor.status.pid and screen.printed.endswith("\n"))
        (process,) = psutil.Process().children()
        process.kill()
        eventually(lambda: supervisor.status.state == "ended")
        assert "the supervisor has ended" in supervisor.status.error
        eventually(lambda: not psutil.pid_exists(int(screen.printed)))


def test_modules_beside_the_script_do_not_hide_the_supervisors(project, screen):
    for name in ("json.py", "signal.py", "select.py", "watchdog.py"):
        project.save(name, "1 / 0\n")
    project.script("print('up')\n")
    with Supervisor(Script("main.py"), screen=screen):
        eventually(lambda: "up" in screen.printed)


def test_a_script_may_have_any_name_and_folder(project, screen):
    project.save("tools/tool", "import os\nprint('in', os.path.basename(os.getcwd()))\n")
    with Supervisor(Script("tool", cwd=project / "tools"), ["."], screen=screen):
        eventually(lambda: "in tools" in screen.printed or "can't" in screen.printed)
        project.save("tools/tool", "print('again')\n")
        eventually(lambda: "again" in screen.printed)


def test_the_next_run_finds_the_port_free_that_a_child_of_the_old_one_held(project, screen, own_ports):
    port = own_ports.find_available_port("127.0.0.1")
    project.script(
        f"import os, socket, time\ns = socket.create_server(('127.0.0.1', {port}))\n"
        "if os.fork() == 0:\n    data = bytearray(b'x') * (300 << 20)\n    print('ready')\n    time.sleep(60)\n"
        "s.close()\ntime.sleep(60)\n"
    )
    with Supervisor(Script("main.py"), screen=screen) as supervisor:
        eventually(lambda: "ready" in screen.printed)
        project.script((project / "main.py").read_text() + "x = 1\n")
        eventually(lambda: supervisor.status.runs == 2 and screen.printed.count("ready") == 2)


def test_a_folder_made_anew_is_run_in_anew(project, screen):
    with Supervisor(Script("main.py"), ["src/"], screen=screen) as supervisor:
        eventually(lambda: supervisor.status.state == "finished")
        moved = project.with_name(project.name + "-old")
        project.rename(moved)
        shutil.copytree(moved, project)
        project.save("src/a.py", "V = 2\n")
        eventually(lambda: screen.printed.endswith("value 2\n"))


FRONT = """
import os, signal, subprocess, sys, time
from ipy_autorestart import Options, Script, Supervisor
supervisor = Supervisor(Script("main.py"), options=Options(stop_timeout=3600))  # it is killed at once
supervisor.start()
child = 0
while not supervisor.status.pid:
    time.sleep(0.01)
if "fork" in sys.argv and (child := os.fork()) == 0:
    time.sleep(60)  # holds the front's end of the link open
print(supervisor.status.pid, child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["", "fork"])
def test_nothing_outlives_a_killed_front(project, how):
    project.script("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)\n")
    front = subprocess.Popen([sys.executable, "-c", FRONT, how], stdout=subprocess.PIPE, text=True)
    pid, child = map(int, front.stdout.readline().split())
    front.wait()
    front.stdout.close()
    try:
        eventually(lambda: not psutil.pid_exists(pid))
    finally:
        if child:
            os.kill(child, signal.SIGKILL)


def is_in_group(process, group):
    with contextlib.suppress(ProcessLookupError):  # one that was forked ahead comes and goes
        return os.getpgid(process.pid) == group
    return False


def test_a_thousand_saves_end_with_the_last_content_and_one_run(project, screen):
    project.script("import sys\nsys.path.insert(0, 'src')\nimport a, time\nprint(a.V)\ntime.sleep(60)\n")
    with Supervisor(Script("main.py"), ["src/"], screen=screen) as supervisor:
        eventually(lambda: screen.printed)
        for number in range(1000):
            project.save("src/a.py", f"V = 'content {number}'\n")
        eventually(lambda: screen.printed.endswith("content 999\n"))
        (process,) = psutil.Process().children()

        def runs():
            return [child.pid for child in runners(process) if is_in_group(child, supervisor.status.pid)]

        eventually(lambda: runs() == [supervisor.status.pid])  # which is told of a moment later
        eventually(lambda: psutil.STATUS_ZOMBIE not in map(status_of, process.children(recursive=True)))
    assert not psutil.Process().children()


def test_a_supervisor_that_cannot_be_started_says_so_and_leaves_nothing_open(project, screen, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(project / "no-python"))
    gc.disable()  # it would tidy up
    try:
        before = set(os.listdir("/dev/fd"))
        supervisor = Supervisor(Script("main.py"), screen=screen)
        with pytest.raises(BadInput, match="the supervisor can't be started") as caught:
            supervisor.start()
        assert set(os.listdir("/dev/fd")) == before
    finally:
        gc.enable()
    assert (supervisor.status.state, supervisor.status.error) == ("ended", str(caught.value))
    assert list(screen.statuses) == [supervisor.status]
    assert not supervisor.is_alive


LIMITS = """
import gc, os, resource
from ipy_autorestart import BadInput, Script, Supervisor
gc.disable()  # it would tidy up
before, (soft, hard) = os.listdir("/dev/fd"), resource.getrlimit(resource.RLIMIT_NOFILE)
for room in range(1, 30):
    supervisor = Supervisor(Script("main.py"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3 + room, hard))
    try:
        supervisor.start()
        break
    except BadInput as error:
        assert supervisor.status.error == str(error), supervisor.status
        assert "the supervisor can't be started" in str(error), error
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert os.listdir("/dev/fd") == before
    assert not supervisor.is_alive
    supervisor.stop()
supervisor.stop()
os.environ["LONG"] = 200_000 * "x"
try:
    Supervisor(Script("main.py")).start()
except BadInput as error:
    print(room, error)
"""


def test_whatever_limit_a_start_meets_is_said_and_leaves_nothing_open(project):
    done = subprocess.run([sys.executable, "-c", LIMITS], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    room, message = done.stdout.split(" ", 1)
    assert int(room) > 4  # the link, what it writes to standard error, and the alarm of the thread
    assert "Argument list too long" in message
    assert message.endswith("; make the variables in os.environ fewer or shorter\n")


def test_a_supervisor_that_ends_before_it_watches_says_why(project, screen):
    supervisor = Supervisor(Script("main.py"), screen=screen)
    gone = project.rename(project.with_name("gone"))
    supervisor.start()
    eventually(lambda: supervisor.status.state == "ended")
    assert "No such file or directory" in supervisor.status.error
    assert list(screen.statuses) == [supervisor.status]
    gone.rename(project)


def test_thousands_of_files_may_be_named(project, screen):
    names = [f"src/module_with_a_long_name_{number}.py" for number in range(3000)]
    for name in names:
        project.save(name, "V = 1\n")
    project.script("import sys\nsys.path.insert(0, 'src')\nimport module_with_a_long_name_2999 as m\nprint(m.V)\n")
    with Supervisor(Script("main.py"), names, screen=screen) as supervisor:
        eventually(lambda: screen.printed == "1\n" and supervisor.status.state == "finished")
        project.save(names[-1], "V = 2\n")
        eventually(lambda: screen.printed == "1\n2\n")
        assert supervisor.status.cause.changes == (Change(names[-1], Kind.MODIFIED),)


def test_importing_the_package_imports_no_ipython():
    code = "import sys, ipy_autorestart; from ipy_autorestart import Supervisor; print('IPython' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_supervisor_program_says_what_it_is():
    path = os.path.join(os.path.dirname(sys.modules["ipy_autorestart"].__file__), "__main__.py")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "for a kernel, use %watch_restart" in done.stderr
