"""Sockets that the supervisor opens, and that each run gets as systemd passes them."""

import socket
import sys
from dataclasses import replace

import pytest
from starting import adopted, finish, forking, program

from ipy_autorestart.script.run import start_cold

pytestmark = pytest.mark.e2e

TAKES = """
import os, socket
print(int(os.environ["LISTEN_PID"]) == os.getpid(), os.environ["LISTEN_FDS"], os.environ["LISTEN_FDNAMES"])
for fd in (3, 4):
    with socket.socket(fileno=fd) as server:
        listens = server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        print(server.getsockname()[1], listens, server.get_inheritable())
        server.accept()[0].sendall(b"hello")
"""


@pytest.fixture
def servers(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text(TAKES)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        yield one, two


@pytest.fixture
def what(servers):
    return replace(program("main.py"), sockets=tuple(one.fileno() for one in servers))


def greeted(servers, start):
    """Start a run for clients that wait, and check what it sees and says."""
    clients = [socket.create_connection(one.getsockname()) for one in servers]
    run = finish(start())
    ports = [one.getsockname()[1] for one in servers]
    assert run.out.splitlines() == ["True 2 socket:socket", *(f"{port} 1 True" for port in ports)], run.err
    for client in clients:
        with client:
            assert client.recv(10) == b"hello"


def test_each_run_finds_them_from_descriptor_3_on(servers, what):
    for _ in range(2):
        greeted(servers, lambda: start_cold(what))


@pytest.mark.skipif(sys.platform != "linux", reason="fork servers are made on Linux only")
def test_so_does_a_run_that_was_forked_ahead(servers, what):
    with adopted(), forking(what, []) as start:
        for _ in range(2):
            greeted(servers, start)


def test_without_any_nothing_is_said(servers, tmp_path):
    (tmp_path / "main.py").write_text("import os\nprint([name for name in os.environ if name.startswith('LISTEN_')])\n")
    assert finish(start_cold(program("main.py"))).out == "[]\n"
