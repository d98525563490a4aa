"""A script's tracebacks are coloured as IPython's, and nothing else is touched."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.styles.default import DefaultStyle
from pygments.token import Token

from ipy_autorestart.show.tracebacks import Tracebacks, style_of


class Style(DefaultStyle):
    styles = {  # noqa: RUF012  # as pygments has it
        **DefaultStyle.styles,
        Token.ExcName: "ansired",
        Token.FilenameEm: "ansigreen",
        Token.VName: "ansicyan",
    }


RED, GREEN, CYAN, END = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[39m"

PLAIN = """\
before
Traceback (most recent call last):
  File "/p/main.py", line 3, in <module>
    f(1, 0)
    ~^^^^^^
  File "/p/src/a.py", line 1, in f
    def f(a, b): return a / b
  [Previous line repeated 979 more times]
pkg.mod.OwnError: a message
  over two lines
ZeroDivisionError: not a part of it
"""


def plain(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def colour(*chunks, style=Style):
    tracebacks = Tracebacks(lambda: style)
    return "".join([*map(tracebacks.feed, chunks), tracebacks.flush()])


def run(code, **how):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **how)
    return done.stderr


def test_names_of_exceptions_are_red_and_places_green():
    lines = colour(PLAIN).splitlines()
    assert lines[:2] == PLAIN.splitlines()[:2]
    assert lines[2] == f'  File {GREEN}"/p/main.py"{END}, {GREEN}line 3{END}, in {CYAN}<module>{END}'
    assert "\x1b[38;5;" in lines[3]
    assert "\x1b" not in lines[4] + lines[7]
    assert lines[8] == f"{RED}pkg.mod.OwnError{END}: a message"
    assert lines[9:] == PLAIN.splitlines()[9:]


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("1 / 0", ["ZeroDivisionError"]),
        ("x = (", ["SyntaxError"]),
        ("if 1:\nx", ["IndentationError"]),
        ("try: 1 / 0\nexcept Exception as e: raise KeyError('k') from e", ["ZeroDivisionError", "KeyError"]),
        ("try: 1 / 0\nexcept Exception: int('x')", ["ZeroDivisionError", "ValueError"]),
        ("raise KeyboardInterrupt", ["KeyboardInterrupt"]),
        ("def f(): f()\nf()", ["RecursionError"]),
        ("raise ExceptionGroup('several', [ValueError(1)])", ["ExceptionGroup"]),
        ("def f():\n class Own(Exception): pass\n raise Own('x')\nf()", ["f.<locals>.Own"]),
        ("e = ValueError('x'); e.add_note('a note'); raise e", ["ValueError"]),
        ("raise ValueError('two\\nTypeError: lines')", ["ValueError"]),
        ("import traceback, sys; traceback.print_stack(); print('done', file=sys.stderr)", []),
        ("import warnings; warnings.warn('no traceback')", []),
    ],
)
def test_what_python_writes_is_recognised(code, names):
    written = run(code)
    coloured = colour(written)
    assert plain(coloured) == written
    assert re.findall(r"\x1b\[31m(.*?)\x1b\[39m", coloured) == names


@given(st.data())
def test_the_text_is_the_same_however_it_comes(data):
    pieces = [
        "Traceback (most recent call last):\n",
        '  File "a.py", line 1',
        ", in f\n",
        "    x = f(')\n",
        "\n",
        "   ",
    ]
    pieces += ["ValueError: x\n", "  | ", "+ Exception Group ", '  File "', "\t", "word", "  ", "    ^^^\n", "\r", "é"]
    text = data.draw(st.lists(st.sampled_from(pieces) | st.text("ab \n\t:~^'\"", max_size=5)).map("".join))
    places = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    chunks = [text[one:other] for one, other in zip([0, *places], [*places, len(text)], strict=True)]
    assert plain(colour(*chunks)) == text
    assert plain(colour(*chunks)) == plain(colour(text))


@given(st.lists(st.integers(0, len(PLAIN)), max_size=8))
def test_the_colours_are_the_same_wherever_it_is_cut(places):
    chunks = [PLAIN[one:other] for one, other in zip([0, *sorted(places)], [*sorted(places), len(PLAIN)], strict=True)]
    assert colour(*chunks) == colour(PLAIN)


def test_what_is_no_traceback_passes_at_once():
    tracebacks = Tracebacks(lambda: Style)
    for chunk in ("10 %", "\r20 %", "Traceback (most", " recent", "    x", "\n", "File", "\n   x", "y"):
        assert tracebacks.feed(chunk) == chunk
    tracebacks.feed("\n")
    assert [tracebacks.feed(chunk) for chunk in ("  ", "F", "ine")] == ["", "", "  Fine"]
    assert [tracebacks.feed(chunk) for chunk in ("\n", '  File "a', '.py", li')] == ["\n", "", ""]
    assert tracebacks.flush() == '  File "a.py", li'
    assert tracebacks.feed("ne 1\n") == "ne 1\n"


def test_what_is_coloured_already_is_left_alone():
    text = (
        'Traceback (most recent call last):\n  File \x1b[35m"a.py"\x1b[0m, line 1\n    x\n\x1b[1mValueError\x1b[0m: x\n'
    )
    assert colour(text) == text


def test_without_colours_nothing_is_added():
    assert colour(PLAIN, style=None) == PLAIN


class Shell:
    def __init__(self, colors):
        self.colors = colors


def test_the_style_is_the_shells():
    assert style_of(None) is None
    for name in ("NoColor", "nocolor"):
        assert style_of(Shell(name)) is None
    for name in ("Linux", "neutral", "LightBG"):
        style = style_of(Shell(name)).style_for_token
        assert "red" in style(Token.ExcName)["ansicolor"].lower()
        assert "green" in style(Token.FilenameEm)["ansicolor"].lower()
