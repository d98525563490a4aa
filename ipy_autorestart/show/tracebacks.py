"""Colours the tracebacks in what a script writes to stderr, as IPython colours its own; all else passes as it is.

Only codes of colour are added: the text is the script's own, so that who looks for ``File "path", line N`` finds it.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pygments.style import Style
    from pygments.token import _TokenType

_BEGIN, _FILE = "Traceback (most recent call last):", '  File "'

#: In front of the lines of an exception group.
_BAR = r"(?: *[|+] |(?! *[|+] ))"
_HEADER = re.compile(rf"{_BAR}\s*(?:Exception Group )?Traceback \(most recent call last\):")
_PLACE = re.compile(rf'({_BAR}  File )("[^"]*")(, )(line \d+)(?:(, in )(.+))?')
_CODE = re.compile(rf"({_BAR}    )(\s*[^\s~^].*)")
_INSIDE = re.compile(rf"{_BAR}(?:  .*|\s*)")
_EXCEPTION = re.compile(rf"({_BAR})([^\W\d][\w.]*(?:\.<locals>\.[\w.]+)*)(: .*)?")

#: Characters of a line from which on it is not kept back any more, and what is known of a line that was not.
_KEPT_MAX, _KNOWN_MAX = 10_000, 80


class Tracebacks:
    """A stream of text in which tracebacks are coloured line by line.

    Of a line that has not ended only that is kept back which may begin a place in a file, or belongs to a traceback.
    The style is asked for at each traceback; where it is None, nothing is coloured.
    """

    def __init__(self, style: Callable[[], type[Style] | None]) -> None:
        self._style = style
        self._painted_in: type[Style] | None = None
        self._formatter: Any = None  # for that style
        self._known = ""  # of the line that has not ended, what has been passed on
        self._kept = ""  # and what has not
        self._inside = False
        self._headless = False  # a syntax error's, which has no first line

    def feed(self, text: str) -> str:
        """Return the text as far as it can be passed on, with colours."""
        text, self._kept = self._kept + text, ""
        seen = self._known + text
        if not self._inside and _BEGIN not in seen and _FILE not in seen:  # a flood goes this way
            whole, end, rest = text.rpartition("\n")
            if end:
                self._known = ""
            return whole + end + self._begin(rest)
        *lines, rest = text.split("\n")
        return "".join([*(self._end(line) + "\n" for line in lines), self._begin(rest)])

    def flush(self) -> str:
        """Return what was kept back."""
        text, self._kept = self._kept, ""
        self._known = (self._known + text)[:_KNOWN_MAX]
        return text

    def _begin(self, text: str) -> str:
        """Take the beginning of a line, or more of it."""
        self._kept = text
        belongs = self._inside or text[: len(_FILE)] == _FILE[: len(text)]
        return "" if belongs and not self._known and len(text) < _KEPT_MAX else self.flush()

    def _end(self, text: str) -> str:
        """Take the rest of a line and return it, coloured if it is all of it."""
        line, known = self._known + text, self._known
        self._known = ""
        tokens = self._read(line)
        style = None if known or tokens is None else self._style()
        if style is None:
            return text
        if style is not self._painted_in:
            from pygments.formatters.terminal256 import Terminal256Formatter

            self._painted_in, self._formatter = style, Terminal256Formatter(style=style)
        painted = io.StringIO()
        self._formatter.format(tokens, painted)
        return painted.getvalue()

    def _read(self, line: str) -> list[tuple[_TokenType, str]] | None:
        """Go on with a line; return its parts if it is one of a traceback."""
        from pygments.token import Token

        if "\x1b" in line:  # somebody else colours it
            self._inside = False
        elif _HEADER.fullmatch(line):
            self._inside, self._headless = True, False
        elif found := _PLACE.fullmatch(line):
            if not self._inside:
                self._inside = self._headless = found[6] is None
            if self._inside:
                kinds = (Token, Token.FilenameEm, Token, Token.FilenameEm, Token, Token.VName)
                return [(kind, part) for kind, part in zip(kinds, found.groups(), strict=True) if part]
        elif not self._inside:
            pass
        elif found := _CODE.fullmatch(line):
            code = _lexer().get_tokens_unprocessed(found[2])
            return [(Token, found[1]), *((kind, part) for _, kind, part in code)]
        elif not _INSIDE.fullmatch(line):
            self._inside = False
            found = _EXCEPTION.fullmatch(line)
            if found and (found[2].endswith("Error") or not self._headless):
                return [(Token, found[1]), (Token.ExcName, found[2]), (Token, found[3] or "")]
        return None


@functools.cache
def _lexer() -> Any:  # noqa: ANN401
    from pygments.lexers.python import PythonLexer

    return PythonLexer()


def style_of(shell: Any) -> type[Style] | None:  # noqa: ANN401  # any IPython
    """Return what a shell colours its tracebacks with, None if it doesn't."""
    name = str(getattr(shell, "colors", "") or "nocolor").lower()
    if name == "nocolor":
        return None
    try:
        from IPython.utils.PyColorize import theme_table
    except ImportError:  # IPython 8
        return _style_of_old(name)
    found: type[Style] = theme_table[name].as_pygments_style()
    return found


@functools.cache
def _style_of_old(name: str) -> type[Style]:
    """Return the colours of ``IPython.core.excolors``, whose code is in the default style."""
    from pygments.styles.default import DefaultStyle
    from pygments.token import Token

    bright = "bright" if name == "linux" else ""
    own = {Token.ExcName: f"ansi{bright}red", Token.FilenameEm: f"ansi{bright}green", Token.VName: "ansicyan"}
    return type("ShellStyle", (DefaultStyle,), {"styles": {**DefaultStyle.styles, **own}})
