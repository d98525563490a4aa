import os

import pytest

from ipy_autorestart.script.streams import BATCH, Stream


@pytest.fixture
def pipe():
    read, write = os.pipe()
    stream = Stream("stdout", read)
    ends = [write]
    yield stream, write, ends
    stream.close()
    for end in ends:
        os.close(end)


def test_a_character_cut_in_two_arrives_whole(pipe):
    stream, write, _ = pipe
    os.write(write, "é".encode()[:1])
    stream.read()
    assert stream.take(0, 99_999)[0] == ""
    os.write(write, "é".encode()[1:])
    stream.read()
    assert stream.take(0, 99_999)[0] == "é"


def test_broken_bytes_are_replaced(pipe):
    stream, write, ends = pipe
    os.write(write, b"a\xff\xc3")
    os.close(ends.pop())
    stream.drain()
    assert stream.take(0, 99_999)[0] == "a\ufffd\ufffd"
    assert not stream.is_open


def test_the_first_text_is_due_at_once_and_the_next_a_batch_later(pipe):
    stream, write, _ = pipe
    assert stream.due_at() is None
    os.write(write, b"1")
    stream.read()
    assert stream.due_at() < 0
    stream.take(7.0, 99)
    os.write(write, b"2")
    stream.read()
    assert stream.due_at() == 7.0 + BATCH


def test_draining_takes_all_and_does_not_wait_for_who_holds_it_open(pipe):
    stream, write, _ = pipe
    os.write(write, b"x" * 60_000)
    stream.drain()
    assert len(stream.take(0, 99_999)[0]) == 60_000
    assert stream.is_open
