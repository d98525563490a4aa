r"""Rows as a terminal shows them, for text that moves the cursor: progress bars, and frames drawn over each other.

A notebook knows ``\r`` and colours, and drops the rest. Text without the rest passes as it is. Text with it becomes a
region: rows that are shown as a whole, and again whenever they have changed.

The terminal is our own: pyte's takes seven times as long, needs a fixed size, drops what follows an emoji's joiner, and
has no rows that scroll out. The tests compare the two. Widths are Unicode's, since importing `wcwidth` takes as long as
importing all the rest of the supervisor.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

#: The start of a region: the cursor is hidden or moved, or something is erased or shifted. The group is how far up.
BEGINS = re.compile(r"\x1b(?:\[(?:\?25l|([0-9]{0,9})[AF]|[0-9;]{0,30}[B-EGHJ-MPX@dfsu])|[78c])")

#: One step of a terminal: a control sequence, a string to the terminal, an escape, a control character, or text.
STEP = re.compile(
    r"\x1b\[([0-?]{0,100})[ -/]*(?P<final>[@-~])|\x1b[]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b([ -/]*[0-~])"
    r"|([\x00-\x1f\x7f])|(?P<plain>[^\x00-\x1f\x7f]+)"
)

#: A sequence that is not complete.
UNFINISHED = re.compile(r"\x1b(?:\[[0-?]{0,100}[ -/]{0,3}|[]PX^_][^\x07\x1b]{0,200}\x1b?|[ -/]{0,3})?\Z")

UNFINISHED_MAX = 256

#: The end of a line that was written over: a second bar may follow, before the cursor goes up again.
SECOND_BAR = re.compile(r"(?<=[^\n])\n(?:\r[^\n\r]*)?\Z")

#: Rows of a region, as of a terminal's screen. When there are more, half of them scroll out: they become a region of
#: their own, which does not change any more.
ROWS = 50

#: Bytes that are known of an unfinished line, so that it can be taken back.
LINE_MAX = 4096

COLUMNS_MAX = 1000

#: Characters of one cell: the longest emoji has ten.
JOINED_MAX = 20

STYLE_MAX = 100
RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Rows:
    """The text of a region, to be shown for the first time or, with ``update``, in place of what was shown."""

    region: int
    text: str
    update: bool


class Live:
    """Text of one stream in; text and regions out.

    Attributes
    ----------
    waits
        Whether something is held back, to be asked for soon if nothing follows.
    """

    def __init__(self) -> None:
        self.waits = False
        self._held = ""
        self._line = ""
        self._region = 0
        self._is_shown = False
        self._emulator: Emulator | None = None

    def feed(self, text: str, *, last: bool = False, followed: bool = False) -> Iterator[str | Rows]:
        """Yield what is to be shown.

        Parameters
        ----------
        last
            Hold nothing back.
        followed
            Something of another stream is shown next, so that no second bar can come below what is shown now.
        """
        if self._emulator is None and not self._held and "\x1b" not in text and "\r" not in self._line + text:
            self._remember(text)  # by far the most
            if text:
                yield text
            return
        waited = self.waits and not text
        text, self._held, self.waits = self._held + text, "", False
        if not last and not waited:
            # The end may turn out to be part of something.
            line = self._line + text
            found = None
            if self._emulator is None and not followed and "\r" in line and not BEGINS.search(text):
                found = SECOND_BAR.search(line, max(len(self._line), line.rfind("\n")))
            found = found or UNFINISHED.search(line, max(len(self._line), len(line) - UNFINISHED_MAX))
            if found:
                at = found.start() - len(self._line)
                self._held, text = text[at:], text[:at]
                self.waits = True
        yield from self._split(text)

    def restart(self) -> None:
        """Start again: what was shown has been cleared."""
        self._line, self._is_shown = "", False

    def _split(self, text: str) -> Iterator[str | Rows]:
        while text:
            if self._emulator is not None:
                rest = self._emulator.write(text)
                changed, text = text != rest, rest or ""
                if changed:
                    yield from self._rows()
                if rest is None:
                    return
                self._emulator = None
            begin = BEGINS.search(text)
            if begin is None:
                self._remember(text)
                yield text
                return
            yield from self._begin(text, begin)
            text = text[begin.start() :]

    def _begin(self, text: str, begin: re.Match[str]) -> Iterator[str]:
        """Start a region with the rows that are to change, and yield the text above; what was shown is taken back."""
        before = self._line + text[: begin.start()]
        up = 0 if begin[1] is None else int(begin[1] or 0) or 1
        at = len(before)
        for _ in range(min(up, ROWS) + 1):
            at = before.rfind("\n", 0, at) if at >= 0 else at
        at += 1
        if self._line and at == 0:
            yield "\r" + " " * Emulator(self._line).width + "\r"
        elif shown := before[len(self._line) : at]:
            yield shown
        self._line = ""
        self._region += 1
        self._is_shown = False
        self._emulator = Emulator(before[at:])

    def _remember(self, text: str) -> None:
        """Keep the line that is not finished."""
        self._line = (self._line + text).rpartition("\n")[2][-LINE_MAX:] if text else self._line

    def _rows(self) -> Iterator[Rows]:
        assert self._emulator is not None
        for part in self._emulator.overflow():
            yield Rows(self._region, part, self._is_shown)
            self._region += 1
            self._is_shown = False
        text = self._emulator.text()
        if text or self._is_shown:
            yield Rows(self._region, text, self._is_shown)
            self._is_shown = True


#: A character and its style. A wide character is followed by an empty cell.
Cell = tuple[str, str]
BLANK: Cell = (" ", "")


class Emulator:
    """Rows of cells and a cursor, which do what the text says; they begin with the text of the rows ``above``."""

    def __init__(self, above: str) -> None:
        self._rows: list[list[Cell]] = [[]]
        self._row = self._column = 0
        self._saved = (0, 0)
        self._style = ""
        self._is_hidden = False
        self._is_new_line = False
        # The cursor may come back, to the first row or to where it was saved, as long as the rows fit the screen.
        self._is_kept = False
        for found in STEP.finditer(above):
            self._do(found)

    def write(self, text: str) -> str | None:
        """Do what the text says; return the rest if that is plain text on a new line below, else None."""
        for found in STEP.finditer(text):
            is_over = self._is_new_line and not self._is_hidden and not self._is_kept
            if is_over and (found["plain"] or found["final"] == "m") and not _text(self._rows[self._row :]):
                return text[found.start() :]
            self._do(found)
        return None

    def _do(self, step: re.Match[str]) -> None:
        parameters, final, escape, control, plain = step.groups()
        if plain is not None:
            self._put(plain)
        elif control is not None:
            self._is_new_line = control == "\n"
            match control:
                case "\n":
                    self._go(self._row + 1, 0)
                    self._is_kept = self._is_kept and self._row < ROWS
                case "\r":
                    self._column = 0
                case "\b":
                    self._column = max(0, self._column - 1)
                case "\t":
                    self._column = min(self._column // 8 * 8 + 8, COLUMNS_MAX)
        elif final is not None:
            self._is_new_line = self._is_new_line and final in "mhl"
            self._control(parameters, final)
        elif escape is not None:
            self._escape(escape)

    def _put(self, text: str) -> None:
        if text.isascii() or set(map(_columns, set(text))) == {1}:
            self._put_cells([(one, self._style) for one in text])
            return
        for one in text:
            if width := _columns(one):
                self._put_cells([(one, self._style), ("", self._style)][:width])
            elif self._column:  # it joins the character before
                row = self._rows[self._row]
                row += [BLANK] * (self._column - len(row))
                at = self._column - 1 if row[self._column - 1][0] else self._column - 2
                if len(row[at][0]) < JOINED_MAX:
                    row[at] = (row[at][0] + one, row[at][1])

    def _put_cells(self, cells: list[Cell]) -> None:
        end = min(self._column + len(cells), COLUMNS_MAX)
        self._replace(self._column, end, cells[: end - self._column])
        self._column = end

    def _replace(self, first: int, end: int, cells: list[Cell]) -> None:
        """Put cells in the place of others of the row; what stays of half a wide character becomes a blank."""
        row = self._rows[self._row]
        row += [BLANK] * (first - len(row))
        for at in (first, end):
            if 0 < at < len(row) and not row[at][0]:
                row[at - 1 : at + 1] = [BLANK, BLANK]
        row[first:end] = cells
        del row[COLUMNS_MAX:]

    def _go(self, row: int, column: int) -> None:
        self._row = max(0, row)
        self._column = max(0, min(column, COLUMNS_MAX))
        self._rows += [[] for _ in range(self._row + 1 - len(self._rows))]

    @property
    def _bottom(self) -> int:
        """The last row that the cursor can be moved to: without frames, the cursor is at the bottom of the screen."""
        return max(len(self._rows), ROWS if self._is_kept else 0) - 1

    def _escape(self, escape: str) -> None:
        match escape:
            case "7":
                self._is_kept = True
                self._saved = (self._row, self._column)
            case "8":
                self._go(min(self._saved[0], self._bottom), self._saved[1])
            case "c":
                self._control("2", "J")
                self._control("", "H")

    def _control(self, parameters: str, final: str) -> None:
        first, _, second = parameters.partition(";")
        number = int(first) if first.isdigit() else 0
        count = min(number, COLUMNS_MAX) or 1
        row, column = self._row, self._column
        match final:
            case "m":
                before = "" if first in ("", "0") or len(self._style) > STYLE_MAX else self._style
                self._style = "" if parameters in ("", "0") else f"{before}\x1b[{parameters}m"
            case "A" | "F":
                self._go(row - count, 0 if final == "F" else column)
            case "B" | "E":
                self._go(min(row + count, self._bottom), 0 if final == "E" else column)
            case "C":
                self._go(row, column + count)
            case "D":
                self._go(row, column - count)
            case "G":
                self._go(row, count - 1)
            case "d":
                self._go(min(count - 1, self._bottom), column)
            case "H" | "f":
                self._is_kept = True
                self._go(min(count, ROWS) - 1, int(second) - 1 if second.isdigit() else 0)
            case "J" | "K":
                self._erase(number, below=final == "J")
            case "P":
                self._replace(column, column + count, [])
            case "@":
                self._replace(column, column, [BLANK] * count)
            case "X":
                self._replace(column, column + count, [BLANK] * count)
            case "L":
                self._rows[row:row] = [[] for _ in range(min(count, ROWS))]
                del self._rows[max(row + 1, ROWS) :]
                self._column = 0
            case "M":
                del self._rows[row : row + count]
                self._go(row, 0)
            case "s" | "u" if not parameters:
                self._escape("7" if final == "s" else "8")
            case "h" | "l" if parameters == "?25":
                self._is_hidden = final == "l"

    def _erase(self, what: int, *, below: bool) -> None:
        row = self._rows[self._row]
        if what == 0:
            self._replace(self._column, len(row), [])
        elif what == 1:
            self._replace(0, self._column + 1, [BLANK] * (self._column + 1))
        else:
            row.clear()
        if below:
            self._is_kept = self._is_kept or what > 1
            rows = self._rows[self._row + 1 :] if what == 0 else self._rows if what > 1 else self._rows[: self._row]
            for one in rows:
                one.clear()

    def overflow(self) -> Iterator[str]:
        """Yield the rows that scroll out, and drop them."""
        while len(self._rows) > ROWS:
            yield _text(self._rows[: ROWS // 2])
            del self._rows[: ROWS // 2]
            self._row = max(0, self._row - ROWS // 2)

    def text(self) -> str:
        """Return what it shows."""
        return _text(self._rows)

    @property
    def width(self) -> int:
        """Characters, or columns, of the longest row, of which a front end may count either."""
        return max(sum(len(character) or 1 for character, _ in row) for row in self._rows)


def _columns(character: str) -> int:
    """Return how many columns a terminal gives a character: none to what joins the one before."""
    if unicodedata.category(character) in ("Cf", "Mc", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "FW" else 1


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
