"""What may stand where the cursor is in a line of one of the magics."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ipy_autorestart.pristine import os
from ipy_autorestart.protocol.parse import BACK, OPTIONS

#: Switches of the magics alone, which are no options of a watch.
ACTIONS = ("--now", "--pause", "--resume", BACK)
STATUS_FLAGS = ("--json", "--why")

_OPTIONS = {option.flag: option for option in OPTIONS}

_LINE = re.compile(r"\s*%?(watch_restart|unwatch|watch_status)\s+(.*)", re.DOTALL)
_SPECIAL = re.compile(r"([\s'\"\\#&;()$`|<>*?!])")
_WORD = re.compile(r"(?:\\.|\S)+")
_HIDDEN = ("__pycache__",)


class Entry(NamedTuple):
    """What a folder holds."""

    name: str
    is_folder: bool


class Completed(NamedTuple):
    """What is typed of a word, and the words that it may become."""

    fragment: str
    words: list[str]


Listing = Callable[[str], Iterable[Entry]]


def complete(line: str, *, listing: Listing, targets: Sequence[str], cells: Iterable[int] = ()) -> Completed | None:
    """Complete the last word of a line, which ends where the cursor is.

    Parameters
    ----------
    line
        Of a cell, as far as the cursor.
    listing
        Returns what a folder holds, "" for the current one; nothing for what is no folder.
    targets
        The names of what is watched.
    cells
        The numbers of those that have run.

    Returns
    -------
    None for a line of something else.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    magic, typed = found.groups()
    if magic == "unwatch":  # a target's name may be of two words
        return Completed(typed, sorted({name for name in targets if name.startswith(typed)}))
    words = _WORD.findall(typed)
    if words and words[0] in ACTIONS and (len(words) > 1 or typed[-1:].isspace()):
        names = map(str, cells) if words[0] == BACK else sorted(set(targets))
        typed = typed.removeprefix(words[0]).lstrip()
        return Completed(typed, [name for name in names if name.startswith(typed)])
    fragment = words.pop() if words and not typed[-1:].isspace() else ""
    if magic == "watch_status":
        return Completed(fragment, [flag for flag in STATUS_FLAGS if flag.startswith(fragment)])
    return Completed(fragment, _words(fragment, words, listing))


def _words(fragment: str, before: Sequence[str], listing: Listing) -> list[str]:
    if "--" in before:
        return _paths(fragment, listing)
    flag, sign, value = fragment.partition("=")
    if sign and flag.startswith("--"):
        return [f"{flag}={word}" for word in _values(flag, value, listing)]
    last = before[-1] if before else ""
    if last == "-m":
        return _modules(fragment, listing)
    if last in _OPTIONS and not _OPTIONS[last].switch:
        return _values(last, fragment, listing)
    if fragment.startswith("-"):
        given = {word.partition("=")[0] for word in before}
        flags = [flag for flag, option in _OPTIONS.items() if option.many or flag not in given]
        return [flag for flag in ("-m", *flags, *ACTIONS) if flag.startswith(fragment)]
    return _paths(fragment, listing)


def _values(flag: str, typed: str, listing: Listing) -> list[str]:
    option = _OPTIONS.get(flag)
    if option is None:
        return []
    if option.metavar == "DIR":
        return _paths(typed, listing, wanted=lambda entry: entry.is_folder)
    if option.metavar == "PATH":
        return _paths(typed, listing, wanted=lambda _: True)
    return [word for word in option.choices if word.lower().startswith(typed.lower())]


def _paths(
    typed: str,
    listing: Listing,
    wanted: Callable[[Entry], bool] = lambda one: one.is_folder or one.name.endswith((".py", ".pyz")),
) -> list[str]:
    folder, _, name = typed.rpartition("/")
    folder += "/" if "/" in typed else ""
    name = _plain(name)
    found = [
        one
        for one in listing(_plain(folder))
        if one.name.startswith(name) and wanted(one) and one.name not in _HIDDEN
        and (name.startswith(".") or not one.name.startswith("."))
    ]  # fmt: skip
    return [folder + _SPECIAL.sub(r"\\\1", one.name) + "/" * one.is_folder for one in sorted(found)]


def _modules(typed: str, listing: Listing) -> list[str]:
    package, dot, name = typed.rpartition(".")
    found = set()
    for one in listing(package.replace(".", "/") + "/" * bool(dot)):
        module = one.name if one.is_folder else one.name.removesuffix(".py") if one.name.endswith(".py") else ""
        if module.isidentifier() and module.startswith(name) and module not in ("__init__", "__main__", *_HIDDEN):
            found.add(package + dot + module)
    return sorted(found)


def _plain(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word)


def list_folder(folder: str) -> list[Entry]:
    """Return what a folder holds, nothing for what can't be listed."""
    try:
        with os.scandir(os.path.expanduser(folder) or os.curdir) as entries:
            return [Entry(entry.name, entry.is_dir()) for entry in entries]
    except (OSError, ValueError):  # the latter where no folder can have such a name
        return []
