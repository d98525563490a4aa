"""Argument lines of the magic and the command line, made into requests."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import re
from collections.abc import Collection, Container, Sequence
from typing import Any, NoReturn

from ipy_autorestart import catalogue
from ipy_autorestart.decide.guard import SHEBANG
from ipy_autorestart.pristine import os
from ipy_autorestart.protocol.options import BadInput, Options, each
from ipy_autorestart.protocol.request import Kernel, Request, Script, absolute, main_of
from ipy_autorestart.text import relative


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        flag, _, trouble = message.removeprefix("argument ").partition(": ")
        metavar = next((action.metavar for action in self._actions if flag in action.option_strings), None)
        if trouble == "expected one argument":
            raise BadInput(catalogue.NO_VALUE(flag=flag, metavar=metavar))
        if trouble.startswith("ignored explicit argument"):
            raise BadInput(catalogue.VALUE_UNWANTED(flag=flag, value=trouble.rpartition(" ")[2]))
        raise BadInput(message.removeprefix("argument "))


#: Those of a watch, and those of a script.
OPTIONS = (*each(), *each(Script))

#: Names of what may be given again.
MANY = frozenset(("paths", *(one.name for one in OPTIONS if one.many)))

#: So much alike are a word and the option that was meant by it.
NEAR = 0.75

#: Ask for the help.
HELPING = frozenset({"-h", "--help"})

#: Columns of the help where there is room.
COLUMNS = 116

#: So much of a file is read to find out what it is.
LINE_BYTES = 256


#: What a comment can't begin in, or its beginning: a "#" that begins a word.
COMMENT = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|(?<!\S)#""", re.DOTALL)


def without_comment(line: str) -> str:
    """Return a magic's line up to its comment, which begins as in a shell: people copy lines with theirs."""
    return line[: next((found.start() for found in COMMENT.finditer(line) if found[0] == "#"), len(line))]


def parser(
    prog: str, *, kinds: Container[str] = ("script", "kernel"), columns: int = COLUMNS
) -> argparse.ArgumentParser:
    """Return a parser of argument lines, whose ``format_help`` is the help of the magic and of the command line.

    It knows the options for some kinds of targets, and its help has lines of at most so many columns.
    """
    width = min(columns, COLUMNS)
    made = _Parser(
        prog=prog,
        usage="%(prog)s [PATH ...] [SCRIPT | -m MODULE] [options] [-- ARGS]",
        add_help=False,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=width),
    )
    made.add_argument("paths", nargs="*", metavar="PATH", default=(), help="folders and files to watch, and the script")
    made.add_argument("-m", dest="module", metavar="MODULE", help="run a module instead of a script")
    for one in OPTIONS:
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


def parse(argv: Sequence[str], *, defaults: Options, cwd: str = "", kernel: bool = True) -> Request:
    """Make a request of an argument line.

    The last argument that ``python`` runs is the script and the others are watched; after ``-m MODULE`` and after
    ``--`` come the arguments of what runs. Without script and module the kernel is meant. Where that can't be
    restarted, ``kernel`` is false, and more is taken for a script.

    Raises
    ------
    BadInput
        Names what is wrong and the fix.
    """
    folder = absolute(cwd)
    end = argv.index("--") if "--" in argv else len(argv)
    args = argv[end + 1 :]
    place = next((place for place, one in enumerate(argv[:end]) if one.startswith("-m")), end)
    given = _read(argv[:place])
    what: dict[str, Any]
    if place == end:
        only = not kernel or args or any(one.name in given for one in each(Script))
        given["paths"], script = _take_script(given["paths"], folder, any_kind=bool(only))
        what = {"path": script, "args": args} if script else {}
    else:
        behind = [*filter(None, [argv[place][2:]]), *argv[place + 1 : end]]
        if not behind:
            raise BadInput(catalogue.NO_MODULE())
        module, *rest = behind
        more = _read(rest)
        if "module" in more:
            raise BadInput(catalogue.TWO_MODULES(module=module))
        what = {"module": module, "args": (*more.pop("paths"), *args)}
        given |= {**more, **{name: given[name] + more[name] for name in given.keys() & more.keys() & MANY}}
    how = {one.name: given.pop(one.name) for one in each(Script) if one.name in given}
    if not what and (how or args):
        lonely = [*(f"--{name}" for name in how), *args][0]
        raise BadInput(catalogue.NEEDS_SCRIPT(word=lonely))
    target = _script({**what, **how}, folder) if what else Kernel()
    for one in each():
        if one.name in given and one.only not in ("", target.kind):
            restarted = catalogue.SCRIPT_NAMED(name=target.name) if what else catalogue.THE_KERNEL()
            raise BadInput(catalogue.OTHER_TARGET(flag=one.flag, kind=one.only, target=restarted))
    return Request(target, given.pop("paths"), dataclasses.replace(defaults, **given), folder)


