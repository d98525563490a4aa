"""The supervisor's side of kept sockets, with real sockets and a run that is played by the test."""

import mmap
import os
import socket

import pytest

from ipy_autorestart.script.ports import DRAIN_READS, NOTHING, SOMETHING, Ports, PortsLink, has_open, others_of
from ipy_autorestart.script.ports_policy import WAIT_MAX, Owner


class Player:
    """A run as far as its words go."""

    def __init__(self, ports):
        theirs, self._socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link = PortsLink(theirs.detach())
        self.link.hear = ports.hear

    def say(self, words, *fds):
        socket.send_fds(self._socket, [words.encode()], fds)
        self.link.drain()

    def ask(self, words):
        """Return the answer, and a descriptor if one came with it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            self.say(words, theirs.fileno())
            ours.settimeout(0)
            data, fds, _, _ = socket.recv_fds(ours, 16, 1)
            return data, *fds

    def listens(self, server, pid=None):
        self.say(f"listens {pid or os.getpid()} {server.fileno()}", server.fileno())

    def close(self):
        self._socket.close()
        self.link.close()


@pytest.fixture
def ports():
    ports = Ports()
    yield ports
    ports.close()


@pytest.fixture
def run(ports):
    run = Player(ports)
    yield run
    run.close()


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address_of(server):
    return f"{int(server.family)} {socket.IPPROTO_TCP} 0  {server.getsockname()[1]} 127.0.0.1"


def connects(address):
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_next_run_gets_the_very_socket(ports, run, server):
    run.listens(server)
    assert run.ask("asks") == (NOTHING,)
    ports.restart()
    inode = os.fstat(server.fileno()).st_ino
    server.close()
    ports.begin(0)
    assert run.ask("asks") == (SOMETHING,)
    more, kept = run.ask(f"claims {os.getpid()} 3 {address_of_kept(ports)}")
    with socket.socket(fileno=kept) as again:
        assert (more, os.fstat(again.fileno()).st_ino) == (NOTHING, inode)
        assert connects(again.getsockname())
    assert run.ask("asks") == (NOTHING,)


def address_of_kept(ports):
    (address,) = ports.addresses
    return f"{address.family} {address.protocol} {int(address.only_v6)} {address.device} {address.port} {address.host}"


def test_a_run_that_ends_by_itself_leaves_nothing(ports, run, server):
    run.listens(server)
    address = server.getsockname()
    server.close()
    assert connects(address)
    ports.end()
    assert not connects(address)


def test_what_the_run_closes_is_let_go_but_not_while_it_is_stopped(ports, run, server):
    address, owner = server.getsockname(), f"{os.getpid()} {server.fileno()}"
    run.listens(server)
    ports.restart()
    assert run.ask(f"closes {owner}") == (NOTHING,)
    server.close()
    assert connects(address)
    ports.begin(0)
    _, kept = run.ask(f"claims {owner} {address_of_kept(ports)}")
    os.close(kept)
    assert run.ask(f"closes {owner}") == (NOTHING,)
    assert not connects(address)


def test_what_the_run_has_closed_unheard_is_let_go(ports, run, server):
    run.listens(server)
    address = server.getsockname()
    ports.keep_up(0)
    assert connects(address)
    os.close(server.detach())
    ports.keep_up(1)
    assert not connects(address)


def test_what_is_not_bound_again_in_time_is_let_go(ports, run, server):
    run.listens(server)
    address = server.getsockname()
    ports.restart()
    server.close()
    ports.begin(10)
    ports.keep_up(10 + WAIT_MAX - 1)
    assert connects(address)
    ports.keep_up(10 + WAIT_MAX)
    assert not connects(address)
    assert run.ask("asks") == (NOTHING,)


def test_a_socket_that_has_stopped_listening_is_not_kept(ports, run, server):
    run.listens(server)
    ports.restart()
    server.shutdown(socket.SHUT_RDWR)
    ports.begin(0)
    assert ports.addresses == ()


def test_what_has_been_closed_is_in_nobodys_way(ports, run, server):
    run.listens(server)
    address, words = server.getsockname(), address_of(server)
    os.close(server.detach())
    run.ask(f"binds {words.rpartition(' ')[0]} ")
    with socket.socket() as again:
        again.bind(address)


def test_after_the_end_nothing_is_kept(ports, run, server):
    ports.close()
    run.listens(server)
    assert ports.addresses == ()


def test_other_sockets_and_odd_words_are_passed_over(ports, run, tmp_path):
    with socket.socket(socket.AF_UNIX) as local, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        local.bind(str(tmp_path / "socket"))
        udp.bind(("127.0.0.1", 0))
        run.listens(local)
        run.listens(udp)
        for words in ("", "listens", "listens x y", "claims 1 2", "binds a b c d e f", "\xff", "nothing"):
            run.say(words or " ", udp.fileno())
    with open(os.devnull) as file:
        run.say("listens 1 2", file.fileno())
    run.say("asks")
    assert ports.addresses == ()
    assert run.link.is_open


def test_draining_ends_though_the_run_goes_on(run):
    heard = []

    def hear(words, _):
        heard.append(words)
        run._socket.send(b"more")

    run.link.hear = hear
    run._socket.send(b"more")
    run.link.drain()
    assert len(heard) == DRAIN_READS


def test_the_link_ends_with_the_run(ports, run):
    run._socket.close()
    run.link.drain()
    assert not run.link.is_open


def test_a_process_has_its_socket_open(server):
    inode = os.fstat(server.fileno()).st_ino
    assert has_open(Owner(os.getpid(), server.fileno()), inode)
    assert not has_open(Owner(os.getpid(), server.fileno()), inode + 1)
    assert not has_open(Owner(os.getpid(), 999), inode)


@pytest.fixture
def uvloop(tmp_path):
    """Have a file in memory that lies where uvloop's library would."""
    (tmp_path / "uvloop").mkdir()
    path = tmp_path / "uvloop" / "loop.so"
    path.write_bytes(bytes(4096))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        yield


def test_where_uvloop_listens_is_found(uvloop, server):
    port = server.getsockname()[1]
    assert port in others_of(os.getpid(), ())
    assert port not in others_of(os.getpid(), [os.fstat(server.fileno()).st_ino])


def test_without_uvloop_nothing_is_looked_for(server):
    assert others_of(os.getpid(), ()) == ()
