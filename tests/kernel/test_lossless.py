"""A kernel restarts under load: no request is lost, doubled or out of order, and each output stands under its cell."""

import os
import signal

import length
import pytest
from jupyter_client.manager import KernelManager
from traffic import Client

pytestmark = pytest.mark.e2e

#: Each takes half a second.
RESTARTS = length.restarts(4)

#: Bytes that the system takes of a request at once: most restarts meet one of which a part is sent.
PIECES = 1 << 15


def restart(player, cell, number, clients):
    player.wait(lambda: sum(client.owed for client in clients) < 20)  # a life is too short for more and more
    os.kill(player.pid, signal.SIGHUP)
    player.wait(lambda: f"· {number} restart" in cell.text)


def watch(player, options=""):
    assert player.run("%load_ext ipy_autorestart").error == ""
    cell = player.run(f"%watch_restart src/ {options}")
    player.wait(lambda: "running" in cell.text)
    return cell


def transport(name):
    def make():
        manager = KernelManager(transport="ipc" if name == "ipc" else "tcp")
        if name == "curve":
            manager.transport_encryption = "required"
        return manager

    return make


@pytest.mark.timeout(60 + 2 * RESTARTS)
@pytest.mark.parametrize("name", ["tcp", "ipc", "curve"])
def test_no_request_is_lost_under_load(start_kernel, name):
    if name == "curve" and "curve" not in KernelManager().kernel_spec.metadata.get("supported_encryption", ()):
        pytest.skip("this ipykernel knows no CurveZMQ")
    with start_kernel(manager=transport(name)()) as player:
        cell = watch(player, "--busy-timeout 0.1")
        clients = [Client(player.manager, "one", every=0.03), Client(player.manager, "two", every=0.02)]
        for client in clients:
            client.start()
        for number in range(1, RESTARTS + 1):
            restart(player, cell, number, clients)
        wrong = [client.finish() for client in clients]
        assert wrong == [{}, {}]
        assert all(len(client.requests) > RESTARTS * 10 for client in clients)


def test_large_requests_on_their_way_are_not_lost(start_kernel):
    with start_kernel() as player:
        cell = watch(player, "--busy-timeout 0.1")
        # In the very moment when it is cut off, the beginning of a large one would be lost: nothing is begun then.
        large = {"padding": 300_000, "pieces": PIECES, "patient": True}
        clients = [Client(player.manager, name, every=0, **large) for name in ("one", "two")]
        for client in clients:
            client.start()
        for number in range(1, 4):
            restart(player, cell, number, clients)
        assert [client.finish() for client in clients] == [{}, {}]
