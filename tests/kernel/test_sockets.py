"""The connections of a kernel, closed over real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import zmq
from waiting import DEADLINE

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are found in /proc"),
]

#: A process with a kernel's sockets, which can't go on once they are released: libzmq would not understand.
SERVER = """
import json, os, socket, sys, types, zmq
from ipy_autorestart.kernel.sockets import CHANNELS, NoSockets, Sockets

KINDS = {"shell": zmq.ROUTER, "control": zmq.ROUTER, "stdin": zmq.ROUTER, "iopub": zmq.XPUB, "hb": zmq.REP}
context = zmq.Context()
app = types.SimpleNamespace(transport="tcp", ip="127.0.0.1")
for channel, kind in KINDS.items():
    made = context.socket(kind)
    made.rcvhwm = 0  # as an image has it that was made here
    port = made.bind_to_random_port("tcp://127.0.0.1")
    vars(app).update({f"{channel}_socket": made, f"{channel}_port": port})
app.debug_shell_socket = context.socket(zmq.DEALER)
app.debug_shell_socket.connect(f"tcp://127.0.0.1:{app.shell_port}")

def say(value):
    print(json.dumps(value), flush=True)

say({channel: vars(app)[f"{channel}_port"] for channel in CHANNELS})
for line in sys.stdin:
    match line.split():
        case ["receive", channel]:
            say(vars(app)[f"{channel}_socket"].recv_multipart()[-1].decode())
        case ["publish", size]:
            for _ in range(20): app.iopub_socket.send(b"x" * int(size))
            say("published")
        case ["misplace", channel]:
            vars(app)[f"{channel}_port"] = 1
            say("misplaced")
        case ["release"]:
            try:
                sockets = Sockets(app)
            except NoSockets as why:
                say(str(why))
                continue
            sockets.release()
            requests = {name: [frames[-1].decode() for frames in each] for name, each in sockets.requests.items()}
            say([requests, sockets.clients, sorted(sockets.listeners)])
        case ["accept", channel]:
            with socket.socket(fileno=sockets.listeners[channel]) as listener:
                say(listener.accept()[1])
        case ["continue", channel]:
            after = zmq.Context().socket(zmq.ROUTER)  # as the next image has it
            after.setsockopt(zmq.USE_FD, sockets.listeners[channel])
            after.bind(f"tcp://127.0.0.1:{vars(app)[f'{channel}_port']}")
            found = []
            while "end" not in found:
                found.append(after.recv_multipart()[-1].decode())
            say(found)
os._exit(0)
"""

#: A client that is held up while it sends.
HELD_UP = """
import os, signal, sys, zmq
with zmq.Context() as context, context.socket(zmq.DEALER) as client:
    client.connect(f"tcp://127.0.0.1:{sys.argv[1]}")
    for number in range(20_000):
        client.send(b"%d" % number)
        if number == 10_000:
            os.kill(os.getpid(), signal.SIGSTOP)
    client.send(b"end")
    client.linger = -1
"""


class Server:
    """That process; each of its answers is one line."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ports = self.answer()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(DEADLINE) == 0


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def connect(server):
    """Connect a client to a channel."""
    clients = []
    with zmq.Context() as context:

        def made(channel, kind=zmq.DEALER):
            client = context.socket(kind)
            clients.append(client)
            client.connect(f"tcp://127.0.0.1:{server.ports[channel]}")
            if kind == zmq.DEALER:
                client.send(b"hello")
                assert server.ask("receive", channel) == "hello"
            return client

        yield made
        for client in clients:
            client.close(linger=0)


def test_what_was_sent_is_received_in_order(server, connect):
    shell, control = connect("shell"), connect("control")
    for number in range(300):
        shell.send(b"%d" % number)
    control.send(b"now")
    requests, _, listeners = server.ask("release")
    assert requests == {"shell": [str(number) for number in range(300)], "control": ["now"], "stdin": []}
    assert listeners == ["control", "hb", "iopub", "shell", "stdin"]


def test_a_client_that_is_held_up_while_it_sends_loses_nothing(server):
    client = subprocess.Popen([sys.executable, "-c", HELD_UP, str(server.ports["shell"])])
    first = server.ask("receive", "shell")
    os.waitid(os.P_PID, client.pid, os.WSTOPPED)
    goes_on = threading.Timer(0.3, client.send_signal, [signal.SIGCONT])
    goes_on.start()
    requests, _, _ = server.ask("release")
    later = server.ask("continue", "shell")
    goes_on.join()
    assert client.wait(DEADLINE) == 0
    assert [first, *requests["shell"], *later] == [*map(str, range(20_000)), "end"]


def test_what_a_client_sends_until_it_sees_that_it_was_cut_off_is_received(server):
    """It is more than libzmq takes by itself before somebody reads."""
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    with socket.create_connection(("127.0.0.1", server.ports["shell"]), timeout=DEADLINE) as client:
        client.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))  # rfc.zeromq.org/23
        client.sendall(b"\x04" + bytes([len(ready)]) + ready)
        greeting = b""
        while b"READY" not in greeting:
            greeting += client.recv(1 << 16)
        client.sendall(framed("first"))
        assert server.ask("receive", "shell") == "first"
        with ThreadPoolExecutor() as pool:
            released = pool.submit(server.ask, "release")
            while client.recv(1 << 16):
                pass
            client.sendall(b"".join(map(framed, map(str, range(20_000)))))
            client.close()
            requests, _, _ = released.result(DEADLINE)
    assert requests["shell"] == [*map(str, range(20_000))]


def framed(text):
    """Return a message of one frame as it is on the wire."""
    return b"\x00" + bytes([len(text)]) + text.encode()


def test_clients_are_counted_with_the_fences_own(server, connect):
    connect("shell")
    connect("shell")
    _, clients, _ = server.ask("release")
    assert clients == {"shell": 3, "control": 0, "stdin": 0, "iopub": 0}


def test_the_ports_stay_open_for_clients_that_come_meanwhile(server):
    server.ask("release")
    with socket.create_connection(("127.0.0.1", server.ports["control"]), timeout=DEADLINE) as early:
        assert server.ask("accept", "control") == list(early.getsockname())


def test_a_client_that_reads_late_gets_all_that_was_published(server, connect):
    reader = connect("iopub", zmq.SUB)
    reader.subscribe(b"")
    assert server.ask("receive", "iopub") == "\x01"
    server.ask("publish", "100000")
    server.ask("release")
    assert sum(len(reader.recv()) for _ in range(20)) == 2_000_000


def test_a_channel_that_does_not_listen_is_refused(server):
    server.ask("misplace", "hb")
    assert server.ask("release") == "no listening socket of hb"
