"""Makes a request of the words of a magic or a command line."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from ipy_autorestart.protocol.options import BadInput, Options, each
from ipy_autorestart.protocol.request import Kernel, Request, Script, absolute
from ipy_autorestart.text import relative


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        flag, _, trouble = message.removeprefix("argument ").partition(": ")
        metavar = next((action.metavar for action in self._actions if flag in action.option_strings), None)
        if trouble == "expected one argument":
            raise BadInput(f"{flag}: expected a value, got none; write {flag}={metavar}")
        if trouble.startswith("ignored explicit argument"):
            raise BadInput(f"{flag}: expected no value, got {trouble.rpartition(' ')[2]}; write {flag} alone")
        raise BadInput(message.removeprefix("argument "))


def parser(prog: str, *, kinds: Container[str] = ("script", "kernel")) -> argparse.ArgumentParser:
    """Return a parser for `Request`'s words, whose ``format_help`` is the help of the magic and of the command line.

    That knows the options for some kinds of targets.
    """
    made = _Parser(
        prog=prog,
        usage="%(prog)s [PATH ...] [SCRIPT.py | -m MODULE] [options] [-- ARGS]",
        add_help=False,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=116),
    )
    made.add_argument("words", nargs="*", metavar="PATH", default=(), help="folders and files to watch, and the script")
    made.add_argument("-m", dest="module", metavar="MODULE", help="run a module instead of a script")
    for one in (*each(), *each(Script)):
        if one.only and one.only not in kinds:
            continue
        if one.switch:
            action = "store_false" if one.default else "store_true"
            made.add_argument(one.flag, dest=one.name, action=action, help=one.help)
        elif one.many:
            made.add_argument(one.flag, action="append", metavar=one.metavar, help=one.help)
        else:
            default = f" (default: {one.default})" if one.default != "" else ""
            made.add_argument(one.flag, metavar=one.metavar, help=one.help + default)
    return made


def parse(words: Sequence[str], *, defaults: Options, cwd: str = "") -> Request:
    """Make a request of the words of a magic or a command line.

    The last word that is a Python file is the script and the other words are watched; after ``-m MODULE`` and after
    ``--`` come the arguments of what runs. Without script and module the kernel is meant.

    Raises
    ------
    BadInput
        Names what is wrong and the fix.
    """
    folder = absolute(cwd)
    head, args = _split(words, "--")
    before, after = _split(_parted(head), "-m")
    given = _read(before)
    how = {}
    if len(before) < len(head):
        if not after:
            raise BadInput("-m: expected the name of a module, got none; write -m MODULE")
        more = _read(after[1:])
        if "module" in given or "module" in more:
            raise BadInput(f"-m: expected one module, got {after[0]!r} and more; {ITS_ARGUMENTS}")
        how = {"module": after[0], "args": (*more.pop("words"), *args)}
        given = {**given, **more, **{name: given[name] + more[name] for name in given.keys() & more if name in MANY}}
    else:
        given["words"], script = _script(given["words"], folder)
        how = {"path": _seen_from(given.get("cwd"), script, folder), "args": args} if script else {}
    said = {one.name: given.pop(one.name) for one in each(Script) if one.name in given}
    target = _target(how, said, folder) if how else Kernel()
    if not how and (args or said):
        lonely = f"--{next(iter(said))}" if said else args[0]
        raise BadInput(f"{lonely}: it needs a script, a file that ends in .py, or -m MODULE")
    paths = tuple(given.pop("words"))
    for one in each():
        if one.name in given and one.only not in ("", target.kind):
            raise BadInput(f"{one.flag}: it is for a {one.only}, and this restarts {_named(target)}; leave it out")
    return Request(target, paths, dataclasses.replace(defaults, **given), folder)


def _named(target: Script | Kernel) -> str:
    return "the kernel" if isinstance(target, Kernel) else f"the script {target.name}"


ITS_ARGUMENTS = "arguments of the script go after --"

#: Options that may be given again.
MANY = frozenset(one.name for one in (*each(), *each(Script)) if one.many)


def _parted(words: list[str]) -> list[str]:
    """Take ``-mMODULE`` apart."""
    for place, one in enumerate(words):
        if one.startswith("-m"):
            module = [one[2:]] if one[2:] else []
            return [*words[:place], "-m", *module, *words[place + 1 :]]
    return words


def _target(how: Mapping[str, Any], said: dict[str, Any], folder: str) -> Script:
    """Make the script, with paths relative to the folder where they were said."""
    if os.sep in said.get("python", ""):
        said["python"] = os.path.join(folder, os.path.expanduser(said["python"]))
    cwd = os.path.join(folder, os.path.expanduser(said.pop("cwd", "")))
    return Script(**how, **said, cwd=cwd)


def _seen_from(cwd: str | None, script: str, folder: str) -> str:
    """Return the script as it is called in the folder it runs in."""
    if not cwd:
        return script
    path = os.path.abspath(os.path.join(folder, script))
    return relative(path, os.path.abspath(os.path.join(folder, os.path.expanduser(cwd))))


def _split(words: Sequence[str], at: str) -> tuple[list[str], list[str]]:
    where = words.index(at) if at in words else len(words)
    return list(words[:where]), list(words[where + 1 :])


def _read(words: list[str]) -> dict[str, Any]:
    found, unknown = parser("").parse_known_intermixed_args(words)
    if unknown:
        raise BadInput(_unknown(unknown[0], (one.flag for one in (*each(), *each(Script)))))
    return {name: _given(value, several=name in ("words", *MANY)) for name, value in vars(found).items()}


def _given(value: Any, *, several: bool) -> Any:  # noqa: ANN401  # text, or a number of texts
    """Return the value of an option; argparse (3.11) makes an empty list of the ``--`` in ``--cwd=--``."""
    if several:
        return tuple("--" if one == [] else one for one in value)
    return "--" if value == [] else value


def _unknown(word: str, flags: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.partition("=")[0], list(flags), n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"{word}: there is no such option; {guess}{ITS_ARGUMENTS}"


def _script(words: Sequence[str], cwd: str) -> tuple[tuple[str, ...], str]:
    """Take the script out of the words: the last that is a Python file, empty if there is none."""
    for place in reversed(range(len(words))):
        script = os.path.expanduser(words[place])
        if script.endswith(".py") and not os.path.isdir(os.path.join(cwd, script)):
            return (*words[:place], *words[place + 1 :]), script
    return tuple(words), ""
