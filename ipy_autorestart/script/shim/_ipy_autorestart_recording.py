"""Notes, while a fork server imports, what the import of each module does: what it imports itself, and what it changes.

As in `sitecustomize`, only builtin and low-level modules may be imported here, and they are removed again.
"""

import _frozen_importlib
import builtins
import os
import sys

_there = set(sys.modules)
import _contextvars  # noqa: E402
import _signal  # type: ignore[import-not-found]  # noqa: E402
import _warnings  # noqa: E402

from _ipy_autorestart_names import names_of  # type: ignore[import-not-found]  # noqa: E402  # it lies beside

for _name in {"_contextvars", "_signal", "_warnings"} - _there:
    del sys.modules[_name]

bootstrap: "Any" = _frozen_importlib

if False:  # for type checkers only
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType, ModuleType
    from typing import Any

ABSENT: "Any" = object()

#: Whoever looks for the caller of an import, as warnings do, passes over the frames of this file.
INTERNAL = "<frozen importlib._bootstrap>"

LIBRARY = os.path.dirname(os.__file__) + "/"

#: A flag of the code of functions, which that of classes lacks (`inspect.CO_OPTIMIZED`).
OPTIMIZED = 1

#: What Python executes for a name in the body of a module or class, and for an attribute, by the number of which it has
#: bits of its own since Python 3.12.
LOAD_NAME = compile("a", "", "eval").co_code[2]
LOAD_ATTRIBUTE = frozenset(compile(text, "", "eval").co_code[4] for text in ("a.b", "a.b()"))
LOAD_GLOBAL = (lambda: OPTIMIZED).__code__.co_code[2]
OWN_BITS = compile("a.b", "", "eval").co_code[5] - 1

#: Signals of the C library's own, which it handles from its first thread on.
OF_THREADS = (32, 33)

#: Modules of which something is to be known as soon as they are there.
ATTENDED = frozenset({"_locale", "_socket", "atexit", "copyreg", "gc", "linecache", "logging", "threading"})

#: Functions and values that tell the local time, of the standard library and of those that many use for it.
LOCAL_TIME = frozenset(
    {
        *("altzone", "astimezone", "ctime", "daylight", "fromtimestamp", "get_localzone", "localtime", "mktime", "now"),
        *("strftime", "timestamp", "timezone", "today", "tzlocal", "tzname", "tzset"),
    }
)

HOOKS = ("excepthook", "displayhook", "breakpointhook", "unraisablehook")


class Deeds:
    """What the import of one module does, in its order.

    Attributes
    ----------
    steps
        Names of modules that it imports or puts in place, and functions that do again what it has done.
    warns, logs
        Whether it issues warnings, or would log something if somebody listened.
    reads
        Variables of the environment that are asked for; None for all.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.steps: list[Any] = []
        self.warns = False
        self.logs = False
        self.reads: set[bytes | None] = set()

    def merge(self, other: "Deeds") -> None:
        """Add what an import has done that failed in the end."""
        self.steps += other.steps
        self.warns |= other.warns
        self.logs |= other.logs
        self.reads |= other.reads


def is_ours(item: "Any") -> bool:  # noqa: ANN401
    """Return whether a finder, or a warnings filter, is one of this package's."""
    item = item[1] if isinstance(item, tuple) else item
    return str(getattr(type(item), "__module__", "")).startswith("_ipy_autorestart")


class Additions:
    """What is added to a list that is there for all, as to `sys.meta_path`, but for what is ours."""

    def __init__(self, items: "list[Any]") -> None:
        self.items = items
        self._seen = list(items)
        self._bare = self._last = self._now()

    def _now(self) -> "list[Any]":
        return [item for item in self.items if not is_ours(item)]

    def news(self) -> "Iterator[tuple[bool, Any]]":
        """Yield what was added since the last question: whether in front, and what.

        Raises
        ------
        ValueError
            More has changed than that.
        """
        if self.items == self._seen:
            return
        self._seen = list(self.items)
        now, last = self._now(), self._last
        if now == last:
            return
        self._last = now
        places = [place for place, item in enumerate(now) if item in last]
        first = places[0] if places else 0
        kept = now[first : first + len(last)]
        moved = [item for item in now[:first] if item in last]
        if kept != last or moved:
            raise ValueError
        for item in reversed(now[:first]):
            yield True, item
        for item in now[first + len(last) :]:
            yield False, item

    def undo(self) -> None:
        """Take all of it back."""
        self.items[:] = [*filter(is_ours, self.items), *self._bare]


