"""What a supervisor is told of the process that starts it; apart from the engine, which a front has no need of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: First word of a supervisor's command line, before its `Front` and the request.
LINK = "--link"


@dataclass(frozen=True, slots=True)
class Front:
    """What a supervisor is told of the process that starts it, at the other end of standard input.

    Attributes
    ----------
    cwd
        The folder that relative paths start from.
    kernel
        Whether it is the target itself.
    whole
        Whether it takes all that a run prints, however much.
    flags
        Of its interpreter, for the runs.
    since_ns
        When the watch was asked for, in nanoseconds since 1970: what is saved later counts though the baseline may
        not be taken yet. 0 where nothing runs yet that could be out of date.
    """

    cwd: str
    kernel: bool = False
    whole: bool = False
    flags: Sequence[str] = ()
    since_ns: int = 0
    displays: Mapping[str, Any] | None = None

    def to_words(self) -> list[str]:
        """Return what a supervisor's command line begins with."""
        return [LINK, json.dumps(asdict(self))]
