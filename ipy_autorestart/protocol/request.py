"""Requests: a target, paths and options, checked; and the launch of a supervisor for one."""

from __future__ import annotations

import dataclasses
import difflib
import pkgutil
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import Any, ClassVar

from ipy_autorestart import catalogue
from ipy_autorestart.decide import timing
from ipy_autorestart.pristine import os, signal
from ipy_autorestart.protocol.options import (
    BadInput,
    Options,
    assignment,
    can_be_passed_on,
    check,
    option,
    path_or_name,
)
from ipy_autorestart.text import one_line, shortened


def absolute(path: str | os.PathLike[str]) -> str:
    """Return a path that starts from the current folder; raises `BadInput` if it needs one and that was deleted."""
    try:
        return os.path.abspath(path or os.curdir)
    except FileNotFoundError:
        raise BadInput(catalogue.FOLDER_GONE()) from None


#: So many characters of a script's path and arguments stand in a line.
NAME_MAX, ARGS_MAX = 32, 16

#: What ``python FOLDER`` runs, in this order.
MAIN = ("__main__.py", "__main__.pyc")


def main_of(folder: str) -> str:
    """Return the file in a folder that ``python`` runs if it is given the folder; empty if there is none."""
    found = (os.path.join(folder, name) for name in MAIN)
    return next(filter(os.path.isfile, found), "")


@dataclass(frozen=True, slots=True, init=False)
class Script:
    """A Python script or module that runs in a process of its own.

    Parameters
    ----------
    path
        The script, relative to ``cwd``: whatever ``python`` runs, also a folder with ``__main__.py``, or an archive.
    module
        Instead of a path: a module, run as ``python -m`` does.
    args
        The script's arguments, ``sys.argv[1:]``.
    cwd
        The folder that it runs in; by default, the current one.
    env
        More environment variables, as a mapping or as ``DEBUG=1``.
    python
        The interpreter: a path, or a name that is looked up on ``PATH``. By default, this one, with its ``-X``, ``-W``
        and other flags.

    Raises
    ------
    BadInput
        If neither or both of path and module are given, or ``env`` has something that is no variable.

    Examples
    --------
    >>> Script("main.py", args=["--port", "80"], env={"DEBUG": "1"}).title
    'main.py --port 80'
    >>> Script(module="app").name
    '-m app'
    """

    kind: ClassVar = "script"
    manner: ClassVar = timing.SCRIPT
    path: str
    module: str
    args: tuple[str, ...]
    cwd: str = option("", check=path_or_name, metavar="DIR", help="folder that the script runs in")
    env: tuple[str, ...] = option(
        (), check=assignment, metavar="NAME=VALUE", help="environment variable for the script; may be repeated"
    )
    python: str = option("", check=path_or_name, metavar="PATH", help="interpreter for the script, if not this one")

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
        for one in (script, module):
            path_or_name(one)
        if wrong := [arg for arg in args if not can_be_passed_on(arg)]:
            raise BadInput(catalogue.NOT_TEXT(value=wrong[0]))
        if bool(script) == bool(module):
            raise BadInput(catalogue.SCRIPT_OR_MODULE(script=script, module=module))
        object.__setattr__(self, "path", script)
        object.__setattr__(self, "module", module)
        object.__setattr__(self, "args", tuple(args))
        object.__setattr__(self, "cwd", absolute(cwd))
        pairs = [f"{name}={value}" for name, value in env.items()] if isinstance(env, Mapping) else env
        object.__setattr__(self, "env", tuple(pairs))
        program = os.fspath(python)
        object.__setattr__(self, "python", absolute(program) if os.sep in program else program)
        check(self)

    @property
    def name(self) -> str:
        """The name that ``%unwatch`` and the status line use."""
        return self.path or f"-m {self.module}"

    @property
    def title(self) -> str:
        """The name with the arguments, which tell two watches of one script apart."""
        return shlex.join(self.argv)

    @property
    def label(self) -> str:
        """The title as a line has room for it: the end of the path, and the first arguments."""
        name = one_line(self.name)
        name = name if len(name) <= NAME_MAX else f"…{name[1 - NAME_MAX :]}"
        return shortened(one_line(" ".join([name, shlex.join(self.args)]).rstrip()), NAME_MAX + ARGS_MAX)

    @property
    def home(self) -> str:
        """The folder that is watched when none is named: where the run finds its first imports, ``sys.path[0]``."""
        return os.path.dirname(self.file) if self.path else self.cwd

    @property
    def file(self) -> str:
        """The absolute path of the script, or of ``__main__.py`` in a folder that is one; empty for a module."""
        if not self.path:
            return ""
        path = os.path.join(self.cwd, self.path)
        return main_of(path) or path

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line after the interpreter and its flags."""
        return (*(("-m", self.module) if self.module else (self.path,)), *self.args)

    @property
    def interpreter(self) -> str | None:
        """The interpreter's path, None if there is no such program."""
        return shutil.which(self.python) if self.python else sys.executable


