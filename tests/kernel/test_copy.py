"""A copy of a live kernel goes on as a live kernel, with its whole memory, and the one that it was copied from too."""

import contextlib
import os
import random
import re
import signal
import threading
import warnings
from pathlib import Path

import ipykernel
import psutil
import pytest
from fronts import Front
from play import kernel as real_kernel
from resources import held
from surroundings import SHARED_PORTS, environment
from waiting import DEADLINE, eventually

from ipy_autorestart.kernel.copy import _fork
from ipy_autorestart.reexec.exec import FAILED

pytestmark = pytest.mark.e2e

SUPPORT = str(Path(__file__).parent.parent / "support")

#: Copies one after the other of which each is one of the last.
GENERATIONS = 10

#: Seconds that a server waits for a kernel to shut down.
PATIENCE = 5.0

BEFORE = """
import asyncio, ctypes, faulthandler, logging, os, random, signal, sys, threading, time
from IPython.display import display
from comm import create_comm
from generations import Generations
libc = ctypes.CDLL(None)
value = {"kept": [1, 2, 3]}
with open("lines.txt", "w") as file:
    file.writelines(f"line {number}\\n" for number in range(100_000))
lines = open("lines.txt")
first = lines.readline()
random.seed(7)
heard, ticks, woken, due = [], [], [], []
comm = create_comm("here")
comm.on_msg(lambda message: heard.append(message["content"]["data"]))
async def tick():
    while True:
        ticks.append(os.getpid())
        await asyncio.sleep(0.01)
await asyncio.to_thread(os.getpid)
ticking = asyncio.get_running_loop().create_task(tick())
reading, writing = os.pipe()
asyncio.get_running_loop().add_reader(reading, lambda: woken.append((os.getpid(), os.read(reading, 1))))
asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: woken.append((os.getpid(), "signal")))
saved = os.dup(1)
generations = Generations()
faulthandler.register(signal.SIGUSR2, file=sys.stderr._original_stdstream_copy)
"""


@contextlib.contextmanager
def started(folder):
    """Start a kernel that can copy itself."""
    env = {**environment(), "IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": SUPPORT}
    with open(folder / "stderr", "w") as stderr, real_kernel(cwd=str(folder), env=env, stderr=stderr) as player:
        player.client.session.copy_threshold = 1 << 30  # pyzmq keeps a thread for ever for what isn't copied
        assert player.run(BEFORE).error == ""
        yield player


@contextlib.contextmanager
def copied(player, key, *, live="generations.revive({folder!r})", how=""):
    """Yield a front of a copy of a kernel, which is shut down at the end."""
    with Front(key) as front:
        front.live = live.format(folder=front.folder, port=front.info["shell_port"])
        assert player.run(f"generations.begin(lambda: {front.live}{how})").error == ""
        with served(front):
            yield front


@contextlib.contextmanager
def served(front):
    """Wait until the kernel behind a front answers; shut it down at the end."""
    front.until_ready()
    front.pid = int(front.player.run("os.getpid()").text)
    try:
        yield
    finally:
        if is_alive(front.pid):
            front.control("shutdown_request", {"restart": False})
            end(front.pid)


def end(pid):
    """Wait until a kernel that was asked to has ended; kill it, as servers do, where ipykernel keeps it from that.

    Its main thread stops the thread of outputs and waits for that of control requests, which may just then be waking
    the other to flush `sys.stdout`, and waits for ever to be heard.
    """
    try:
        eventually(lambda: not is_alive(pid), timeout=PATIENCE)
    except AssertionError:
        os.kill(pid, signal.SIGUSR2)
        told = next(Path(file) for file in links(pid).values() if file.endswith("/stderr"))
        eventually(lambda: re.search(r"iostream\.py.* in schedule", told.read_text()), what=told.read_text)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid))


