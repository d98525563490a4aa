"""Runs are stopped with all that they have started, and nothing outlives the front."""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest
from processes import status_of
from screens import Screen
from waiting import eventually, pass_time

from ipy_autorestart import Options, Script, Supervisor, status_line

pytestmark = pytest.mark.e2e

#: Says that it is up, and ignores the stop signal.
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('stubborn', flush=True)"
STUBBORN_CHILD = f'subprocess.Popen([sys.executable, "-c", "{STUBBORN}; time.sleep(60)"])\n'


@pytest.fixture
def screen():
    return Screen()


def supervised(project, screen, code, **options):
    project.script(code)
    return Supervisor(Script("main.py"), screen=screen, options=Options(**options))


def touch(project):
    """Change what the script does."""
    with open(project / "main.py", "a") as file:
        file.write("\nx = 1\n")


def group(number):
    """Return the living processes of a process group."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def zombies(process):
    return [child for child in process.children(recursive=True) if status_of(child) == psutil.STATUS_ZOMBIE]


def test_a_grandchild_that_ignores_the_signal_is_killed_after_its_time(project, screen):
    code = f"import subprocess, sys, time\n{STUBBORN_CHILD}time.sleep(60)\n"
    with supervised(project, screen, code, stop_timeout=0.5) as supervisor:
        eventually(lambda: "stubborn" in screen.text)
        old = supervisor.status.pid
        touch(project)
        eventually(lambda: screen.run == 2 and "stubborn" in screen.text)
        assert not group(old)
        assert supervisor.status.took > 0.4


def test_a_grandchild_may_have_the_time_that_the_leader_did_not_need(project, screen):
    child = (
        "import signal, sys, time\n"
        "def stop(*_):\n    time.sleep(0.3)\n    open('cleaned', 'w').close()\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    project.save("child", child)
    code = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, 'child'])\ntime.sleep(60)\n"
    with supervised(project, screen, code):
        eventually(lambda: "up" in screen.text)
        touch(project)
        eventually(lambda: screen.run == 2 and "up" in screen.text)
        assert os.path.exists("cleaned")


def test_clean_up_is_waited_for(project, screen):
    code = (
        "import atexit, os, signal, sys, time\n"
        "assert not os.path.exists('lock')\nopen('lock', 'w').close()\n"
        "def clean():\n    time.sleep(0.3)\n    os.remove('lock')\n    print('cleaned')\n"
        "atexit.register(clean)\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit())\nprint('up')\ntime.sleep(60)\n"
    )
    with supervised(project, screen, code) as supervisor:
        for run in (1, 2, 3):
            eventually(lambda run=run: screen.run == run and "up" in screen.text)
            touch(project)
        eventually(lambda: screen.run == 4 and "up" in screen.text)
        assert all("Error" not in text for text in screen.texts.values())
        eventually(lambda: supervisor.status.runs == 4)
    assert not os.path.exists("lock")


@pytest.mark.parametrize(
    "code",
    [
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nprint('up')\n",
        "import time\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "if __name__ == '__main__':\n    with ProcessPoolExecutor(2) as pool:\n"
        "        pool.submit(print, 'up', flush=True)\n        list(pool.map(time.sleep, [60, 60]))\n",
        "import multiprocessing, time\nif __name__ == '__main__':\n"
        "    multiprocessing.get_context('spawn').Process(target=time.sleep, args=(60,), daemon=True).start()\n"
        "    print('up')\n    time.sleep(60)\n",
    ],
    ids=["non-daemon thread", "process pool", "spawned child"],
)
def test_what_would_go_on_is_stopped(project, screen, code):
    with supervised(project, screen, code) as supervisor:
        eventually(lambda: "up" in screen.text)
        old = supervisor.status.pid
        touch(project)
        eventually(lambda: screen.run == 2 and "up" in screen.text)
        assert not group(old)
        last = supervisor.status.pid
    assert not group(last)


def test_a_server_finds_its_port_twenty_times(project, screen, ports):
    code = (
        f"import http.server as h\nserver = h.HTTPServer(('127.0.0.1', {ports[0]}), h.SimpleHTTPRequestHandler)\n"
        "print('serving')\nserver.serve_forever()\n"
    )
    with supervised(project, screen, code) as supervisor:
        for run in range(1, 21):
            eventually(lambda run=run: screen.run == run and "serving" in screen.text)
            supervisor.restart()
        eventually(lambda: screen.run == 21 and "serving" in screen.text)
        eventually(lambda: supervisor.status.runs == 21)


def test_orphans_leave_no_zombies(project, screen):
    code = (
        "import os, time\nfor detached in [0, 1] * 10:\n    if os.fork() == 0:\n"
        "        os.setsid() if detached else None\n        os.fork()\n        os._exit(0)\n"
        "    os.wait()\nprint('up')\ntime.sleep(60)\n"
    )
    with supervised(project, screen, code):
        for run in (1, 2):
            eventually(lambda run=run: screen.run == run and "up" in screen.text)
            (process,) = psutil.Process().children()
            eventually(lambda process=process: not zombies(process))
            touch(project)


def test_what_a_finished_script_leaves_behind_lives_until_the_next_run(project, screen):
    code = "import subprocess\nprint('pid', subprocess.Popen(['sleep', '60']).pid)\n"
    with supervised(project, screen, code) as supervisor:
        eventually(lambda: supervisor.status.state == "finished")
        assert supervisor.status.left
        eventually(lambda: screen.text.endswith("\n"))
        first = psutil.Process(int(screen.text.split()[1]))
        assert first.status() != psutil.STATUS_ZOMBIE
        touch(project)
        eventually(lambda: screen.run == 2 and screen.text.endswith("\n"))
        assert not first.is_running()
        second = psutil.Process(int(screen.text.split()[1]))
    assert not second.is_running()


def test_what_detaches_itself_lives_on_if_it_may(project, screen):
    code = "import subprocess\nprint('pid', subprocess.Popen(['sleep', '60'], start_new_session=True).pid)\n"
    with supervised(project, screen, code, leave_daemons=True) as supervisor:
        eventually(lambda: screen.text.endswith("\n"))
        detached = psutil.Process(int(screen.text.split()[1]))
        eventually(lambda: supervisor.status.state == "finished")
        assert not supervisor.status.left
    assert detached.is_running()
    detached.kill()


#: Starts two servers in sessions of their own, one by itself and one by way of a process that ends at once.
DETACHED = """
import subprocess, sys, time
serve = "import http.server as h; h.HTTPServer(('127.0.0.1', {}), h.SimpleHTTPRequestHandler).serve_forever()"
start = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"
direct = subprocess.Popen([sys.executable, "-c", serve.format(ports[0])], start_new_session=True)
subprocess.run([sys.executable, "-c", start, serve.format(ports[1])], start_new_session=True)
print("serving", flush=True)
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")