class Entries:
    """What is added to a dictionary that is there for all, as to `sys.path_importer_cache`, which ``get`` returns."""

    def __init__(self, get: "Callable[[], dict[Any, Any]]") -> None:
        self.get = get
        self._bare = dict(get())
        self._known = set(self._bare)

    def news(self) -> "list[Callable[[], None]]":
        """Return what adds again what was added since the last question."""
        entries = self.get()
        if len(entries) == len(self._known):
            return []
        new = [item for item in entries.items() if item[0] not in self._known]
        self._known = set(entries)
        return [_entering(self.get, key, value) for key, value in new]

    def undo(self) -> None:
        """Take all of it back."""
        entries = self.get()
        for key in entries.keys() - self._bare.keys():
            del entries[key]
        entries.update(self._bare)


class Logger:
    """Makes a logger known again that was made ahead, as ``logging.getLogger`` does with a new one."""

    def __init__(self, name: str, logger: "Any", logging: "Any") -> None:  # noqa: ANN401
        self.name, self._logger, self._logging = name, logger, logging

    @property
    def is_taken(self) -> bool:
        """Whether there is another one of this name."""
        there = self._logging.Logger.manager.loggerDict.get(self.name, self._logger)
        return there is not self._logger and not isinstance(there, self._logging.PlaceHolder)

    def __call__(self) -> None:
        """Do it."""
        manager = self._logging.Logger.manager
        before = manager.loggerDict.get(self.name)
        manager.loggerDict[self.name] = self._logger
        if before is not None and before is not self._logger:
            manager._fixupChildren(before, self._logger)  # noqa: SLF001
        manager._fixupParents(self._logger)  # noqa: SLF001
        # As `Manager._clear_cache`, but for logging's lock: who has it may wait for the import lock.
        for one in (manager.root, *list(manager.loggerDict.values())):
            getattr(one, "_cache", {}).clear()


class Loggers(Entries):
    """The loggers that modules make at their import."""

    def __init__(self, logging: "Any") -> None:  # noqa: ANN401
        super().__init__(lambda: logging.Logger.manager.loggerDict)
        self._logging = logging
        self._made = {name for name, value in self._bare.items() if isinstance(value, logging.Logger)}

    def news(self) -> "list[Callable[[], None]]":
        """Return what makes those known again that were made since the last question; also in place of another."""
        kind = self._logging.Logger
        new = [item for item in self.get().items() if item[0] not in self._made and isinstance(item[1], kind)]
        self._made.update(name for name, _ in new)
        return [Logger(name, logger, self._logging) for name, logger in new]

    def undo(self) -> None:
        """Take all of it back."""
        super().undo()
        for logger in self._bare.values():
            if isinstance(logger, self._logging.PlaceHolder):
                logger.loggerMap.clear()


def current_filters() -> "list[Any]":
    """Return the warnings filters in force, which `warnings.catch_warnings` replaces."""
    filters: list[Any] = getattr(sys.modules.get("warnings"), "filters", _warnings.filters)
    return filters


def filters_changed() -> None:
    """Let Python look at the warnings filters again."""
    for name in ("_filters_mutated", "_filters_mutated_lock_held"):
        if hasattr(_warnings, name):
            getattr(_warnings, name)()
            return


class Register:
    """Stands in for ``atexit.register``: nothing is registered before the run has it."""

    def __init__(self, original: "Callable[..., Any]", note: "Callable[[Callable[[], object]], None]") -> None:
        self.original = original
        self._note = note

    def __call__(self, function: "Callable[..., Any]", /, *args: "Any", **kwargs: "Any") -> "Any":  # noqa: ANN401
        """Note it."""
        self._note(lambda: self.original(function, *args, **kwargs))
        return function


