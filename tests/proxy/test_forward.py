"""Messages are forwarded as they came."""

import pytest
import zmq

from ipy_autorestart.proxy.forward import RECEIVED_MAX, plain, received, send


@pytest.fixture
def pair():
    context = zmq.Context()
    ends = [context.socket(zmq.PAIR) for _ in range(2)]
    ends[0].bind("inproc://pair")
    ends[1].connect("inproc://pair")
    yield ends
    context.destroy(linger=0)


@pytest.mark.parametrize("frames", [[b"one"], [b"", b"two", b""], [b"a", b"x" * 3_000_000]])
def test_a_message_arrives_as_it_was_and_can_be_sent_on(pair, frames):
    ours, theirs = pair
    send(ours, frames)
    [found] = received(theirs)
    assert plain(found) == frames
    send(theirs, found)
    [back] = received(ours)
    assert plain(back) == frames
    assert list(received(ours)) == []


def test_others_have_their_turn_after_so_many(pair):
    ours, theirs = pair
    for number in range(RECEIVED_MAX + 1):
        send(ours, [b"%d" % number])
    assert [plain(one) for one in received(theirs)] == [[b"%d" % number] for number in range(RECEIVED_MAX)]
    assert [plain(one) for one in received(theirs)] == [[b"%d" % RECEIVED_MAX]]


def test_where_there_is_nobody_it_does_not_wait():
    context = zmq.Context()
    with context.socket(zmq.DEALER) as alone, pytest.raises(zmq.Again):
        send(alone, [b"a", b"b"])
    context.destroy(linger=0)