def servers(ports):
    """Return the processes that listen at the ports of these servers."""
    found = psutil.net_connections("tcp")
    return {one.pid for one in found if one.status == psutil.CONN_LISTEN and one.laddr.port in ports}


@pytest.fixture
def ports(own_ports):
    """Two that nobody listens at, nor will."""
    return [own_ports.find_available_port("127.0.0.1") for _ in range(2)]


@on_linux
@pytest.mark.parametrize(("warm", "then"), [(True, ""), (False, "time.sleep(60)\n")], ids=["finished", "running"])
def test_children_with_sessions_of_their_own_end_with_the_run_and_free_their_ports(project, screen, ports, warm, then):
    with supervised(project, screen, f"ports = {ports}" + DETACHED + then, warm=warm) as supervisor:
        before = set()
        for run in (1, 2, 3):
            eventually(lambda run=run: screen.run == run and len(servers(ports)) == 2, what=lambda: screen.texts)
            assert not before & (before := servers(ports))
            if warm:
                eventually(lambda: supervisor.status.left and "imported ahead" in supervisor.status.preloads)
            touch(project)
        eventually(lambda: screen.run == 4 and len(servers(ports)) == 2)
        assert supervisor.status.warm is warm
    assert not servers(ports)
    assert all("Error" not in text for text in screen.texts.values())


@on_linux
@pytest.mark.parametrize("then", ["", "time.sleep(60)\n"], ids=["finished", "running"])
def test_children_with_sessions_of_their_own_die_with_a_killed_supervisor(project, screen, ports, then):
    with supervised(project, screen, f"ports = {ports}" + DETACHED + then):
        eventually(lambda: len(servers(ports)) == 2 and "serving" in screen.text)
        pass_time(1.5)  # the guardian is told once a second
        (process,) = psutil.Process().children()
        process.kill()
        eventually(lambda: not servers(ports))


def test_a_run_that_was_stopped_ends_at_once(project, screen):
    code = "import time\nprint('up', flush=True)\ntime.sleep(60)\n"
    with supervised(project, screen, code, stop_timeout=60) as supervisor:
        for run in (1, 2):
            eventually(lambda run=run: screen.run == run and "up" in screen.text)
            os.killpg(supervisor.status.pid, signal.SIGSTOP)
            touch(project)
        eventually(lambda: screen.run == 3 and "up" in screen.text)
        os.killpg(supervisor.status.pid, signal.SIGSTOP)
        last = supervisor.status.pid
    assert not group(last)


