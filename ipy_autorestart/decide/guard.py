"""Decide from a file's old and new bytes whether its change can matter to a run."""

from __future__ import annotations

import enum
import functools
import re
import types
import warnings

from ipy_autorestart import catalogue
from ipy_autorestart.decide.change import Broken


class Likeness(enum.Enum):
    """The relation of a file's new bytes, if they can be compiled, to its old ones."""

    SAME = "same"  # byte for byte
    SAME_CODE = "same code"  # comments or layout differ
    DIFFERENT = "different"


#: The first line of a program that names its interpreter, or what calls it.
SHEBANG = re.compile(rb"#![^\n]*(?:python|pypy|uv run)")

Verdict = Likeness | Broken


def compare(path: str, old: bytes | None, new: bytes, *, strict: bool = False) -> Verdict:
    """Compare what a file held with what it holds.

    Same code means code objects that are equal but for line numbers: comments, layout, quotes and parentheses
    may differ, docstrings, annotations and constants may not. What the compiler drops (``4*4`` for ``16``,
    unreachable statements) counts as same too: no run can notice.

    Only Python sources are compiled; others are compared by their bytes. ``old`` is None where it is not known, or
    there was no file. If ``strict``, any difference in bytes counts, as long as the new bytes compile.
    """
    if old == new:
        return Likeness.SAME
    if not is_source(path, new):
        return Likeness.DIFFERENT
    code = _compiled(path, new)
    if isinstance(code, Broken):
        return code
    if strict or old is None:
        return Likeness.DIFFERENT
    before = _compiled(path, old)
    if isinstance(before, Broken) or not same_code(before, code):
        return Likeness.DIFFERENT
    return Likeness.SAME_CODE


def is_source(path: str, content: bytes) -> bool:
    """Whether a file is a Python source: by its name, or by its first line, unless an archive follows that."""
    return path.endswith(".py") or (SHEBANG.match(content) is not None and b"\0" not in content)


def same_code(one: types.CodeType, other: types.CodeType) -> bool:
    """Whether two code objects do the same, their line numbers aside.

    The fields are walked, since ``marshal.dumps`` is not canonical: it marks references by their count.
    """
    return _key(one) == _key(other)


#: What some messages of the compiler tell of the line, which is told before.
_PLACE = re.compile(r" \(detected at line \d+\)$")


@functools.lru_cache(maxsize=16)  # what is new now is what is old at the next save
def _compiled(path: str, source: bytes) -> types.CodeType | Broken:
    try:
        # The bytes as they are: the compiler knows about encoding cookies and byte order marks.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compile(source, path, "exec", dont_inherit=True, optimize=0)
    except SyntaxError as error:
        message, text = _PLACE.sub("", error.msg) if error.msg else type(error).__name__, error.text or ""
        return Broken(path, message, error.lineno or 0, max(error.offset or 0, 0), text.rstrip("\r\n"))
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return Broken(path, str(error) or catalogue.NESTED())


def _key(value: object) -> object:
    """Return a value for a constant by which ``1`` differs from ``True`` and ``0.0`` from ``-0.0``."""
    match value:
        case types.CodeType():
            return (
                *(value.co_name, value.co_qualname, value.co_flags, value.co_stacksize),
                *(value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount),
                *(value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars),
                *(value.co_code, value.co_exceptiontable),
                tuple(map(_key, value.co_consts)),
            )
        case tuple():
            return (tuple, tuple(map(_key, value)))
        case frozenset():
            return (frozenset, frozenset(map(_key, value)))
        case float() | complex():
            return (type(value), repr(value))
        case slice():  # a constant since Python 3.14, not hashable before 3.12
            return (slice, _key(value.start), _key(value.stop), _key(value.step))
        case _:
            return (type(value), value)