class Maker:
    """A module's ``__getattr__``, which makes attributes when they are asked for, and often keeps them."""

    def __init__(self, names: "dict[str, Any]") -> None:
        self._names = names
        self._make = make = names["__getattr__"]
        self.asked = asked = set[str]()

        def __getattr__(name: str) -> "Any":  # noqa: ANN401, N807
            asked.add(name)
            return make(name)

        __getattr__.__code__ = __getattr__.__code__.replace(co_filename=INTERNAL)
        self._stand_in = names["__getattr__"] = __getattr__

    def news(self) -> "list[Callable[[], object]]":
        """Return what keeps again what was kept since the last question; who asks next is to have it made anew.

        So it is known whose imports make it, with all that this imports.
        """
        kept = [name for name in self.asked if not issubclass(type(self._names.get(name, sys)), type(sys))]
        self.asked.clear()
        return [_setting_attribute(self._names, name, self._names.pop(name)) for name in kept]

    def end(self) -> None:
        """Put the original back."""
        if self._names.get("__getattr__") is self._stand_in:
            self._names["__getattr__"] = self._make


class Import:
    """Stands in for ``builtins.__import__``, which tells of modules that are there already, too."""

    def __init__(self, original: "Callable[..., Any]", note: "Callable[[str], None]") -> None:
        self.original = original
        self._note = note

    def __call__(  # as the original has
        self,
        name: str,
        globals: "Any" = None,  # noqa: A002, ANN401
        locals: "Any" = None,  # noqa: A002, ANN401
        fromlist: "Any" = (),  # noqa: ANN401
        level: int = 0,
    ) -> "Any":  # noqa: ANN401
        """Import, and note what."""
        full = name
        if level > 0:
            package = (globals or {}).get("__package__") or bootstrap._calc___package__(globals)  # noqa: SLF001
            full = bootstrap._resolve_name(name, package, level)  # noqa: SLF001
        self._note(full)
        module = self.original(name, globals, locals, fromlist, level)
        if fromlist and "*" in fromlist:
            fromlist = getattr(module, "__all__", ())
        for part in fromlist or ():
            child = sys.modules.get(full + "." + part) if isinstance(part, str) else None
            if child is not None and names_of(module).get(part) is child:
                self._note(full + "." + part)
        return module


class Filter:
    """A warnings filter that fits nothing, and hears of each warning that comes by."""

    def __init__(self, note: "Callable[[], None]") -> None:
        self._note = note

    def match(self, _: str) -> bool:
        """Return whether it fits."""
        self._note()
        return False


