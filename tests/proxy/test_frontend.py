"""The clients' side of a proxy, with clients of jupyter_client."""

import contextlib
import socket

import psutil
import pytest
import zmq
from fronts import CHANNELS
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from waiting import eventually, pass_time

from ipy_autorestart.proxy.book import Lost, Request
from ipy_autorestart.proxy.crash import answer_lost, describe
from ipy_autorestart.proxy.forward import plain, received
from ipy_autorestart.proxy.frontend import Frontend
from ipy_autorestart.reexec.process import ListeningSocket
from ipy_autorestart.wire.messages import OWN


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@contextlib.contextmanager
def connected(context, connection, listeners=()):
    frontend = Frontend(context, connection, listeners)
    client = BlockingKernelClient()
    client.load_connection_info(connection)
    client.start_channels(hb=False)
    try:
        yield frontend, client
    finally:
        client.stop_channels()
        client.context.destroy(0)
        frontend.close()


@pytest.fixture
def connection(tmp_path, own_ports):
    ports = {f"{channel}_port": own_ports.find_available_port("127.0.0.1") for channel in CHANNELS}
    _, found = write_connection_file(str(tmp_path / "connection.json"), key=b"secret", **ports)
    return {**found, "key": "secret"}


def request_of(frontend, channel="shell"):
    [frames] = eventually(lambda: list(received(frontend.sockets[channel])))
    return plain(frames)


def subscribe(frontend, *, welcome=False):
    def subscribed():
        frontend.note_subscriptions(welcome=welcome)
        return bool(frontend._subscribers._topics)

    eventually(subscribed)


def test_requests_arrive_and_messages_of_its_own_are_understood(context, connection):
    with connected(context, connection) as (frontend, client):
        number = client.execute("1")
        assert number.encode() in b"".join(request_of(frontend))
        subscribe(frontend)
        frontend.publish("status", {"execution_state": "idle"}, parent={"msg_id": number})
        message = client.get_iopub_msg(timeout=30)
        assert message["content"] == {"execution_state": "idle"}
        assert message["parent_header"]["msg_id"] == number


def test_who_subscribes_is_welcome_where_the_kernel_would_say_so(context, connection):
    with connected(context, connection) as (frontend, client):
        subscribe(frontend, welcome=True)
        assert client.get_iopub_msg(timeout=30)["msg_type"] == "iopub_welcome"


def test_heartbeats_come_back(context, connection):
    frontend = Frontend(context, connection, ())
    with zmq.Context() as other, other.socket(zmq.REQ) as heart:
        heart.connect(f"tcp://{connection['ip']}:{connection['hb_port']}")
        heart.send(b"ping")

        def answered():
            frontend.beat()
            return heart.poll(10)

        eventually(answered)
        assert heart.recv() == b"ping"
    frontend.close()


def test_who_leaves_before_his_heartbeat_is_answered_does_no_harm(context, connection):
    frontend = Frontend(context, connection, ())
    with zmq.Context() as other, other.socket(zmq.DEALER) as heart:
        heart.connect(f"tcp://{connection['ip']}:{connection['hb_port']}")
        heart.send(b"ping")
        assert frontend.sockets["hb"].poll(10_000)
    pass_time(0.1)
    frontend.beat()
    assert not frontend.sockets["hb"].poll(0)
    frontend.close()


def test_sockets_that_listen_already_are_taken_with_who_waits_there(context, connection):
    listeners = []
    for channel in ("shell", "iopub"):
        sock = socket.create_server((connection["ip"], connection[f"{channel}_port"]))
        listeners.append(ListeningSocket(channel, connection[f"{channel}_port"], sock.detach(), 1))
    client = BlockingKernelClient()
    client.load_connection_info(connection)
    client.start_channels(hb=False)
    number = client.execute("1")
    frontend = Frontend(context, connection, listeners)
    assert not frontend.are_back

    def are_back():
        frontend.note_subscriptions(welcome=False)
        frontend.connections.note()
        return frontend.are_back

    eventually(are_back)
    assert number.encode() in b"".join(request_of(frontend))
    client.stop_channels()
    client.context.destroy(0)
    frontend.close()