def is_alive(pid):
    """Return whether a process runs; nobody may have waited for its end."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def key_of(player):
    return player.manager.session.key.decode()


class Family:
    """A kernel and a copy of it."""

    def __init__(self, parent, front):
        self.parent, self.front, self.child = parent, front, front.player


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copied")
    with started(folder) as parent:
        ports = {port for name, port in parent.manager.get_connection_info().items() if name.endswith("_port")}
        made = {}
        if has_subshells():
            made["subshell"] = control(parent, "create_subshell_request")["subshell_id"]
        with copied(parent, key_of(parent)) as front:
            ports |= {port for name, port in front.info.items() if name.endswith("_port")}
            SHARED_PORTS.update(ports)
            family = Family(parent, front)
            family.folder, family.made = folder, made
            yield family
            SHARED_PORTS.difference_update(ports)


def has_subshells():
    return int(ipykernel.__version__.split(".")[0]) >= 7


def control(player, kind, content=None):
    message = player.client.session.msg(kind, content or {})
    player.client.control_channel.send(message)
    while True:
        reply = player.client.get_control_msg(timeout=DEADLINE)
        if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            return reply["content"]


@pytest.fixture(params=["child", "parent"])
def either(request, family):
    """The copy, and the kernel that it was copied from: both are to be what a kernel is."""
    return getattr(family, request.param)


# -- what a kernel does ------------------------------------------------------------------------------------------------


def test_memory_is_kept_and_goes_its_own_way(family):
    pids = set()
    for player in (family.child, family.parent):
        player.run("value['kept'].append(os.getpid())")
        pid = int(player.run("os.getpid()").text)
        assert player.run("value").text == f"{{'kept': [1, 2, 3, {pid}]}}"
        pids.add(pid)
    assert len(pids) == 2


def test_in_out_and_counters_go_on(either):
    first = either.run("6 * 7")
    count = first.outputs[0]["execution_count"]
    assert either.run(f"In[{count}], Out[{count}], _{count}").outputs[0]["execution_count"] == count + 1
    assert either.run(f"In[{count}], Out[{count}], _{count + 1}[0]").text == "('6 * 7', 42, '6 * 7')"
    assert "import asyncio, ctypes" in either.run("In[1]").text


def test_what_is_printed_stands_under_its_cell(either):
    cell = either.run("print('out'); print('err', file=sys.stderr); print('more')")
    assert (cell.streams(), cell.streams("stderr")) == ("out\nmore\n", "err\n")
    assert either.run("print('next')").streams() == "next\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os.write(1, b'raw 1\\n')", "raw 1\n"),
        ("os.write(saved, b'by a duplicate\\n')", "by a duplicate\n"),
        ("libc.printf(b'from C\\n'); libc.fflush(None)", "from C\n"),
        ("os.system('echo of a child')", "of a child\n"),
        ("!echo by the shell", "by the shell\n"),
        ("print('python', file=sys.__stdout__, flush=True)", "python\n"),
    ],
)
def test_what_is_written_to_descriptor_1_stands_under_its_cell(either, code, expected):
    cell = either.run(f"print('before', flush=True)\n{code}")
    either.wait(lambda: cell.streams().replace("\r", "") == f"before\n{expected}")
    error = either.run("os.write(2, b'raw 2\\n')")
    either.wait(lambda: error.streams("stderr") == "raw 2\n")


def test_output_of_a_thread_and_a_forked_child_and_logging(either):
    cell = either.run("thread = threading.Thread(target=print, args=['of a thread']); thread.start(); thread.join()")
    assert cell.streams() == "of a thread\n"
    cell = either.run("pid = os.fork()\nif not pid:\n    print('forked', flush=True); os._exit(0)\nos.waitpid(pid, 0)")
    either.wait(lambda: "forked" in cell.streams())
    cell = either.run("logging.getLogger('x').warning('logged'); logging.basicConfig(force=True)")
    assert "logged" in cell.streams("stderr")


def test_results_displays_and_errors(either):
    cell = either.run("display('shown'); 'result'")
    assert [output["kind"] for output in cell.outputs] == ["display_data", "execute_result"]
    assert either.run("1 / 0").error == "ZeroDivisionError: division by zero"
    assert either.run("'goes on'").text == "'goes on'"


def test_input(either):
    cell = either.send("print('got', input('name? '))", allow_stdin=True)
    question = either.client.get_stdin_msg(timeout=DEADLINE)
    assert question["content"]["prompt"] == "name? "
    either.client.input("Ada")
    either.wait(lambda: cell.idle)
    assert cell.streams() == "got Ada\n"


def test_completion_and_inspection(either):
    complete = either.client.complete("value.ke", 8, reply=True, timeout=DEADLINE)["content"]
    assert "keys" in " ".join(complete["matches"])
    assert either.client.inspect("value", 3, reply=True, timeout=DEADLINE)["content"]["found"]


def test_comms_are_known_and_heard(either):
    comms = either.client.comm_info(reply=True, timeout=DEADLINE)["content"]["comms"]
    assert {"target_name": "here"} in comms.values()
    number = either.run("print(comm.comm_id)").streams().strip()
    content = {"comm_id": number, "data": {"answer": 42}}
    either.client.shell_channel.send(either.client.session.msg("comm_msg", content))
    assert either.run("heard").text == "[{'answer': 42}]"
    assert either.run("comm.send({'said': 1})").error == ""
    either.wait(lambda: any(message["content"]["data"] == {"said": 1} for message in either.comms))


COUNTED = """
count = 0
for _ in range(2):
    try:
        print("sleeps", flush=True); time.sleep(5 if not count else 0.3)
    except KeyboardInterrupt:
        count += 1
