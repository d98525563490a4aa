"""Servers whose ports stay open over a restart, though their programs know nothing of it."""

import os
import signal
import socket
import sys
import threading
import time
from dataclasses import replace

import pytest
from processes import is_parked, runners, supervisors
from screens import Screen
from starting import program
from waiting import eventually

from ipy_autorestart import Options, Script, Supervisor
from ipy_autorestart.script import ports
from ipy_autorestart.script.run import start_cold
from ipy_autorestart.script.target import ScriptTarget

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="ports are kept on Linux only"),
]

HTTP = """
import http.server
from src import a
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"value {a.VALUE}.".encode())
    def log_message(self, *_): pass
server = http.server.HTTPServer(("localhost", PORT), Handler)
print("listens", flush=True)
server.serve_forever()
"""
TCP = """
import socketserver
from src import a
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(100)
        self.request.sendall(f"value {a.VALUE}.".encode())
class Server(socketserver.TCPServer):
    allow_reuse_address = False
with Server(("", PORT), Handler) as server:
    print("listens", flush=True)
    server.serve_forever()
"""
ASYNCIO = """
import asyncio
from src import a
async def answer(reader, writer):
    await reader.read(100)
    writer.write(f"value {a.VALUE}.".encode())
    await writer.drain()
    writer.close()
async def main():
    async with await asyncio.start_server(answer, "127.0.0.1", PORT, backlog=50) as server:
        print("listens", flush=True)
        await server.serve_forever()
asyncio.run(main())
"""
#: Two processes, each with a socket of its own at the same address, as gunicorn and hypercorn may have their workers.
WORKING = """
import os, socket
from src import a
os.fork()
server = socket.create_server(("127.0.0.1", PORT), reuse_port=True)
print("listens", flush=True)
while True:
    client, _ = server.accept()
    with client:
        client.recv(100)
        client.sendall(f"value {a.VALUE}.".encode())
"""
SERVERS = {"http.server": HTTP, "socketserver": TCP, "asyncio": ASYNCIO, "workers": WORKING}


@pytest.fixture
def port(own_ports):
    """One below those that the system gives to whoever connects."""
    return own_ports.find_available_port("")


@pytest.fixture
def another(own_ports, port):
    return own_ports.find_available_port("")


def ask(port, timeout=30):
    """Return the answer of whoever listens, or why there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: client.recv(1000), b"")).rpartition(b"value ")[2].decode()
    except OSError as error:
        return type(error).__name__


class Asking:
    """A client that connects again and again, as long as it is open."""

    def __init__(self, port):
        self.answers = []
        self._port = port
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def _ask(self):
        while not self._ends.wait(0.002):
            self.answers.append(ask(self._port))

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()


@pytest.fixture
def serve(project, port):
    """Start a supervisor for a server."""
    started = []

    def start(code, **options):
        project.save("src/a.py", "VALUE = 0\n")
        project.script(code.replace("PORT", str(port)))
        screen = Screen()
        supervisor = Supervisor(Script("main.py"), ["."], screen=screen, options=Options(**options))
        supervisor.start()
        started.append(supervisor)
        eventually(lambda: "listens" in screen.text, what=lambda: screen.text)
        return supervisor, screen

    yield start
    for supervisor in started:
        supervisor.stop()


def until_parked(screen):
    """Wait until the next run is forked ahead, of a fork server that has imported all."""

    def is_ready():
        preloads = screen.status.preloads
        return "imported ahead" in preloads and "being made" not in preloads

    eventually(is_ready, what="a fork server")
    (supervisor,) = supervisors(os.getpid())
    eventually(lambda: any(map(is_parked, runners(supervisor))), what="a parked run")


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_no_client_is_refused_while_it_restarts(serve, project, port, name, warm):
    _, screen = serve(SERVERS[name], warm=warm)
    for value in (1, 2):
        if warm:
            until_parked(screen)
        with Asking(port) as asking:
            eventually(lambda: asking.answers)
            project.save("src/a.py", f"VALUE = {value}\n")
            eventually(lambda value=value: asking.answers[-1] == f"{value}.", what=lambda: asking.answers[-5:])
        eventually(lambda value=value: screen.status.runs == value + 1)
        assert screen.status.warm is warm
        assert "ConnectionRefusedError" not in asking.answers
        failed = [answer for answer in asking.answers if not answer.endswith(".")]
        assert len(failed) <= 1, failed  # the one that was being answered


FINISHES = """
import asyncio, os, signal
from src import a
async def answer(reader, writer):
    if b"slow" in await reader.read(100):
        answering.add(writer)
        print("answers", flush=True)
        while not os.path.exists("GO"):
            await asyncio.sleep(0.005)
    writer.write(f"value {a.VALUE}.".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    answering.discard(writer)
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stops.set)
    server = await asyncio.start_server(answer, "127.0.0.1", PORT)
    print("listens", flush=True)
    await stops.wait()
    server.close()
    while answering:
        await asyncio.sleep(0.005)
    os._exit(0)
