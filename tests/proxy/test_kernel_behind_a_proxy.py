"""What a kernel does behind a proxy is what it does elsewhere, and it goes on after others have taken over."""

import json
import os
import queue
import time

import pytest
from behind import Behind
from play import kernel as real_kernel
from project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("behind a proxy")]

#: What code and libraries find in their process, but for what belongs to the process itself.
SURROUNDINGS = (
    "import json, os, signal, sys, threading, ipykernel, locale\n"
    "from multiprocessing import get_start_method\n"
    "app, is_own = get_ipython().kernel.parent, lambda name: name == 'JPY_PARENT_PID' or name.startswith('PYDEVD_')\n"
    "print(json.dumps([sys.argv, sys.orig_argv, {k: v for k, v in os.environ.items() if not is_own(k)}, os.getcwd(),\n"
    " [one for one in sys.path if one != 'src'], sys.flags, str(sys._xoptions), sys.warnoptions, sys.executable,\n"
    " locale.getlocale(),\n"
    " [str(signal.getsignal(n)) for n in range(2, 32)], list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),\n"
    " ipykernel.get_connection_file(), ipykernel.get_connection_info(unpack=False), app.connection_file,\n"
    " [app.transport, app.shell_port, app.control_port, app.iopub_port, app.stdin_port, app.hb_port],\n"
    " str(app.session.key), get_ipython().kernel.session.key == app.session.key, os.getpid() == os.getpgrp(),\n"
    " os.getpid() == app.session.pid, str(get_start_method(allow_none=True)), __name__, sys.stdin.read(),\n"
    " threading.main_thread().native_id == os.getpid(), sys.__stdout__.line_buffering]))"
)


class Living(Behind):
    """One for all tests, with another kernel for each; it remembers how its first one found its surroundings."""

    def __init__(self, kernel, project):
        self.surroundings = kernel.run(SURROUNDINGS).streams()
        super().__init__(kernel, project)
        self.value = 2

    def switch(self):
        """Have the next kernel take over."""
        self.value += 1
        self.save(self.value)

    def ask(self, kind, content=None, *, channel="control", **header):
        """Send a request and return the content of its reply."""
        client = self.kernel.client
        message = client.session.msg(kind, content or {})
        message["header"].update(header)
        getattr(client, f"{channel}_channel").send(message)
        receive = client.get_control_msg if channel == "control" else client.get_shell_msg
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.kernel.pump(0)
            try:
                reply = receive(timeout=0.2)
            except queue.Empty:
                continue
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]
        raise TimeoutError(f"no answer to {kind}")


@pytest.fixture(scope="module")
def living(tmp_path_factory):
    folder = tmp_path_factory.mktemp("living")
    project = Project(folder)
    project.save("src/a.py", "V = 1\n")
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with real_kernel(cwd=str(folder), env={**variables, "IPYTHONDIR": str(folder / "ipython")}) as player:
        yield Living(player, project)


@pytest.fixture
def kernel(living):
    """The module's, in which another process has just taken over."""
    living.switch()
    return living.kernel


def test_it_finds_the_surroundings_of_a_plain_kernel(kernel, living):
    assert json.loads(kernel.run(SURROUNDINGS).streams()) == json.loads(living.surroundings)


def test_each_kind_of_request_is_answered(kernel, living):
    for channel in ("shell", "control"):
        assert living.ask("kernel_info_request", channel=channel)["status"] == "ok"
        assert living.ask("connect_request", channel=channel)["shell_port"] == kernel.client.shell_port
    assert living.ask("is_complete_request", {"code": "for"}, channel="shell")["status"] == "invalid"
    found = living.ask("complete_request", {"code": "get_ipyth", "cursor_pos": 9}, channel="shell")
    assert "get_ipython" in found["matches"]
    wanted = {"code": "sorted", "cursor_pos": 6, "detail_level": 0}
    assert "ascending order" in living.ask("inspect_request", wanted, channel="shell")["data"]["text/plain"]
    assert living.ask("comm_info_request", channel="shell")["status"] == "ok"
    assert living.ask("usage_request")["pid"] == living.live


def test_subshells_keep_their_ids(kernel, living):
    features = living.ask("kernel_info_request")["supported_features"]
    if "kernel subshells" not in features:
        pytest.skip("this ipykernel has no subshells")
    ids = [living.ask("create_subshell_request")["subshell_id"] for _ in range(2)]
    for _ in range(2):
        assert living.ask("list_subshell_request")["subshell_id"] == ids
        cell = kernel.send("print('in a subshell')", subshell_id=ids[0])
        kernel.wait(lambda cell=cell: cell.reply and cell.idle)
        assert cell.streams() == "in a subshell\n"
        living.switch()
    for each in ids:
        assert living.ask("delete_subshell_request", {"subshell_id": each})["status"] == "ok"
    assert living.ask("list_subshell_request")["subshell_id"] == []
