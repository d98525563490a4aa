"""What the user asks for: the target, the paths and the options, from a line of words and back."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from ipy_autorestart.decide.words import relative
from ipy_autorestart.options import BadInput, Options, assignment, check, each, option, to_argv, word


@dataclass(frozen=True, slots=True, init=False)
class Script:
    """A Python script or module that runs in a process of its own.

    Parameters
    ----------
    path
        The script, relative to ``cwd``.
    module
        Instead of a path: a module, run as ``python -m`` does.
    args
        What the script finds in ``sys.argv[1:]``.
    cwd
        The folder it runs in; the current one by default.
    env
        Environment variables, besides those of the moment when the watch is started: ``DEBUG=1``, or a mapping.
    python
        The interpreter, a path or a name to be found on ``PATH``; by default this one, with its ``-X``, ``-W`` and
        other flags.

    Raises
    ------
    BadInput
        If neither or both of path and module are given, or a variable is none.
    """

    path: str
    module: str
    args: tuple[str, ...]
    cwd: str = option("", check=word, metavar="DIR", help="folder that the script runs in")
    env: tuple[str, ...] = option((), check=assignment, metavar="NAME=VALUE", help="for the script; may be given again")
    python: str = option("", check=word, metavar="PATH", help="interpreter for the script, if not this one")

    def __init__(
        self,
        path: str | os.PathLike[str] = "",
        *,
        module: str = "",
        args: Sequence[str] = (),
        cwd: str | os.PathLike[str] = "",
        env: Sequence[str] | Mapping[str, str] = (),
        python: str | os.PathLike[str] = "",
    ) -> None:
        script = os.fspath(path)
        if script.startswith("-"):  # no flag of the interpreter's
            script = os.path.join(os.curdir, script)
        wrong = [arg for arg in args if not isinstance(arg, str) or "\0" in arg]
        if wrong:
            raise BadInput(f"expected arguments as text, got {wrong[0]!r}")
        if bool(script) == bool(module):
            raise BadInput(f"expected a script or a module to run, got {script!r} and {module!r}")
        object.__setattr__(self, "path", script)
        object.__setattr__(self, "module", module)
        object.__setattr__(self, "args", tuple(args))
        object.__setattr__(self, "cwd", os.path.abspath(cwd or os.curdir))
        pairs = [f"{name}={value}" for name, value in env.items()] if isinstance(env, Mapping) else env
        object.__setattr__(self, "env", tuple(pairs))
        program = os.fspath(python)
        object.__setattr__(self, "python", os.path.abspath(program) if os.sep in program else program)
        check(self)

    @property
    def name(self) -> str:
        """As `%unwatch` and the status line call it."""
        return self.path or f"-m {self.module}"

    @property
    def home(self) -> str:
        """The folder that is watched when none is named: where the run finds its first imports, ``sys.path[0]``."""
        return os.path.dirname(os.path.join(self.cwd, self.path)) if self.path else self.cwd

    @property
    def file(self) -> str:
        """The script's absolute path; empty for a module."""
        return os.path.join(self.cwd, self.path) if self.path else ""

    @property
    def words(self) -> tuple[str, ...]:
        """What follows the interpreter."""
        return (*(("-m", self.module) if self.module else (self.path,)), *self.args)

    @property
    def interpreter(self) -> str | None:
        """The interpreter's path, None if there is no such program."""
        return shutil.which(self.python) if self.python else sys.executable


@dataclass(frozen=True, slots=True)
class Kernel:
    """The Jupyter kernel that this code runs in, restarted in place through exec."""

    name: ClassVar[str] = "kernel"


@dataclass(frozen=True, slots=True)
class Request:
    """What to watch, what to restart and how.

    Attributes
    ----------
    target
        The script or the kernel.
    paths
        Files and folders as the user named them, relative to ``cwd``.
    options
        Everything else.
    cwd
        The folder that relative paths start from.
    """

    target: Script | Kernel
    paths: tuple[str, ...] = ()
    options: Options = Options()  # noqa: RUF009  # frozen
    cwd: str = dataclasses.field(default_factory=os.getcwd)

    def check(self) -> None:
        """Raise `BadInput` if a path doesn't exist or can't be read, or if there is nothing to watch."""
        for path in self.paths:
            _check_readable(path, self._absolute(path), self.cwd)
        match self.target:
            case Kernel() if not self.paths:
                raise BadInput("expected a folder to watch or a script to run, such as: src/ or src/ main.py")
            case Script() as script:
                _check_script(script)
            case Kernel():
                pass

    @property
    def roots(self) -> tuple[str, ...]:
        """What is watched, as absolute paths: the named paths, else the script's own folder."""
        if self.paths:
            return tuple(dict.fromkeys(map(self._absolute, self.paths)))
        assert isinstance(self.target, Script)
        return (self.target.home,)

    @property
    def files(self) -> tuple[str, ...]:
        """Files that count whatever their names: those that were named, and the script."""
        script = self.target.file if isinstance(self.target, Script) else ""
        named = [path for path in self.roots if os.path.isfile(path)]
        return tuple(dict.fromkeys(filter(None, [script, *named])))

    def _absolute(self, path: str) -> str:
        return os.path.abspath(os.path.join(self.cwd, os.path.expanduser(path)))

    def to_argv(self) -> list[str]:
        """Return the words from which `parse` makes the same request; a kernel is told by the absence of a script."""
        # A name that begins with a dash is no option.
        paths = [os.path.join(os.curdir, path) if path.startswith("-") else path for path in self.paths]
        words = [*self.options.to_argv(), *paths]
        match self.target:
            case Script() as script:
                words += [*to_argv(script), *([f"{SCRIPT}={script.path}"] if script.path else ["-m", script.module])]
                return [*words, "--", *script.args]
            case Kernel():
                return words


