"""Each step of a kernel's restart, in real kernels."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import length
import psutil
import pytest
from busy import busy
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from play import until_ready
from processes import supervisors
from resources import Plateau
from waiting import DEADLINE, eventually, pass_time

from ipy_autorestart.ipython.policy import QUIET_MAX

pytestmark = pytest.mark.e2e

RESTARTS = length.restarts(4)


@pytest.fixture
def watching(kernel, project):
    cell = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in cell.text)
    return cell


def hang_up(kernel):
    os.kill(kernel.pid, signal.SIGHUP)


def restarted(cell, number=1):
    return lambda: f"· {number} restart" in cell.text


def restart(kernel, cell, number=1):
    hang_up(kernel)
    kernel.wait(restarted(cell, number))


# -- decide ------------------------------------------------------------------------------------------------------------


def test_what_a_cell_replaces_holds_no_restart_back(kernel, project, watching):
    """As a fake clock does, or gevent."""
    kernel.run(
        "import select, threading, time, _thread\nnow = time.monotonic()\ndef fail(*_): raise RuntimeError('fails')\n"
        "time.monotonic = time.time = time.sleep = lambda *_, now=now: now\n"
        "select.poll = threading._start_new_thread = _thread.start_new_thread = fail"
    )
    project.save("src/a.py", "V = 2\n")
    kernel.wait(restarted(watching))
    assert kernel.run("import time; print(time.sleep)").streams() == "<built-in function sleep>\n"


def test_a_long_call_of_c_delays_the_restart_and_nothing_is_lost(kernel, project, watching):
    said = []
    kernel.on_show = lambda _, text: said.append(text)
    with busy(kernel, project, then="print('after')") as cell:
        behind = kernel.send("print('behind')")
        project.save("src/a.py", "V = 2\n")
        pass_time(2)  # the signal comes meanwhile
    kernel.wait(restarted(watching))
    assert (cell.streams(), behind.streams()) == ("after\n", "behind\n")
    assert any("waiting for" in text for text in said)


def test_interrupting_ends_the_running_cell_and_runs_those_behind_it_after_the_restart(kernel, project):
    watching = kernel.run("%watch_restart src/ --on-busy interrupt")
    kernel.wait(lambda: "running" in watching.text)  # what changes earlier is what it begins with
    kernel.run("x = 1")
    running = kernel.send("import time; print('begun'); time.sleep(60)")
    kernel.wait(lambda: "begun" in running.text)
    rest = [kernel.send(f"print({number}, 'x' in globals())") for number in range(20)]
    project.save("src/a.py", "V = 2\n")
    kernel.wait(restarted(watching))
    kernel.wait(lambda: all(cell.done for cell in (running, *rest)))
    assert running.reply["status"] == "error"
    assert "KeyboardInterrupt" in running.error
    assert [cell.streams() for cell in rest] == [f"{number} False\n" for number in range(20)]


def test_an_asynchronous_cell_is_interrupted_too(kernel, project):
    watching = kernel.run("%watch_restart src/ --on-busy interrupt")
    running = kernel.send("import asyncio; print('begun'); [await asyncio.sleep(0.1) for _ in range(600)]")
    kernel.wait(lambda: "begun" in running.text)
    hang_up(kernel)
    kernel.wait(restarted(watching))
    assert running.reply["status"] == "error"


def test_an_open_input_is_waited_for(kernel, project, watching):
    cell = kernel.send("print('hello', input())", allow_stdin=True)
    message = kernel.client.get_stdin_msg(timeout=DEADLINE)
    assert message["msg_type"] == "input_request"
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "waiting for cell 3" in watching.text)
    kernel.client.input("you")
    kernel.wait(restarted(watching))
    assert cell.streams() == "hello you\n"


def test_cells_behind_are_waited_for_no_longer_than_said(kernel, project):
    watching = kernel.run("%watch_restart src/ --busy-timeout 0.3")
    kernel.run("x = 1")
    running = kernel.send("import time; print('begun'); time.sleep(0.2)")
    kernel.wait(lambda: "begun" in running.text)
    cells = [kernel.send("import time; time.sleep(0.1); print('x' in globals())") for _ in range(20)]
    hang_up(kernel)
    kernel.wait(lambda: all(cell.done for cell in cells))
    shown = [cell.streams() for cell in cells]
    assert shown == sorted(shown, reverse=True)
    assert {"True\n", "False\n"} == set(shown)
    kernel.wait(restarted(watching))


@pytest.mark.timing
def test_a_run_all_that_sends_the_next_cell_after_the_reply_is_not_torn(kernel, project, watching):
    run = functools.partial(kernel.client.execute, reply=True, timeout=60)
    for code in ("x = 1", "y = 2"):  # which teach the pace
        run(code)
        pass_time(0.06)
    for number in (2, 3):
        project.save("src/a.py", f"V = {number}\n")
        for code in ("import time; time.sleep(0.2)", "1", "2", "3", "z = x + y"):
            assert run(code)["content"]["status"] == "ok"
            pass_time(0.06)
        kernel.wait(restarted(watching, number - 1))
        run("x = 1; y = 2")


def test_silent_requests_hold_no_restart_off(kernel, project, watching):
    cell = kernel.send("import time; print('begun'); time.sleep(0.3)")
    kernel.wait(lambda: "begun" in cell.text)
    project.save("src/a.py", "V = 2\n")
    asked = []
    ask = functools.partial(kernel.client.execute, "1", silent=True)
    kernel.wait(lambda: restarted(watching)() or asked.append(ask()), timeout=DEADLINE)
    assert len(asked) > 5


# -- quiesce -----------------------------------------------------------------------------------------------------------


def test_twenty_megabytes_of_last_output_arrive(kernel, project, watching):
    cell = kernel.run(
        "import os, signal, sys\nos.kill(os.getpid(), signal.SIGHUP)\n"
        "for _ in range(20): sys.stdout.write('x' * 1_000_000)\nprint('END')"
    )
    kernel.wait(restarted(watching))
    assert len(cell.streams()) == 20_000_004
    assert cell.streams().endswith("END\n")


def test_a_control_request_during_the_restart_is_answered(kernel, project, watching):
    sent = []
    for number in range(40):
        message = kernel.client.session.msg("kernel_info_request")
        kernel.client.control_channel.send(message)
        sent.append(message["header"]["msg_id"])
        if number == 10:
            hang_up(kernel)
        pass_time(0.01)
    answered = []
    kernel.wait(lambda: answered.extend(control_replies(kernel)) or len(answered) >= 40)
    assert answered == sent


def control_replies(kernel):
    while kernel.client.control_channel.msg_ready():
        yield kernel.client.get_control_msg(timeout=1)["parent_header"]["msg_id"]


def test_a_control_thread_that_is_busy_delays_the_restart(kernel, project, watching):
    kernel.run(
        "import os, time\ndef stay():\n    while not os.path.exists('go'): time.sleep(0.01)\n"
        "get_ipython().kernel.control_thread.io_loop.add_callback(stay)"
    )
    hang_up(kernel)
    kernel.wait(lambda: "waiting for a request of the control channel" in watching.text)
    held = kernel.send("print('held')")
    (project / "go").touch()
    kernel.wait(restarted(watching))
    kernel.wait(lambda: held.done)
    assert held.streams() == "held\n"
    kernel.client.control_channel.send(kernel.client.session.msg("kernel_info_request"))
    assert kernel.client.get_control_msg(timeout=DEADLINE)["msg_type"] == "kernel_info_reply"


def test_a_shutdown_during_the_restart_is_obeyed(start_kernel, project):
    with start_kernel() as player:
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/")
        player.wait(lambda: "running" in watching.text)
        hang_up(player)
        eventually(lambda: any("bootstrap.py" in word for word in psutil.Process(player.pid).cmdline()))
        player.manager.shutdown_kernel()
        assert not player.manager.is_alive()


def test_subshells_keep_their_ids(kernel, project, watching):
    features = kernel.client.kernel_info(reply=True)["content"].get("supported_features", ())
    if "kernel subshells" not in features:
        pytest.skip("this ipykernel has no subshells")
    control = kernel.client.control_channel
    control.send(kernel.client.session.msg("create_subshell_request"))
    subshell = kernel.client.get_control_msg(timeout=DEADLINE)["content"]["subshell_id"]
    cell = kernel.send("print('before')", subshell_id=subshell)
    kernel.wait(lambda: cell.done)
    restart(kernel, watching)
    cell = kernel.send("print('after')", subshell_id=subshell)
    kernel.wait(lambda: cell.done)
    assert cell.streams() == "after\n"


def test_a_cell_of_a_subshell_is_waited_for(kernel, project, watching):
    features = kernel.client.kernel_info(reply=True)["content"].get("supported_features", ())
    if "kernel subshells" not in features:
        pytest.skip("this ipykernel has no subshells")
    control = kernel.client.control_channel
    control.send(kernel.client.session.msg("create_subshell_request"))
    subshell = kernel.client.get_control_msg(timeout=DEADLINE)["content"]["subshell_id"]
    cell = kernel.send("import time; print('begun'); time.sleep(1); print('ended')", subshell_id=subshell)
    kernel.wait(lambda: "begun" in cell.text)
    hang_up(kernel)
    kernel.wait(restarted(watching))
    assert cell.streams() == "begun\nended\n"


def test_comms_are_closed(kernel, project, watching):
    kernel.run("from comm import create_comm\nc = create_comm(target_name='anything')")
    page = kernel.manager.blocking_client()
    page.start_channels(shell=False, stdin=False, hb=False, control=False)
    kernel.run("1")  # by now it has subscribed
    restart(kernel, watching)
    kinds = []
    while not kinds or kinds[-1] != "comm_close":
        kinds.append(page.get_iopub_msg(timeout=DEADLINE)["msg_type"])
    page.stop_channels()


def test_a_restart_with_the_debugger_attached(kernel, project, watching):
    def debug(command, number, **arguments):
        content = {"type": "request", "seq": number, "command": command, "arguments": arguments}
        message = kernel.client.session.msg("debug_request", content)
        kernel.client.control_channel.send(message)
        while True:
            reply = kernel.client.get_control_msg(timeout=DEADLINE)
            if reply["parent_header"]["msg_id"] == message["header"]["msg_id"]:
                return reply["content"]

    for number in (1, 2):
        assert debug("initialize", 1, **HELLO)["success"]
        assert debug("attach", 2)["success"]
        restart(kernel, watching, number)
        assert kernel.run("print('alive')").streams() == "alive\n"
    assert debug("initialize", 1, **HELLO)["success"]


HELLO = {"clientID": "test", "adapterID": "python", "pathFormat": "path", "linesStartAt1": True}


# -- end the old life --------------------------------------------------------------------------------------------------


def test_the_history_session_is_ended_with_the_last_cell_in_it(kernel, project, watching):
    number = kernel.run("print(get_ipython().history_manager.session_number)").streams().strip()
    kernel.run("the_very_last = 1")
    restart(kernel, watching)
    code = (
        "rows = list(get_ipython().history_manager.db.execute("
        f"'select end, num_cmds from sessions where session = {number}'))\n"
        "print(rows[0][0] is not None, rows[0][1] is not None)"
    )
    assert kernel.run(code).streams() == "True True\n"
    assert "the_very_last" in kernel.run("%history -g the_very").text


def test_an_exit_function_that_hangs_delays_the_restart_and_loses_nothing(kernel, project, watching):
    kernel.run("import ipy_autorestart.reexec.exec as leave; leave.END_MAX = 0.5")
    kernel.run("import atexit, time; atexit.register(time.sleep, 600)")
    hang_up(kernel)
    cells = [kernel.send(f"print({number})") for number in range(5)]
    kernel.wait(restarted(watching))
    kernel.wait(lambda: all(cell.done for cell in cells))
    assert [cell.streams() for cell in cells] == [f"{number}\n" for number in range(5)]


def test_what_exit_functions_print_is_shown_once(kernel, project, watching):
    cell = kernel.run("import atexit; registered = atexit.register(print, 'bye')")
    restart(kernel, watching)
    kernel.wait(lambda: "bye" in cell.text)
    assert cell.streams().count("bye") == 1


def test_a_hangup_just_before_the_loop_falls_asleep_is_served(kernel, project, watching):
    """Python notes such a signal, and nothing wakes the loop: so it is with one that is only noted."""
    kernel.run(
        "import _thread, signal, threading, time\n"
        "def late(): time.sleep(0.05); _thread.interrupt_main(signal.SIGHUP)\n"
        "threading.Thread(target=late).start()"
    )
    kernel.wait(restarted(watching))


def test_detached_children_live_on_and_others_end(kernel, project, watching):
    cell = kernel.run(
        "import subprocess\nown = subprocess.Popen(['sleep', '61'])\n"
        "gone = subprocess.Popen(['true'])\nfar = subprocess.Popen(['sleep', '62'], start_new_session=True)\n"
        "import concurrent.futures, multiprocessing, time\ncontext = multiprocessing.get_context('fork')\n"
        "forked = context.Process(target=time.sleep, args=[60])\nforked.start()\n"
        "pool = concurrent.futures.ProcessPoolExecutor(1, mp_context=context)\nlist(pool.map(abs, [1]))\n"
        "print(far.pid, own.pid, gone.pid, forked.pid, *pool._processes)"
    )
    far, *others = map(int, cell.streams().split())
    restart(kernel, watching)
    assert not any(map(psutil.pid_exists, others))
    assert psutil.Process(far).is_running()
    psutil.Process(far).kill()


def test_what_cleans_up_after_the_kernel_is_let_do_so(project, start_kernel):
    errors = (project / "errors").open("w+")
    with start_kernel(stderr=errors) as player:
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/")
        player.wait(lambda: "running" in watching.text)
        cell = player.run(
            "from multiprocessing import Manager, Pool, resource_tracker\nimport atexit, os\n"
            "from multiprocessing.shared_memory import SharedMemory\n"
            "left, removed = (SharedMemory(create=True, size=100) for _ in range(2))\natexit.register(removed.unlink)\n"
            "manager, pool = Manager(), Pool(2)\nassert pool.map(abs, [-1]) == [1]\n"
            "print(left.name, removed.name, os.path.dirname(manager.address), resource_tracker._resource_tracker._pid)"
        )
        left, removed, folder, tracker = cell.streams().split()
        assert os.path.exists(f"/dev/shm/{left}")
        assert os.path.exists(folder)
        restart(player, watching)
        player.run("1")
        assert not [path for path in (f"/dev/shm/{left}", f"/dev/shm/{removed}", folder) if os.path.exists(path)]
        assert not psutil.pid_exists(int(tracker))
        assert "resource_tracker" not in cell.streams()
        errors.seek(0)
        assert "resource_tracker" not in errors.read()
    errors.close()


def test_a_forked_child_that_has_detached_itself_holds_no_ports(kernel, project, watching):
    kernel.run("import os, time\npid = os.fork()\nif not pid:\n    os.setsid()\n    time.sleep(30)\n    os._exit(0)")
    pid = int(kernel.run("print(pid)").streams())
    second = kernel.manager.blocking_client()
    second.start_channels()
    try:
        second.wait_for_ready(timeout=30)
        for number in (1, 2):
            restart(kernel, watching, number)
            assert kernel.run("print('first')").streams() == "first\n"
            assert second.execute("1", reply=True, timeout=DEADLINE)["content"]["status"] == "ok"
    finally:
        second.stop_channels()
        os.kill(pid, signal.SIGKILL)


# -- exec --------------------------------------------------------------------------------------------------------------


def test_the_new_image_takes_as_many_requests_as_come(kernel, project, watching):
    restart(kernel, watching)
    sockets = "[getattr(get_ipython().kernel.parent, f'{one}_socket').rcvhwm for one in ('shell', 'control', 'stdin')]"
    assert kernel.run(sockets).text == "[0, 0, 0]"


#: Counts the images of each process, in a file of its number.
COUNT_IMAGES = "import os\nwith open(os.path.join({!r}, str(os.getpid())), 'a') as file: file.write('x')\n"


def test_a_signal_at_any_moment_of_the_start_is_one_more_restart(start_kernel, project, monkeypatch):
    images = project.parent / f"{project.name}-images"
    images.mkdir()
    (images / "sitecustomize.py").write_text(COUNT_IMAGES.format(str(images)))
    monkeypatch.setenv("PYTHONPATH", str(images))
    with start_kernel() as player:
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/")
        player.wait(lambda: "running" in watching.text)
        for number, delay in enumerate([0.0, 0.1, 0.3]):
            before = (images / str(player.pid)).stat().st_size
            hang_up(player)
            eventually(lambda before=before: (images / str(player.pid)).stat().st_size > before)
            pass_time(delay)
            hang_up(player)
            player.wait(restarted(watching, 2 * number + 2))
        assert player.run("print('alive')").streams() == "alive\n"


def test_a_burst_of_signals_is_survived(kernel, project, watching):
    for _ in range(50):
        hang_up(kernel)
    kernel.wait(lambda: re.search(r"· \d+ restart", watching.text))  # perhaps one more comes at once
    for _ in range(300):  # one in each millisecond of a start
        hang_up(kernel)
        pass_time(0.001)
    kernel.wait(lambda: "restart" in watching.text and "running" in watching.text)
    assert kernel.run("print('alive')").streams() == "alive\n"


def test_flags_and_arguments_are_those_of_the_start(project, start_kernel):
    manager = KernelManager()
    manager.kernel_spec.argv[1:1] = ["-W", "error::FutureWarning", "-X", "utf8=1"]
    with start_kernel(manager=manager) as player:
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/")
        code = "import sys; print(sys.orig_argv, sys.argv, sys.warnoptions, sys._xoptions, __name__)"
        before = player.run(code).streams()
        restart(player, watching)
        assert player.run(code).streams() == before


def test_a_client_that_read_nothing_in_the_restart_sees_what_it_asks_for(kernel, project, watching):
    """libzmq subscribes anew only when the client reads: here long after the kernel has given up waiting for it."""
    auxiliary = Path(f"/proc/{kernel.pid}/auxv")  # addresses, which are others in each image
    for pause in (0.0, 0.5):
        before = auxiliary.read_bytes()
        hang_up(kernel)
        eventually(lambda before=before: auxiliary.read_bytes() != before)
        other = kernel.manager.blocking_client()
        other.start_channels(shell=False, iopub=False, stdin=False, hb=False)
        other.control_channel.send(other.session.msg("kernel_info_request"))
        assert other.get_control_msg(timeout=DEADLINE)  # the kernel has started
        other.stop_channels()
        cell = kernel.send("print('seen')")
        pass_time(pause)
        kernel.wait(lambda cell=cell: cell.done)
        assert cell.streams() == "seen\n"


def test_inheritable_descriptors_do_not_pile_up(kernel, project, watching):
    def null_files():
        links = Path(f"/proc/{kernel.pid}/fd").iterdir()
        return sum(os.path.lexists(link) and os.readlink(link) == "/dev/null" for link in links)

    restart(kernel, watching)
    before = null_files()
    kernel.run("import os\nn = os.open('/dev/null', 0); os.set_inheritable(n, True)")
    assert null_files() == before + 1
    restart(kernel, watching, 2)
    kernel.run("1")
    assert null_files() == before


#: What a cell may change of the process, and what is shown of it.
CHANGED = """
import os, resource
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
with open("/proc/self/statm") as file: used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 4_000_000, hard))
os.umask(0o077)
os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
"""
SHOWN = """
import os, resource
from ipy_autorestart.reexec.surroundings import read_all
print(sorted(read_all((1, 2)).items()))
"""


def test_limits_and_the_like_that_a_cell_sets_end_with_the_kernels_life(kernel, project, watching):
    before = kernel.run(SHOWN).streams()
    kernel.run(CHANGED)
    for number in (1, 2):
        restart(kernel, watching, number)
        assert kernel.run(SHOWN).streams() == before


def test_clients_find_a_kernel_whose_connection_file_is_gone_or_broken(kernel, project, watching):
    file = Path(kernel.manager.connection_file)
    before = json.loads(file.read_text())
    for number, harm in enumerate((os.unlink, lambda path: path.write_text("no JSON")), 1):
        harm(file)
        restart(kernel, watching, number)
        assert kernel.run("print('same client')").streams() == "same client\n"
        assert json.loads(file.read_text()) == before
    other = BlockingKernelClient(connection_file=str(file))
    other.load_connection_file()
    other.start_channels()
    until_ready(other)
    other.stop_channels()


@pytest.mark.timeout(120 + 2 * RESTARTS)
def test_many_restarts_leave_everything_as_after_the_first(kernel, project, watching):
    def processes():
        process = psutil.Process(kernel.pid)
        return {"the kernel": process, "the supervisor": supervisors(kernel.pid)[0]}

    restart(kernel, watching)
    kernel.run("1")
    first = plateau = Plateau(processes)
    for number in range(2, RESTARTS + 1):
        restart(kernel, watching, number)
        kernel.run("1")
        eventually(lambda: not first.more(), what=first.more)  # what has answered may be about to go
        if number == RESTARTS // 5:
            plateau = Plateau(processes)
    sys.stdout.write(f"after {RESTARTS} restarts: {first.held}, memory {plateau.memory}, grown {plateau.growth()}\n")
    assert max(plateau.growth().values()) < 1.1


def test_a_deleted_folder_and_a_module_of_a_dangerous_name_do_no_harm(kernel, project, watching):
    (project / "sub").mkdir()
    kernel.run("%cd -q sub")
    project.save("sub/pathlib.py", "1/0")
    restart(kernel, watching)
    kernel.run("import os; os.makedirs('gone'); os.chdir('gone'); os.rmdir('../gone')")
    restart(kernel, watching, 2)
    assert kernel.run("import os; print(os.getcwd())").streams() == f"{project}\n"


def test_what_a_cell_leaves_that_can_not_be_looked_at_does_no_harm(kernel, project, watching):
    weak = kernel.send("import weakref\nclass A: pass\na = A(); p = weakref.proxy(a); p.x = 1; del a", cell_id="weak")
    queued = kernel.send("import os; os.getpid()", cell_id="queued")
    kernel.wait(lambda: weak.done and queued.done)
    assert queued.text == str(kernel.pid)
    restart(kernel, watching)  # which waits for what is in progress


def test_a_kernel_that_owns_its_connection_file_keeps_it_and_removes_it(project):
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ipykernel_launcher", "-f", "own.json"],
        env={**environment, "JUPYTER_RUNTIME_DIR": str(project)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    file = project / "own.json"
    try:
        eventually(lambda: file.exists() and file.read_text().endswith("}"), timeout=30)
        before = file.read_text()
        client = BlockingKernelClient()
        client.load_connection_file(str(file))
        client.start_channels()
        until_ready(client)
        client.execute(
            "%load_ext ipy_autorestart\n%watch_restart src/ --busy-timeout 0\n%cd -q /", reply=True, timeout=30
        )
        for _ in range(2):
            os.kill(process.pid, signal.SIGHUP)
            eventually(lambda: client.execute("1", reply=True, timeout=30)["content"]["execution_count"] == 1)
        assert file.read_text() == before
        client.shutdown()
        process.wait(DEADLINE)
        client.stop_channels()
        client.context.destroy()
        assert not file.exists()
    finally:
        process.kill()
        process.wait()


# -- resume ------------------------------------------------------------------------------------------------------------


def test_a_startup_file_that_watches_is_not_doubled(start_kernel, project):
    arguments = ["--ext=ipy_autorestart", "--InteractiveShellApp.exec_lines=%watch_restart src/"]
    with start_kernel(extra_arguments=arguments) as player:
        for _ in range(2):
            hang_up(player)
            eventually(lambda: any("bootstrap.py" in word for word in psutil.Process(player.pid).cmdline()))
            assert len(re.findall("^kernel ", player.run("%watch_status").text, re.MULTILINE)) == 1
        assert len(supervisors(player.pid)) == 1


def test_what_a_startup_file_watches_gives_the_signal_back(start_kernel, project):
    arguments = ["--ext=ipy_autorestart", "--InteractiveShellApp.exec_lines=%watch_restart src/"]
    with start_kernel(extra_arguments=arguments) as player:
        hang_up(player)
        eventually(lambda: any("bootstrap.py" in word for word in psutil.Process(player.pid).cmdline()))
        player.run("%unwatch")
        cell = player.run("import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)")
        assert cell.streams() == "True\n"


def test_a_screen_of_somebodys_own_stays_behind_and_the_watch_goes_on(kernel, project):
    kernel.run(
        "from ipy_autorestart import Kernel, Supervisor\n"
        "class Mine:\n    takes_all = False\n    def show(self, status): pass\n    def begin(self, run): pass\n"
        "    def write(self, stream, text): pass\n    def to_state(self): return {'mine': 1}\n"
        "Supervisor(Kernel(), ['src/'], screen=Mine()).start()"
    )
    runs = (
        "from ipy_autorestart.extension import session_of\n"
        "print([one.status.runs for one in session_of(get_ipython()).supervisors])"
    )

    def count():
        kernel.look_on(QUIET_MAX)  # cells without a pause are one batch, which a restart doesn't break
        return kernel.run(runs).streams()

    for number in (0, 1, 2):
        kernel.wait(lambda number=number: count() == f"[{number}]\n")
        hang_up(kernel)


def test_a_client_that_comes_later_is_welcomed(kernel, project, watching):
    if not kernel.run("import ipykernel; print(ipykernel.version_info[0])").text.startswith("7"):
        pytest.skip("this ipykernel welcomes nobody")
    early = listener(kernel)
    kernel.run("1")
    hang_up(kernel)
    # libzmq subscribes again only while the socket is used.
    kernel.wait(lambda: early.iopub_channel.msg_ready() is not None and restarted(watching)())
    early.stop_channels()
    late = listener(kernel)
    welcomed = []

    def subscribe_again():
        late.iopub_channel.socket.unsubscribe(b"topic")
        late.iopub_channel.socket.subscribe(b"topic")
        pass_time(0.1)
        while late.iopub_channel.msg_ready():
            welcomed.append(late.get_iopub_msg(timeout=1)["content"].get("subscription"))
        return "topic" in welcomed

    kernel.wait(subscribe_again)
    late.stop_channels()


def listener(kernel):
    page = kernel.manager.blocking_client()
    page.start_channels(shell=False, stdin=False, hb=False, control=False)
    page.iopub_channel.socket.subscribe(b"topic")
    return page


def test_an_image_that_cannot_start_ends_with_the_reason_on_its_real_stderr(project, start_kernel):
    errors = (project / "errors").open("w+")
    with start_kernel(stderr=errors) as player:
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/")
        player.wait(lambda: "running" in watching.text)
        player.run(
            "import ipy_autorestart.reexec.exec as d\ndef fail(*_): raise OSError('no exec')\nd.os.execve = fail"
        )
        hang_up(player)
        eventually(lambda: not player.manager.is_alive())
        errors.seek(0)
        assert "no exec" in errors.read()
        assert player.manager.provisioner.process.returncode == 70
    errors.close()


def test_a_failure_before_exec_leaves_the_kernel_as_it_was(kernel, project, watching):
    kernel.run(
        "x = 1\nfrom ipy_autorestart.pristine import os\ndef fail(*_): raise OSError('no memory')\n"
        "real, os.memfd_create = os.memfd_create, fail"
    )
    hang_up(kernel)
    kernel.wait(lambda: "no room for what the restart hands over (no memory)" in watching.text)
    assert kernel.run("os.memfd_create = real; print(x)").streams() == "1\n"
    restart(kernel, watching)


def test_an_image_that_fails_while_it_starts_ends_with_the_reason_on_its_real_stderr(project, start_kernel):
    errors = (project / "errors").open("w+")
    with start_kernel(stderr=errors) as player:
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/")
        player.wait(lambda: "running" in watching.text)
        project.save("ipykernel_launcher.py", "import sys; sys.exit('not today')")  # found first, as by python -m
        hang_up(player)
        eventually(lambda: not player.manager.is_alive())
        errors.seek(0)
        assert "not today" in errors.read()
        assert player.manager.provisioner.process.returncode == 1
    errors.close()


@pytest.mark.parametrize("seam", ["restarter.channels_of = lambda kernel: None", "leave.Sockets = fail"])
def test_where_a_seam_does_not_fit_it_restarts_plainly_with_a_warning(kernel, project, seam):
    kernel.run(
        "import ipy_autorestart.kernel.restarter as restarter, ipy_autorestart.kernel.handover as leave, logging\n"
        "def fail(app): raise leave.NoSockets('not here')\n"
        f"{seam}\nlogging.basicConfig(filename='log')"
    )
    watching = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in watching.text)
    for number in (1, 2):
        restart(kernel, watching, number)
        assert kernel.run("print('alive')").streams() == "alive\n"
    assert "may be lost" in (project / "log").read_text()


def test_all_ways_to_print_work_after_three_restarts(kernel, project, watching):
    for number in (1, 2, 3):
        restart(kernel, watching, number)
    cell = kernel.run(
        "import ctypes, os, sys\nos.write(1, b'written\\n')\nprint('printed', file=sys.__stdout__, flush=True)\n"
        "libc = ctypes.CDLL(None)\nlibc.printf(b'by C\\n')\nlibc.fflush(None)\n"
        "for _ in range(40): os.write(1, b'z' * 2000)"  # more than a pipe holds
    )
    kernel.wait(lambda: all(word in cell.streams() for word in ("written\n", "printed\n", "by C\n")))
    kernel.wait(lambda: cell.streams().count("z") == 80_000)


def test_what_comes_late_in_the_new_image_works_as_ever(kernel, project, watching):
    restart(kernel, watching)
    cell = kernel.run(
        "import gc, ipykernel.debugger, IPython.terminal.embed\n"
        "print(callable(IPython.embed), callable(IPython.terminal.embed.embed), gc.isenabled())\n"
        "print(IPython.terminal.embed.InteractiveShellEmbed.__module__, ipykernel.debugger.VariableExplorer.__module__)"
    )
    assert cell.streams() == "True True True\nIPython.terminal.embed ipykernel.debugger\n"
