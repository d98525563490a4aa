"""Modules that were imported ahead wait here, out of sight, until the run imports them.

Then each is handed over finished, with all that its own import would bring along, and what its import has done is done.
Where a module would meet something else now than ahead, it isn't handed over, and Python imports it from its file.

As in `sitecustomize`, only builtin and low-level modules may be imported here, and they are removed again.
"""

import _frozen_importlib
import _frozen_importlib_external as external
import _imp
import builtins
import os
import sys

from _ipy_autorestart_names import file_of, names_of  # type: ignore[import-not-found]  # it lies beside
from _ipy_autorestart_recording import (  # type: ignore[import-not-found]  # it lies beside
    ABSENT,
    INTERNAL,
    Deeds,
    Logger,
    Recording,
    current_filters,
    is_ours,
)

bootstrap: "Any" = _frozen_importlib

if False:  # for type checkers only
    from collections.abc import Callable, Container, Iterable
    from types import ModuleType
    from typing import Any

#: Beginnings of variables that libraries of C code read which Python itself uses, at any time.
READ_BY_C = (
    *(b"COLUMNS", b"DISPLAY", b"GCONV_PATH", b"HOSTALIASES", b"INPUTRC", b"LANG", b"LC_", b"LINES", b"LOCALDOMAIN"),
    *(b"LOCPATH", b"NLSPATH", b"OPENSSL", b"RES_OPTIONS", b"TCL", b"TERM", b"TK"),
)

#: Builtins that interactive shells hide and set.
OF_SHELLS = frozenset({"exit", "quit", "copyright", "credits", "license", "help", "_"})

LIBRARY = os.path.dirname(os.__file__) + "/"
#: What Python executes between two import statements of a module that follow each other.
LINES = [f"import a{n}, b.c{n} as d{n}\nfrom e{n} import f, g as h\n" for n in range(99)]
IMPORTS = frozenset(compile("".join(LINES), "", "exec").co_code[::2])

OURS = frozenset({__file__, Deeds.__init__.__code__.co_filename})
OURS_AND_IMPORTLIBS = frozenset(
    {__file__, INTERNAL, "<frozen importlib._bootstrap_external>", LIBRARY + "importlib/__init__.py"}
)

FUNCTIONS = (type(os.fspath), type(os.path.join), type, type(os))