#: How one program tells another which word is the script, whatever its name.
SCRIPT = "--script"


def _check_readable(name: str, path: str, cwd: str) -> None:
    try:
        if os.path.isdir(path):
            os.scandir(path).close()
        else:
            open(path, "rb").close()
    except FileNotFoundError:
        raise BadInput(f"{name}: there is no such file or folder in {cwd}") from None
    except OSError as error:
        raise BadInput(f"{name}: it can't be read ({error.strerror}); check its permissions") from None


def _check_script(script: Script) -> None:
    if not os.path.isdir(script.cwd):
        raise BadInput(f"--cwd: there is no folder {script.cwd}")
    if script.path:
        if not os.path.isfile(script.file):
            raise BadInput(f"{script.path}: there is no such script in {script.cwd}")
        _check_readable(script.path, script.file, script.cwd)
    if script.interpreter is None:
        raise BadInput(f"--python: expected an interpreter such as python3 or .venv/bin/python, got {script.python!r}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(message.removeprefix("argument "))


def parser(prog: str) -> argparse.ArgumentParser:
    """Return a parser for `Request`'s words, whose ``format_help`` is the help of the magic and of the command line."""
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
    made.add_argument(SCRIPT, help=argparse.SUPPRESS)
    for one in (*each(), *each(Script)):
        if one.switch:
            action = "store_false" if one.default else "store_true"
            made.add_argument(one.flag, dest=one.name, action=action, help=one.help)
        elif one.many:
            made.add_argument(one.flag, action="append", metavar=one.metavar, help=one.help)
        else:
            default = f" (default: {one.default})" if one.default != "" else ""
            made.add_argument(one.flag, metavar=one.metavar, help=one.help + default)
    return made


def parse(words: Sequence[str], *, defaults: Options, cwd: str = "", kernel: bool = False) -> Request:
    """Make a request of the words of a magic or a command line.

    The last word that is a Python file is the script and the other words are watched; after ``-m MODULE`` and after
    ``--`` come the arguments of what runs. Without script and module, or if ``kernel`` says so, the kernel is meant.

    Raises
    ------
    BadInput
        Names what is wrong and the fix.
    """
    folder = cwd or os.getcwd()
    head, args = _split(words, "--")
    before, after = _split(_parted(head), "-m")
    given = _read(before)
    how = {}
    if len(before) < len(head):
        if not after:
            raise BadInput("-m: expected the name of a module")
        more = _read(after[1:])
        how = {"module": after[0], "args": (*more.pop("words"), *args)}
        given = {**given, **more, **{name: given[name] + more[name] for name in given.keys() & more if name in MANY}}
    elif "script" in given:
        how = {"path": given.pop("script"), "args": args}
    elif not kernel:
        given["words"], script = _script(given["words"], folder)
        how = {"path": _seen_from(given.get("cwd"), script, folder), "args": args} if script else {}
    said = {one.name: given.pop(one.name) for one in each(Script) if one.name in given}
    target = _target(how, said, folder) if how else Kernel()
    if not how and (args or said):
        lonely = f"--{next(iter(said))}" if said else args[0]
        raise BadInput(f"{lonely}: it needs a script, a file that ends in .py, or -m MODULE")
    paths = tuple(given.pop("words"))
    return Request(target, paths, dataclasses.replace(defaults, **given), folder)


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
    fields = vars(found)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _unknown(word: str, flags: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.partition("=")[0], list(flags), n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"{word}: there is no such option; {guess}arguments of the script go after --"


def _script(words: Sequence[str], cwd: str) -> tuple[tuple[str, ...], str]:
    """Take the script out of the words: the last that is a Python file, empty if there is none."""
    for place in reversed(range(len(words))):
        script = os.path.expanduser(words[place])
        if script.endswith(".py") and not os.path.isdir(os.path.join(cwd, script)):
            return (*words[:place], *words[place + 1 :]), script
    return tuple(words), ""
