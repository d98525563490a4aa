"""Typed values as JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import pytest

from ipy_autorestart.protocol import plain
from ipy_autorestart.protocol.plain import from_json, prepare, to_json


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0


@dataclass(frozen=True, slots=True)
class Circle:
    centre: Point
    radius: float


@dataclass(frozen=True, slots=True)
class Drawing:
    shapes: tuple[Point | Circle, ...] = ()
    pair: tuple[int, str] = (1, "a")
    by_number: Mapping[int, bytes] = field(default_factory=dict)
    colour: Colour | None = None
    numbers: frozenset[int] = frozenset()
    names: list[str] | None = None


@pytest.mark.parametrize(
    "value",
    [
        Drawing(),
        Drawing((Point(1), Circle(Point(1, 2), 0.5))),
        Drawing(by_number={3: b"\0\xff", 4: b""}, numbers=frozenset({2, 1})),
        Drawing(colour=Colour.RED, names=["x", "\udc80"], pair=(2, "b")),
    ],
)
def test_a_value_comes_back_as_it_was(value):
    attachment = []
    text = to_json(value, attachment)
    assert "\n" not in text
    assert from_json(Drawing, text, b"".join(attachment)) == value


def test_a_field_that_was_left_out_has_its_default():
    assert from_json(Point, '{"x": 1}') == Point(1)


@pytest.mark.parametrize(
    "text", ["1", "[]", '{"z": 2}', '{"shapes": [{"class": "Square"}]}', '{"shapes": [{}]}', '{"pair": [1]}', "{"]
)
def test_anything_else_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011  # of whatever kind
        from_json(Drawing, text)


def test_what_has_no_plain_form_is_not_written():
    with pytest.raises(TypeError, match="no plain form"):
        to_json([object()], [])


def test_what_is_looked_at_ahead_is_found_at_once():
    plain._reader.cache_clear()
    prepare(Drawing)
    known = plain._reader.cache_info().misses
    from_json(Drawing, to_json(Drawing((Circle(Point(1), 2.0),)), []))
    assert plain._reader.cache_info().misses == known
