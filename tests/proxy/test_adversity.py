"""Clients that misbehave and moments that are unlucky: a proxy serves the others, and nothing is lost or done twice."""

import os
import shutil
import signal
import threading

import psutil
import pytest
import zmq
from behind import Behind
from processes import children_with, kill
from waiting import DEADLINE, eventually, pass_time

from ipy_autorestart.proxy.proxy import END_MAX

pytestmark = pytest.mark.e2e


@pytest.fixture
def behind(kernel, project):
    return Behind(kernel, project)


def another_client(kernel):
    client = kernel.manager.blocking_client()
    client.context = zmq.Context()
    client.session.copy_threshold = 1 << 30  # pyzmq keeps a thread for ever for what isn't copied
    client.start_channels(hb=False)
    return client


def leave(client):
    client.stop_channels()
    client.context.destroy(0)


FORK = "#| rerun: false\nimport os, time\nif not (child := os.fork()):\n    {way}\n    time.sleep(600)\nprint(child)"


def test_a_child_that_outlives_the_kernel_holds_nothing_up(behind, kernel):
    ours, daemon = (int(kernel.run(FORK.format(way=way)).streams()) for way in ("pass", "os.setsid()"))
    cell = kernel.send("os.kill(os.getpid(), 9)")
    kernel.wait(lambda: cell.done)
    assert cell.error.startswith("KernelDied")
    assert kernel.run("1 + 1").text == "2"
    eventually(lambda: not psutil.pid_exists(ours), what="the end of what it has left in its group, as at a restart")
    os.kill(daemon, signal.SIGKILL)


#: Has a kernel die when it has said all to the proxy, which is stopped meanwhile.
DIES_AT_ONCE = """\
from ipy_autorestart.wire.link import Leaving, Link
def send(self, word, fds=(), *, send=Link.send, kind=Leaving):
    import os, signal
    if isinstance(word, kind):
        os.kill(os.getppid(), signal.SIGSTOP)
    send(self, word, fds)
def die(self):
    import os, signal, time
    time.sleep(0.5)  # until all is sent
    os.kill(os.getpid(), signal.SIGKILL)
Link.send, Link.wait_for_end = send, die
"""


def test_a_kernel_that_dies_before_its_last_words_are_heard_is_done_with(behind, kernel, project):
    proxy, live = psutil.Process(kernel.pid), behind.live
    kernel.run("#| rerun: false\n" + DIES_AT_ONCE)
    project.save("src/a.py", "V = 3\n")
    eventually(lambda: psutil.Process(live).status() == psutil.STATUS_ZOMBIE, what="its end")
    proxy.resume()
    kernel.wait(lambda: "value 3" in behind.use.text)
    pass_time(END_MAX + 1)  # after which it would be killed
    began = sum(proxy.cpu_times()[:2])
    pass_time(2)
    assert sum(proxy.cpu_times()[:2]) - began < 0.2  # seconds: it waits


PRINTS = """
import os, time
while not os.path.exists("go"):
    time.sleep(0.01)
os.remove("go")
for number in range(60):
    print(number, flush=True)
"""


def test_a_reply_comes_behind_what_its_cell_has_printed_though_the_proxy_was_held_up(behind, kernel):
    """As from a kernel itself: a console, for one, goes on to its prompt then.

    They come by two connections, so some of it may reach the client itself a moment later.
    """
    proxy, client, before = psutil.Process(kernel.pid), another_client(kernel), []
    try:
        for _ in range(5):
            client.execute(PRINTS)
            while "execute_input" not in client.get_iopub_msg(timeout=DEADLINE)["msg_type"]:
                pass
            proxy.suspend()
            (behind.project / "go").touch()
            eventually(lambda: not (behind.project / "go").exists())
            pass_time(0.3)  # until all is sent
            proxy.resume()
            client.get_shell_msg(timeout=DEADLINE)
            seen = []
            while client.iopub_channel.msg_ready():
                seen.append(client.get_iopub_msg())
            before.append(sum(message["msg_type"] == "stream" for message in seen))
            while not any(message["content"].get("execution_state") == "idle" for message in seen):
                seen.append(client.get_iopub_msg(timeout=DEADLINE))
        assert sorted(before)[1] > 30, before
    finally:
        proxy.resume()
        leave(client)


def test_a_watch_that_has_ended_does_not_come_back_with_a_crash(behind, kernel):
    assert kernel.run("%unwatch").error == ""
    cell = kernel.send("import os; os._exit(3)")
    kernel.wait(lambda: cell.done)
    assert cell.error.startswith("KernelDied")
    assert kernel.run("%watch_status").text.startswith("nothing is watched")
    assert kernel.run("'a' in globals()").text == "False"
    assert "has ended" not in behind.watching.text


def test_a_kernel_that_cannot_be_started_at_once_is_started_later(behind, kernel):
    proxy = psutil.Process(kernel.pid)
    limits = proxy.rlimit(psutil.RLIMIT_NOFILE)
    live = behind.live
    proxy.rlimit(psutil.RLIMIT_NOFILE, (max(int(fd) for fd in os.listdir(f"/proc/{kernel.pid}/fd")) + 2, limits[1]))
    try:
        ours = children_with("bootstrap.py", kernel.pid)
        kill(ours)
        psutil.wait_procs(ours, timeout=DEADLINE)
        assert proxy.is_running()
        cell = kernel.send("__import__('os').getpid()")
    finally:
        proxy.rlimit(psutil.RLIMIT_NOFILE, limits)
    kernel.wait(lambda: cell.done)
    assert cell.text.isdigit()
    assert int(cell.text) != live