class Recording:
    """The deeds of all modules that are imported from its making to `end`.

    Attributes
    ----------
    bare
        Names of the modules that were there before.
    deeds
        By the modules' names.
    before
        What a package had under the name of a module in it, before that was imported.
    """

    def __init__(self) -> None:
        self.bare = frozenset(sys.modules)
        self.deeds: dict[str, Deeds] = {}
        self.before: dict[str, Any] = {}
        self._stack = [Deeds()]
        self._known = set(self.bare)
        self._fault = ""
        self._makers: list[Maker] = []
        self._context = _contextvars.copy_context()
        self._variables = _contextvars.copy_context()
        self._classes: list[tuple[Any, str, Any]] = []
        self._heard: Any = ("default", Filter(self._note_warning), Warning, None, 0)
        self._lists = [Additions(sys.meta_path), Additions(sys.path_hooks)]
        self._filters = Additions(_warnings.filters)
        self._entries = [Entries(lambda: sys.path_importer_cache)]
        self._environment = self._bare_environment = dict(os.environ._data)  # type: ignore[attr-defined]  # noqa: SLF001
        self._hooks = [getattr(sys, name) for name in HOOKS]
        self._builtins = dict(vars(builtins))
        self._handlers, self._state = _handlers(), _state()
        current_filters().insert(0, self._heard)
        filters_changed()
        self._load = bootstrap._find_and_load  # noqa: SLF001
        bootstrap._find_and_load = self._hear_load  # noqa: SLF001
        builtins.__import__ = Import(builtins.__import__, self._note)
        for name in ATTENDED & sys.modules.keys():
            self._attend(name)
        self._attend_environment()

    def run(self, name: str) -> None:
        """Import a module, in a context of its own."""
        self._context.run(__import__, name)

    def _note(self, step: "Any") -> None:  # noqa: ANN401
        self._stack[-1].steps.append(step)

    def _note_warning(self) -> None:
        self._stack[-1].warns = True

    def _hear_load(self, name: str, import_: "Any") -> "ModuleType":  # noqa: ANN401
        """Import a module, as `_frozen_importlib._find_and_load` does, and note what this does."""
        if name in sys.modules:
            self._note(name)
            return self._load(name, import_)  # type: ignore[no-any-return]
        self._settle()
        self._note(name)
        parent, _, child = name.rpartition(".")
        if parent and parent not in sys.modules:  # which Python would import first, too
            import_(parent)
            if name in sys.modules:  # its package imports it, and that is noted
                return self._load(name, import_)  # type: ignore[no-any-return]
        if parent in sys.modules:
            self.before[name] = names_of(sys.modules[parent]).get(child, ABSENT)
        deeds = Deeds(name)
        self._stack.append(deeds)
        try:
            module: ModuleType = self._load(name, import_)
        except BaseException:
            self._settle()
            self._stack.pop()
            self._stack[-1].merge(deeds)
            raise
        self._settle()
        self._stack.pop()
        self.deeds[name] = deeds
        if name in ATTENDED:
            self._attend(name)
        if "__getattr__" in names_of(module):
            self._makers.append(Maker(module.__dict__))
        return module

    def _attend(self, name: str) -> None:
        """Hear of what a module lets others do at their import."""
        module: Any = sys.modules[name]
        for what, value in _state().items():
            self._state.setdefault(what, value)
        if name == "atexit":
            module.register = Register(module.register, self._note)
        elif name == "threading" and isinstance(getattr(module, "_threading_atexits", None), list):
            self._lists.append(Additions(module._threading_atexits))  # noqa: SLF001
        elif name == "copyreg":
            self._entries.append(Entries(lambda: module.dispatch_table))
        elif name == "linecache":
            self._entries.append(Entries(lambda: module.cache))
        elif name == "logging":
            self._entries.append(Loggers(module))
            original = module.Logger.isEnabledFor
            stack = self._stack

            def isEnabledFor(logger: "Any", level: int) -> "Any":  # noqa: ANN401, N802
                stack[-1].logs = True
                return original(logger, level)

            module.Logger.isEnabledFor = isEnabledFor
            self._classes.append((module.Logger, "isEnabledFor", original))

    def _attend_environment(self) -> None:
        """Hear of what is asked of ``os.environ``: all ways to do so come through these two methods."""
        kind = type(os.environ)
        getitem, iterate, note = kind.__getitem__, kind.__iter__, self.note_read

        def __getitem__(environ: "Any", key: "Any") -> "Any":  # noqa: ANN401, N807
            if isinstance(key, str | bytes):
                note(os.fsencode(key), sys._getframe(1))  # noqa: SLF001  # public but for its name
            return getitem(environ, key)

        def __iter__(environ: "Any") -> "Any":  # noqa: ANN401, N807
            note(None, sys._getframe(1))  # noqa: SLF001
            return iterate(environ)

        for name, heard, original in (("__getitem__", __getitem__, getitem), ("__iter__", __iter__, iterate)):
            heard.__code__ = heard.__code__.replace(co_filename=INTERNAL)
            setattr(kind, name, heard)
            self._classes.append((kind, name, original))

    def note_read(self, key: "bytes | None", frame: "FrameType | None" = None) -> None:
        """Note that a variable was asked for, or any: by the import, and by functions that may keep what they found."""
        self._stack[-1].reads.add(key)
        while frame is not None and frame.f_code.co_name != "<module>":
            deeds = self.deeds.get(frame.f_globals.get("__name__", ""))
            if deeds:
                deeds.reads.add(key)
            frame = frame.f_back

    def note_local_time(self) -> None:
        """Note whose import may have asked for the local time, and so for ``TZ``: by the names in what it executes."""
        for name, deeds in self.deeds.items():
            values = names_of(sys.modules.get(name))
            if is_of_library(values.get("__file__")):
                continue  # it keeps none, or looks whether it is another one now
            try:
                code = values["__spec__"].loader.get_code(name)
            except Exception:  # noqa: BLE001  # a loader of the library's own; nobody knows its code
                deeds.reads.add(b"TZ")
            else:
                keeps = any(type(values.get(one)) in (int, tuple) for one in LOCAL_TIME)  # by ``from time import``
                if code is not None and (keeps or not LOCAL_TIME.isdisjoint(_executed_names(code))):
                    deeds.reads.add(b"TZ")

    def _settle(self) -> None:
        """Note what the module that is being executed has done since the last time."""
        if len(sys.modules) != len(self._known):
            loading = {deeds.name for deeds in self._stack}
            for name in [name for name in sys.modules if name not in self._known and name not in loading]:
                is_main = sys.modules[name] is sys.modules["__main__"]
                self._note(_naming_main(name) if is_main else name)
            self._known = set(sys.modules)
        for maker in self._makers:
            if maker.asked:
                self._stack[-1].steps += maker.news()
        for entries in self._entries:
            self._stack[-1].steps += entries.news()
        variables = _contextvars.copy_context()
        if variables != self._variables:
            for variable, value in variables.items():
                if self._variables.get(variable, ABSENT) is not value:
                    self._note(_choosing(variable, value))
            self._variables = variables
        try:
            for additions in self._lists:
                for in_front, item in additions.news():
                    self._note(_adding(additions, item, in_front=in_front))
            for in_front, item in self._filters.news():
                self._note(_filtering(item, in_front=in_front))
        except ValueError:
            self._fault = "it changes what others have set"
        environment = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001
        if environment != self._environment:
            for key in environment.keys() | self._environment.keys():
                if environment.get(key) != self._environment.get(key):
                    self._note(_setting(key, environment.get(key)))
            self._environment = dict(environment)

    def fault(self) -> str:
        """Return what was changed that can't be taken back and done again in a run; empty if nothing was."""
        if [getattr(sys, name) for name in HOOKS] != self._hooks:
            return "it sets a hook of sys"
        if vars(builtins).keys() != self._builtins.keys():
            return "it changes the builtins"
        if _handlers() != self._handlers:
            return "it handles signals"
        state = _state()
        changed = [what for what, value in state.items() if self._state.setdefault(what, value) != value]
        if changed:
            return "it changes " + changed[0]
        self._settle()
        return self._fault

    def end(self) -> None:
        """Hear of nothing from now on, and take back what was changed; modules stay."""
        self._settle()
        bootstrap._find_and_load = self._load  # noqa: SLF001
        builtins.__import__ = self._builtins["__import__"]
        for owner, name, original in self._classes:
            setattr(owner, name, original)
        for module in list(sys.modules.values()):
            values = names_of(module)
            for name in [name for name, value in list(values.items()) if type(value) in (Import, Register)]:
                values[name] = values[name].original
        current_filters().remove(self._heard)
        changed: list[Any] = [*self._lists, self._filters, *self._entries]
        for one in changed:
            one.undo()
        for maker in self._makers:
            maker.end()
        finalize: Any = getattr(sys.modules.get("weakref"), "finalize", None)
        if "weakref" not in self.bare and finalize is not None:
            finalize._registered_with_atexit = False  # noqa: SLF001  # each run registers it anew, with the first one
        self._entries.clear()  # they hold what is to end with the run
        filters_changed()
        for key in self._environment.keys() | self._bare_environment.keys():
            if self._environment.get(key) != self._bare_environment.get(key):
                _set(key, self._bare_environment.get(key))


