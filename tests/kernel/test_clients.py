"""The wait for the clients of the image before, and what they are told who come later."""

import time
import types

import pytest
import zmq
from ends import sockets
from ipykernel.iostream import IOPubThread
from waiting import eventually

from ipy_autorestart.kernel import clients as module
from ipy_autorestart.kernel.clients import Clients
from ipy_autorestart.reexec.process import ListeningSocket


@pytest.fixture
def socket():
    with sockets() as make:
        yield make


def bind(clients, made, port=1):
    """Bind a socket as the new image does, for one at this port; return it and its address."""
    bound = clients.watch(types.SimpleNamespace(context=made.context), made, port)
    return bound, f"tcp://127.0.0.1:{bound.bind_to_random_port('tcp://127.0.0.1')}"


def test_it_waits_for_the_clients_that_were_there(socket, monkeypatch):
    monkeypatch.setattr(module, "BACK_MAX", 60.0)
    clients = Clients([ListeningSocket("shell", 1, 3, 1)])
    server, address = bind(clients, socket(zmq.ROUTER))
    client = socket(zmq.DEALER)
    client.connect(address)
    began = time.monotonic()
    clients.wait()
    assert time.monotonic() - began < module.BACK_MAX
    client.send(b"x")
    assert server.recv_multipart()[1] == b"x"


def test_it_does_not_wait_for_one_that_subscribes_when_it_has_a_reply(socket, monkeypatch):
    monkeypatch.setattr(module, "BACK_MAX", 60.0)
    clients = Clients([ListeningSocket("iopub", 1, 3, 1)])
    _, address = bind(clients, socket(zmq.XPUB))
    client = socket(zmq.SUB)  # which has subscribed to nothing
    client.connect(address)
    began = time.monotonic()
    clients.wait()
    assert time.monotonic() - began < module.BACK_MAX


def test_where_there_were_none_it_does_not_wait(socket, monkeypatch):
    monkeypatch.setattr(module, "UNKNOWN", 60.0)
    monkeypatch.setattr(module, "BACK_MAX", 60.0)
    clients = Clients([ListeningSocket("shell", 1, 3, 0), ListeningSocket("hb", 2, 4, None)])
    bind(clients, socket(zmq.ROUTER))
    began = time.monotonic()
    clients.wait()
    assert time.monotonic() - began < module.UNKNOWN


@pytest.mark.parametrize("kind", [zmq.XPUB, zmq.PUB], ids=["ipykernel 7", "ipykernel 6"])
def test_what_is_published_reaches_who_subscribes_later(socket, kind, monkeypatch):
    monkeypatch.setattr(module, "BACK_MAX", 0.05)
    clients = Clients([ListeningSocket("iopub", 1, 3, 1)])
    publishes, address = bind(clients, socket(kind))
    original = IOPubThread._setup_event_pipe
    monkeypatch.setattr(IOPubThread, "_setup_event_pipe", lambda thread: clients.tell_missed(original, thread))
    thread = IOPubThread(publishes, pipe=False)
    thread.session = None  # it welcomes nobody
    thread.start()
    clients.wait()
    thread.send_multipart([b"topic", b"meanwhile", memoryview(b"buffer")])
    client = socket(zmq.SUB)
    client.subscribe(b"")
    client.connect(address)
    assert client.recv_multipart()[-3:] == [b"topic", b"meanwhile", b"buffer"]
    thread.send_multipart([b"topic", b"then"])
    assert client.recv_multipart() == [b"topic", b"then"]
    assert clients._subscribers
    clients._subscribers._until = 0.0  # as after a minute
    for word in (b"at last", b"by itself"):
        thread.send_multipart([b"topic", word])
        assert client.recv_multipart() == [b"topic", word]
    eventually(lambda: "_really_send" not in vars(thread))
    thread.stop()
    thread.close()