#: Of the magic: returns the kernel to a checkpoint.
BACK = "--back"

#: So many cells are named.
CELLS_MAX = 5


def cell_of(words: Sequence[str], numbers: Collection[int]) -> int | None:
    """Return the number of the cell that is named behind `BACK`, None if none is.

    Raises
    ------
    BadInput
        If it is none of these numbers.
    """
    if not words:
        return None
    last = max(numbers, default=0)
    hint = catalogue.BACK_OR_ALONE(last=last) if last else catalogue.NONE_RAN()
    if len(words) > 1 or not words[0].isdecimal():
        raise BadInput(catalogue.BAD_CELL(value=" ".join(words), hint=hint))
    if int(words[0]) not in numbers:
        there = ", ".join(map(str, sorted(numbers)[-CELLS_MAX:]))
        hint = catalogue.LAST_CELLS(numbers=there) if there else hint
        raise BadInput(catalogue.NO_SUCH_CELL(cell=words[0], hint=hint))
    return int(words[0])


def _read(argv: Sequence[str]) -> dict[str, Any]:
    found, unknown = parser("").parse_known_intermixed_args(argv)
    if unknown:
        script = next(filter(_is_named_so, reversed(found.paths)), catalogue.THE_SCRIPT())
        near = _near(unknown[0])
        hint = catalogue.DID_YOU_MEAN(near=near) if near else catalogue.MISPLACED(script=script)
        raise BadInput(catalogue.NO_SUCH_OPTION(word=unknown[0], hint=hint))

    def text(value: Any) -> Any:  # noqa: ANN401  # argparse (3.11) makes an empty list of the ``--`` in ``--cwd=--``
        return "--" if value == [] else value

    return {name: tuple(map(text, value)) if name in MANY else text(value) for name, value in vars(found).items()}


def _near(word: str) -> str:
    """Return the option that was probably meant, empty if that is a guess at most: it may be one of the script's."""
    flags = {one.flag.lstrip("-"): one.flag for one in OPTIONS}
    near = difflib.get_close_matches(word.partition("=")[0].lstrip("-"), flags, n=1, cutoff=NEAR)
    return flags[near[0]] if near else ""


def _take_script(paths: tuple[str, ...], folder: str, *, any_kind: bool) -> tuple[tuple[str, ...], str]:
    """Take the script out of the paths; empty if there is none.

    It is the last that is Python by its name, else the last that says so itself. Of ``any_kind``, which means that a
    script is wanted for sure, it may be a package, and else the last file, as ``python`` tries to run any.
    """

    def says_so(path: str) -> bool:
        if main_of(path):
            return any_kind or not os.path.exists(os.path.join(path, "__init__.py"))  # a package may be to be watched
        if not os.path.isfile(path):
            return False
        with contextlib.suppress(OSError), open(path, "rb") as file:
            return SHEBANG.match(file.readline(LINE_BYTES)) is not None
        return False

    whole = [os.path.join(folder, os.path.expanduser(path)) for path in paths]
    for is_script in (_is_named_so, says_so, *([os.path.isfile] if any_kind else [])):
        for place in reversed(range(len(paths))):
            if is_script(whole[place]):
                return (*paths[:place], *paths[place + 1 :]), os.path.expanduser(paths[place])
    return paths, ""


def _is_named_so(path: str) -> bool:
    return path.endswith((".py", ".pyc", ".pyz")) and not os.path.isdir(path)


def _script(said: dict[str, Any], folder: str) -> Script:
    """Make the script; its paths are relative to the folder where they were said."""

    def there(path: str) -> str:
        return os.path.join(folder, os.path.expanduser(path))

    cwd = there(said.get("cwd", ""))
    if said.get("path") and said.get("cwd"):  # as it is called in the folder that it runs in
        said["path"] = relative(os.path.abspath(there(said["path"])), os.path.abspath(cwd))
    if os.sep in said.get("python", ""):
        said["python"] = there(said["python"])
    return Script(**{**said, "cwd": cwd})
