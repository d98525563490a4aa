import string
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.decide.change import Broken
from ipy_autorestart.decide.guard import Likeness, compare

ALIKE = {
    "comment added": ("V = 1\n", "# why\nV = 1\n"),
    "blank lines": ("V = 1\nW = 2\n", "V = 1\n\n\nW = 2\n"),
    "layout": ("f(1,2)\n", "f(\n    1,\n    2,\n)\n"),
    "quotes": ("V = 'a'\n", 'V = "a"\n'),
    "hex literal": ("V = 255\n", "V = 0xFF\n"),
    "parentheses": ("V = 1 + 2\n", "V = (1 + 2)\n"),
    "line ends": ("V = 1\nW = 2\n", "V = 1\r\nW = 2\r\n"),
    "byte order mark": ("V = 1\n", "\ufeffV = 1\n"),
    "encoding cookie": ("V = 1\n", "# coding: utf-8\nV = 1\n"),
    "type comment": ("V = 1\n", "V = 1  # type: int\n"),
    "moved down": ("def f():\n    return 1\n", "\n\n\ndef f():\n\n    return 1\n"),
    "cell marker": ("V = 1\n", "# %%\nV = 1\n"),
    "nothing left but a comment": ("", "# nothing\n"),
}

DIFFERENT = {
    "value": ("V = 1\n", "V = 2\n"),
    "int to bool": ("V = 1\n", "V = True\n"),
    "int to float": ("V = 1\n", "V = 1.0\n"),
    "sign of zero": ("V = 0.0\n", "V = -0.0\n"),
    "sign of a complex zero": ("V = 0j\n", "V = -0j\n"),
    "inside a tuple": ("V = (1, (2, 3))\n", "V = (1, (2, True))\n"),
    "inside a set": ("1 in {1, 2}\nV = x in {1, 2}\n", "1 in {1, 2}\nV = x in {1, 2.0}\n"),
    "docstring": ('def f():\n    """One."""\n', 'def f():\n    """Two."""\n'),
    "annotation": ("def f(a: int): ...\n", "def f(a: str): ...\n"),
    "default": ("def f(a=1): ...\n", "def f(a=2): ...\n"),
    "order of imports": ("import a\nimport b\n", "import b\nimport a\n"),
    "name of a function": ("def f(): ...\n", "def g(): ...\n"),
    "nested body": ("def f():\n    def g(): return 1\n", "def f():\n    def g(): return 2\n"),
    "handler": ("try:\n    a()\nexcept A:\n    b()\n", "try:\n    a()\n    b()\nexcept A:\n    b()\n"),
    "future": ("V = 1\n", "from __future__ import annotations\nV = 1\n"),
    "bytes to str": ("V = b'a'\n", "V = 'a'\n"),
}

BROKEN = {
    "syntax": (b"V = (\n", 1),
    "indent": (b"def f():\nreturn 1\n", 2),
    "null byte": (b"V = 1\0\n", None),
    "not in its encoding": (b"V = '\xff'\n", None),
    "unknown encoding": (b"# coding: klingon\nV = 1\n", None),
    "half of a string": (b'V = """\n', None),
    "return outside": (b"return 1\n", 1),
    "too deep": (b"V = " + b"(" * 5000 + b")" * 5000, None),
    "deep without brackets": (b"V = " + b"-" * 200_000 + b"1", None),
    "huge number": (b"V = " + b"9" * 10_000, None),
}


@pytest.mark.parametrize("case", ALIKE)
def test_what_the_compiler_does_not_see_is_same_code(case):
    old, new = (text.encode() for text in ALIKE[case])

    assert compare("a.py", old, new) is Likeness.SAME_CODE


@pytest.mark.parametrize("case", ALIKE)
def test_strict_calls_every_difference_different(case):
    old, new = (text.encode() for text in ALIKE[case])

    assert compare("a.py", old, new, strict=True) is Likeness.DIFFERENT


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_a_run_can_tell_is_different(case):
    old, new = (text.encode() for text in DIFFERENT[case])

    assert compare("a.py", old, new) is Likeness.DIFFERENT
    assert compare("a.py", new, old) is Likeness.DIFFERENT


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_compiled_is_broken(case, strict):
    source, line = BROKEN[case]

    verdict = compare("a.py", b"V = 1\n", source, strict=strict)

    assert isinstance(verdict, Broken)
    assert verdict.path == "a.py"
    assert verdict.message
    if line is not None:
        assert verdict.line == line


def test_broken_shows_the_line_as_it_stands():
    verdict = compare("a.py", b"", b"V = 1\nW = = 2\n")

    assert verdict == Broken("a.py", "invalid syntax", 2, 5, "W = = 2")


def test_a_message_does_not_tell_the_line_twice():
    verdict = compare("a.py", b"", b'text = "hello\n')
    assert verdict == Broken("a.py", "unterminated string literal", 1, 8, 'text = "hello')


def test_same_bytes_are_same_even_when_broken():
    assert compare("a.py", b"V = (\n", b"V = (\n") is Likeness.SAME


def test_mended_file_is_different():
    assert compare("a.py", b"V = (\n", b"V = 1\n") is Likeness.DIFFERENT


def test_unknown_old_bytes_are_different():
    assert compare("a.py", None, b"V = 1\n") is Likeness.DIFFERENT


def test_other_files_go_by_their_bytes():
    assert compare("a.toml", b"a = 1\n", b"a = (\n") is Likeness.DIFFERENT


def test_new_empty_file_is_different():
    assert compare("a.py", None, b"") is Likeness.DIFFERENT


def test_warnings_of_the_compiler_stay_inside():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        verdict = compare("a.py", b"V = 1\n", b"V = '\\d'\nV is 1\n")

    assert verdict is Likeness.DIFFERENT
    assert not seen


NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=3).map("v_{}".format)
FLOATS = st.floats(allow_nan=False)
CONSTANTS = st.one_of(st.integers(), st.booleans(), st.none(), st.text(), st.binary(), st.floats(allow_nan=False))
VALUES = st.recursive(CONSTANTS, lambda inner: st.lists(inner, max_size=3).map(tuple))
PROGRAMS = st.lists(st.tuples(NAMES, VALUES), max_size=5)


def source(program, *, gap="\n"):
    return gap.join(f"{name} = {value!r}" for name, value in program).encode("utf-8", "surrogatepass") + b"\n"


@given(PROGRAMS)
def test_layout_never_makes_a_difference(program):
    verdict = compare("a.py", source(program), source(program, gap="\n\n# between\n") + b"# after\n")

    assert verdict is Likeness.SAME_CODE


@given(PROGRAMS, PROGRAMS)
def test_other_values_always_make_a_difference(one, other):
    same = repr(one) == repr(other)

    assert (compare("a.py", source(one), source(other)) is Likeness.SAME) == same


def test_a_file_is_python_by_its_first_line_too():
    tool = b"#!/usr/bin/env python3\nV = 1\n"
    assert compare("tool", tool, tool + b"# why\n") is Likeness.SAME_CODE
    assert isinstance(compare("tool", tool, tool + b"V = (\n"), Broken)
    assert compare("tool", tool, b"#!/bin/sh\nV=1\n") is Likeness.DIFFERENT
    assert compare("tool", tool, tool + b"PK\0(") is Likeness.DIFFERENT  # an archive may begin so