print("interrupts", count)
"""


@pytest.mark.parametrize("how", ["signal", "request"])
def test_an_interrupt_is_one(family, how):
    cell = family.child.send(COUNTED)
    family.child.wait(lambda: "sleeps" in cell.streams())
    if how == "signal":
        os.killpg(family.front.pid, signal.SIGINT)
    else:
        family.front.control("interrupt_request")
    family.child.wait(lambda: cell.idle)
    assert cell.streams().endswith("interrupts 1\n")
    assert family.parent.run("1 + 1").text == "2"
    os.killpg(family.front.pid, signal.SIGINT)  # an idle kernel ignores it
    assert family.child.run("1 + 1").text == "2"


def test_an_interrupt_reaches_what_the_cell_has_started(family):
    cell = family.child.send("print('starts', flush=True); os.system('sleep 30')")
    family.child.wait(lambda: "starts" in cell.streams())
    eventually(lambda: is_asleep(psutil.Process(family.front.pid).children(recursive=True)))
    family.front.control("interrupt_request")
    family.child.wait(lambda: cell.idle)


def is_asleep(processes):
    """Return whether `sleep` has been executed and waits: until then SIGINT may pass it by."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(one.name() == "sleep" and one.status() == psutil.STATUS_SLEEPING for one in processes)
    return False


def test_awaits_and_tasks_go_on(either):
    assert either.run("await asyncio.sleep(0.01, 'awaited')").text == "'awaited'"
    pid = either.run("os.getpid()").text
    assert either.run("len(ticks)").text != either.run("await asyncio.sleep(0.1); len(ticks)").text
    assert either.run("ticks[-1], ticking.done()").text == f"({pid}, False)"
    assert either.run("await asyncio.wait_for(asyncio.to_thread(os.getpid), 10)").text == pid


WAKING = """
async def until(seen):
    while seen not in woken:
        await asyncio.sleep(0.001)
os.write(writing, b"x")
await asyncio.wait_for(until((os.getpid(), b"x")), 20)
os.kill(os.getpid(), signal.SIGUSR1)
await asyncio.wait_for(until((os.getpid(), "signal")), 20)
"""


def test_what_the_user_has_the_loop_watch_is_watched(either):
    assert either.run(WAKING).error == ""


def test_the_history_goes_on_in_sessions_of_their_own(family):
    numbers = set()
    for player in (family.child, family.parent):
        player.run("'in the history'")
        assert "'in the history'" in player.run("%history -l 3").streams()
        assert "import asyncio, ctypes" in player.run("%history 1").streams()
        line = "manager = get_ipython().history_manager; manager.writeout_cache(); manager.session_number"
        numbers.add(int(player.run(line).text))
        player.wait(lambda player=player: player.run("manager.save_thread.is_alive()").text == "True")
    assert len(numbers) == 2
    query = (
        "list(manager.db.execute('select session, count(*) from history group by session, line having count(*) > 1'))"
    )
    assert family.parent.run(query).text == "[]"
    folder = family.folder / "ipython/profile_default"
    assert {path.name for path in folder.glob("history*")} <= {"history.sqlite", "history.sqlite-journal"}
    lines = "[line for (line,) in manager.db.execute('select source from history where session = ?', ({},))]"
    early, late = sorted(numbers)
    assert "asyncio, ctypes" in family.parent.run(lines.format(early)).text
    assert "asyncio, ctypes" not in family.parent.run(lines.format(late)).text


