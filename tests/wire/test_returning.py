"""Clients that come back after an exec, as raw sockets of ZeroMQ."""

import pytest
import zmq
from ends import sockets
from waiting import eventually, pass_time

from ipy_autorestart.wire import returning
from ipy_autorestart.wire.messages import PARENT, Key, build, parse
from ipy_autorestart.wire.returning import Connections, Subscribers


@pytest.fixture
def socket():
    with sockets() as make:
        yield make


def bind(socket):
    return f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"


def test_clients_are_counted_until_all_are_connected(socket):
    server, client = socket(zmq.ROUTER), socket(zmq.DEALER)
    connections = Connections({"shell": 1, "control": 0})
    connections.watch(server, "shell")
    connections.watch(socket(zmq.ROUTER), "control")
    assert len(connections.monitors) == 1
    assert not connections.are_all
    client.connect(bind(server))

    def are_all():
        connections.note()
        return connections.are_all

    eventually(are_all)
    connections.close()
    assert connections.monitors == []


def test_nobody_is_waited_for_once_that_is_over(socket):
    connections = Connections({"shell": 1})
    connections.watch(socket(zmq.ROUTER), "shell")
    connections.close()
    assert connections.are_all


class Published:
    """A socket that publishes numbers, and clients that subscribe to it."""

    def __init__(self, make, missing):
        self._make, self._socket = make, make(zmq.XPUB)
        self.subscribers = Subscribers(self._socket, missing)
        self._address = bind(self._socket)
        self._count = 0

    def subscribe(self, topic):
        """Return a client; the subscription is taken."""
        client = self._make(zmq.SUB)
        client.subscribe(topic)
        client.connect(self._address)
        assert self._socket.poll(30_000)
        self.subscribers.take()
        return client

    def publish(self):
        message = [b"topic", b"%d" % self._count]
        self._count += 1
        self._socket.send_multipart(message)
        self.subscribers.keep(message)


def heard(client, *, least):
    """Return the numbers that a client has got, at least so many; more would have come by then."""
    found = []
    while client.poll(100 if len(found) >= least else 30_000):
        *_, number = client.recv_multipart()
        found.append(int(number))
    return found


@pytest.mark.e2e
def test_who_subscribes_late_gets_what_he_has_missed_once_and_in_order_and_nobody_else_does(socket):
    published = Published(socket, missing=3)
    published.publish()
    early = published.subscribe(b"")
    published.publish()
    late = published.subscribe(b"")
    published.publish()
    assert not published.subscribers.are_back
    last = published.subscribe(b"")
    assert published.subscribers.are_back
    published.publish()
    assert [heard(client, least=4) for client in (early, late, last)] == [[0, 1, 2, 3]] * 3
    published.publish()
    new = published.subscribe(b"")  # they are as any others then
    published.publish()
    assert [heard(early, least=2), heard(new, least=1)] == [[4, 5], [5]]


@pytest.mark.e2e
def test_two_that_subscribe_at_the_same_time_are_both_heard(socket):
    """The second one's subscription was received while it had no effect by itself."""
    published = Published(socket, missing=1)
    clients = [socket(zmq.SUB) for _ in range(2)]
    for client in clients:
        client.subscribe(b"")
        client.connect(published._address)
    pass_time(0.5)
    published.subscribers.take()
    published.publish()
    assert [heard(client, least=1) for client in clients] == [[0], [0]]


def test_a_topic_is_subscribed_to_and_left(socket):
    published = Published(socket, missing=2)
    client = published.subscribe(b"to")
    other = published.subscribe(b"other")
    published.publish()
    assert [heard(client, least=1), heard(other, least=0)] == [[0], []]


def test_who_leaves_and_subscribes_again_gets_what_comes(socket):
    published = Published(socket, missing=3)
    client = published.subscribe(b"")
    client.unsubscribe(b"")
    assert published._socket.poll(30_000)
    published.subscribers.take()
    published.publish()
    client.subscribe(b"")
    assert published._socket.poll(30_000)
    published.subscribers.take()
    published.publish()
    assert heard(client, least=2) == [0, 1]


def test_who_is_cut_off_once_more_is_waited_for_again(socket):
    """A connection that a client has made while the exec went on is one of the image before."""
    published = Published(socket, missing=1)
    first = published.subscribe(b"")
    assert published.subscribers.are_back
    first.close(linger=0)
    assert published._socket.poll(30_000)
    published.subscribers.take()
    assert not published.subscribers.are_back
    published.publish()
    again = published.subscribe(b"")
    published.publish()
    assert heard(again, least=2) == [0, 1]


def test_new_topics_are_told(socket):
    subscribers = Subscribers(socket(zmq.XPUB), 0)
    assert subscribers.are_back
    assert subscribers.take([b"\1", b"\1", b"\1a", b"\0", b"\1"]) == [b"\1", b"\1a", b"\1"]
    assert subscribers.take([b"\0\0", b"\1"]) == [b"\1"]


def test_nothing_is_kept_for_ever(socket, monkeypatch):
    published = Published(socket, missing=1)
    for _ in range(returning.MISSED_MAX + 2):
        published.publish()
    assert len(published.subscribers._missed) == returning.MISSED_MAX
    monkeypatch.setattr(published.subscribers, "_until", 0.0)
    published.publish()
    assert published.subscribers._missed == []
    assert published.subscribers.are_back
    client = published.subscribe(b"")
    published.publish()
    assert heard(client, least=1) == [returning.MISSED_MAX + 3]


def test_what_answers_to_no_request_is_not_told_late(socket):
    """A console that has sent a cell takes it for the end of that."""
    published = Published(socket, missing=1)
    key = Key(b"")
    for parent in ({}, {"msg_id": "1"}):
        published.subscribers.keep(build(key, "status", {"execution_state": "idle"}, parent=parent))
    assert [parse(frames).part(PARENT) for frames in published.subscribers._missed] == [{"msg_id": "1"}]
