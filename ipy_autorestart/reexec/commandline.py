"""The command line of an interpreter: what of it is for itself, and what says what runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipy_autorestart.pristine import os

#: The program of a new image of a kernel or a terminal's IPython, which runs what it is told.
BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")

#: Flags that are followed by a value, besides those of one letter.
WITH_VALUE = ("--check-hash-based-pycs",)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The parts of ``sys.orig_argv``."""

    flags: tuple[str, ...]  # the interpreter's: -X dev, -Wignore …
    how: str  # "-m", "-c" or, for a script, ""
    what: str  # module, code or script; "" for an interactive interpreter
    args: tuple[str, ...]


def split(argv: Sequence[str]) -> CommandLine:
    """Split the arguments of an interpreter as CPython's ``config_parse_cmdline`` does.

    Examples
    --------
    >>> split(["-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "k.json"])
    CommandLine(flags=('-Xfrozen_modules=off',), how='-m', what='ipykernel_launcher', args=('-f', 'k.json'))
    """
    flags: list[str] = []
    rest = list(argv)
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
    """Read a word of one-letter options; return how and what if it says what runs, else empty strings."""
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
    """Return the flags that a script gets that is run by the same interpreter.

    These change the meaning of code; the others say where modules are found, or how to start. ``-X frozen_modules`` is
    left out, which kernels have for the debugger only.

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
