"""Clients that misbehave and moments that are unlucky: a proxy serves the others, and nothing is lost or done twice."""

import os
import signal
import threading

import psutil
import pytest
import zmq
from behind import Behind
from waiting import eventually

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
    kernel.wait(lambda: cell.reply is not None, timeout=20)
    assert cell.error.startswith("KernelDied")
    assert kernel.run("1 + 1").text == "2"
    eventually(lambda: not psutil.pid_exists(ours), what="the end of what it has left in its group, as at a restart")
    os.kill(daemon, signal.SIGKILL)


def test_a_watch_that_has_ended_does_not_come_back_with_a_crash(behind, kernel):
    assert kernel.run("%unwatch").error == ""
    cell = kernel.send("import os; os._exit(3)")
    kernel.wait(lambda: cell.reply is not None)
    assert cell.error.startswith("KernelDied")
    assert kernel.run("%watch_status").text.startswith("nothing is watched")
    assert kernel.run("'a' in globals()").text == "False"
    assert "has ended" not in behind.watching.text


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
