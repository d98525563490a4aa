from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.protocol.messages import Record, Status, decode, encode

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)

OWN = {
    float: NUMBERS,
    float | None: st.none() | NUMBERS,
    Mapping[str, Any]: st.dictionaries(st.text(), PLAIN, max_size=3),
}


def any_of(kind):
    """Return a strategy for messages of a kind, with something in each field."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: OWN.get(hint, st.from_type(hint)) for name, hint in hints.items()})


@given(st.one_of([any_of(kind) for kind in get_args(Record)]))
def test_messages_come_back_as_they_were_from_one_line(record):
    line = encode(record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line) == record


def test_messages_are_known_by_their_names():
    assert len({kind.__name__ for kind in get_args(Record)}) == len(get_args(Record))


@pytest.mark.parametrize("line", [b"{}", b'{"class": "Popen", "args": "ls"}', b'{"class": "Began"}', b"\x80", b"[]"])
def test_anything_else_is_refused(line):
    with pytest.raises(ValueError, match=r".*"):
        decode(line)


def test_a_field_that_is_not_said_has_its_default():
    assert decode(b'{"class": "Status"}') == Status()