def is_of_library(file: "Any") -> bool:  # noqa: ANN401
    """Return whether a file is one of the standard library."""
    return isinstance(file, str) and file.startswith(LIBRARY) and "/site-packages/" not in file


def _executed_names(code: "CodeType") -> "set[str]":
    """Return the names in what a module's import executes: its body, its classes, functions that these ask for."""
    names, called = _asked_names(code), _loaded_names(code)
    left = [(one, "") for one in code.co_consts if hasattr(one, "co_names")]
    while True:
        executed = [(one, owner) for one, owner in left if _is_executed(one, owner, called)]
        if not executed:
            return names if "time" in names else names - {"timezone"}  # which datetime has, too
        for one, owner in executed:
            left.remove((one, owner))
            names |= set(one.co_names) if one.co_flags & OPTIMIZED else _asked_names(one)
            called |= _loaded_names(one)
            left += [(inner, one.co_name) for inner in one.co_consts if hasattr(inner, "co_names")]


def _is_executed(code: "CodeType", owner: str, called: "set[str]") -> bool:
    """Return whether an import may execute a part of what is in a class, or in something else that has a name."""
    name = code.co_name
    is_body = not code.co_flags & OPTIMIZED or name[:1] == "<"
    return is_body or name in called or (name[:2] == "__" and owner in called)