def test_a_folder_that_was_cleaned_up_is_made_anew(behind, kernel):
    folder = behind.folder
    assert os.listdir(folder)
    for value in (3, 4, 5):  # the first one that waits has started
        shutil.rmtree(folder)
        behind.save(value)
        assert behind.use.streams() == f"value {value}\n"
        eventually(lambda: os.path.exists(folder), what="the next one to be started")


def test_an_environment_of_any_size_is_no_harm(start_kernel, project, monkeypatch):
    monkeypatch.setenv("LARGE", "x" * 100_000)
    with start_kernel() as kernel:
        behind = Behind(kernel, project)
        behind.save(3)
        assert behind.use.streams() == "value 3\n"


def test_clients_that_come_and_go_during_switches_do_no_harm(behind, kernel):
    done = threading.Event()

    def come_and_go():
        while not done.is_set():
            client = another_client(kernel)
            client.kernel_info()
            leave(client)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for value in range(3, 8):
            behind.save(value)
            assert behind.use.streams() == f"value {value}\n"
    finally:
        done.set()
        thread.join()


UNTIL_INTERRUPTED = """
#| rerun: false
import sys, time
n = 0
for _ in range(2):
    try:
        sys.stdout.write('go\\n')
        sys.stdout.flush()
        time.sleep(0.1 if n else 30)
    except KeyboardInterrupt:
        n += 1
print('interrupts', n)
"""


def test_an_interrupt_at_any_moment_of_a_switch_stops_at_most_the_running_cell_and_once(behind, kernel):
    def interrupt_by_message():
        kernel.client.control_channel.send(kernel.client.session.msg("interrupt_request", {}))
        assert kernel.client.get_control_msg(timeout=DEADLINE)["content"]["status"] == "ok"

    for interrupt in (kernel.manager.interrupt_kernel, interrupt_by_message):
        for milliseconds in (0, 5, 20, 50, 100):
            os.kill(kernel.pid, signal.SIGHUP)
            kernel.look_on(milliseconds / 1000)
            interrupt()  # of no cell
            assert kernel.run("#| rerun: false\n'not interrupted'").text == "'not interrupted'"
            os.kill(kernel.pid, signal.SIGHUP)
            kernel.look_on(milliseconds / 1000)
            cell = kernel.send(UNTIL_INTERRUPTED)
            kernel.wait(lambda cell=cell: "go" in cell.text)
            interrupt()
            kernel.wait(lambda cell=cell: cell.done)
            assert cell.streams() == "go\ngo\ninterrupts 1\n"
    kernel.look_on(0.5)  # an interrupt just before a save is for the cells that run again
    kernel.wait(lambda: "· running ·" in behind.watching.text)
    behind.project.save("src/a.py", "V = 9\n")
    kernel.wait(lambda: behind.use.streams() == "value 9\n")


DEAF = "#| rerun: false\nimport signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP]);"


def test_a_hangup_is_heard_that_comes_after_what_wakes_the_kernel_for_it(behind, kernel):
    kernel.run(DEAF)  # another thread than the main one gets it, while that sleeps
    kernel.wait(lambda: "· running ·" in behind.watching.text)
    kernel.look_on(0.5)  # until the loop has nothing to do
    proxy, live = psutil.Process(kernel.pid), psutil.Process(behind.live)
    proxy.suspend()  # by whose way it comes
    try:
        wakings = live.num_ctx_switches().voluntary
        behind.project.save("src/a.py", "V = 3\n")
        eventually(lambda: live.num_ctx_switches().voluntary > wakings, what="the main thread to be woken")
    finally:
        proxy.resume()
    behind.until_restarted()
    assert behind.use.streams() == "value 3\n"


def test_a_hangup_that_comes_to_a_kernel_which_leaves_is_the_next_ones(behind, kernel):
    kernel.run(f"#| rerun: false\nimport atexit, os, time\n{LEAVING}atexit.register(leave);")
    behind.project.save("src/a.py", "V = 3\n")
    behind.restarts += 1
    behind.until_restarted()
    assert behind.use.streams() == "value 3\n"


LEAVING = f"""
def leave():
    os.kill(os.getppid(), {signal.SIGHUP:d})
    [time.sleep(0.01) for _ in range(20)]
"""


def test_requests_that_come_while_no_kernel_is_there_wait_for_the_next(behind, kernel):
    killed = children_with("bootstrap.py", kernel.pid)
    kill(killed)
    eventually(lambda: not any(one.is_running() for one in killed))  # the proxy knows
    cells = [kernel.send(f"'cell {number}'") for number in range(20)]
    kernel.client.control_channel.send(kernel.client.session.msg("usage_request", {}))
    kernel.wait(lambda: all(cell.done for cell in cells))
    assert [cell.text for cell in cells] == [cell.code for cell in cells]
    assert kernel.client.control_channel.get_msg(timeout=DEADLINE)["content"]["pid"] == behind.live