def test_a_grandchild_that_holds_the_pipe_does_not_hide_the_end(project, screen):
    code = "import subprocess, sys\nsubprocess.Popen(['sleep', '60'])\nprint('done')\nsys.exit(3)\n"
    with supervised(project, screen, code) as supervisor:
        eventually(lambda: supervisor.status.state == "crashed")
        assert supervisor.status.exit_status == 3
        assert screen.text == "done\n"


def test_a_save_at_the_same_instant_as_the_end_starts_nothing(project, screen):
    for moment in range(10):
        supervisor = supervised(project, screen, f"import time\nprint('up')\ntime.sleep({60 + moment})\n")
        supervisor.start()
        eventually(lambda supervisor=supervisor: supervisor.status.state == "running")
        (process,) = psutil.Process().children()
        saving = threading.Thread(target=touch, args=(project,))
        saving.start()
        supervisor.stop()
        saving.join()
        assert not process.is_running()
        assert not psutil.Process().children(recursive=True)


def test_a_script_that_ends_is_started_again_when_asked_for(project, screen):
    code = "import os\nprint('up')\nos._exit(1)\n"
    with supervised(project, screen, code, restart_on_exit=True) as supervisor:
        eventually(lambda: screen.run >= 3)
        assert supervisor.status.cause.reason == "ended"


def test_by_itself_nothing_is_started_again(project, screen):
    with supervised(project, screen, "1 / 0\n") as supervisor:
        eventually(lambda: supervisor.status.state == "crashed")
        assert supervisor.status.exit_status == 1
        threading.Event().wait(0.5)
        assert supervisor.status.runs == 1
        assert supervisor.status.lasted < 5
        assert "ZeroDivisionError" in screen.text


@pytest.mark.parametrize("code", ["os.kill(os.getpid(), signal.SIGSEGV)", "ctypes.string_at(0)"])
def test_a_segmentation_fault_is_told_as_such(project, screen, code):
    with supervised(project, screen, f"import ctypes, os, signal\n{code}\n") as supervisor:
        eventually(lambda: "killed by SIGSEGV (segmentation fault)" in status_line("main.py", supervisor.status))
        assert supervisor.status.exit_status == -signal.SIGSEGV