def test_answers_are_kept_in_order_for_who_is_not_back_and_nobody_else_waits(context, connection, monkeypatch):
    listener = socket.create_server((connection["ip"], connection["shell_port"])).detach()
    frontend = Frontend(context, connection, [ListeningSocket("shell", connection["shell_port"], listener, 1)])
    address = f"tcp://{connection['ip']}:{connection['shell_port']}"
    with zmq.Context() as theirs, theirs.socket(zmq.DEALER) as here, theirs.socket(zmq.DEALER) as late:
        here.routing_id, late.routing_id = b"here", b"late"
        here.connect(address)
        for number in range(3):
            frontend.send("shell", [b"late", b"%d" % number])
            frontend.send("shell", [b"here", b"%d" % number])
        eventually(lambda: frontend.flush() or here.poll(10))
        assert [here.recv() for _ in range(3)] == [b"0", b"1", b"2"]
        late.connect(address)
        eventually(frontend.flush)
        frontend.send("shell", [b"late", b"3"])
        assert [late.recv() for _ in range(4)] == [b"0", b"1", b"2", b"3"]
    frontend.send("shell", [b"late", b"4"])
    monkeypatch.setattr(frontend, "_late_until", 0.0)
    assert frontend.flush()  # those who have not come by now never will
    frontend.close()


def test_replies_to_requests_of_a_kernel_to_itself_are_not_kept_for_anybody(context, connection):
    frontend = Frontend(context, connection, ())
    frontend.send("shell", [OWN, b"a cell that has run again"])
    assert frontend.flush()
    frontend.close()


def test_the_lost_are_answered_with_what_happened(context, connection):
    with connected(context, connection) as (frontend, client):
        subscribe(frontend)
        requests = []
        for kind in ("execute_request", "execute_request", "comm_msg"):
            client.shell_channel.send(client.session.msg(kind, {}))
            requests.append(Request("shell", kind, tuple(request_of(frontend))))
        answer_lost(frontend, Lost(begun=(requests[0],), aborted=(requests[1],), answered=(requests[2],)), -11)
        replies = [client.get_shell_msg(timeout=30)["content"] for _ in range(2)]
        assert [reply["status"] for reply in replies] == ["error", "aborted"]
        assert "SIGSEGV" in replies[0]["evalue"]
        published = [client.get_iopub_msg(timeout=30) for _ in range(4)]
        assert [one["msg_type"] for one in published] == ["error", "status", "status", "status"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with status 0"),
        (-11, "was ended by SIGSEGV"),
        (-9, "was ended by SIGKILL (was the memory full?)"),
        (-99, "was ended by signal 99"),
    ],
)
def test_an_end_is_described(status, words):
    assert describe(status) == words


def test_a_client_that_reads_nothing_costs_a_bounded_memory_and_the_others_get_all(context, connection):
    address = f"tcp://127.0.0.1:{connection['iopub_port']}"
    size, count, process = 30_000, 3000, psutil.Process()
    with connected(context, connection) as (frontend, client), zmq.Context() as theirs, theirs.socket(zmq.SUB) as lazy:
        iopub, monitor = client.iopub_channel.socket, lazy.get_monitor_socket(zmq.Event.HANDSHAKE_SUCCEEDED)
        lazy.rcvhwm, lazy.linger = 1, 0
        lazy.subscribe(b"")
        lazy.connect(address)
        assert monitor.poll(30_000)
        lazy.disable_monitor()
        monitor.close()
        subscribe(frontend)
        pass_time(0.1)  # in which the other's subscription arrives
        before, got = process.memory_info().rss, 0
        for number in range(count):
            frontend.sockets["iopub"].send_multipart([b"stream", b"x" * size])
            while iopub.poll(1000 if number - got > 100 else 0):  # one that reads, if not at once
                got += bool(iopub.recv_multipart())
        while got < count:
            assert iopub.poll(30_000)
            got += bool(iopub.recv_multipart())
        assert process.memory_info().rss - before < count * size / 2
