"""What a kernel does it does behind a proxy, too: armed in place, and after another kernel has taken over."""

import json
import os
import signal

import pytest
from behind import Behind, live
from play import Cell
from play import kernel as real_kernel
from project import Project
from surroundings import SHARED_PORTS, environment
from waiting import DEADLINE, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("behind a proxy")]

#: In the order of a kernel's life; what it does before is the specification.
STATES = ("plain", "armed", "followed")

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

#: Made in the plain kernel, to be used after it.
MADE = """#| rerun: false
from comm import create_comm
heard, slider = [], create_comm(target_name="page", data={})
slider.on_msg(lambda message: heard.append(message["content"]["data"]["value"]))
"""


class Living:
    """A kernel in one state after the other, and what it does."""

    def __init__(self, kernel, project):
        self.kernel, self.project = kernel, project
        self.state = "plain"
        self.surroundings = kernel.run(SURROUNDINGS).streams()
        self.value = 1
        assert kernel.run(MADE).error == ""
        self.behind = None

    def become(self, state):
        """Have it go on as far as a state."""
        if self.state == "plain" != state:
            self.behind = Behind(self.kernel, self.project, value=None)
            self.behind.until_armed()
            self.state = "armed"
        if state == "followed" != self.state:
            self.switch()

    def switch(self):
        """Have the next kernel take over."""
        self.value += 1
        self.behind.save(self.value)
        self.state = "followed"

    @property
    def live(self):
        """The process of the kernel that answers."""
        return live(self.kernel)

    def ask(self, kind, content=None, *, channel="control", **header):
        """Send a request and return the content of its reply."""
        client = self.kernel.client
        message = client.session.msg(kind, content or {})
        message["header"].update(header)
        number = message["header"]["msg_id"]
        if channel == "shell":  # of which the player takes the replies
            asked = self.kernel.cells[number] = Cell(number, kind)
            client.shell_channel.send(message)
            self.kernel.wait(lambda: asked.reply is not None, what=kind)
            return asked.reply
        client.control_channel.send(message)
        while True:
            reply = client.get_control_msg(timeout=DEADLINE)
            if reply["parent_header"].get("msg_id") == number:
                return reply["content"]


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    folder = tmp_path_factory.mktemp("living")
    project = Project(folder)
    project.save("src/a.py", "V = 1\n")
    with real_kernel(cwd=str(folder), env={**environment(), "IPYTHONDIR": str(folder / "ipython")}) as player:
        ports = {port for name, port in player.manager.get_connection_info().items() if name.endswith("_port")}
        SHARED_PORTS.update(ports)
        player.client.session.copy_threshold = 1 << 30  # pyzmq keeps a thread for ever for what isn't copied
        yield Living(player, project)
        SHARED_PORTS.difference_update(ports)


@pytest.fixture(scope="module", params=STATES)
def living(request, life):
    """One kernel for all tests, which pytest orders by its states."""
    life.become(request.param)
    return life


@pytest.fixture
def kernel(living):
    return living.kernel


def test_it_finds_the_surroundings_of_a_plain_kernel(kernel, living):
    assert json.loads(kernel.run(SURROUNDINGS).streams()) == json.loads(living.surroundings)


def test_each_kind_of_request_is_answered(kernel, living):
    for channel in ("shell", "control"):
        assert living.ask("kernel_info_request", channel=channel)["status"] == "ok"
        assert living.ask("connect_request", channel=channel)["shell_port"] == kernel.client.shell_port
    assert living.ask("is_complete_request", {"code": "for"}, channel="shell")["status"] == "invalid"
    kernel.run("#| rerun: false\nmine = {'a key': 1}")
    found = living.ask("complete_request", {"code": "mine.ke", "cursor_pos": 7}, channel="shell")
    assert "keys" in " ".join(found["matches"])
    wanted = {"code": "mine", "cursor_pos": 4, "detail_level": 0}
    assert "a key" in living.ask("inspect_request", wanted, channel="shell")["data"]["text/plain"]
    assert living.ask("comm_info_request", channel="shell")["status"] == "ok"
    assert living.ask("usage_request")["pid"] == living.live