def test_flags_of_the_front_are_those_of_the_run(project):
    project.script("import sys\nprint(sys.flags.dev_mode, sys.flags.optimize, sys.warnoptions)\n")
    code = (
        "from ipy_autorestart import Script, Supervisor\nimport sys, threading\n"
        "class Screen:\n    takes_all = True\n    show = begin = to_state = lambda *_: {}\n"
        "    def write(self, stream, text):\n        sys.stdout.write(text)\n"
        "        if text.endswith('\\n'): done.set()\n"
        "done = threading.Event()\nwith Supervisor(Script('main.py'), screen=Screen()): done.wait(30)\n"
    )
    command = [sys.executable, "-X", "dev", "-OW", "error::SyntaxWarning", "-Xfrozen_modules=off", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True 1 ['default', 'error::SyntaxWarning']\n"


def test_another_interpreter_folder_and_variables(project, screen):
    project.save("sub/main.py", "import os, sys\nprint(sys.argv, os.getcwd(), os.getenv('A'), sys.executable)\n")
    (project / "python").symlink_to(os.path.realpath(sys.executable))
    script = Script("main.py", cwd=project / "sub", env={"A": "b=c"}, python="./python")
    with Supervisor(script, screen=screen):
        eventually(lambda: "\n" in screen.text)
    assert screen.text == f"['main.py'] {project}/sub b=c {project}/python\n"


FRONT = """
import os, signal, sys, time
from ipy_autorestart import Options, Script, Supervisor
supervisor = Supervisor(Script("main.py"), options=Options(stop_timeout=3600))
supervisor.start()
while not (os.path.exists("up") and supervisor.status.pid):
    time.sleep(0.01)
print(supervisor.status.pid, flush=True)
{}
"""


@pytest.mark.parametrize(
    "end",
    ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(1)", "sys.exit()", "os.kill(os.getpid(), signal.SIGTERM)"],
)
def test_nothing_outlives_the_front(project, end):
    project.script(
        f"import subprocess, sys, signal, time\n{STUBBORN_CHILD}{STUBBORN}\nopen('up', 'w').close()\ntime.sleep(60)\n"
    )
    front = subprocess.run([sys.executable, "-c", FRONT.format(end)], stdout=subprocess.PIPE, text=True)
    pid = int(front.stdout)
    eventually(lambda: not group(pid))


def test_what_has_a_group_of_its_own_in_the_session_is_stopped_too(project, screen):
    code = (
        "import subprocess, time\np = subprocess.Popen(['sleep', '60'], process_group=0)\n"
        "print(p.pid, flush=True)\ntime.sleep(60)\n"
    )
    with supervised(project, screen, code):
        for run in (1, 2):
            eventually(lambda run=run: screen.run == run and screen.text.endswith("\n"))
            child = psutil.Process(int(screen.text))
            touch(project)
            eventually(lambda child=child: not child.is_running())


def test_a_daemon_may_go_on_printing(project, screen):
    project.save(
        "daemon",
        "import os, sys, time\nfor _ in range(200):\n    print('daemon')\n    open('beat', 'w').close()\n"
        "    time.sleep(0.01)\nopen('lived', 'w').close()\n",
    )
    code = "import subprocess, sys\nsubprocess.Popen([sys.executable, 'daemon'], start_new_session=True)\n"
    with supervised(project, screen, code, ignore=("beat", "lived")) as supervisor:
        eventually(lambda: supervisor.status.state == "finished")
        eventually(lambda: os.path.exists("lived"))


def test_a_zombie_whose_parent_has_left_is_nothing_to_wait_for(project, screen):
    code = (
        "import os, time\nif os.fork() == 0:\n    if os.fork() == 0:\n        os._exit(0)\n"
        "    os.setsid()\n    print('daemon', os.getpid(), flush=True)\n    time.sleep(60)\ntime.sleep(60)\n"
    )
    with supervised(project, screen, code, leave_daemons=True, stop_timeout=60) as supervisor:
        eventually(lambda: screen.text.endswith("\n"))
        daemon = psutil.Process(int(screen.text.split()[1]))
        touch(project)
        eventually(lambda: supervisor.status.runs == 2)
        eventually(lambda: screen.run == 2 and screen.text.endswith("\n"))
        other = psutil.Process(int(screen.text.split()[1]))
    for process in (daemon, other):
        process.kill()


def test_last_words_of_a_stopped_run_are_shown(project, screen):
    code = (
        "import signal, sys, time\ndef stop(*_):\n    print('bye 1')\n    time.sleep(0.01)\n    print('bye 2')\n"
        "    sys.exit()\nsignal.signal(signal.SIGTERM, stop)\nprint('up')\ntime.sleep(60)\n"
    )
    with supervised(project, screen, code) as supervisor:
        for run in (1, 2, 3):
            eventually(lambda run=run: screen.run == run and "up" in screen.text)
            supervisor.restart()
            eventually(lambda run=run: screen.run == run + 1)
            assert screen.texts[run].endswith("bye 1\nbye 2\n")


def test_children_of_a_finished_script_that_read_more_make_it_count(project, screen):
    project.save("lazy.py", "V = 1\n")
    code = "import os, time\nif os.fork():\n    os._exit(0)\ntime.sleep(0.3)\nimport lazy\nprint('lazy', lazy.V)\n"
    code += "time.sleep(60)\n"
    with supervised(project, screen, code):
        eventually(lambda: "lazy 1" in screen.text)
        project.save("lazy.py", "V = 22\n")
        eventually(lambda: screen.run == 2 and "lazy 22" in screen.text)


@pytest.mark.parametrize("moment", range(4))
def test_a_run_that_was_never_shown_dies_with_a_killed_supervisor(project, screen, moment):
    code = "import os, time\nopen(f'pid-{os.getpid()}', 'w').close()\ntime.sleep(60)\n"
    with supervised(project, screen, code, ignore=("pid-*",)):
        eventually(lambda: [name for name in os.listdir() if name.startswith("pid-")])
        (first,) = (name for name in os.listdir() if name.startswith("pid-"))
        (process,) = psutil.Process().children()
        touch(project)
        eventually(lambda: len([name for name in os.listdir() if name.startswith("pid-")]) == 2)
        threading.Event().wait(moment * 0.01)
        process.kill()
        (second,) = (int(name[4:]) for name in os.listdir() if name.startswith("pid-") and name != first)
        eventually(lambda: not group(second))


def test_shared_memory_of_a_run_that_has_to_be_killed_is_removed(project, screen):
    code = (
        "import multiprocessing, signal, time\nfrom multiprocessing.shared_memory import SharedMemory\n"
        "segment = SharedMemory(create=True, size=100)\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "multiprocessing.Process(target=time.sleep, args=(60,)).start()\n"
        "print(segment.name, flush=True)\ntime.sleep(60)\n"
    )
    with supervised(project, screen, code, stop_timeout=0.2) as supervisor:
        eventually(lambda: "psm_" in screen.text)
        old, name = supervisor.status.pid, screen.text.split()[-1]
        touch(project)
        eventually(lambda: screen.run == 2 and "psm_" in screen.text)
        assert not group(old)
        assert not os.path.exists(f"/dev/shm/{name}")
        last = screen.text.split()[-1]
    assert not os.path.exists(f"/dev/shm/{last}")
