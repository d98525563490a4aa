import os
from types import SimpleNamespace

import pytest

from ipy_autorestart.protocol.messages import Output
from ipy_autorestart.script.outbox import Outbox
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


@pytest.fixture
def run():
    """A run whose stdout and stderr are written to by name, and what is sent of it at a moment."""
    pipes = {name: os.pipe() for name in ("stdout", "stderr")}
    streams = tuple(Stream(name, read, live=True) for name, (read, _) in pipes.items())
    sent = []
    outbox = Outbox(
        lossless=False,
        send=lambda record: sent.append((record.stream, record.text)) if isinstance(record, Output) else None,
    )
    outbox.follow(SimpleNamespace(streams=streams, displays=None))

    def write(name, text):
        os.write(pipes[name][1], text.encode())
        for stream in streams:
            stream.read()

    def send(now):
        outbox.send_due(now)
        taken = sent[:]
        sent.clear()
        return taken

    yield write, send
    for stream in streams:
        stream.close()
    for _, end in pipes.values():
        os.close(end)


def test_a_bar_is_complete_before_what_is_printed_after_it(run):
    write, send = run
    write("stderr", "\r 50%")
    assert send(1.0) == [("stderr", "\r 50%")]
    write("stderr", "\r100%\n")
    write("stdout", "done\n")
    assert send(1.0 + BATCH / 2) == [("stderr", "\r100%\n"), ("stdout", "done\n")]


def test_what_was_read_first_is_sent_first(run):
    write, send = run
    write("stdout", "1\n")
    write("stderr", "2\n")
    assert send(1.0) == [("stdout", "1\n"), ("stderr", "2\n")]
    write("stderr", "3\n")
    write("stdout", "4\n")
    assert send(1.0 + BATCH / 2) == []
    assert send(2.0) == [("stderr", "3\n"), ("stdout", "4\n")]


def test_who_has_nothing_to_say_before_another_waits_for_its_batch(run):
    write, send = run
    write("stderr", "1\n")
    send(1.0)
    write("stdout", "2\n")
    write("stderr", "3\n")
    assert send(1.0 + BATCH / 2) == [("stdout", "2\n")]
    assert send(1.0 + BATCH) == [("stderr", "3\n")]
