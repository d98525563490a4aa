r"""What a terminal would show of text that moves the cursor up, as progress bars do: rows that are shown anew.

A notebook knows ``\r`` and colours and drops the rest. Text without the rest passes as it is; what moves in other
ways becomes a region of rows, shown as a whole whenever it has changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: What begins a region: the cursor is hidden, moved to another line, or something is erased.
BEGINS = re.compile(r"\x1b\[(?:\?25l|\d*[AFJK])")

#: One step of a terminal: a sequence that begins with ESC, a character that moves, or text.
STEP = re.compile(
    r"\x1b\[([?0-9;:]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[^\[\]]|([\n\r\b\t])|([^\x1b\n\r\b\t]+)|\x1b"
)

#: A sequence that is not complete.
UNFINISHED = re.compile(r"\x1b(?:\[[?0-9;:]{0,30}|\][^\x07\x1b]{0,200})?\Z")

UNFINISHED_MAX = 256

#: What follows a line that was written over: maybe a second bar, before the cursor goes up again.
SECOND_BAR = re.compile(r"(?<=[^\n])\n(?:\r[^\n\r]*)?\Z")

#: Rows of a region, as of a terminal's screen; of more, half go on in a new one.
ROWS = 50

#: So much of an unfinished line is known, to be taken back.
LINE_MAX = 4096

COLUMNS_MAX = 1000
STYLE_MAX = 100
RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Rows:
    """The text of a region by its number, to be shown anew or in place of what was."""

    region: int
    text: str
    update: bool


class Live:
    """Text of one stream in, text and regions out.

    Attributes
    ----------
    waits
        Whether something is held back, to be taken soon if nothing follows.
    """

    def __init__(self) -> None:
        self.waits = False
        self._held = ""
        self._line = ""
        self._region = 0
        self._is_shown = False
        self._screen: Screen | None = None

    def feed(self, text: str, *, last: bool = False, followed: bool = False) -> Iterator[str | Rows]:
        """Yield what is to be shown; with ``last`` nothing is held back.

        ``followed``: something of another stream is shown next, so that no second bar can come below what is shown now.
        """
        if self._screen is None and not self._held and "\x1b" not in text and "\r" not in self._line + text:
            self._know(text)  # by far the most
            if text:
                yield text
            return
        waited = self.waits and not text
        text, self._held, self.waits = self._held + text, "", False
        if not last:
            text = self._hold(text, waited=waited, followed=followed)
        yield from self._split(text)

    def restart(self) -> None:
        """Begin anew, for what was shown has been cleared."""
        self._line, self._is_shown = "", False

    def _hold(self, text: str, *, waited: bool, followed: bool) -> str:
        """Hold back the end of a text that may turn out to be part of something; return the rest."""
        whole = self._line + text
        found = None
        if self._screen is None and not followed and "\r" in whole and not BEGINS.search(text):
            found = SECOND_BAR.search(whole, max(len(self._line), whole.rfind("\n")))
        found = found or UNFINISHED.search(whole, max(len(self._line), len(whole) - UNFINISHED_MAX))
        if found and not waited:
            at = found.start() - len(self._line)
            self._held, text = text[at:], text[:at]
            self.waits = True
        return text

    def _split(self, text: str) -> Iterator[str | Rows]:
        while text:
            if self._screen is not None:
                rest = self._screen.write(text)
                changed, text = text != rest, rest or ""
                if changed:
                    yield from self._rows()
                if rest is None:
                    return
                self._screen = None
            begin = BEGINS.search(text)
            if begin is None:
                self._know(text)
                yield text
                return
            yield from self._begin(text, begin)
            text = text[begin.start() :]

    def _begin(self, text: str, begin: re.Match[str]) -> Iterator[str]:
        """Take what stands in the rows that are to change out of the text, or take it back."""
        before = self._line + text[: begin.start()]
        up = int(begin[0][2:-1] or 1) if begin[0][-1] in "AF" else 0
        at = len(before)
        for _ in range(min(up, ROWS) + 1):
            at = before.rfind("\n", 0, at) if at >= 0 else at
        at += 1
        if self._line and at == 0:
            yield "\r" + " " * len(_visible(self._line)) + "\r"
        elif shown := before[len(self._line) : at]:
            yield shown
        self._line = ""
        self._region += 1
        self._is_shown = False
        self._screen = Screen()
        self._screen.write(before[at:])

    def _know(self, text: str) -> None:
        """Remember the line that is not finished."""
        self._line = (self._line + text).rpartition("\n")[2][-LINE_MAX:] if text else self._line

    def _rows(self) -> Iterator[Rows]:
        assert self._screen is not None
        for part in self._screen.overflow():
            yield Rows(self._region, part, self._is_shown)
            self._region += 1
            self._is_shown = False
        text = self._screen.text()
        if text or self._is_shown:
            yield Rows(self._region, text, self._is_shown)
            self._is_shown = True


class Screen:
    """Rows of characters, each with its colours, and a cursor."""

    def __init__(self) -> None:
        self._rows: list[list[tuple[str, str]]] = [[]]
        self._row = self._column = 0
        self._style = ""
        self._hidden = False
        self._is_new_line = False

    def write(self, text: str) -> str | None:
        """Do what the text says; return the rest if that is plain text on a new line below, else None."""
        at = 0
        while found := STEP.match(text, at):
            parameters, final, control, plain = found.groups()
            if plain is not None:
                if self._is_done:
                    return text[at:]
                self._put(plain)
            elif control is not None:
                self._is_new_line = control == "\n"
                self._move(control)
            elif final is not None:
                if final == "m" and self._is_done:
                    return text[at:]
                self._is_new_line = self._is_new_line and final in "mhl"
                self._control(parameters, final)
            at = found.end()
        return None

    @property
    def _is_done(self) -> bool:
        return self._is_new_line and not self._hidden and not _text(self._rows[self._row :])

    def _put(self, text: str) -> None:
        row = self._rows[self._row]
        row += [(" ", "")] * (self._column - len(row))
        end = min(self._column + len(text), COLUMNS_MAX)
        row[self._column : end] = [(one, self._style) for one in text[: max(0, end - self._column)]]
        self._column = end

    def _move(self, control: str) -> None:
        match control:
            case "\n":
                self._column = 0
                self._go(self._row + 1)
            case "\r":
                self._column = 0
            case "\b":
                self._column = max(0, self._column - 1)
            case _:
                self._column = min(self._column // 8 * 8 + 8, COLUMNS_MAX)

    def _go(self, row: int) -> None:
        self._row = max(0, row)
        self._rows += [[] for _ in range(self._row + 1 - len(self._rows))]

    def _control(self, parameters: str, final: str) -> None:
        first = parameters.partition(";")[0]
        count = min(int(first), ROWS) if first.isdigit() else None
        match final:
            case "m":
                before = "" if first in ("", "0") or len(self._style) > STYLE_MAX else self._style
                self._style = "" if parameters in ("", "0") else f"{before}\x1b[{parameters}m"
            case "A" | "F":
                self._go(self._row - (count or 1))
            case "B" | "E":
                self._go(min(self._row + (count or 1), len(self._rows) - 1))
            case "C":
                self._column = min(self._column + (int(first or 1) or 1), COLUMNS_MAX)
            case "D":
                self._column = max(0, self._column - (int(first or 1) or 1))
            case "G":
                self._column = min(max(0, int(first or 1) - 1), COLUMNS_MAX)
            case "K" | "J":
                self._erase(count or 0, below=final == "J")
            case "h" | "l" if parameters == "?25":
                self._hidden = final == "l"
        if final in "EF":
            self._column = 0

    def _erase(self, what: int, *, below: bool) -> None:
        row = self._rows[self._row]
        if what == 0:
            del row[self._column :]
        elif what == 1:
            row[: self._column + 1] = [(" ", "")] * min(len(row), self._column + 1)
        else:
            row.clear()
        if below:
            rows = self._rows[self._row + 1 :] if what == 0 else self._rows if what > 1 else self._rows[: self._row]
            for one in rows:
                one.clear()

    def overflow(self) -> Iterator[str]:
        """Yield rows that are out of reach, and drop them."""
        while len(self._rows) > ROWS:
            yield _text(self._rows[: ROWS // 2])
            del self._rows[: ROWS // 2]
            self._row = max(0, self._row - ROWS // 2)

    def text(self) -> str:
        """Return what it shows."""
        return _text(self._rows)


def _text(rows: list[list[tuple[str, str]]]) -> str:
    lines = []
    for row in rows:
        parts, current = [], ""
        for character, style in row:
            if style != current:
                parts.append((RESET if current else "") + style)
                current = style
            parts.append(character)
        lines.append("".join(parts).rstrip(" ") + (RESET if current else ""))
    return "\n".join(lines).rstrip("\n")


def _visible(line: str) -> str:
    """Return what can be seen of a line, or more."""
    screen = Screen()
    screen.write(line)
    return re.sub(r"\x1b\[[0-9;:]*m", "", screen.text().replace("\n", ""))
