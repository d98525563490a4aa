"""Jupyter's messages as frames, compared with what jupyter_client makes of them."""

import pytest
from jupyter_client.session import Session

from ipy_autorestart.wire.messages import CONTENT, HEADER, PARENT, Key, build, parse

PARENT_HEADER = {"msg_id": "1", "username": "me", "session": "s"}


@pytest.mark.parametrize("key", [b"secret", b""])
def test_what_is_built_is_what_a_client_understands(key):
    client = Session(key=key, signature_scheme="hmac-sha256")
    frames = build(Key(key), "status", {"execution_state": "idle"}, parent=PARENT_HEADER, identities=[b"a", b"b"])
    identities, rest = client.feed_identities(frames)
    message = client.deserialize(rest)
    assert identities == [b"a", b"b"]
    assert (message["msg_type"], message["content"]) == ("status", {"execution_state": "idle"})
    assert message["parent_header"]["msg_id"] == "1"
    assert message["header"]["username"] == "me"


def test_a_scheme_of_the_connection_file_counts():
    client = Session(key=b"k", signature_scheme="hmac-md5")
    frames = build(Key(b"k", "hmac-md5"), "error", {}, parent={})
    assert client.deserialize(client.feed_identities(frames)[1])["msg_type"] == "error"


def test_a_clients_message_is_split_into_its_parts():
    client = Session(key=b"k")
    message = client.msg("execute_request", {"code": "1"}, parent=PARENT_HEADER)
    found = parse([b"client", *client.serialize(message)])
    assert found.identities == [b"client"]
    assert found.part(HEADER)["msg_id"] == message["header"]["msg_id"]
    assert found.part(PARENT)["msg_id"] == "1"
    assert found.part(CONTENT) == {"code": "1"}


def test_what_is_no_message_is_nothing():
    assert parse([b"anything"]) is None
    assert parse([b"<IDS|MSG>", b"signature", b"[1]"]).part(HEADER) == {}
    assert parse([b"<IDS|MSG>", b"signature", b"{"]).part(HEADER) == {}
    assert parse([b"<IDS|MSG>"]).part(CONTENT) == {}


def test_a_header_without_an_end_is_nothing():
    deep = b"[" * 200_000
    assert parse([b"<IDS|MSG>", b"signature", deep]).part(HEADER) == {}


def test_only_who_has_the_key_has_signed():
    key = Key(b"secret")
    message = parse(Session(key=b"secret").serialize(Session().msg("execute_request", {})))
    assert key.has_signed(message.parts)
    assert not Key(b"other").has_signed(message.parts)
    assert not key.has_signed(message.parts[:3])
    assert Key(b"").has_signed(message.parts)