@pytest.mark.skipif(not has_subshells(), reason="this ipykernel has no subshells")
def test_subshells_are_there_under_their_names(family):
    for front, player in ((family.front, family.child), (None, family.parent)):
        ask = front.control if front else lambda kind, player=player: control(player, kind)
        assert ask("list_subshell_request")["subshell_id"] == [family.made["subshell"]]
        cell = player.send("print(threading.current_thread().name)", subshell_id=family.made["subshell"])
        player.wait(lambda cell=cell: cell.idle)
        assert cell.streams() == f"subshell-{family.made['subshell']}\n"
    more = family.front.control("create_subshell_request")["subshell_id"]
    cell = family.child.send("1 + 1", subshell_id=more)
    family.child.wait(lambda: cell.idle)
    assert cell.text == "2"
    assert family.front.control("delete_subshell_request", {"subshell_id": more})["status"] == "ok"


def test_control_requests(family):
    usage = family.front.control("usage_request")
    assert usage["pid"] == family.front.pid
    info = family.front.control("debug_request", {"type": "request", "seq": 1, "command": "debugInfo", "arguments": {}})
    assert info["body"]["isStarted"] is False
    names = family.child.run("sorted(thread.name for thread in threading.enumerate())").text
    assert "Control" in names


def test_each_reads_a_file_from_where_it_was(family):
    for player in (family.child, family.parent):
        assert player.run("sum(1 for _ in lines)").text == "99999"


@pytest.mark.parametrize("megabytes", [1, 3])
def test_large_messages_both_ways_need_no_thread(either, megabytes):
    size = megabytes * 1_000_000
    cell = either.run(f"received = {'x' * size!r}\nprint(len(received)); received")
    assert cell.streams() == f"{size}\n"
    assert len(cell.text) > size
    comm = "comm.send({}, buffers=[received.encode()])"
    assert either.run(comm).error == ""
    either.wait(lambda: any(sum(map(len, message["buffers"])) == size for message in either.comms))
    assert "GarbageCollector" not in either.run("[type(thread).__name__ for thread in threading.enumerate()]").text


# -- the copying itself ------------------------------------------------------------------------------------------------


@pytest.fixture
def parent(tmp_path):
    with started(tmp_path) as player:
        yield player


def links(pid):
    folder = f"/proc/{pid}/fd"
    found = {}
    for number in os.listdir(folder):
        with contextlib.suppress(OSError):
            found[int(number)] = os.readlink(f"{folder}/{number}")
    return found


def test_nothing_is_shared(family):
    parent, child = set(links(family.parent.pid).values()), links(family.front.pid)
    del child[0]
    assert not {what for what in child.values() if what in parent and what.startswith(("socket:", "pipe:"))}


def test_generation_after_generation(parent):
    with contextlib.ExitStack() as stack:
        player, pids = parent, [parent.pid]
        assert parent.run("generations.trust.doubts()").text == "()"
        for _ in range(3):
            front = stack.enter_context(copied(player, key_of(parent)))
            player = front.player
            assert front.pid not in pids
            pids.append(front.pid)
            assert player.run("os.getppid()").text == str(pids[-2])
            player.run("value['kept'].append(os.getpid())")
            assert player.run("value['kept']").text == str([1, 2, 3, *pids[1:]])
            # Nothing that the copy has got anew is taken for the user's.
            assert player.run("generations.trust.doubts()").text == "()"
            cell = player.run("print('x'); os.system('echo y'); 'z'")
            player.wait(lambda player=player, cell=cell: cell.streams() == "x\ny\n")
    assert parent.run("value").text == "{'kept': [1, 2, 3]}"


def test_chance_goes_on(parent):
    """Python seeds each forked process anew, so that two of them differ; a copy is to be the same."""
    live = "(chances.append(random.random()), generations.revive({folder!r}))"
    parent.run("chances = []; random.seed(7)")
    with copied(parent, key_of(parent), live=live) as front:
        assert front.player.run("chances").text == f"[{random.Random(7).random()}]"


