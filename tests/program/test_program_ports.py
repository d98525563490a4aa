"""Where a program listens, it goes on listening over its restart, though it has not asked for it."""

import os
import socket
import sys

import pytest
from waiting import DEADLINE, eventually

from ipy_autorestart.program import ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ports are kept on Linux only")


@pytest.fixture
def port():
    """One that the system does not choose."""
    first = 20_000 + os.getpid() % 10_000
    for number in range(first, first + 1000):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", number))
            except OSError:
                continue
        return number
    raise AssertionError


@pytest.fixture
def server(port):
    with socket.create_server(("127.0.0.1", port)) as server:
        yield server


def closed(fds):
    for fd in fds:
        os.close(fd)


def test_what_listens_is_found_once(server):
    with socket.create_server(("127.0.0.1", 0)), socket.socket() as bound, server.dup():
        bound.bind(("127.0.0.1", 0))
        found = list(ports.listening())
        assert [os.fstat(fd).st_ino for fd in found] == [os.fstat(server.fileno()).st_ino]
        closed(found)
        assert list(ports.listening([server.fileno()])) == []


def test_who_binds_the_address_gets_the_very_socket(server, port):
    inode = os.fstat(server.fileno()).st_ino
    genuine = socket.socket.bind
    offers = ports.Offers([os.dup(server.fileno())])
    server.close()
    assert socket.socket.bind is genuine
    with socket.socket() as other, socket.socket() as again:
        other.bind(("127.0.0.1", 0))
        again.bind(("localhost", port))
        again.listen()
        assert os.fstat(again.fileno()).st_ino == inode
    assert "bind" not in vars(socket.socket)
    offers.close()


def test_what_nobody_binds_is_closed(server, port):
    offers = ports.Offers([os.dup(server.fileno())])
    server.close()
    offers.close()
    assert "bind" not in vars(socket.socket)
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0


SERVER = """
server = socket.create_server(("127.0.0.1", PORT))
restart_on_change("src", enabled=True)
say("value", a.V, os.fstat(server.fileno()).st_ino, "bind" in vars(socket.socket))
while True:
    client, _ = server.accept()
    with client: client.sendall(str(a.V).encode())
"""


@pytest.mark.e2e
def test_a_program_that_restarts_itself_keeps_its_port(start, port):
    program = start(SERVER.replace("PORT", str(port)))
    inode = program.wait(r"value 1 (\d+) False").group(1)
    answers = []

    def ask():
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
            answers.append(client.recv(10))
        return answers[-1]

    assert ask() == b"1"
    program.save(2)
    eventually(lambda: ask() == b"2")
    assert program.wait(r"value 2 (\d+) False").group(1) == inode
