"""Where a program listens, it goes on listening over its restart, though it has not asked for it."""

import _socket
import os
import socket
import subprocess
import sys

import pytest
from waiting import DEADLINE, eventually

from ipy_autorestart.program import ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ports are kept on Linux only")


@pytest.fixture
def port(own_ports):
    """One that the system does not choose."""
    return own_ports.find_available_port("127.0.0.1")


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


def test_what_c_code_listens_on_is_not_found(server):
    fd = os.dup(server.fileno())
    server.close()
    assert list(ports.listening()) == []
    os.close(fd)


def test_what_was_there_too_early_is_not_found(server):
    assert list(ports.listening((), {os.fstat(server.fileno()).st_ino})) == []


def test_to_look_for_them_changes_nothing(server):
    socket.setdefaulttimeout(5)
    try:
        closed(ports.listening())
    finally:
        socket.setdefaulttimeout(None)
    assert os.get_blocking(server.fileno())


@pytest.fixture
def offers(server, monkeypatch):
    """Of a socket that the image before had."""
    monkeypatch.setattr(ports, "WAIT_MAX", 60.0)
    offers = ports.Offers([os.dup(server.fileno())])
    yield offers
    offers.close()


def test_who_binds_the_address_gets_the_very_socket(offers, server, port):
    inode = os.fstat(server.fileno()).st_ino
    server.close()
    assert socket.socket.bind is super(socket.socket, socket.socket).bind
    with socket.socket() as other, socket.socket() as again:
        other.bind(("127.0.0.1", 0))
        again.bind(("localhost", port))
        again.listen()
        assert os.fstat(again.fileno()).st_ino == inode
    assert "bind" not in vars(socket.socket)


@pytest.mark.parametrize(
    "bind",
    [
        lambda sock, port: sock.bind(("0.0.0.0", port)),  # an edit that opens it to others
        lambda sock, port: socket.socket.bind(sock, ("127.0.0.1", port)),
        lambda sock, port: _socket.socket.bind(sock, ("127.0.0.1", port)),
    ],
    ids=["another address", "through the class", "as gevent does"],
)
def test_an_offer_is_in_nobodys_way(offers, server, port, bind):
    server.close()
    with socket.socket() as again:
        bind(again, port)
        again.listen()
    assert not offers._inodes


def test_who_asks_whether_somebody_listens_finds_no_offer(offers, server, port):
    server.close()
    with socket.socket() as client, socket.socket() as again:
        assert client.connect_ex(("127.0.0.1", port)) != 0
        again.bind(("127.0.0.1", port))


def test_a_descriptor_that_has_become_another_file_is_left_alone(offers, server, port):
    (fd,) = offers._inodes
    with open(os.devnull) as file:
        os.dup2(file.fileno(), fd, inheritable=False)
    server.close()
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))
    offers.close()
    os.close(fd)


FORKS = """
import os, socket, sys
from ipy_autorestart.program import ports
server = socket.create_server(("127.0.0.1", PORT))
offers = ports.Offers([os.dup(server.fileno())])
(fd,) = offers._inodes
if os.fork() == 0:
    try:
        os.fstat(fd)
    except OSError:
        os._exit(0)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
os.fstat(fd)
"""


@pytest.mark.e2e
def test_a_forked_child_has_none_of_them(port):
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS.replace("PORT", str(port))], check=True)


def test_what_nobody_binds_is_closed(offers, server, port):
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


EARLY = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", PORT))
sys.path.insert(0, "src")
import a
from ipy_autorestart import restart_on_change
restart_on_change("src", enabled=True)
print("value", a.V, flush=True)
while True:
    server.accept()[0].close()
"""


@pytest.mark.e2e
def test_a_program_that_binds_too_early_binds_again(start, port):
    program = start(EARLY.replace("PORT", str(port)), head="")
    program.wait("value 1")
    for value in (2, 3):
        program.save(value)
        program.wait(f"value {value}")
