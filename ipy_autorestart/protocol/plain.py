"""Typed values as JSON and back, by the fields of their classes: for what crosses a pipe or an exec."""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

T = TypeVar("T")

CLASS = "class"
"""Key under which a dataclass says which one it is; being a keyword, it is no field's name."""


def to_json(value: object, attachment: list[bytes]) -> str:
    """Return a value as JSON in one line.

    Parameters
    ----------
    value
        Made of dataclasses, enums, mappings, tuples, lists, frozen sets and what JSON knows.
    attachment
        Takes the ``bytes`` in it, which JSON has no form for; they follow one another as they were met.
    """
    place = sum(map(len, attachment))

    def plain(part: object) -> object:
        nonlocal place
        if isinstance(part, bytes):
            attachment.append(part)
            place += len(part)
            return [place - len(part), place]
        if isinstance(part, Enum):
            return part.value
        if isinstance(part, frozenset):
            return sorted(part)
        if isinstance(part, Mapping):  # other mappings than dict
            return dict(part)
        if dataclasses.is_dataclass(part):
            fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
            return {CLASS: type(part).__name__, **fields}
        raise TypeError(f"{part!r} has no plain form")

    return json.dumps(value, default=plain)


def from_json(kind: type[T], text: str | bytes, attachment: bytes = b"") -> T:
    """Return the value of this kind that `to_json` wrote; raises ValueError for anything else."""
    return from_plain(kind, json.loads(text), attachment)


def from_plain(kind: type[T], plain: object, attachment: bytes = b"") -> T:
    """Return the value of this kind for which JSON had these dicts and lists; raises ValueError for anything else."""
    try:
        value: T = _typed(kind, plain, attachment)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"not a {kind.__name__}: {str(plain)[:80]}") from error
    return value


_hints = functools.cache(typing.get_type_hints)


def prepare(kind: Any) -> None:  # noqa: ANN401  # a type hint
    """Look at the classes that values of this kind are made of, ahead of the first one: that takes milliseconds."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        for hint in _hints(kind).values():
            prepare(hint)
    for part in get_args(kind):
        prepare(part)


def _typed(kind: Any, plain: Any, attachment: bytes) -> Any:  # noqa: ANN401  # a type hint, and what JSON has for it
    origin, args = get_origin(kind), get_args(kind)
    if origin in (typing.Union, UnionType):
        if plain is None:
            return None
        choices = [choice for choice in args if choice is not NoneType]
        if len(choices) > 1 and isinstance(plain, dict):
            choices = [choice for choice in choices if choice.__name__ == plain[CLASS]]
        return _typed(choices[0], plain, attachment)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _typed(hints[name], part, attachment) for name, part in plain.items() if name != CLASS})
    if origin is tuple and args[-1] is not Ellipsis:
        return tuple(_typed(hint, part, attachment) for hint, part in zip(args, plain, strict=True))
    if origin in (tuple, list, frozenset):
        return origin(_typed(args[0], part, attachment) for part in plain)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key = args[0] if isinstance(args[0], type) else str
        return {key(name): _typed(args[1], part, attachment) for name, part in plain.items()}
    if kind is bytes:
        start, end = plain
        return attachment[start:end]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    return plain