def test_its_history_is_there(kernel, living):
    marked = f"'in the history of the {living.state} one'"
    kernel.run(marked)
    assert marked in kernel.run("%history -l 3").streams()
    asked = {"hist_access_type": "tail", "n": 3, "output": False, "raw": True}
    lines = living.ask("history_request", asked, channel="shell")["history"]
    assert marked in [line for _, _, line in lines]
    assert "slider = [], create_comm(" in kernel.run("%history -g heard, slider").streams()
    manager = "get_ipython().history_manager"
    twice = f"list({manager}.db.execute('select count(*) n from history group by session, line having n > 1'))"
    assert kernel.run(twice).text == "[]"


def test_input_and_getpass_ask_the_client(kernel):
    for code, prompt, is_secret in (
        ("input('name? ')", "name? ", False),
        ("__import__('getpass').getpass('secret? ')", "secret? ", True),
    ):
        cell = kernel.send(f"#| rerun: false\nprint('got', {code})", allow_stdin=True)
        request = kernel.client.get_stdin_msg(timeout=DEADLINE)
        assert request["content"] == {"prompt": prompt, "password": is_secret}
        kernel.client.input("this")
        kernel.wait(lambda cell=cell: cell.done)
        assert cell.streams() == "got this\n"
    assert kernel.run("#| rerun: false\ninput()").error.startswith("StdinNotImplementedError")
    cell = kernel.send("#| rerun: false\ninput('never? ')", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=DEADLINE)
    kernel.manager.interrupt_kernel()
    kernel.wait(lambda: cell.done)
    assert cell.error.startswith("KeyboardInterrupt")


INTERRUPTED = """#| rerun: false
import time
count = 0
for _ in range(2):
    try:
        print("sleeps", flush=True); time.sleep(0.5 if count else 30)
    except KeyboardInterrupt:
        count += 1
print("interrupts", count)
"""


@pytest.mark.parametrize("how", ["signal", "message"])
def test_an_interrupt_stops_the_running_cell_once(kernel, living, how):
    def interrupt():
        if how == "message":
            assert living.ask("interrupt_request")["status"] == "ok"
        else:
            kernel.manager.interrupt_kernel()

    interrupt()  # of an idle one; shortly before a restart it would be meant for the cells that run again
    assert kernel.run("'still there'").text == "'still there'"
    cell = kernel.send(INTERRUPTED)
    kernel.wait(lambda: "sleeps" in cell.text)
    interrupt()
    kernel.wait(lambda: cell.done)
    assert cell.streams() == "sleeps\nsleeps\ninterrupts 1\n"


def test_subshells_keep_their_ids(kernel, living):
    features = living.ask("kernel_info_request").get("supported_features", ())
    if "kernel subshells" not in features:
        pytest.skip("this ipykernel has no subshells")
    ids = [living.ask("create_subshell_request")["subshell_id"] for _ in range(2)]
    for is_last in (False, True):
        assert living.ask("list_subshell_request")["subshell_id"] == ids
        cell = kernel.send("print('in a subshell')", subshell_id=ids[0])
        kernel.wait(lambda cell=cell: cell.done)
        assert cell.streams() == "in a subshell\n"
        if living.state == "followed" and not is_last:
            living.switch()
    for each in ids:
        assert living.ask("delete_subshell_request", {"subshell_id": each})["status"] == "ok"
    assert living.ask("list_subshell_request")["subshell_id"] == []


def slide(living, number, value):
    """Move a slider, as the page does."""
    update = {"comm_id": number, "data": {"value": value}}
    living.kernel.client.shell_channel.send(living.kernel.client.session.msg("comm_msg", update))


def test_widgets_hear_the_page_and_the_page_hears_them(kernel, living):
    if living.state == "followed":
        kernel.run(MADE)
    number = kernel.run("#| rerun: false\nprint(slider.comm_id)").streams().strip()
    assert number in living.ask("comm_info_request", channel="shell")["comms"]
    value = 10 + STATES.index(living.state)
    slide(living, number, value)
    assert kernel.run("#| rerun: false\nheard[-1]").text == str(value)
    kernel.comms.clear()
    kernel.run("#| rerun: false\nslider.send({'value': 99})")
    said = {"comm_id": number, "data": {"value": 99}}
    kernel.wait(lambda: said in [one["content"] for one in kernel.comms])


