"""What front ends see of a kernel's restart: the server, nbclient, the console."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import time
import urllib.request

import documents
import psutil
import pytest
from behind import Behind
from jupyter_client.blocking.client import BlockingKernelClient
from light import light
from play import Player, until_ready
from shell import Shell
from surroundings import environment
from waiting import eventually, pass_time

pytestmark = pytest.mark.e2e


class Server:
    """A Jupyter server, as its clients reach it."""

    def __init__(self, folder):
        self._folder, self._runtime = folder, folder / "runtime"
        folders = {"JUPYTER_RUNTIME_DIR": self._runtime, "JUPYTER_CONFIG_DIR": folder, "IPYTHONDIR": folder / "ipython"}
        options = [
            "--no-browser",
            "--ServerApp.token=t",
            "--ServerApp.port=0",
            "--allow-root",
            f"--ServerApp.root_dir={folder.parent}",
        ]
        self.process = subprocess.Popen(
            [*light("jupyter_server.serverapp"), *options],
            env=environment() | {name: str(path) for name, path in folders.items()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url = eventually(self._find_url, timeout=60)
        eventually(self._answers, timeout=60)

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

    @contextlib.contextmanager
    def kernel(self, project):
        """Start a kernel in a project's folder; yields how the server and how one of its clients sees it."""
        where = {"name": "python3", "path": str(project.relative_to(self._folder.parent))}
        kernel = Kernel(self, self.ask("POST", "api/kernels", where)["id"])
        try:
            with player_of(self._runtime / f"kernel-{kernel.id}.json") as player:
                yield kernel, player
        finally:
            kernel.ask("DELETE")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


