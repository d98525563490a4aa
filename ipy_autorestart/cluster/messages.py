"""Messages between a supervisor and its helper, one line of JSON each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import get_args

from ipy_autorestart.decide.events import Pushed, PushFailed, Reached
from ipy_autorestart.protocol.plain import CLASS, from_plain, to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What is pushed, and where to: the first line that a helper gets.

    Attributes
    ----------
    where
        An address or a file.
    roots, files, patterns, ignores, gitignore
        What counts, as for the watch.
    told
        A file that says which version the workers have, for `_ipy_autorestart_salt`.
    within
        Seconds until each worker must have it.
    lose_data
        Restart workers though they have the only copies of somebody's data.
    """

    where: str
    roots: tuple[str, ...]
    files: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    gitignore: bool = False
    told: str = ""
    within: float = 60.0
    lose_data: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """Push with this number, as these clients leave; files alone are sent with 0."""

    push: int = 0
    clients: tuple[str, ...] = ()


Say = Named | Wish
Reply = Reached | Pushed | PushFailed

_MESSAGES = {one.__name__: one for one in (*get_args(Say), *get_args(Reply))}


def encode(message: Say | Reply) -> bytes:
    """Return a message as one line."""
    return to_json(message, []).encode() + b"\n"


def decode(line: bytes) -> Say | Reply:
    """Return the message that a line holds; raises ValueError for anything else."""
    plain = json.loads(line)
    message: Say | Reply = from_plain(_MESSAGES[plain[CLASS]], plain)
    return message
