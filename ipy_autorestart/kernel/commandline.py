"""Take a Python command line apart: what goes to the interpreter, and what it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WITH_VALUE = ("--check-hash-based-pycs",)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The parts of ``sys.orig_argv``.

    Attributes
    ----------
    flags
        For the interpreter: ``-X dev``, ``-Wignore`` …
    how
        "-m", "-c" or, for a script, "".
    what
        Module, code or script; "" for an interactive interpreter.
    args
        What comes after.
    """

    flags: tuple[str, ...]
    how: str
    what: str
    args: tuple[str, ...]


def split(words: Sequence[str]) -> CommandLine:
    """Take apart the words that follow the executable, as CPython's ``config_parse_cmdline`` reads them.

    Examples
    --------
    >>> split(["-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "k.json"])
    CommandLine(flags=('-Xfrozen_modules=off',), how='-m', what='ipykernel_launcher', args=('-f', 'k.json'))
    """
    flags: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in WITH_VALUE and rest:
            flags += [word, rest.pop(0)]
        elif word.startswith("--") and word != "--":
            flags.append(word)
        elif word == "--" or word == "-" or not word.startswith("-"):
            if word == "--" and rest:
                word = rest.pop(0)
            return CommandLine(tuple(flags), "", word, tuple(rest))
        else:
            how, what = _letters(word, rest, flags)
            if how:
                return CommandLine(tuple(flags), how, what, tuple(rest))
    return CommandLine(tuple(flags), "", "", ())


def _letters(word: str, rest: list[str], flags: list[str]) -> tuple[str, str]:
    """Read a word of one-letter options; return how and what if it names what runs."""
    for place, letter in enumerate(word[1:], 1):
        value = word[place + 1 :]
        if letter in "mc":
            if place > 1:
                flags.append(word[:place])
            return f"-{letter}", value or (rest.pop(0) if rest else "")
        if letter in "XW":
            flags.append(word)
            if not value and rest:
                flags.append(rest.pop(0))
            return "", ""
    flags.append(word)
    return "", ""


def inherited(flags: Sequence[str]) -> tuple[str, ...]:
    """Return those flags that a script gets which is run by the same interpreter.

    They change what code means, unlike those which say where modules are found or how to start. Not
    ``-X frozen_modules``, which kernels have for the debugger's sake.

    Examples
    --------
    >>> inherited(["-Xfrozen_modules=off", "-IBW", "error", "-Xdev"])
    ('-B', '-W', 'error', '-X', 'dev')
    """
    taken: list[str] = []
    rest = list(flags)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            del rest[: word in WITH_VALUE]
            continue
        for place, letter in enumerate(word[1:], 1):
            if letter in "XW":
                value = word[place + 1 :] or "".join(rest[:1])
                del rest[: not word[place + 1 :]]
                if (letter, value.partition("=")[0]) != ("X", "frozen_modules"):
                    taken += [f"-{letter}", value]
                break
            if letter in "OBbu":
                taken.append(f"-{letter}")
    return tuple(taken)