class Shelf:
    """The modules that a recording has seen, taken out of `sys.modules` and of their packages at its making.

    ``given`` is called in a run with the name of a module that has just been handed over, and with all that it brought;
    ``misfits`` with the name of one that would meet something else, and what, where it can't be imported once more: it
    is handed over all the same, if it can be, when this returns.
    """

    def __init__(self, recording: Recording) -> None:
        self.given: Callable[[str, Container[str]], object] = lambda *_: None
        self.misfits: Callable[[str, str], object] = lambda *_: None
        self._deeds: dict[str, Deeds] = recording.deeds
        self._bare = recording.bare
        self._modules = {name: module for name, module in sys.modules.items() if name not in self._bare}
        self._hidden: dict[str, Any] = {}  # packages that have a module as an attribute by its import
        self._closures: dict[str, Closure] = {}
        self._handed: set[str] = set()
        self.is_heard = False  # whether the script has an audit hook of its own
        for name, module in self._modules.items():
            parent, _, child = name.rpartition(".")
            package = names_of(sys.modules.get(parent))
            if parent and package.get(child, ABSENT) is module:
                self._hidden[name] = sys.modules[parent]
                before = recording.before.get(name, ABSENT)
                if before is ABSENT:
                    del package[child]
                else:
                    package[child] = before
        #: Names in modules for the script's own one, which must not live longer than in a plain run.
        self._mains: dict[str, list[str]] = {}
        main = sys.modules["__main__"]
        for name, module in list(self._modules.items()):
            del sys.modules[name]
            if module is main:
                del self._modules[name]
                continue
            values = names_of(module)
            if names := [key for key, value in values.items() if value is main]:
                self._mains[name] = names
                values.update(dict.fromkeys(names))
        self._once = self._imported_once()
        self._builtin_names = vars(builtins).keys() - OF_SHELLS
        self._library = _library(sys.modules) | _library(self._modules)
        self.settle()

    def _imported_once(self) -> "set[str]":
        """Return the modules that can't be imported once more: libraries of C code often refuse it.

        Neither can their packages, and all that they have imported, which would be there twice.
        """
        compiled = {name.partition(".")[0] for name, module in self._modules.items() if is_compiled(module)}
        found: set[str] = set()
        left = [name for name in self._modules if name.partition(".")[0] in compiled]
        while left:
            name = left.pop()
            if name in self._modules and name not in found:
                found.add(name)
                left.append(name.rpartition(".")[0])
                deeds = self._deeds.get(name)
                left += [step for step in (deeds.steps if deeds else ()) if isinstance(step, str)]
        return found

    def get(self, name: str) -> "Any":  # noqa: ANN401
        """Return a module, wherever it is now; None if there is none."""
        return sys.modules.get(name) or self._modules.get(name)

    def values(self) -> "list[Any]":
        """Return all modules, wherever they are now."""
        return [*sys.modules.values(), *self._modules.values()]

    def prepare(self, name: str) -> None:
        """Look ahead at what the import of a module brings along."""
        if name in self._modules:
            self._closure(name)

    def open(self, *, always: bool) -> None:
        """Hand modules over from now on; ``always``: whatever they meet, until `settle`."""
        self._meets_anything = always
        original = bootstrap._find_and_load_unlocked  # noqa: SLF001
        hand_over = self._hand_over

        def _find_and_load_unlocked(name: str, import_: "Any") -> "ModuleType":  # noqa: ANN401
            module: ModuleType | None = hand_over(name)
            return original(name, import_) if module is None else module

        _find_and_load_unlocked.__code__ = _find_and_load_unlocked.__code__.replace(co_filename=INTERNAL)
        bootstrap._find_and_load_unlocked = _find_and_load_unlocked  # noqa: SLF001

    def rehearse(self) -> None:
        """Write where handing over will write, so that these pages are copied now, not while somebody waits."""
        places: list[tuple[dict[str, Any], str, Any]] = []
        for closure in self._closures.values():
            for name in self._fresh(closure) or ():
                if name in sys.modules:
                    continue
                sys.modules[name] = self._modules[name]
                places.append((sys.modules, name, ABSENT))
                if name in self._hidden:
                    names, child = self._hidden[name].__dict__, name.rpartition(".")[2]
                    places.append((names, child, names.get(child, ABSENT)))
                    names[child] = self._modules[name]
        for entries, key, before in reversed(places):
            if before is ABSENT:
                del entries[key]
            else:
                entries[key] = before

    def settle(self) -> None:
        """Take what there is now for what is to be met."""
        self.environment_changes: set[bytes] = set()  # by the script; what modules set at their import is no hindrance
        self._meets_anything = False
        self._functions = {name: _functions(module) for name, module in self._library.items()}
        self._builtins = {name: vars(builtins).get(name) for name in self._builtin_names}
        self._replaced: set[str] = set()
        self._asked: Any = None
        self._offered: dict[str, tuple[float, set[str]]] = {}
        self._path = list(sys.path)
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._logging = _logging(self.get("logging"))
        self._finders = self._finders_now()
        self._filters = list(current_filters())

    def _hand_over(self, name: str) -> "ModuleType | None":
        if name not in self._modules:
            self._asked = None  # as its code may do anything
            return None
        _imp.acquire_lock()  # which is held over a fork, too, as by Python's own imports
        try:
            closure = self._closure(name)
            fresh = self._fresh(closure)
            misfit = "other modules are there" if fresh is None else self._misfit(closure, fresh)
            if misfit and name in self._once:
                self.misfits(name, misfit)
            if fresh is None or (misfit and name not in self._once):
                self._asked = None
                return self._alone(name) if name in self._once and name not in self._handed else None
            left = iter(closure.steps)
            try:
                self._bring(left, fresh, closure)
            except BaseException:  # an interrupt: half of it would be none
                self._bring(left, fresh, closure)
                raise
        except Exception as error:  # the border: the import goes on as usual
            if not _is_ours(error):  # but for what a signal handler of the script has raised
                raise
            return sys.modules.get(name)
        finally:
            _imp.release_lock()
        self.given(name, fresh)
        return sys.modules[name]

    def _alone(self, name: str) -> "ModuleType | None":
        """Hand over a C library's module without what it has met, as Python can't import it from its file any more."""
        module = self._modules[name]
        if file_of(module).endswith(".py"):
            return None
        self._handed.add(name)
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], child, module)
        sys.modules[name] = module
        return module

    def _bring(self, steps: "Any", fresh: "dict[str, None]", closure: "Closure") -> None:  # noqa: ANN401
        """Do the steps that are left, and take what they change for what is to be met, unless the script changes it."""
        modules, finished, hidden = sys.modules, self._modules, self._hidden
        filters, logging = current_filters() == self._filters, closure.loggers and self._is_logging_same()
        finders = self._finders_now() == self._finders
        self._handed.update(fresh)
        for owner, act in steps:
            if owner in fresh:
                if act is not None:
                    act()
                    continue
                modules[owner] = finished[owner]
                for key in self._mains.get(owner, ()):
                    finished[owner].__dict__[key] = modules["__main__"]
                if owner in hidden:
                    setattr(hidden[owner], owner.rpartition(".")[2], finished[owner])
        if closure.acts and filters:
            self._filters = list(current_filters())
        if closure.acts and finders:
            self._finders = self._finders_now()
        if logging:
            self._logging = _logging(self.get("logging"))

    def _is_logging_same(self) -> bool:
        return _logging(self.get("logging")) == self._logging

    def _finders_now(self) -> "tuple[list[Any], list[Any]]":
        return _foreign(sys.meta_path), list(sys.path_hooks)

    def _closure(self, name: str) -> "Closure":
        if name not in self._closures:
            self._closures[name] = Closure(name, self._modules, self._deeds, self._bare)
        return self._closures[name]

    def _fresh(self, closure: "Closure") -> "dict[str, None] | None":
        """Return which modules are to be handed over; None if there are others of such names."""
        modules, finished, handed = sys.modules, self._modules, self._handed
        fresh: dict[str, None] = {}
        for name in closure.names:
            module = modules.get(name, ABSENT)
            if module is ABSENT:
                if name in handed:  # it was removed, and is to be new
                    return None
                fresh[name] = None
            elif module is not finished[name] and name in self._deeds:  # others are put there by C code, as by Cython's
                return None
        return None if any(name in modules for name in closure.missed) else fresh

    def _misfit(self, closure: "Closure", fresh: "Iterable[str]") -> str:
        """Return what the modules would meet now that is not as it was ahead; empty if all is as it was."""
        if self._meets_anything:
            return ""
        if self.is_heard or sys.gettrace() or sys.getprofile() or _is_observed():
            return "somebody traces"
        if self._finders_now() != self._finders:
            return "there are other finders of modules"
        if (sys.stdin, sys.stdout, sys.stderr) != self._streams:
            return "streams are replaced"
        if self.environment_changes and self._reads_changes(fresh):
            return "the environment is changed"
        if any(vars(builtins).get(name) is not value for name, value in self._builtins.items()):
            return "builtins are replaced"
        if closure.warns and current_filters() != self._filters:
            return "warnings are filtered"
        if any(logger.is_taken for logger in closure.loggers):
            return "its loggers are there"
        if closure.logs and not self._is_logging_same():
            return "logging is set up"
        if self._has_acted():
            there = {name for name in self._functions if name in self._handed or name not in self._modules}
            self._replaced = {name for name in there if not _has(name, self._functions[name])}
        for name in self._replaced:
            if name in closure.names or name not in self._modules:
                return "functions of " + name + " are replaced"
        return "" if self._is_found_there(closure) else "sys.path is changed"

    def _reads_changes(self, names: "Iterable[str]") -> bool:
        """Return whether one of some modules may have read a variable that has changed; compiled ones may read any."""
        changes = self.environment_changes
        if any(change.startswith(READ_BY_C) for change in changes):
            return True
        for name in names:
            reads = self._deeds[name].reads if name in self._deeds else ()
            if None in reads or not changes.isdisjoint(reads) or is_compiled(self._modules[name]):
                return True
        return False

    def _has_acted(self) -> bool:
        """Return whether anything may have been executed since the last question but an import statement.

        Imports stand together, and to look at all functions of the library for each of them would take long.
        """
        frame: Any = sys._getframe(2)  # noqa: SLF001  # public but for its name
        while frame is not None and frame.f_code.co_filename in OURS_AND_IMPORTLIBS:
            frame = frame.f_back
        if frame is None:
            return True
        asked, self._asked = self._asked, (frame.f_code, id(frame), frame.f_lasti)
        if asked is None or asked[:2] != self._asked[:2] or asked[2] >= frame.f_lasti:
            return True
        return not IMPORTS.issuperset(frame.f_code.co_code[asked[2] + 2 : frame.f_lasti : 2])

    def _is_found_there(self, closure: "Closure") -> bool:
        """Return whether no folder that was added to `sys.path` has a module of such a name."""
        entries = list(sys.path)
        if entries == self._path:
            return True
        if list(dict.fromkeys(entry for entry in entries if entry in self._path)) != self._path:
            return False
        for entry in entries:
            if entry in self._path:
                continue
            finder = external.PathFinder._path_importer_cache(entry)  # type: ignore[attr-defined]  # noqa: SLF001
            names = self._offered_by(entry, finder) if type(finder) is external.FileFinder else None
            tops = closure.tops if names is None else closure.tops & names
            if finder is not None and any(getattr(finder.find_spec(name), "loader", None) for name in tops):
                return False
        return True

    def _offered_by(self, entry: str, finder: "Any") -> "set[str]":  # noqa: ANN401
        """Return the names that a folder may have modules of."""
        finder.find_spec("_ipy_autorestart_nothing")  # which looks whether the folder has changed
        changed, names = self._offered.get(entry, (None, set()))
        if changed != finder._path_mtime:  # noqa: SLF001
            names = {name.partition(".")[0] for name in finder._path_cache}  # noqa: SLF001
            self._offered[entry] = finder._path_mtime, names  # noqa: SLF001
        return names