def _asked_names(code: "CodeType") -> "set[str]":
    """Return the names and attributes that a body asks for, not those that it binds; more of them if it has many."""
    steps = zip(code.co_code[::2], code.co_code[1::2])  # noqa: B905  # as many
    attributes = {place >> OWN_BITS for step, place in steps if step in LOAD_ATTRIBUTE}
    names = enumerate(code.co_names)
    return _loaded_names(code) | {name for at, name in names if ((at << OWN_BITS) & 255) >> OWN_BITS in attributes}


def _loaded_names(code: "CodeType") -> "set[str]":
    """Return the names that code asks for; more of them if it has many."""
    steps = list(zip(code.co_code[::2], code.co_code[1::2]))  # noqa: B905  # as many
    loads = {place for step, place in steps if step == LOAD_NAME}
    loads_global = {place >> 1 for step, place in steps if step == LOAD_GLOBAL}
    return {name for at, name in enumerate(code.co_names) if at & 255 in loads or at & 127 in loads_global}


def _entering(get: "Callable[[], dict[Any, Any]]", key: "Any", value: "Any") -> "Callable[[], None]":  # noqa: ANN401
    return lambda: get().__setitem__(key, value)


def _adding(additions: Additions, item: "Any", *, in_front: bool) -> "Callable[[], None]":  # noqa: ANN401
    items = additions.items
    return (lambda: items.insert(0, item)) if in_front else (lambda: items.append(item))


def _filtering(item: "Any", *, in_front: bool) -> "Callable[[], None]":  # noqa: ANN401
    def add() -> None:  # as `warnings.simplefilter` does
        filters = current_filters()
        if in_front:
            if item in filters:
                filters.remove(item)
            filters.insert(0, item)
        elif item not in filters:
            filters.append(item)
        filters_changed()

    return add


def _naming_main(name: str) -> "Callable[[], None]":
    return lambda: sys.modules.__setitem__(name, sys.modules["__main__"])


def _choosing(variable: "Any", value: "Any") -> "Callable[[], object]":  # noqa: ANN401
    return lambda: variable.set(value)


def _setting_attribute(names: "dict[str, Any]", name: str, value: "Any") -> "Callable[[], object]":  # noqa: ANN401
    return lambda: names.setdefault(name, value)


def _setting(key: bytes, value: "bytes | None") -> "Callable[[], None]":
    return lambda: _set(key, value)


def _set(key: bytes, value: "bytes | None") -> None:
    if value is None:
        os.environb.pop(key, None)
    else:
        os.environb[key] = value


def _state() -> "dict[str, Any]":
    """Return what is set for the whole process, by the names of those modules that are there."""
    logging: Any = sys.modules.get("logging")
    socket: Any = sys.modules.get("_socket")
    locale: Any = sys.modules.get("_locale")
    collector: Any = sys.modules.get("gc")
    state: dict[str, Any] = {
        "the recursion limit": sys.getrecursionlimit(),
        "the switch interval": sys.getswitchinterval(),
    }
    if hasattr(logging, "Logger"):
        root = logging.root
        logger = logging.getLoggerClass(), logging.getLogRecordFactory()
        state["logging"] = root.level, list(root.handlers), root.manager.disable, logging.lastResort, logger
        state["logging's names"] = dict(getattr(logging, "_levelToName", {}))
    if socket is not None:
        state["the default timeout"] = socket.getdefaulttimeout()
    if locale is not None:
        state["the locale"] = locale.setlocale(locale.LC_ALL, None)
    if collector is not None:
        state["the garbage collector"] = collector.get_threshold(), collector.isenabled()
    return state


def _handlers() -> "list[Any]":
    """Return what is done about signals, by Python and by C code such as readline's."""
    handlers = [_signal.getsignal(number) for number in range(1, _signal.NSIG) if number not in OF_THREADS]
    with open("/proc/self/status") as file:
        masks = [int(line.split()[1], 16) & 0x7FFFFFFF for line in file if line.startswith(("SigIgn", "SigCgt"))]
    return handlers + masks


for _function in (Import.__call__, Recording._hear_load, Register.__call__):  # noqa: SLF001
    _function.__code__ = _function.__code__.replace(co_filename=INTERNAL)