def test_nothing_grows_from_generation_to_generation(parent):
    player, seen = parent, []
    with contextlib.ExitStack() as last:
        for number in range(GENERATIONS):
            with contextlib.ExitStack() as this:
                front = this.enter_context(copied(player, key_of(parent)))
                last.close()
                player = front.player
                player.run("print(1)")
                if number in (2, GENERATIONS - 1):
                    eventually(lambda front=front: "journal" not in "".join(links(front.pid).values()))
                    seen.append(held(psutil.Process(front.pid)))
                last.push(this.pop_all())
    assert seen[0] == seen[1]


def test_nothing_grows_in_a_kernel_that_is_copied_again_and_again(parent):
    seen = []
    for number in range(GENERATIONS):
        parent.run("generations.begin(lambda: os._exit(3))")
        assert parent.run("os.waitstatus_to_exitcode(os.waitpid(generations.pids.pop(), 0)[1])").text == "3"
        if number in (2, GENERATIONS - 1):
            eventually(lambda: "journal" not in "".join(links(parent.pid).values()))
            seen.append(held(psutil.Process(parent.pid)))
    assert seen[0] == seen[1]
    assert parent.run("generations.refusals").text == "[]"


def test_a_copy_that_fails_ends_and_says_why(parent, tmp_path):
    parent.run("generations.begin(lambda: 1 / 0)")
    assert parent.run("os.waitstatus_to_exitcode(os.waitpid(generations.pids.pop(), 0)[1])").text == str(FAILED)
    assert "ZeroDivisionError" in (tmp_path / "stderr").read_text()
    assert parent.run("print('goes on')").streams() == "goes on\n"


def test_a_copy_can_be_apart_from_what_it_is_a_copy_of(parent):
    with copied(parent, key_of(parent), how=", apart=True") as front:
        assert parent.run("generations.pids").text == f"[{front.pid}]"
        assert parent.run("os.waitpid(-1, os.WNOHANG)").error.startswith("ChildProcessError")
        assert front.player.run("os.getppid()").text != str(parent.pid)
        assert front.player.run("value").text == "{'kept': [1, 2, 3]}"
        assert front.player.run("os.getpid(), os.getpgrp(), os.getsid(0)").text == str((front.pid,) * 3)


def test_nobody_hears_that_the_process_in_between_ends(parent):
    parent.run("ended = []; signal.signal(signal.SIGCHLD, lambda *_: ended.append(os.getpid()))")
    with copied(parent, key_of(parent), how=", apart=True") as front:
        for pid, player in ((front.pid, front.player), (parent.pid, parent)):
            assert player.run("ended").text == "[]"
            player.run("import subprocess; subprocess.run(['true']).returncode")
            assert player.run("ended").text == f"[{pid}]"


RAISES = """
def fail(*_):
    1 / 0
signal.signal(signal.SIGUSR1, fail)
main = threading.main_thread().ident
os.register_at_fork(after_in_parent=lambda: signal.pthread_kill(main, signal.SIGUSR1))
generations.begin(lambda: os._exit(3){how})
"""


@pytest.mark.parametrize("how", ["", ", apart=True"])
def test_a_kernel_goes_on_though_a_signal_handler_fails_as_it_is_copied(parent, how):
    assert parent.run(RAISES.format(how=how)).error == ""
    assert parent.run("'goes on'").text == "'goes on'"
    assert parent.run("generations.task.exception()").text == "ZeroDivisionError('division by zero')"
    assert "goes on" in parent.run("%history -l 3").streams()


WAITING = """
import socket
ours, theirs = socket.socketpair()
def wait():
    ours.close()
    while folder := theirs.recv(200).decode():
        if not generations.copy.fork(lambda: generations.revive(folder), repair=generations.trust.repair):
            return
    os._exit(0)
generations.begin(wait, known=[ours.fileno(), theirs.fileno()])
"""


