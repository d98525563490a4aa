"""Kernels follow each other behind a proxy: at once, without the clients' noticing, and each as a fresh one."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
import zmq
from behind import Behind
from processes import children_with, kill
from waiting import DEADLINE, eventually
from zmq.utils.monitor import recv_monitor_message

pytestmark = pytest.mark.e2e


@pytest.fixture
def behind(kernel, project):
    return Behind(kernel, project)


def test_clients_stay_connected_while_kernels_follow_each_other(behind, kernel):
    pid, first = kernel.pid, behind.live
    monitor = kernel.client.shell_channel.socket.get_monitor_socket(zmq.Event.DISCONNECTED | zmq.Event.CONNECTED)
    lives = {first}
    for value in (3, 4, 5):
        behind.save(value)
        assert behind.use.streams() == f"value {value}\n"
        lives.add(behind.live)
    assert kernel.pid == pid
    assert len(lives) == 4
    assert kernel.run("__import__('os').getppid()").text == str(pid)
    seen = []
    while monitor.poll(0):
        seen.append(recv_monitor_message(monitor))
    assert seen == []
    kernel.client.shell_channel.socket.disable_monitor()
    monitor.close()


def test_each_kernel_is_a_fresh_one(behind, kernel):
    kernel.run("leftover = 1; import os; os.environ['LEFT'] = 'x'; os.chdir('/')  \n#| rerun: false", cell_id="left")
    kernel.run("#| rerun: false\nimport sys; sys.path.append('/nowhere'); sys.modules['made_up'] = sys", cell_id="left")
    behind.save(3)
    cell = kernel.run(
        "import os, sys; print('leftover' in globals(), 'LEFT' in os.environ, os.getcwd() == os.path.realpath('.'),"
        " '/nowhere' in sys.path, 'made_up' in sys.modules, 'IPY_AUTORESTART_STATE' in os.environ)"
    )
    assert cell.streams() == "True False True False False False\n".replace("True", "False", 1)


@pytest.mark.parametrize("death", ["import ctypes; ctypes.string_at(0)", "import os; os._exit(0)"])
def test_a_crash_costs_a_cell(behind, kernel, death):
    kernel.run("x = a.V + 3", cell_id="x")
    busy = kernel.send("import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)")
    cell, then = kernel.send(death), kernel.send("'not run'")
    kernel.look_on(0.5)  # all is there before the crash
    (behind.project / "go").touch()
    kernel.wait(lambda: busy.reply is not None)
    kernel.wait(lambda: cell.done and then.reply)
    assert cell.error.startswith("KernelDied")
    assert cell.reply["status"] == "error"
    assert then.reply["status"] == "aborted"
    kernel.wait(lambda: kernel.run("1 + 1").text == "2")
    assert kernel.manager.is_alive()
    behind.restarts += 1
    happened = r"the kernel (was ended by SIGSEGV|ended with status 0); 3 cells rerun .* 2 restarts"
    kernel.wait(lambda: re.search(happened, behind.watching.text))
    assert kernel.run("x").text == "5"
    behind.save(5)
    assert behind.use.streams() == "value 5\n"


#: Has a reply not come out, as where the kernel dies before a thread has sent it.
UNSENT = """\
#| rerun: false
def without_reply(send=get_ipython().kernel.session.send):
    def sent(stream, message, content=None, parent=None, *args, **options):
        if message != "execute_reply" or parent["metadata"].get("cellId") != "x":
            return send(stream, message, content, parent, *args, **options)
    get_ipython().kernel.session.send = sent
