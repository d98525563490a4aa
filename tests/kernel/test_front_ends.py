"""What front ends see of a kernel's restart: the server, nbclient, the console."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import documents
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from play import Player, until_ready
from shell import Shell
from waiting import eventually

pytestmark = pytest.mark.e2e


class Server:
    """A Jupyter server, as its clients reach it."""

    def __init__(self, folder):
        self._runtime = folder / "runtime"
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        environment |= {"JUPYTER_RUNTIME_DIR": str(self._runtime), "JUPYTER_CONFIG_DIR": str(folder / "config")}
        options = [
            "--no-browser",
            "--ServerApp.token=t",
            "--ServerApp.port=0",
            "--allow-root",
            f"--ServerApp.root_dir={folder}",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *options],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.url = eventually(self._find_url, timeout=30)
        eventually(self._answers, timeout=30)

    def _find_url(self):
        for file in self._runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):
                return json.loads(file.read_text())["url"]
        return None

    def _answers(self):
        with contextlib.suppress(OSError):
            return self.ask("GET", "api") is not None

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": "token t"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def connection_file(self, kernel):
        return self._runtime / f"kernel-{kernel}.json"

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


@pytest.fixture
def server(project):
    server = Server(project)
    yield server
    server.close()


class Manager:
    """What a `Player` needs of a kernel that somebody else manages."""

    def __init__(self, pid):
        self.provisioner = type("", (), {"pid": pid})


@contextlib.contextmanager
def player_of(server, kernel):
    client = BlockingKernelClient()
    file = server.connection_file(kernel)
    eventually(file.exists)
    client.load_connection_file(str(file))
    client.start_channels()
    try:
        until_ready(client)
        player = Player(Manager(0), client)
        player.manager.provisioner.pid = int(player.run("import os; print(os.getpid())").streams())
        yield player
    finally:
        client.stop_channels()
        client.context.destroy()


def test_the_servers_view_stays_calm(server, project):
    kernel = server.ask("POST", "api/kernels", {"name": "python3"})["id"]
    with player_of(server, kernel) as player:
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/")
        player.wait(lambda: "running" in watching.text)
        pid = player.pid
        project.save("src/a.py", "V = 2\n")
        seen = []
        deadline = time.monotonic() + 20
        while "1 restart" not in watching.text and time.monotonic() < deadline:
            player.pump(0.02)
            seen.append(server.ask("GET", f"api/kernels/{kernel}")["execution_state"])
        eventually(lambda: server.ask("GET", f"api/kernels/{kernel}")["execution_state"] == "idle", timeout=2)
        assert set(seen) <= {"idle", "busy", "starting"}
        assert seen.count("starting") <= 2
        assert server.ask("POST", f"api/kernels/{kernel}/interrupt") is None
        assert int(player.run("import os; print(os.getpid())").streams()) == pid
        assert server.ask("POST", f"api/kernels/{kernel}/restart")["id"] == kernel
        until_ready(player.client)
        assert int(player.run("import os; print(os.getpid())").streams()) != pid
    assert server.ask("DELETE", f"api/kernels/{kernel}") is None


def test_interrupting_leaves_no_indicator_stuck(server, project):
    kernel = server.ask("POST", "api/kernels", {"name": "python3"})["id"]
    with player_of(server, kernel) as player:
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/ --on-busy interrupt")
        running = player.send("import time; print('begun'); time.sleep(60)")
        player.wait(lambda: "begun" in running.text)
        os.kill(player.pid, signal.SIGHUP)
        player.wait(lambda: "1 restart" in watching.text)
        eventually(lambda: server.ask("GET", f"api/kernels/{kernel}")["execution_state"] == "idle", timeout=2)


def test_nbclient_executes_a_notebook_in_which_its_kernel_restarts(project):
    client = documents.client(
        project,
        "%load_ext ipy_autorestart",
        "%watch_restart src/ --busy-timeout 0",
        "import os, signal; x = 1; os.kill(os.getpid(), signal.SIGHUP); print('before')",
        *["print('x' in globals())"] * 20,
    )
    client.execute()
    assert documents.texts(client)[2:] == ["before\n", *["False\n"] * 20]


def test_the_console_goes_on_with_two_clients_at_once(kernel, project):
    shell = Shell()
    try:
        shell.shell.sendline(f"{sys.executable} -m jupyter_console --existing {kernel.manager.connection_file}")
        shell.wait(r"In \[1\]:")
        cell = kernel.run("%watch_restart src/")
        kernel.wait(lambda: "running" in cell.text)
        for number in (1, 2):
            project.save("src/a.py", f"V = {number + 1}\n")
            kernel.wait(lambda number=number: f"· {number} restart" in cell.text)
            shell.clear()
            shell.run(f"print('answer', 6 * {number})", rf"answer {6 * number}\b")
            assert kernel.run("print('here')").streams() == "here\n"
    finally:
        shell.close()
