"""A kernel restarts under load: no request is lost, doubled or out of order, and each output stands under its cell."""

import os
import signal
import sys

import length
import pytest
from checkpointed import Checkpointed
from jupyter_client.manager import KernelManager
from traffic import Client

pytestmark = pytest.mark.e2e

#: Each takes half a second; behind a proxy, with what is waited for between them, a second.
RESTARTS, SWITCHES = length.restarts(4), length.restarts(2)

#: Bytes that the system takes of a request at once: most restarts meet one of which a part is sent.
PIECES = 1 << 15

#: Answers that each client gets from a kernel, on average, before that is followed by another.
ANSWERED = 5

#: Bytes of requests, in turn.
LARGE = (1_000_000, 0, 3_000_000, 0)


def restart(player, cell, number, clients=()):
    player.wait(lambda: sum(client.owed for client in clients) < 20)  # a life is too short for more and more
    os.kill(player.pid, signal.SIGHUP)
    player.wait(lambda: f"· {number} restart" in cell.text)


def watch(player, options=""):
    assert player.run("%load_ext ipy_autorestart").error == ""
    cell = player.run(f"%watch_restart src/ {options}")
    player.wait(lambda: "running" in cell.text)
    return cell


def manager(name):
    if name == "curve" and "curve" not in KernelManager().kernel_spec.metadata.get("supported_encryption", ()):
        pytest.skip("this ipykernel knows no CurveZMQ")
    manager = KernelManager(transport="ipc" if name == "ipc" else "tcp")
    if name == "curve":
        manager.transport_encryption = "required"
    return manager


def clients_of(player, **options):
    return [Client(player.manager, name, every=every, **options) for name, every in (("one", 0.06), ("two", 0.04))]


@pytest.mark.timeout(120 + 2 * RESTARTS)
@pytest.mark.parametrize("name", ["tcp", "ipc", "curve"])
def test_no_request_is_lost_under_load(start_kernel, name):
    with start_kernel(manager=manager(name)) as player:
        cell = watch(player, "--busy-timeout 0.1")
        clients = clients_of(player)
        for client in clients:
            client.start()
        for number in range(1, RESTARTS + 1):
            restart(player, cell, number, clients)
        wrong = [client.finish() for client in clients]
        assert wrong == [{}, {}]
        assert all(len(client.requests) > RESTARTS * 5 for client in clients)


@pytest.mark.timeout(120 + 3 * SWITCHES)
@pytest.mark.parametrize("name", ["tcp", "ipc", "curve"])
def test_no_request_is_lost_behind_a_proxy_under_load(start_kernel, name):
    with start_kernel(manager=manager(name)) as player:
        cell = watch(player, "--busy-timeout 0.1 --rerun all")
        clients = clients_of(player, owed_max=20, control=5)
        large = Client(player.manager, "three", every=0.1, sizes=LARGE, pieces=8 * PIECES, owed_max=10, control=2)
        for client in clients:
            client.start()
        restart(player, cell, 1)  # the process is a proxy by then
        clients.append(large)
        large.start()
        for number in range(2, SWITCHES + 1):
            player.wait(lambda least=(number - 1) * ANSWERED: all(len(client.order) >= least for client in clients))
            restart(player, cell, number)
        sent = {client.name: client.counts() for client in clients}
        sys.stdout.write(f"{SWITCHES} switches, {sent}\n")
        assert [client.finish() for client in clients] == [{}, {}, {}]


@pytest.mark.timeout(120 + 3 * SWITCHES)
def test_no_request_is_lost_when_kernels_go_back_under_load(start_kernel, project):
    with start_kernel() as player:
        life = Checkpointed(player, project, "--busy-timeout 0.1 --debounce 0.01 --rerun all")
        life.until_armed()
        life.load("load")
        life.do("use", "import a; print(a.V)")
        clients = clients_of(player, owed_max=20, control=5)
        clients.append(Client(player.manager, "three", every=0.1, sizes=LARGE, owed_max=10, control=2))
        for client in clients:
            client.start()
        for number in range(1, SWITCHES + 1):
            life.wait(lambda least=number * ANSWERED: all(len(client.order) >= least for client in clients))
            life.save("src/a.py", f"V = {number + 1}\n", again=True)
            assert life.shows("use") == f"{number + 1}\n"
        sent = {client.name: client.counts() for client in clients}
        sys.stdout.write(f"back {SWITCHES} times, {sent}\n")
        assert [client.finish() for client in clients] == [{}, {}, {}]
        assert life.runs("load") == 1


def test_large_requests_on_their_way_are_not_lost(start_kernel):
    with start_kernel() as player:
        cell = watch(player, "--busy-timeout 0.1")
        # In the very moment when it is cut off, the beginning of a large one would be lost: nothing is begun then.
        large = {"sizes": [300_000], "pieces": PIECES, "owed_max": 1}
        clients = [Client(player.manager, name, every=0, **large) for name in ("one", "two")]
        for client in clients:
            client.start()
        for number in range(1, 4):
            restart(player, cell, number, clients)
        assert [client.finish() for client in clients] == [{}, {}]


@pytest.mark.timeout(120 + 3 * SWITCHES)
def test_restarts_under_load_may_come_faster_than_kernels_start(start_kernel):
    with start_kernel() as player:
        cell = watch(player, "--busy-timeout 0.1 --rerun all")
        restart(player, cell, 1)
        clients = clients_of(player, owed_max=20, control=5)
        for client in clients:
            client.start()
        for _ in range(4 * SWITCHES):
            os.kill(player.pid, signal.SIGHUP)
            player.look_on(0.1)
        assert [client.finish() for client in clients] == [{}, {}]