class Closure:
    """All that the import of a module brings along where nothing is there yet.

    Attributes
    ----------
    steps
        In their order: the name of a module that is done, and None; or the name of one that does something, and what
        does it again.
    names
        The modules.
    missed
        Modules that are imported in vain.
    tops
        First parts of all names.
    loggers
        What makes their loggers known.
    acts, warns, logs
        Whether they do something else, issue warnings, or log.
    """

    def __init__(
        self, name: str, finished: "dict[str, Any]", deeds: "dict[str, Deeds]", bare: "Container[str]"
    ) -> None:
        self.steps: list[tuple[str, Any]] = []
        self.names: dict[str, None] = {}
        self.missed: set[str] = set()
        self.loggers: list[Logger] = []
        self.acts = self.warns = self.logs = False
        self._finished, self._deeds, self._bare = finished, deeds, bare
        self._visit(name)
        self.tops = {name.partition(".")[0] for name in (*self.names, *self.missed)}

    def _visit(self, name: str) -> None:
        if name in self.names or name in self._bare:
            return
        if name not in self._finished:
            self.missed.add(name)
            return
        parent = name.rpartition(".")[0]
        if parent:
            self._visit(parent)
            if name in self.names:  # its package imports it
                return
        self.names[name] = None
        deeds = self._deeds.get(name)
        for step in deeds.steps if deeds else ():
            if isinstance(step, str):
                self._visit(step)
            else:
                self.steps.append((name, step))
                self.acts = True
                if isinstance(step, Logger):
                    self.loggers.append(step)
        self.steps.append((name, None))
        if deeds:
            self.warns |= deeds.warns
            self.logs |= deeds.logs