PROCESSES = r"""#| rerun: false
import asyncio, ctypes, math, multiprocessing, os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no children of others", flush=True)
pid = os.fork()
if pid == 0:
    print("forked", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
for way in ("fork", "spawn"):
    with multiprocessing.get_context(way).Pool(1) as pool:
        print(way, pool.map(math.sqrt, [4, 9]))
with ProcessPoolExecutor(1, multiprocessing.get_context('fork')) as pool:
    print(list(pool.map(math.sqrt, [16])))
!echo shell
process = await asyncio.create_subprocess_exec("echo", "async", stdout=-1)
print((await process.communicate())[0])
del pool, process
multiprocessing.set_start_method(None, force=True)  # spawning has chosen it
"""


def test_its_processes_are_its_own(kernel):
    cell = kernel.run(PROCESSES)
    assert cell.error == ""
    kernel.wait(lambda: "forked\n" in cell.streams())
    lines = "no children of others fork [2.0, 3.0] spawn [2.0, 3.0] [4.0] shell b'async\\n'"
    assert " ".join(cell.streams().replace("forked\n", "").split()) == lines


def test_what_is_written_to_its_descriptors_is_shown(kernel, living):
    cell = kernel.run(
        "#| rerun: false\nimport ctypes, os, subprocess, sys\nprint('print', flush=True)\n"
        "os.write(1, b'raw\\n')\nctypes.CDLL(None).printf(b'C\\n'); ctypes.CDLL(None).fflush(None)\n"
        "os.system('echo child; echo error >&2')\n"
        "late = subprocess.Popen('while [ ! -e go ]; do sleep 0.01; done; echo late', shell=True)"
    )
    kernel.wait(lambda: cell.streams() == "print\nraw\nC\nchild\n")
    kernel.wait(lambda: cell.streams("stderr") == "error\n")
    (living.project / "go").touch()  # after the end of the cell
    then = kernel.run("#| rerun: false\nprint(late.wait(10)); del late")
    (living.project / "go").unlink()
    kernel.wait(lambda: "late\n" in cell.streams() + then.streams())
    assert then.streams().replace("late\n", "") == "0\n"  # it may come between what `print` writes


def test_large_messages_pass_both_ways(kernel):
    size = 300_000
    cell = kernel.run(f"#| rerun: false\nreceived = {'x' * size!r}\nprint(len(received)); received")
    assert cell.streams() == f"{size}\n"
    assert len(cell.text) > size


def test_a_thread_goes_on_printing_after_its_cell(kernel):
    begun = kernel.run(
        "#| rerun: false\nimport threading\ngo = threading.Event()\n"
        "thread = threading.Thread(target=lambda: (go.wait(), print('from a thread')))\nthread.start(); print('begun')"
    )
    ended = kernel.run("#| rerun: false\ngo.set(); thread.join()")
    # Versions of ipykernel differ in which of them shows it.
    kernel.wait(lambda: begun.streams() + ended.streams() == "begun\nfrom a thread\n")


def test_signals_to_the_process_that_is_known_reach_it(kernel):
    kernel.run(
        "#| rerun: false\nimport signal\ncame = []\n"
        "before = {number: signal.signal(number, lambda number, _: came.append(number))\n"
        " for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)}"
    )
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
        os.kill(kernel.pid, number)
        eventually(
            lambda number=number: (
                str(int(number)) in kernel.run("#| rerun: false\nprint(*map(int, came))").streams().split()
            )
        )
    kernel.run("#| rerun: false\nfor number, handler in before.items():\n    signal.signal(number, handler)")


