"""What of a real kernel a copy can't have: nothing of the kernel's own, nor of ordinary work."""

import importlib.util
import json
import re
import sys

import pytest
from waiting import DEADLINE, eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.usefixtures("kernel_of_module"),
    pytest.mark.xdist_group("trust"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is read in /proc"),
]

#: Looks, and if there is no doubt has a copy evaluate something: a fork with the debugger attached may hang.
LOOK = """
import json as _json, os as _os
from ipy_autorestart.kernel import trust as _trust
from ipy_autorestart.kernel.trust import Known as _Known, Trust as _Trust

_trust.WAITS_MAX = 2.0  # on a busy machine others have their turns
_trust = _Trust(get_ipython().kernel)

def _look(value="None", **known):
    if doubts := _trust.doubts(_Known(**known)):
        print(_json.dumps([doubts, None]))
        return
    told, tell = _os.pipe()
    if (pid := _os.fork()) == 0:
        try:
            _os.write(tell, _json.dumps([_trust.repair(), eval(value)]).encode())
        except BaseException as error:
            _os.write(tell, _json.dumps([["failed"], repr(error)]).encode())
        _os._exit(0)
    survivors = _trust.survivors()
    _os.close(tell)
    repaired, value = _json.loads(_os.read(told, 1 << 16))
    _os.close(told)
    _os.waitpid(pid, 0)
    print(_json.dumps([[*survivors, *repaired], value]))
"""


def look(kernel, value="None", known=""):
    """Return the reasons, and what a copy says."""
    assert kernel.run(LOOK).error == ""
    cell = kernel.run(f"_look({value!r}, {known})")
    assert cell.error == "", cell.text
    return json.loads(cell.streams().splitlines()[-1])


def run(kernel, code):
    cell = kernel.run(code)
    assert cell.error == "", cell.text
    return cell.text


def test_a_kernel_that_has_done_nothing_is_trusted(kernel):
    assert look(kernel) == [[], None]


def test_a_kernel_is_trusted_while_its_threads_are_at_work(kernel):
    """libzmq's send, and ipykernel's see to what is printed."""
    run(kernel, LOOK)
    code = "from ipy_autorestart.kernel.trust_policy import judge\ntold = set()\nfor n in range(300):\n"
    assert run(kernel, code + "    print(n, flush=True); told.add(judge(_trust.look()))\ntold").endswith("{()}")


BASH = "get_ipython().run_cell_magic('bash', '--out said', 'echo ho') or get_ipython().user_ns['said']"


def test_programs_that_have_ended_leave_no_doubt(kernel):
    assert run(kernel, "!echo hi").strip() == "hi"
    for _ in range(2):
        assert run(kernel, "%%bash\necho hi").strip() == "hi"  # what the copy did is no matter here
        eventually(lambda: look(kernel, BASH) == [[], "ho\n"])


def test_programs_that_run_are_told(kernel):
    run(kernel, "%%bash --bg --proc sleeping\nexec sleep 99")
    threads, children, *_ = look(kernel)[0]
    assert re.fullmatch(r"\d threads? \(.*run_forever.*\)", threads)
    assert children == "1 child process (sleep)"
    run(kernel, "sleeping.kill()\ndel sleeping\nimport gc; gc.collect()")
    eventually(lambda: look(kernel) == [[], None])


#: Cells, what they need, and what a copy says to it.
ORDINARY = [
    (
        "from tqdm import tqdm\nfor _ in tqdm(range(3)): pass",
        "tqdm",
        "list(tqdm(range(3), file=open('/dev/null', 'w')))",
    ),
    ("import ipywidgets; slider = ipywidgets.IntSlider(3); display(slider)", "ipywidgets", "slider.value"),
    (
        "%matplotlib inline\nimport matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()",
        "matplotlib",
        "len(plt.plot([1]))",
    ),
    ("import asyncio; ticking = asyncio.create_task(asyncio.sleep(99)); await asyncio.sleep(0)", "", "ticking.done()"),
    (
        "loop = asyncio.get_running_loop(); assert await asyncio.to_thread(str, 3) == '3'",
        "",
        "loop._default_executor.submit(str).result(5)",
    ),
    ("import logging; logging.basicConfig(); logging.warning('x'); import sys; sys.stdout.fileno()", "", "0"),
    ("import os; os.system('echo to 1')", "", "0"),
    ("%logstart -q said.py append", "", "get_ipython().logger.logfile.name"),
    ("display({'text/plain': 'x' * 3_000_000}, raw=True)", "", "0"),
    ("get_ipython().kernel.session.send(get_ipython().kernel.iopub_socket, 'x', buffers=[bytes(1 << 20)])", "", "0"),
    ("import numpy as np; a = np.random.rand(500, 500); a @ a", "numpy", "float((a @ a == a @ a).all())"),
    ("import pandas as pd; d = pd.DataFrame({'a': range(9)})", "pandas", "int(d.a.sum())"),
]