def test_a_copy_that_waits_is_copied_as_often_as_it_is_needed(parent):
    assert parent.run(WAITING).error == ""
    assert parent.run("theirs.close(); value['kept'].append('later'); sum(1 for _ in lines)").text == "99999"
    for number in range(2):
        with Front(key_of(parent)) as front:
            parent.run(f"ours.send({front.folder.encode()})")
            with served(front):
                assert front.player.run("value").text == "{'kept': [1, 2, 3]}"
                assert front.player.run("sum(1 for _ in lines)").text == "99999"
                front.player.run(f"value['kept'].append({number})")
    assert parent.run("ours.close(); os.waitpid(generations.pids.pop(), 0)[1]").text == "0"


def test_a_kernel_that_cannot_be_copied_goes_on(parent):
    parent.run("go = threading.Event(); generations.app.control_thread.io_loop.add_callback(go.wait)")
    parent.run("from ipy_autorestart.kernel import machinery; machinery.STAND_MAX = 0.1")
    # Not by the gate, which waits for the control channel itself.
    parent.run("try:\n    generations.copy.fork(os.abort)\nexcept Exception as error:\n    print(error)")
    [cell] = [cell for cell in parent.cells.values() if "abort" in cell.code]
    assert cell.streams() == "a thread of the kernel is busy\n"
    parent.run("go.set()")
    assert parent.run("'goes on'").text == "'goes on'"
    assert "goes on" in parent.run("%history -l 2").streams()


def test_the_ports_are_free_when_the_copied_kernel_has_gone(parent):
    """The copy holds neither the listening sockets, duplicates among them, nor the clients' connections."""
    ports = {port for name, port in parent.manager.get_connection_info().items() if name.endswith("_port")}
    parent.run("import ipy_autorestart.kernel.sockets as sockets; held = sockets.Sockets(generations.app)")
    with copied(parent, key_of(parent)) as front:
        connections = psutil.Process(front.pid).net_connections("tcp")
        assert not [one for one in connections if one.laddr.port in ports]
        # Its debugger is a client of the shell channel, as in each kernel.
        assert {one.raddr.port for one in connections if one.raddr} == {ports_of(parent)["shell_port"]}


def ports_of(player):
    return player.manager.get_connection_info()


def test_a_copy_ends_as_a_kernel_does(parent, tmp_path):
    parent.run("def end():\n    print('bye', flush=True)\n    open('ended', 'a').write(f'{os.getpid()} ')")
    parent.run("import atexit; atexit.register(end)")
    with copied(parent, key_of(parent)) as front:
        assert front.control("shutdown_request", {"restart": False})["status"] == "ok"
        front.player.wait(lambda: any("bye" in message["content"].get("text", "") for message in front.player.others))
        end(front.pid)
    assert (tmp_path / "ended").read_text() == f"{front.pid} "
    assert os.path.exists(parent.manager.connection_file)
    assert parent.run("1 + 1").text == "2"


def test_a_debugger_can_be_attached_to_a_copy(parent):
    live = "(setattr(generations.app, 'shell_port', {port}), generations.revive({folder!r}))"
    with copied(parent, key_of(parent), live=live) as front:
        number = 0

        def debug(command, **arguments):
            nonlocal number
            number += 1
            request = {"type": "request", "seq": number, "command": command, "arguments": arguments}
            return front.control("debug_request", request)

        assert debug("initialize", clientID="test", adapterID="")["success"]
        assert debug("attach") is not None
        code = "here = 1\nhere += 1\n"
        path = debug("dumpCell", code=code)["body"]["sourcePath"]
        assert debug("setBreakpoints", source={"path": path}, breakpoints=[{"line": 2}], sourceModified=False)[
            "success"
        ]
        assert debug("configurationDone")["success"]
        cell = front.player.send(code)
        stops = lambda: [one["content"] for one in front.player.others if one["content"].get("event") == "stopped"]  # noqa: E731
        front.player.wait(stops)
        [stop] = stops()
        assert debug("continue", threadId=stop["body"]["threadId"])["success"]
        front.player.wait(lambda: cell.idle)
        assert front.player.run("here").text == "2"


def test_nobody_is_warned_that_threads_are_not_copied():
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        filters = warnings.filters
        if not (pid := _fork()):
            os._exit(0)
        assert warnings.filters is filters
    end.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    assert not warned  # as Python 3.12 does
