import os
import socket
import time

import pytest

from ipy_autorestart.protocol.link import Link, ready
from ipy_autorestart.protocol.messages import Began, Close, Output, encode


@pytest.fixture
def ends():
    a, b = socket.socketpair()
    one, other = Link(a), Link(b)
    yield one, other
    one.close()
    other.close()


def test_records_arrive_in_order_over_a_socket(ends):
    one, other = ends
    for number in range(100):
        one.send(Began(number))
    assert list(other.receive()) == [Began(number) for number in range(100)]
    assert list(other.receive()) == []


def test_a_send_never_blocks_and_nothing_is_lost(ends):
    one, other = ends
    sent = [Output(1, "stdout", "x" * 10_000) for _ in range(200)]
    for record in sent:
        one.send(record)
    assert one.backlog > 0
    received = []
    while len(received) < len(sent):
        received += other.receive()
        one.flush()
    assert received == sent
    assert one.backlog == 0


def test_a_record_cut_in_two_goes_over_to_another_link():
    a, b = socket.socketpair()
    first, second = encode(Began(1)), encode(Began(2))
    a.sendall(first + second[:5])
    link = Link(b)
    assert list(link.receive()) == [Began(1)]
    received, number = link.received, link.detach()
    a.sendall(second[5:])
    with a:
        taken = Link(socket.socket(fileno=number), received)
        assert list(taken.receive()) == [Began(2)]
        taken.close()


def test_the_end_of_the_other_side_is_told_and_sending_is_harmless(ends):
    one, other = ends
    other.send(Began(1))
    other.close()
    assert list(one.receive()) == [Began(1)]
    with pytest.raises(EOFError):
        list(one.receive())
    one.send(Close())
    one.send(Close())
    assert one.backlog == 0


@pytest.mark.parametrize("timeout", [0.0, 0.0004, 0.003, 0.0035])
def test_what_is_waited_for_in_vain_is_waited_for_to_the_end(timeout):
    reader, writer = os.pipe()
    began = time.monotonic()
    assert ready([reader], [], timeout) == set()
    assert time.monotonic() >= began + timeout
    os.write(writer, b"x")
    assert ready([reader, -1], [], timeout) == ready([reader], [], None) == {reader}
    os.close(reader)
    os.close(writer)
