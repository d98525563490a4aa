"""Kernels that are a part of another program: scripts are watched in them, and they themselves are not restarted."""

import subprocess
import sys
import textwrap

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from play import Player, until_ready
from waiting import eventually

pytestmark = pytest.mark.e2e

DECLINED = "this kernel is part of another program ({}), and a restart would cut it off; name a script"

EMBEDDING = """
from ipykernel.embed import embed_kernel
there = 41
embed_kernel(connection_file="own.json")
"""


@pytest.fixture
def embedded(project, monkeypatch):
    """A kernel that a program has embedded."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(project))
    project.save("program.py", EMBEDDING)
    process = subprocess.Popen([sys.executable, "program.py"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file = project / "own.json"
    try:
        eventually(lambda: file.exists() and file.read_text().endswith("}"), timeout=30)
        client = BlockingKernelClient()
        client.load_connection_file(str(file))
        client.start_channels()
        until_ready(client)
        yield Player(None, client)
        client.stop_channels()
        client.context.destroy()
    finally:
        process.kill()
        process.wait()


def test_an_embedded_kernel_watches_scripts_and_declines_to_restart_itself(embedded):
    embedded.run("%load_ext ipy_autorestart")
    cell = embedded.run("%watch_restart src/")
    assert cell.text.startswith("UsageError: %watch_restart: " + DECLINED.format("program.py"))
    cell = embedded.run("%watch_restart src/ main.py")
    embedded.wait(lambda: "value 1" in cell.text)
    assert embedded.run("%unwatch\nprint(there + 1)").streams() == "42\n"


IN_PROCESS = """
from ipykernel.inprocess import InProcessKernelManager
manager = InProcessKernelManager()
manager.start_kernel()
shell = manager.kernel.shell
shell.run_line_magic("load_ext", "ipy_autorestart")
result = shell.run_cell("%watch_restart src/")
print(type(result.error_in_exec).__name__, result.error_in_exec)
manager.kernel.shell.run_cell("%unload_ext ipy_autorestart")
"""


def test_a_kernel_within_a_process_declines(project):
    ended = subprocess.run([sys.executable, "-c", IN_PROCESS], capture_output=True, text=True, timeout=60)
    shown = textwrap.shorten(ended.stdout + ended.stderr, 10_000)
    assert "UsageError %watch_restart: " + DECLINED.format("InProcessKernelManager") in shown