without_reply()
"""


def test_a_cell_that_had_ended_is_not_taken_for_what_ended_the_kernel(behind, kernel):
    kernel.run(UNSENT)
    before, cell = kernel.send("x = a.V + 3", cell_id="x"), kernel.send("import os; os._exit(9)", cell_id="dies")
    kernel.wait(lambda: before.reply is not None and cell.reply is not None)
    assert before.error.startswith("KernelDied")  # whatever it had to say is not known
    assert cell.error.startswith("KernelDied")
    kernel.wait(lambda: "cells rerun" in behind.watching.text)
    assert kernel.run("x").text == "5"


def test_a_cell_right_before_that_which_ends_the_kernel_is_run_again(behind, kernel):
    kernel.run("x = count = 0", cell_id="count")
    before = kernel.send("x = a.V + 3; count += 1", cell_id="x")
    cell = kernel.send("import os; os._exit(9)", cell_id="dies")  # perhaps before the reply to the other is sent
    kernel.wait(lambda: before.reply is not None and cell.reply is not None)
    assert before.reply["status"] == "ok" or before.error.startswith("KernelDied")
    assert cell.error.startswith("KernelDied")
    kernel.wait(lambda: "cells rerun" in behind.watching.text)
    assert kernel.run("x, count").text == "(5, 1)"


MUTE = (  # clients are told nothing any more
    "if a.V == 3 and not os.path.exists('mute'):\n"
    "    open('mute', 'w').close()\n"
    "    get_ipython().kernel.iopub_thread.send_multipart = lambda *_, **__: None"
)


def test_a_cell_is_known_to_have_begun_though_nobody_was_told(behind, kernel):
    kernel.run("import os", cell_id="os")
    kernel.run(MUTE, cell_id="mute")
    behind.project.save("src/a.py", "V = 3\n")
    eventually(lambda: (behind.project / "mute").exists(), what="the cell that mutes")
    dies = "import time; time.sleep(0.5); os._exit(9)"  # when the next request is there
    cell, then = kernel.send(dies, cell_id="dies"), kernel.send("'not run'")
    kernel.wait(lambda: cell.done and then.reply)
    assert cell.error.startswith("KernelDied: the kernel ended with status 9")
    assert then.reply["status"] == "aborted"
    behind.restarts += 1
    kernel.wait(lambda: "3 cells rerun" in behind.watching.text)
    assert kernel.run("a.V").text == "3"


def test_a_crash_of_a_cell_that_runs_again_is_not_repeated(behind, kernel):
    kernel.run("if a.V == 3: import os; os._exit(7)", cell_id="dies")
    behind.project.save("src/a.py", "V = 3\n")
    kernel.wait(lambda: "ended with status 7 while its cells ran again; none is run now" in behind.watching.text)
    assert kernel.run("1 + 1").text == "2"
    behind.restarts += 2
    behind.save(4)
    assert behind.use.streams() == "value 4\n"


def test_deaths_in_a_row_end_it_as_they_would_end_any_kernel(behind, kernel):
    for _ in range(2):
        cell = kernel.send("import os; os.kill(os.getpid(), 9)")
        kernel.wait(lambda cell=cell: cell.done)
    kernel.send("import os; os.kill(os.getpid(), 9)")
    eventually(lambda: not kernel.manager.is_alive(), what="the end of the proxy")


def processes(pid):
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_proxy(behind, kernel, signum):
    behind.save(3)
    ours, folder = processes(kernel.pid), behind.folder
    assert len(ours) >= 3
    os.kill(kernel.pid, signum)
    _, alive = psutil.wait_procs(ours[1:], timeout=DEADLINE)
    assert alive == []
    eventually(lambda: not os.path.exists(folder), what="the end of the folder")


def test_shutdown_ends_all_of_it(start_kernel, project):
    with start_kernel() as kernel:
        behind = Behind(kernel, project)
        folder, ours = behind.folder, processes(kernel.pid)
        assert os.path.isdir(folder)
    _, alive = psutil.wait_procs(ours, timeout=DEADLINE)
    assert alive == []
    assert not os.path.exists(folder)


def test_a_kernel_can_be_ended_by_its_own_code(start_kernel, project):
    with start_kernel() as kernel:
        Behind(kernel, project)
        kernel.send("exit")
        eventually(lambda: not kernel.manager.is_alive(), what="the end")


@pytest.mark.parametrize(("who", "signum"), [("standby", 9), ("live", 9), ("live", 15)])
def test_a_kernel_that_is_killed_is_replaced(behind, kernel, who, signum):
    before = behind.live
    if who == "live":
        os.kill(before, signum)
        eventually(lambda: kernel.run("__import__('os').getpid()").text.isdigit())
        assert behind.live != before
    else:
        kill(child for child in children_with("bootstrap.py", kernel.pid) if child.pid != before)
    behind.restarts += who == "live"
    behind.save(7)
    assert behind.use.streams() == "value 7\n"


def test_restarts_close_together_lose_nothing(behind, kernel):
    cells = []
    for value in range(10, 20):
        behind.project.save("src/a.py", f"V = {value}\n")
        cells += [kernel.send(f"'cell {value} {number}'") for number in range(3)]
        until = time.monotonic() + 0.13
        kernel.wait(lambda until=until: time.monotonic() > until)
    kernel.wait(lambda: all(cell.done for cell in cells) and behind.use.streams() == "value 19\n")
    assert [cell.text for cell in cells] == [cell.code for cell in cells]


def test_where_there_can_be_none_the_status_says_why(kernel, project):
    loop = "import time\ndef loop(kernel): time.sleep(0.01)\nget_ipython().kernel.eventloop = loop"
    kernel.run(loop)
    behind = Behind(kernel, project)
    assert "rerun in" in behind.watching.text
    assert "by exec, as a %gui loop runs" in behind.watching.text
    assert kernel.run("__import__('os').getpid()").text == str(kernel.pid)


def test_cold_restarts_by_exec_and_behind_a_proxy_starts_nothing_ahead(kernel, project):
    cold = Behind(kernel, project, "--rerun all --cold")
    assert cold.live == kernel.pid
    assert "by exec" not in cold.watching.text
    behind = Behind(kernel, project, value=3)
    assert behind.live != kernel.pid


SERVER = """
import sys
sys.path[:0] = [{support!r}, {notebooks!r}]
from pathlib import Path
from play import kernel
from behind import Behind
from project import Project
with kernel(cwd={folder!r}) as player:
    behind = Behind(player, Project({folder!r}))
    print(player.pid, flush=True)
    input()
"""


def test_it_ends_with_the_server_that_has_started_it(project):
    here = os.path.dirname(os.path.abspath(__file__))
    paths = {"support": f"{here}/../support", "notebooks": f"{here}/../../notebooks", "folder": str(project)}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER.format(**paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        ours = processes(int(server.stdout.readline()))
        server.kill()
    _, alive = psutil.wait_procs(ours, timeout=DEADLINE)
    assert alive == []
