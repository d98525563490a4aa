"""New code that fails: the process waits for the next change with its sockets open, and nobody is refused."""

import os
import signal
import socket

import pytest
from waiting import DEADLINE, eventually

pytestmark = pytest.mark.e2e

WATCH = 'watch = restart_on_change("src", keep=[server], enabled=True)\n'
SERVER = "[server] = kept_sockets() or [socket.create_server(('localhost', 0))]\n"
SERVE = """
say("value", a.V, server.getsockname()[1])
while True:
    client, _ = server.accept()
    with client: client.sendall(str(a.V).encode())
"""
HEAD = "import os, sys, time, atexit, signal, socket, threading\nsys.path.insert(0, 'src')\n"
IMPORT = "from ipy_autorestart import kept_sockets, restart_if_changed, restart_on_change\n"
SAY = "def say(*words): print(*words, flush=True)\n"

PLACES = {
    "after the watch has begun": HEAD + IMPORT + SAY + SERVER + WATCH + "import a\n" + SERVE,
    "before that, in a function that closes": HEAD + IMPORT + SAY + (
        "def begin(server):\n    with server:\n        import a\n        return a, server.dup()\n"
    ) + SERVER + "a, server = begin(server)\n" + WATCH + SERVE,
    "before all of it": HEAD + "import a\n" + IMPORT + SAY + SERVER + WATCH + SERVE,
}  # fmt: skip


def ask(port):
    return socket.create_connection(("localhost", port), timeout=DEADLINE)


@pytest.mark.parametrize("place", PLACES)
def test_nobody_is_refused_while_new_code_fails_at_its_import(start, project, place):
    program = start(PLACES[place], head="")
    port = int(program.wait(r"value 1 (\d+)").group(1))
    program.save("nosuch")
    program.wait_told("NameError: name 'nosuch' is not defined\n")
    told = "⟳ main.py · crashed · NameError: name 'nosuch' is not defined; the next change starts it again · 1 restart"
    program.wait_told(told)
    with ask(port) as client:
        program.save("nosuch.either")
        eventually(lambda: program.told.count("Traceback") == 2)
        program.save(3)
        assert client.recv(10) == b"3"
    assert int(program.wait(r"value 3 (\d+)").group(1)) == port
    assert program.process.poll() is None
    program.wait_told("⟳ main.py · running · 3 restarts")
    assert len(program.children()) == 1


def test_a_port_that_the_program_has_not_bound_yet_stays_open(start, project, own_ports):
    code = (
        f"import a\nserver = socket.create_server(('localhost', {own_ports.find_available_port('localhost')}))\n"
        + SERVE
    )
    program = start(IMPORT + SAY + "restart_on_change('src', enabled=True)\n" + code, head=HEAD)
    port = int(program.wait(r"value 1 (\d+)").group(1))
    program.save("nosuch")
    program.wait_told("crashed · NameError")
    with ask(port) as client:
        program.save(2)
        assert client.recv(10) == b"2"


def test_all_is_as_at_the_start_when_it_is_mended(start, project):
    code = (
        'import json\nrestart_on_change("src", enabled=True)\n'
        'cmdline = open("/proc/self/cmdline").read()\n'
        'modules = sorted(one for one in sys.modules if "customize" in one)\n'
        "variables = sorted(os.environ.items())\n"
        "facts = [os.getpid(), sys.argv, sys.orig_argv, sys.path, os.getcwd(), cmdline, variables, modules]\n"
        'say("facts", json.dumps(facts))\natexit.register(say, "left")\nos.chdir("/")\nimport a\n'
        'say("imported")\nwhile True: time.sleep(0.02)\n'
    )
    program = start(IMPORT + SAY + code, ["main.py", "-v", "two words"], head=HEAD, env={"PYTHONPATH": "/nowhere:/x"})
    before = program.wait("^facts (.*)").group(1)
    program.wait("imported")  # else this first start fails, and ends
    program.save("nosuch")
    program.wait_told("crashed · NameError")
    program.wait("left", times=2)
    program.save(2)
    eventually(lambda: program.text.count("facts") == 3)
    assert program.text.count(before) == 3
    assert program.text.count("left") == 2, "exit functions run once in each image"


def test_a_first_start_that_fails_ends(start, project):
    program = start(PLACES["before all of it"].replace("import a\n", "import nosuch\n"), head="")
    assert program.process.wait(DEADLINE) == 1
    again = start(PLACES["after the watch has begun"].replace("import a\n", "import nosuch\n"), head="")
    assert again.process.wait(DEADLINE) == 1


@pytest.mark.parametrize("code", ["sys.exit(3)", "watch.close()\nnosuch"])
def test_what_ends_by_its_own_will_or_is_not_watched_ends(start, project, code):
    begun = "if os.path.exists('again'):\n    " + code.replace("\n", "\n    ") + "\nopen('again', 'w').close()\n"
    program = start(HEAD + IMPORT + SAY + SERVER + WATCH + begun + "import a\n" + SERVE, head="")
    program.wait("value 1")
    program.save(2)
    assert program.process.wait(DEADLINE) == (3 if "exit" in code else 1)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_waits_is_ended_as_a_program_is(start, project, signum):
    program = start(PLACES["after the watch has begun"], head="")
    program.wait("value 1")
    supervisor = program.supervisor()
    program.save("nosuch")
    program.wait_told("crashed · NameError")
    os.kill(program.pid, signum)
    assert program.process.wait(DEADLINE) == -signum
    eventually(lambda: not supervisor.is_running())


ENDING = """
import atexit, os, signal, time
def end():
    open("once", "w").close()
    os.kill(os.getpid(), signal.SIGHUP)
    time.sleep(0.01)
atexit.register(end)
V = 2 if os.path.exists("once") else nosuch
"""


def test_a_hangup_while_it_ends_is_not_lost(start, project):
    program = start(PLACES["after the watch has begun"], head="")
    program.wait("value 1")
    project.save("src/a.py", ENDING)
    program.wait("value 2")
    assert program.told.count("NameError: name 'nosuch' is not defined\n") == 1


def test_a_hangup_by_hand_tries_again(start, project):
    program = start(PLACES["after the watch has begun"], head="")
    program.wait("value 1")
    program.save("open('ready').read()")
    program.wait_told("crashed · FileNotFoundError")
    (project / "ready").write_text("now")
    program.hang_up()
    program.wait("value now")


def test_where_the_interpreter_takes_no_path_from_the_environment_it_ends(start, project):
    program = start(PLACES["after the watch has begun"], ["-E", "main.py"], head="")
    program.wait("value 1")
    program.save("nosuch")
    assert program.process.wait(DEADLINE) == 1