def test_the_next_kernel_closes_widgets(life):
    life.become("followed")
    kernel = life.kernel
    kernel.run(MADE)
    number = kernel.run("#| rerun: false\nprint(slider.comm_id)").streams().strip()
    kernel.comms.clear()
    life.switch()
    assert number in [one["content"]["comm_id"] for one in kernel.comms if one["msg_type"] == "comm_close"]
    assert number not in life.ask("comm_info_request", channel="shell")["comms"]
    slide(life, number, 1)  # of a page that has not heard of it
    assert kernel.run("'goes on'").text == "'goes on'"


HELLO = {"clientID": "test", "adapterID": "python", "pathFormat": "path", "linesStartAt1": True}


class Debugger:
    """What a page does to debug a cell."""

    def __init__(self, living):
        self._living, self._kernel, self._count = living, living.kernel, 0

    def ask(self, command, **arguments):
        self._count += 1
        content = {"type": "request", "seq": self._count, "command": command, "arguments": arguments}
        answer = self._living.ask("debug_request", content)
        assert answer.get("success"), answer
        return answer.get("body")

    def attach(self):
        assert not self.ask("debugInfo")["isStarted"]
        self.ask("initialize", **HELLO)
        self.ask("attach")
        assert self.ask("debugInfo")["isStarted"]

    def stop_in(self, code, line):
        """Run a cell until it stops at a line; return it and the thread that has stopped."""
        path = self.ask("dumpCell", code=code)["sourcePath"]
        points = self.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": line}], sourceModified=False)
        assert points["breakpoints"][0]["verified"]
        self.ask("configurationDone")
        self._kernel.others.clear()
        cell = self._kernel.send(code)
        self._kernel.wait(self._stops)
        return cell, self._stops()[0]["body"]["threadId"]

    def _stops(self):
        events = [one["content"] for one in self._kernel.others]
        return [one for one in events if one.get("event") == "stopped"]

    def debug(self, number):
        """Debug a cell, and return it and how to let it go on."""
        cell, thread = self.stop_in(f"#| rerun: false\nx = {number}\ny = 10 * x\nprint(y)", 3)
        variables = {one["name"]: one["value"] for one in self.ask("inspectVariables")["variables"]}
        assert variables["x"] == str(number)
        frame = self.ask("stackTrace", threadId=thread)["stackFrames"][0]
        assert frame["line"] == 3
        assert self.ask("evaluate", expression="x + 40", frameId=frame["id"])["result"] == str(number + 40)
        return cell, lambda: self.ask("continue", threadId=thread)


@pytest.mark.parametrize("state", ["plain", "armed"])
def test_a_debugger_can_be_attached_before_another_kernel_takes_over_and_after(start_kernel, project, state):
    with start_kernel() as kernel:
        living = Living(kernel, project)
        living.become(state)
        debugger = Debugger(living)
        debugger.attach()
        cell, go_on = debugger.debug(1)
        go_on()
        kernel.wait(lambda: cell.done)
        assert cell.streams() == "10\n"
        if state == "plain":  # with a debugger it is not armed in place, but by its restart
            living.behind = Behind(kernel, project, value=None)
        living.switch()
        assert kernel.run("__import__('os').getppid()").text == str(kernel.pid)
        debugger = Debugger(living)
        debugger.attach()
        cell, go_on = debugger.debug(2)
        live = living.ask("usage_request")["pid"]
        project.save("src/a.py", "V = 7\n")  # while a cell stands at a breakpoint
        kernel.look_on(0.5)
        assert living.ask("usage_request")["pid"] == live
        go_on()
        living.behind.until_restarted()
        assert cell.streams() == "20\n"
        assert living.live != live
        assert not Debugger(living).ask("debugInfo")["isStarted"]


def test_one_that_dies_while_it_shuts_down_is_not_followed(start_kernel, project):
    with start_kernel() as kernel:
        living = Living(kernel, project)
        living.become("armed")
        code = "import atexit, os; atexit.register(os.kill, os.getpid(), 11); atexit.register(open, 'ended', 'w')"
        assert kernel.run(code).error == ""
        living.ask("shutdown_request", {"restart": False})
        eventually(lambda: not kernel.manager.is_alive(), what="the end")
        assert (project / "ended").exists()