stops = asyncio.Event()
answering = set()
asyncio.run(main())
"""


def test_a_run_may_finish_what_it_answers_beside_the_next_one(serve, project, port):
    go = project.parent / "go"
    _, screen = serve(FINISHES.replace("GO", str(go)), overlap=True, stop_timeout=60)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"slow")
        eventually(lambda: "answers" in screen.text)
        project.save("src/a.py", "VALUE = 1\n")
        eventually(lambda: screen.status.runs == 2 and "listens" in screen.text)
        eventually(lambda: ask(port) == "1.")
        go.touch()
        assert client.recv(100) == b"value 0."
    assert ask(port) == "1."


def test_a_run_that_does_not_finish_in_time_is_killed(serve, project, port):
    _, screen = serve(FINISHES.replace("GO", "/nowhere"), overlap=True, stop_timeout=0.1)
    pid = screen.status.pid
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"slow")
        eventually(lambda: "answers" in screen.text)
        project.save("src/a.py", "VALUE = 1\n")
        eventually(lambda: not os.path.exists(f"/proc/{pid}"))
        client.settimeout(5)
        assert client.recv(100) == b""
    assert ask(port) == "1."


def test_when_the_watch_ends_the_port_is_free(serve, port):
    supervisor, _ = serve(HTTP)
    assert ask(port) == "0."
    supervisor.stop()
    assert ask(port) == "ConnectionRefusedError"


def test_when_the_run_ends_by_itself_clients_are_refused(serve, project, port):
    _, screen = serve(ASYNCIO)
    os.kill(screen.status.pid, signal.SIGKILL)
    eventually(lambda: screen.status.exit_status == -signal.SIGKILL)
    assert ask(port) == "ConnectionRefusedError"


def test_a_saved_syntax_error_changes_nothing(serve, project, port):
    _, screen = serve(HTTP)
    project.save("src/a.py", "VALUE = = 1\n")
    eventually(lambda: screen.status.broken)
    assert ask(port) == "0."


# -- one run after the other, without an engine ------------------------------------------------------------------------


class Played:
    """A target that is driven by hand, cold."""

    def __init__(self, project):
        self.project = project
        self.what = replace(program("main.py", roots=[f"{project}/"], displays=""), keeps_ports=True)
        self.printed = []
        self.target = ScriptTarget(self.what, stop_signal=signal.SIGTERM, send=self.printed.append)

    @property
    def text(self):
        return "".join(getattr(record, "text", "") for record in self.printed)

    def turn(self):
        for stream in self.target.streams():
            stream.read()
        ended = self.target.poll(time.monotonic())
        self.target.send_output(time.monotonic())
        return ended

    def run(self, code):
        """Run code until it says that it is ready, and return what it has printed."""
        self.printed.clear()
        self.project.script(code)
        self.target.launch([], 1)
        eventually(lambda: self.turn() or "ready\n" in self.text, what=lambda: self.text)
        return self.text.removesuffix("ready\n")

    def stop(self):
        self.target.terminate()
        eventually(lambda: self.turn())


@pytest.fixture
def played(project, monkeypatch):
    monkeypatch.setattr(ports, "WAIT_MAX", 60.0)
    played = Played(project)
    yield played
    if played.target.pid:
        played.target.kill()
        eventually(lambda: played.turn())
    played.target.close()


WAITS = "\nprint('ready', flush=True)\nimport time\ntime.sleep(60)\n"

SEES = """
import os, socket, sys
seen = []
def show(*what): print(*what, flush=True)
s = socket.socket(<FAMILY>)
before = s.fileno()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, <REUSE>)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50000)
if <FAMILY> == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, <ONLY>)
s.settimeout(<TIMEOUT>)
show(s.bind(<ADDRESS>), s.listen(7))
show(s.getsockname()[:2], s.fileno() == before, s, s.gettimeout(), os.get_blocking(s.fileno()), s.get_inheritable())
show([s.getsockopt(socket.SOL_SOCKET, o) for o in (socket.SO_REUSEADDR, socket.SO_RCVBUF, socket.SO_KEEPALIVE)])
show(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
show(socket.socket.bind, socket.socket.listen, s.listen.__self__ is s, type(s.listen), dir(s) == dir(socket.socket))
try:
    second = socket.socket(<FAMILY>)
    second.bind(<ADDRESS>)
except OSError as error:
    import traceback
    traceback.print_exc(file=sys.stdout)
show(sorted(map(int, os.listdir('/proc/self/fd')))[:6])
"""
CASES = {
    "plain": ("socket.AF_INET", 0, 0, "None", '("127.0.0.1", PORT)'),
    "reuse, a name": ("socket.AF_INET", 1, 0, "5.0", '("localhost", PORT)'),
    "everywhere, no wait": ("socket.AF_INET", 1, 0, "0", '("", PORT)'),
    "IPv6": ("socket.AF_INET6", 1, 1, "None", '("::1", PORT)'),
    "both": ("socket.AF_INET6", 1, 0, "None", '("::", PORT, 0, 0)'),
}


@pytest.mark.parametrize("name", CASES)
def test_a_socket_that_was_kept_is_as_a_new_one(played, port, name):
    if "AF_INET6" in CASES[name][0] and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    code = SEES
    for word, value in zip(("FAMILY", "REUSE", "ONLY", "TIMEOUT", "ADDRESS"), CASES[name], strict=True):
        code = code.replace(f"<{word}>", str(value))
    code = code.replace("PORT", str(port))
    first = played.run(code + WAITS)
    assert "Address already in use" in first, first
    inode = inode_of(played.target.pid, first)
    played.stop()
    second = played.run(code + WAITS)
    assert second == first
    assert inode_of(played.target.pid, second) == inode


def inode_of(pid, text):
    number = int(text.split("fd=")[1].split(",")[0])
    return os.readlink(f"/proc/{pid}/fd/{number}")


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


LISTENS = "import socket\ns = socket.create_server(('127.0.0.1', PORT))\n"


def test_several_sockets_each_go_on(played, port, another):
    code = LISTENS.replace("PORT", str(port)) + f"t = socket.create_server(('127.0.0.1', {another}))\n" + WAITS
    played.run(code)
    played.stop()
    clients = [socket.create_connection(("127.0.0.1", one)) for one in (port, another)]
    accepts = "for one in (s, t): one.accept()[0].sendall(b'hello')\n"
    played.run(code.replace(WAITS, accepts + WAITS))
    for client in clients:
        with client:
            assert client.recv(10) == b"hello"


WORKERS = """
import socket, subprocess, sys
s = socket.socket()
s.bind(("127.0.0.1", PORT))
s.set_inheritable(True)
worker = f"import socket, time; s = socket.socket(fileno={s.fileno()}); s.listen()"
worker += "; print('ready', flush=True); time.sleep(60)"
subprocess.run([sys.executable, "-c", worker], pass_fds=[s.fileno()])
"""


def test_a_socket_on_which_inheriting_workers_listen_goes_on(played, port):
    played.run(WORKERS.replace("PORT", str(port)))
    played.stop()
    with socket.create_connection(("127.0.0.1", port)) as client:
        played.run(LISTENS.replace("PORT", str(port)) + "s.accept()[0].sendall(b'hello')\n" + WAITS)
        assert client.recv(10) == b"hello"


def test_another_address_and_a_port_of_the_systems_are_not_kept(played, port, another):
    played.run("import socket\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1])\n" + WAITS)
    free = int(played.text.split()[0])
    played.stop()
    assert ask(free) == "ConnectionRefusedError"
    played.run(LISTENS.replace("PORT", str(port)) + WAITS)
    played.stop()
    played.run(LISTENS.replace("PORT", str(another)) + WAITS)
    assert played.turn() is None
    with socket.socket() as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", another))


CLOSES = {
    "close": "s.close()",
    "detach": "import os; os.close(s.detach())",
    "garbage": "del s",
    "child": "import os\nif os.fork() == 0: s.close(); os._exit(0)\nos.wait(); s.close()",
}


@pytest.mark.parametrize("name", CLOSES)
def test_what_the_program_closes_can_be_bound_again_at_once(played, port, name):
    listens = LISTENS.replace("PORT", str(port))
    code = f"{listens}{CLOSES[name]}\n{listens}{CLOSES[name]}\n{listens}"
    if name == "close":
        refused = f"c = socket.socket()\nprint(c.connect_ex(('127.0.0.1', {port})))\nc.close()\n"
        code = f"{listens}{CLOSES[name]}\n{refused}{listens}"
    text = played.run(code + WAITS)
    assert "Traceback" not in text, text
    assert name != "close" or text.startswith("111"), text


def test_a_forked_child_may_bind_what_another_one_had(played, port):
    code = (
        "import os, socket\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        f"        s = socket.create_server(('127.0.0.1', {port}))\n"
        "        os._exit(0)\n"
        "    print(os.wait()[1])\n"
    )
    assert played.run(code + WAITS) == "0\n0\n0\n"


PROBES = """
import socket
with socket.socket() as client:
    print(client.connect_ex(("127.0.0.1", PORT)))
"""


def test_a_run_that_asks_whether_somebody_listens_does_not_find_itself(played, port):
    code = (PROBES + LISTENS + WAITS).replace("PORT", str(port))
    refused = played.run(code)
    played.stop()
    assert played.run(code) == refused


def test_a_kept_socket_blocks_though_there_is_a_default_timeout(played, port):
    code = "import os, socket\ns = socket.socket()\nsocket.setdefaulttimeout(5)\n"
    code += "s.bind(('127.0.0.1', PORT))\ns.listen()\nprint(s.gettimeout(), os.get_blocking(s.fileno()))\n"
    for _ in range(2):
        assert played.run((code + WAITS).replace("PORT", str(port))) == "None True\n"
        played.stop()


def test_a_busy_supervisor_is_waited_for(played, port):
    code = LISTENS.replace("PORT", str(port)) + "print(s)\n" + WAITS
    text = played.run(code)
    inode = inode_of(played.target.pid, text)
    played.stop()
    played.printed.clear()
    played.target.launch([], 1)
    link, answers = played.target._run.ports, []
    hear, link.hear = link.hear, lambda _, fds: answers.extend(map(os.dup, fds))
    eventually(lambda: played.turn() or answers)
    link.hear = hear
    eventually(lambda: played.turn() or "ready" in played.text)
    assert inode_of(played.target.pid, played.text) == inode
    for fd in answers:
        os.close(fd)


class Ahead:
    """A preloader whose run turns out to need a cold start in its place."""

    def __init__(self, what):
        self._what = what

    def start(self, changed, *, lossless, guard):
        run = start_cold(self._what, lossless=lossless)
        run.reports.wants_cold = "a", "b"
        guard(run.pid)
        return run

    def __getattr__(self, name):
        return lambda *_, **__: ()


def test_a_cold_run_that_takes_the_place_of_another_gets_its_socket(played, port):
    played.target._preloader = Ahead(played.what)
    code = LISTENS.replace("PORT", str(port)) + "print(s)\n" + WAITS
    text = played.run(code)
    inode = inode_of(played.target.pid, text)
    warm = played.target.pid
    played.printed.clear()
    os.kill(warm, signal.SIGKILL)
    eventually(lambda: played.turn() or (played.target.pid != warm and "ready" in played.text))
    assert inode_of(played.target.pid, played.text) == inode
    played.target._preloader = None


def test_a_socket_that_is_passed_blocks_again(played):
    with socket.create_server(("127.0.0.1", 0)) as server:
        played.target._program = replace(played.what, sockets=(server.fileno(),))
        for _ in range(2):
            played.run("import os\nprint(os.get_blocking(3))\nos.set_blocking(3, False)" + WAITS)
            assert played.text.startswith("True")
            played.stop()


def test_a_run_that_binds_nothing_any_more_lets_clients_be_refused(played, port, monkeypatch):
    monkeypatch.setattr(ports, "WAIT_MAX", 5.0)
    played.run(LISTENS.replace("PORT", str(port)) + WAITS)
    played.stop()
    played.run(WAITS)
    assert ask(port, timeout=0.5) == "TimeoutError"  # it may yet bind it
    eventually(lambda: played.turn() or ask(port, timeout=0.5) == "ConnectionRefusedError")


def test_at_its_end_everything_is_let_go(played, port):
    played.run(LISTENS.replace("PORT", str(port)) + WAITS)
    played.target.release()
    played.stop()
    assert ask(port) == "ConnectionRefusedError"
