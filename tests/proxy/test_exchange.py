"""What a proxy understands of the messages that pass it."""

import zmq

from ipy_autorestart.proxy.book import Book
from ipy_autorestart.proxy.exchange import Exchange, may_answer
from ipy_autorestart.wire.messages import HEADER, Key, build, parse

KEY, STRANGERS = Key(b"secret"), Key(b"another")


def request(kind="execute_request", key=KEY):
    return build(key, kind, {"code": "1"}, parent={}, identities=[b"client"])


def answer(to, kind, topic=b"client", **content):
    parent = parse(to).part(HEADER)
    return [zmq.Frame(frame) for frame in build(KEY, kind, content, parent=parent, identities=[topic])]


def noted(*requests, channel="shell"):
    book = Book()
    exchange = Exchange(book, KEY)
    for one in requests:
        exchange.note_request(channel, one)
    return exchange, book


def test_what_a_kernel_says_to_be_done_is_done():
    first, second = request(), request()
    exchange, book = noted(first, second)
    assert [one.frames for one in book.left()] == [tuple(first), tuple(second)]
    for state in ("busy", "idle"):
        assert not exchange.note_answer("iopub", answer(first, "status", b"kernel.1.status", execution_state=state))
    assert not exchange.note_answer("shell", answer(first, "execute_reply"))
    assert [one.frames for one in book.left()] == [tuple(second)]


def test_what_answers_nothing_is_not_read():
    to = request()
    assert may_answer("iopub", answer(to, "status", b"kernel.1.status", execution_state="idle"))
    assert may_answer("control", answer(to, "interrupt_reply"))
    assert not may_answer("iopub", answer(to, "stream", b"kernel.1.stream", text='{"execution_state": "idle"}'))
    assert not may_answer("stdin", answer(to, "input_request"))


def test_what_a_kernel_has_begun_is_lost_with_it():
    first, second = request(), request("complete_request")
    exchange, book = noted(first, second)
    exchange.note_answer("iopub", answer(second, "status", b"kernel.1.status", execution_state="busy"))
    assert [one.kind for one in book.take_lost().begun] == ["complete_request"]


def test_what_no_kernel_answers_is_not_noted():
    _, book = noted(request(key=STRANGERS), [b"no", b"message"], [*request()[:3], b"[", b"{}", b"{}", b"{}"])
    assert len(book) == 0


def test_the_reply_to_a_shutdown_tells_that_the_kernel_ends():
    shutdown = request("shutdown_request")
    exchange, _ = noted(shutdown, channel="control")
    assert exchange.note_answer("control", answer(shutdown, "shutdown_reply", restart=False))
    assert not exchange.note_answer("control", [zmq.Frame(b"no"), zmq.Frame(b"message")])