def _is_ours(error: BaseException) -> bool:
    """Return whether an error comes from this file, and not from a handler that was called while it was executed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is None or trace.tb_frame.f_code.co_filename in OURS


def _library(modules: "dict[str, Any]") -> "dict[str, Any]":
    """Return the modules of the standard library, which programs replace functions in."""
    found = {}
    for name, module in modules.items():
        file = file_of(module)
        if not file or (file.startswith(LIBRARY) and "/site-packages/" not in file):
            found[name] = module
    apart = (builtins, sys, bootstrap, sys.modules["__main__"])  # looked at otherwise, or replaced by this
    return {name: module for name, module in found.items() if module not in apart}


def is_compiled(module: "Any") -> bool:  # noqa: ANN401
    """Return whether a module is a library of C code that is not Python's own."""
    file = file_of(module)
    return bool(file) and not file.endswith(".py") and not file.startswith(LIBRARY + "lib-dynload")


def _functions(module: "Any") -> "tuple[Any, Any]":  # noqa: ANN401
    """Return the names and the values of a module's functions, classes and modules."""
    found = [
        (name, value)
        for name, value in list(names_of(module).items())
        if issubclass(type(value), FUNCTIONS)  # `isinstance` would ask an object that loads something
    ]
    return tuple(name for name, _ in found), tuple(value for _, value in found)


def _has(name: str, functions: "tuple[Any, Any]") -> bool:
    names, values = functions
    found = names_of(sys.modules.get(name))
    return bool(tuple(map(found.get, names)) == values)


def _foreign(finders: "list[Any]") -> "list[Any]":
    return [finder for finder in finders if not is_ours(finder)]


def _is_observed() -> bool:
    """Return whether somebody sees what is allocated or executed."""
    malloc: Any = sys.modules.get("_tracemalloc")
    if malloc is not None and malloc.is_tracing():
        return True
    monitoring: Any = getattr(sys, "monitoring", None)
    return monitoring is not None and any(map(monitoring.get_tool, range(6)))


def _logging(logging: "Any") -> "list[Any]":  # noqa: ANN401
    """Return what decides whether a message is shown: levels and handlers of all loggers."""
    if not hasattr(logging, "Logger"):
        return []
    manager = logging.Logger.manager
    loggers = {"": logging.root, **manager.loggerDict}
    state: list[Any] = [manager.disable, logging.raiseExceptions, logging.lastResort]
    for name, logger in loggers.items():
        if getattr(logger, "handlers", None) or getattr(logger, "level", 0) or getattr(logger, "disabled", False):
            state.append((name, logger.level, list(logger.handlers), logger.disabled, logger.propagate))
    return state