@dataclass(frozen=True, slots=True)
class Kernel:
    """The Jupyter kernel in which this code runs.

    Attributes
    ----------
    name
        As the status line calls it.
    """

    kind: ClassVar = "kernel"
    manner: ClassVar = timing.KERNEL
    name: str = "kernel"

    @property
    def is_program(self) -> bool:
        """Whether it is a plain program, which goes by the name of its file or module."""
        return self.name != "kernel"

    @property
    def title(self) -> str:
        """As in `Script`."""
        return self.name

    @property
    def label(self) -> str:
        """As in `Script`."""
        return self.name


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
            path_or_name(path)
            _check_readable(path, self._absolute(path), self.cwd)
        script = self.target
        if isinstance(script, Kernel):
            if not self.paths:
                raise BadInput(catalogue.NOTHING_NAMED())
            return
        if not os.path.isdir(script.cwd):
            raise BadInput(catalogue.NO_SUCH_FOLDER(path=script.cwd, hint=_guess(script.cwd, script.cwd)))
        if script.path:
            if os.path.isdir(script.file):
                raise BadInput(catalogue.NO_MAIN(path=script.path))
            if not os.path.isfile(script.file):
                hint = _guess(script.path, script.file)
                raise BadInput(catalogue.NO_SUCH_SCRIPT(path=script.path, folder=script.cwd, hint=hint))
            _check_readable(script.path, script.file, script.cwd)
        if script.interpreter is None:
            raise BadInput(catalogue.NO_INTERPRETER(value=script.python))
        if not script.python:  # else what is installed there isn't known here
            _check_modules([name for names in self.options.preload for name in names.split(",")], script)

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


def _check_readable(name: str, path: str, cwd: str) -> None:
    try:
        if os.path.isdir(path):
            os.scandir(path).close()
        else:
            open(path, "rb").close()
    except FileNotFoundError:
        raise BadInput(catalogue.NO_SUCH_PATH(path=name, folder=cwd, hint=_guess(name, path))) from None
    except OSError as error:
        raise BadInput(catalogue.UNREADABLE(path=name, why=error.strerror)) from None


def _guess(name: str, path: str) -> str:
    """Say what to do about a path that doesn't exist."""
    folder, leaf = os.path.split(path.rstrip(os.sep))
    try:
        beside = os.listdir(folder)
    except OSError:
        return catalogue.NO_FOLDER_EITHER(folder=folder)
    near = difflib.get_close_matches(leaf, beside, n=1)
    if not near:
        return catalogue.CHECK_NAME()
    stem = name.rstrip(os.sep)
    return catalogue.DID_YOU_MEAN(near=f"{stem[: len(stem) - len(leaf)]}{near[0]}")


def _check_modules(names: Iterable[str], script: Script) -> None:
    """Raise `BadInput` if a run couldn't import a module, as far as its first name tells."""
    found = dict(pair.split("=", 1) for pair in script.env).get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    folders = [script.home, *filter(None, found.split(os.pathsep)), *sys.path]
    for name in names:
        top = name.partition(".")[0]
        if top in sys.modules or PathFinder.find_spec(top, folders) or any(map(_finds(top), sys.meta_path)):
            continue
        near = difflib.get_close_matches(top, {one.name for one in pkgutil.iter_modules(folders)}, n=1)
        hint = catalogue.DID_YOU_MEAN(near=near[0]) if near else catalogue.INSTALL_IT()
        raise BadInput(catalogue.NO_SUCH_MODULE(name=top, hint=hint))


def _finds(name: str) -> Callable[[Any], bool]:
    """Return what says whether a finder knows a module, such as one that is installed in place."""

    def finds(finder: Any) -> bool:  # noqa: ANN401  # there is no type of finders
        try:
            return finder.find_spec(name, None) is not None
        except Exception:  # noqa: BLE001  # the border: it is somebody else's
            return True

    return finds


def check_platform() -> None:
    """Raise `BadInput` where restarting by signal is impossible."""
    if not hasattr(signal, "SIGHUP"):
        raise BadInput(catalogue.NO_SIGHUP())


#: All that the command line of a supervisor says: what it is to do comes over the link.
LINK = "--link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a supervisor is to do and for whom: the first line that it gets.

    Attributes
    ----------
    request
        Target, paths and options.
    flags
        For the interpreter of the runs, as the front has them: ``-X dev``.
    lossless
        Whether the front takes all that a run prints, however much.
    displays
        How figures are to be shown: ``formats`` and ``options``; None where the front shows nothing but text.
    since_ns
        When the watch was asked for, in nanoseconds since 1970: what is saved later counts though the baseline may
        not be taken yet. 0 where nothing runs yet that could be out of date.
    parent
        The process that the supervisor ends with, and that gets the SIGHUPs of a kernel; its parent by default.
    pid
        The process that has loaded what the kernel runs, if it isn't that one.
    """

    request: Request
    flags: tuple[str, ...] = ()
    lossless: bool = False
    displays: Mapping[str, Any] | None = None
    since_ns: int = 0
    parent: int = 0
    pid: int = 0