def test_ordinary_work_leaves_no_doubt(kernel):
    for code, needed, value in ORDINARY:
        if not needed or importlib.util.find_spec(needed):
            run(kernel, code)
            eventually(lambda value=value: look(kernel, value)[0] == [], what=code)


def test_what_the_user_starts_is_told_until_it_ends(kernel):
    for begin, reasons, end in (
        (
            "import threading; e = threading.Event(); t = threading.Thread(target=e.wait, name='mine'); t.start()",
            ["1 thread (mine)"],
            "e.set(); t.join()",
        ),
        (
            "from IPython.lib.backgroundjobs import BackgroundJobManager as M; e.clear(); j = M(); t = j.new(e.wait)",
            ["1 thread"],
            "e.set(); t.join()",
        ),
        ("import zmq; c = zmq.Context(); s = c.socket(zmq.PAIR)", ["a context of ZeroMQ"], "s.close(); c.term()"),
        (
            "import socket, os; l = socket.create_server(('127.0.0.1', 0)); l.getsockname()",
            ["a socket at 127.0.0.1:"],
            "l.close()",
        ),
        ("f = open('o.txt', 'w')", ["o.txt is open for writing"], "f.close()"),
        (
            "import subprocess; p = subprocess.Popen(['sleep', '99'])",
            ["1 child process (sleep)"],
            "p.kill()",
        ),
    ):
        run(kernel, begin)
        told = look(kernel)[0]
        assert len(told) == len(reasons), told
        assert all(map(str.startswith, told, reasons)), told
        run(kernel, end)
        eventually(lambda: look(kernel)[0] == [], what=end)


OURS = """
from ipy_autorestart.client.session import current_session
ours = current_session().supervisors
fds, pids = frozenset(fd for one in ours for fd in one.fds()), frozenset(one.pid for one in ours)
"""


def test_what_this_project_has_is_known_by_its_numbers(kernel, project):
    run(kernel, "%watch_restart src/")
    run(kernel, OURS)
    assert look(kernel, known="fds=fds, children=pids") == [[], None]
    assert look(kernel)[0][0] == "1 child process (python)"
    run(kernel, "del ours\n%unwatch")
    eventually(lambda: look(kernel) == [[], None])


def test_a_subshell_is_the_kernels_unless_it_is_at_work(kernel):
    if "kernel subshells" not in kernel.client.kernel_info(reply=True)["content"].get("supported_features", []):
        pytest.skip("this ipykernel has no subshells")
    kernel.client.control_channel.send(kernel.client.session.msg("create_subshell_request"))
    subshell = kernel.client.get_control_msg(timeout=DEADLINE)["content"]["subshell_id"]
    run(kernel, "import threading; go = threading.Event()")
    cell = kernel.send("print('begun'); go.wait()", subshell_id=subshell)
    kernel.wait(lambda: "begun" in cell.text)
    assert look(kernel)[0] == ["1 subshell at work"]
    run(kernel, "go.set()")
    kernel.wait(lambda: cell.done)
    eventually(lambda: look(kernel)[0] == [])


@pytest.mark.own_kernel
def test_a_debugger_is_told_and_stays_when_it_is_detached(kernel):
    def debug(command, number, **arguments):
        content = {"type": "request", "seq": number, "command": command, "arguments": arguments}
        message = kernel.client.session.msg("debug_request", content)
        kernel.client.control_channel.send(message)
        while True:
            reply = kernel.client.get_control_msg(timeout=DEADLINE)
            if reply["parent_header"]["msg_id"] == message["header"]["msg_id"]:
                return reply["content"]

    assert look(kernel)[0] == []
    hello = {"clientID": "test", "adapterID": "python", "pathFormat": "path", "linesStartAt1": True}
    assert debug("initialize", 1, **hello)["success"]
    assert debug("attach", 2)["success"]
    assert look(kernel)[0] == ["the debugger has been attached"]
    assert debug("disconnect", 3, restart=False, terminateDebuggee=True)["success"]
    assert look(kernel)[0] == ["the debugger has been attached"]