class Kernel:
    """A kernel as the server shows it."""

    def __init__(self, server, number):
        self.server, self.id = server, number

    def ask(self, method, action=""):
        return self.server.ask(method, f"api/kernels/{self.id}{action}")

    @property
    def state(self):
        return self.ask("GET")["execution_state"]

    @property
    def last_activity(self):
        return self.ask("GET")["last_activity"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


class Manager:
    """What a `Player` needs of a kernel that somebody else manages."""

    def __init__(self, pid):
        self.provisioner = type("", (), {"pid": pid})


@contextlib.contextmanager
def player_of(file):
    client = BlockingKernelClient()
    eventually(file.exists)
    client.load_connection_file(str(file))
    client.start_channels()
    try:
        until_ready(client)
        player = Player(Manager(0), client)
        player.manager.provisioner.pid = pid_of(player)
        yield player
    finally:
        client.stop_channels()
        client.context.destroy()


def pid_of(player):
    return int(player.run("__import__('os').getpid()").text)


of_the_server = pytest.mark.xdist_group("jupyter server")


@of_the_server
def test_the_servers_view_stays_calm(server, project):
    with server.kernel(project) as (kernel, player):
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/")
        player.wait(lambda: "running" in watching.text)
        pid = player.pid
        project.save("src/a.py", "V = 2\n")
        seen = []
        deadline = time.monotonic() + 20
        while "1 restart" not in watching.text and time.monotonic() < deadline:
            player.pump(0.02)
            seen.append(kernel.state)
        eventually(lambda: kernel.state == "idle")
        assert set(seen) <= {"idle", "busy", "starting"}
        assert [state for state, _ in itertools.groupby(seen)].count("starting") <= 2
        assert kernel.ask("POST", "/interrupt") is None
        assert pid_of(player) == pid
        assert kernel.ask("POST", "/restart")["id"] == kernel.id
        until_ready(player.client)
        assert pid_of(player) != pid


@of_the_server
def test_the_server_notices_nothing_of_what_happens_behind_a_proxy(server, project):
    with server.kernel(project) as (kernel, player):
        behind = Behind(player, project, value=None)
        behind.until_armed()
        eventually(lambda: kernel.state == "idle")
        seen = set()
        for value in (2, 3):
            active = kernel.last_activity
            behind.save(value)
            seen.add(kernel.state)
            eventually(lambda: kernel.state == "idle")
            eventually(lambda active=active: kernel.last_activity > active)
        running = player.send("#| rerun: false\nimport time; print('begun'); time.sleep(60)")
        player.wait(lambda: "begun" in running.text)
        eventually(lambda: kernel.state == "busy")
        assert kernel.ask("POST", "/interrupt") is None
        player.wait(lambda: "KeyboardInterrupt" in running.error)
        crashed = player.send("#| rerun: false\nimport os; os._exit(1)")
        player.wait(lambda: crashed.error.startswith("KernelDied"))
        assert player.run("__import__('os').getppid()").text == str(player.pid)
        eventually(lambda: kernel.state == "idle")
        live = behind.live
        assert kernel.ask("POST", "/restart")["id"] == kernel.id
        until_ready(player.client)
        assert pid_of(player) != player.pid
        eventually(lambda: not psutil.pid_exists(live))
        assert seen <= {"idle", "busy"}


@of_the_server
def test_interrupting_leaves_no_indicator_stuck(server, project):
    with server.kernel(project) as (kernel, player):
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/ --on-busy interrupt")
        running = player.send("import time; print('begun'); time.sleep(60)")
        player.wait(lambda: "begun" in running.text)
        os.kill(player.pid, signal.SIGHUP)
        player.wait(lambda: "1 restart" in watching.text)
        eventually(lambda: kernel.state == "idle")


def test_nbclient_executes_a_notebook_whose_kernel_goes_behind_a_proxy(project):
    restart = "#| rerun: false\nimport os, signal; os.kill(os.getpid(), signal.SIGHUP); print('before')"
    client = documents.client(
        project,
        "%load_ext ipy_autorestart",
        "%watch_restart src/ --rerun all --busy-timeout 0",
        *[source for number in range(2) for source in (restart, *[f"print({number})"] * 5)],
        f"print(__import__('os').getppid() == {os.getpid()})",
    )
    client.execute()
    texts = [text for number in range(2) for text in ("before\n", *[f"{number}\n"] * 5)]
    assert documents.texts(client)[2:] == [*texts, "False\n"]


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


def test_nbclient_stores_that_a_script_runs(project):
    project.script("import time\ntime.sleep(60)\n")
    client = documents.client(project, "%load_ext ipy_autorestart", "%watch_restart main.py", "%watch_restart src/")
    client.execute()
    script, kernel = (cell.outputs[0].data["text/plain"] for cell in client.nb.cells[1:])
    assert script == "⟳ main.py · running · run 1"
    assert kernel.startswith("⟳ kernel · running")


@pytest.mark.parametrize("options", ["", "--rerun all"])
def test_the_console_goes_on_with_two_clients_at_once(kernel, project, options):
    shell = Shell()
    try:
        shell.start_console(kernel.manager.connection_file)
        cell = kernel.run(f"%watch_restart src/ {options}")
        kernel.wait(lambda: "running" in cell.text)
        for number in (1, 2):
            project.save("src/a.py", f"V = {number + 1}\n")
            kernel.wait(lambda number=number: f"· {number} restart" in cell.text)
            shell.clear()
            shell.run(f"print('answer', 6 * {number})", rf"answer {6 * number}\b")
            assert kernel.run("print('here')").streams() == "here\n"
    finally:
        shell.close()


def test_the_console_is_told_of_a_restart_in_a_line(kernel, project):
    shell = Shell()
    try:
        shell.start_console(kernel.manager.connection_file)
        shell.run(
            "%watch_restart src/", r"⟳ kernel · running\s+· a restart empties the memory; --rerun all runs the cells"
        )
        project.save("src/a.py", "V = 2\n")
        told = r"⟳ kernel · running · 1 restart · src/a.py changed · restarted in [\d.]+ m?s"

        def is_told():
            pass_time(0.2)  # lines without a pause between them are one batch, which a restart doesn't tear apart
            shell.clear()
            shell.run("0", r"In \[\d+\]: 0[\s\S]*In \[\d+\]:")
            return re.search(told, shell.text)

        eventually(is_told, timeout=60, what=lambda: shell.text)
        assert "starting" not in shell.text
    finally:
        shell.close()
