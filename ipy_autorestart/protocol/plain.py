"""Typed values as JSON and back, by the fields of their classes: for what crosses a pipe or an exec."""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

T = TypeVar("T")

#: A type hint.
Hint = Any

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
        kind: Hint = type(part)
        if (names := _fields(kind)) is not None:
            return {CLASS: kind.__name__, **{name: getattr(part, name) for name in names}}
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
        raise TypeError(f"{part!r} has no plain form")

    return json.dumps(value, default=plain)


def from_json(kind: type[T], text: str | bytes, attachment: bytes = b"") -> T:
    """Return the value of this kind that `to_json` wrote; raises ValueError for anything else."""
    return from_plain(kind, json.loads(text), attachment)


def from_plain(kind: type[T], plain: Plain, attachment: bytes = b"") -> T:
    """Return the value of this kind for which JSON had these dicts and lists; raises ValueError for anything else."""
    try:
        hint: Hint = kind
        reader = _reader(hint)
        value: T = plain if reader is None else reader(plain, attachment)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"not a {kind.__name__}: {str(plain)[:80]}") from error
    return value


def prepare(kind: Hint) -> None:
    """Look at the classes that values of this kind are made of, ahead of the first one: that takes milliseconds."""
    _reader(kind)


#: What JSON has for a value, and a value that was made of it.
Plain = Any

Reader = Callable[[Plain, bytes], Plain]


@functools.cache
def _reader(kind: Hint) -> Reader | None:
    """Return what makes a value of this kind of what JSON has for it, and of the attachment; None if JSON has itself.

    Most values are texts and numbers, and to ask of each what kind it is would take ten times as long as all the rest.
    """
    origin: Any = get_origin(kind)
    args = get_args(kind)
    if origin in (typing.Union, UnionType):
        return _of_choices([choice for choice in args if choice is not NoneType])
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _of_class(kind)
    if origin is tuple and args[-1] is not Ellipsis:
        return _of_places([_reader(hint) for hint in args])
    if origin in (tuple, list, frozenset):
        return _of_parts(origin, _reader(args[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _of_pairs(args[0] if isinstance(args[0], type) else str, _reader(args[1]))
    if kind is bytes:
        return lambda plain, attachment: attachment[plain[0] : plain[1]]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda plain, _: kind(plain)
    return None


def _of_class(kind: type) -> Reader:
    readers = {name: _reader(hint) for name, hint in typing.get_type_hints(kind).items()}

    def read(plain: Plain, attachment: bytes) -> Plain:
        fields = {}
        for name, part in plain.items():
            if name != CLASS:
                reader = readers[name]
                fields[name] = part if reader is None else reader(part, attachment)
        return kind(**fields)

    return read


def _of_choices(choices: Sequence[Any]) -> Reader | None:
    first = _reader(choices[0])
    by_name = {getattr(choice, "__name__", ""): _reader(choice) for choice in choices}
    if len(choices) == 1 and first is None:
        return None

    def read(plain: Plain, attachment: bytes) -> Plain:
        if plain is None:
            return None
        reader = by_name[plain[CLASS]] if len(choices) > 1 and isinstance(plain, dict) else first
        return plain if reader is None else reader(plain, attachment)

    return read


def _of_places(readers: Sequence[Reader | None]) -> Reader:
    def read(plain: Plain, attachment: bytes) -> Plain:
        pairs = zip(readers, plain, strict=True)
        return tuple(part if reader is None else reader(part, attachment) for reader, part in pairs)

    return read


def _of_parts(kind: Callable[[Iterable[Any]], Any], reader: Reader | None) -> Reader:
    if reader is None:
        return lambda plain, _: kind(plain)
    return lambda plain, attachment: kind([reader(part, attachment) for part in plain])


def _of_pairs(key: Callable[[str], Any], reader: Reader | None) -> Reader:
    if reader is None and key is str:
        return lambda plain, _: {**plain}

    def read(plain: Plain, attachment: bytes) -> Plain:
        pairs = plain.items()
        return {key(name): part if reader is None else reader(part, attachment) for name, part in pairs}

    return read


@functools.cache
def _fields(kind: Hint) -> tuple[str, ...] | None:
    """Return the names of a dataclass's fields, None if it is none."""
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None
