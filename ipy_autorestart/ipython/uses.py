"""First uses of files by this process: what was copied from it before one has nothing of that file in it."""

from __future__ import annotations

import copy
import functools
import importlib.util
import itertools
import re
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from types import CodeType, FrameType, TracebackType
from typing import Any

from ipy_autorestart.decide.change import Change as Change
from ipy_autorestart.decide.change import Kind
from ipy_autorestart.ipython.audit import listen
from ipy_autorestart.ipython.readers import has_reader
from ipy_autorestart.ipython.writes import PROGRAMS, is_code
from ipy_autorestart.pristine import attribute_of, os, time

#: Events of programs and children that are started, and of what else tells no more than that.
STARTS = PROGRAMS | {"os.exec"}
LISTINGS = frozenset({"os.listdir", "os.scandir", "os.fwalk"})
PATTERNS = frozenset({"glob.glob/2", "pathlib.Path.glob", "pathlib.Path.rglob"})
EVENTS = STARTS | LISTINGS | PATTERNS | {"open", "import", "os.chdir", "ctypes.dlopen", "sqlite3.connect"}

#: Programs that libraries ask for the machine while a user's function runs, as joblib does; they read nothing else.
QUIET = frozenset({"lscpu", "ldconfig", "uname", "fc-list", "nvidia-smi"})

#: The module that imports what would start interpreters for no reason but its own import.
DASK = "distributed.utils"

#: Modules that connect to the history of IPython, of which no cell knows.
HISTORIES = ("IPython.core.history", "ipy_autorestart.kernel.machinery")

#: The use of whatever a program may read.
ANYTHING = "*"

#: The use of whatever a library may have read by itself, which is no code.
UNHEARD = "?"

#: Stands before the path of what this process has written.
WRITTEN = "> "

#: So many uses are told apart; what comes later is a use of anything.
USES_MAX = 200_000

#: Entries of a folder that are looked through for the folders among them, when a program lists it.
ENTRIES_MAX = 1000

NO_FILES = ("/proc/", "/sys/", "/dev/")
WILD = re.compile(r"[*?[]")  # as in `glob`
IMPORTS = "<frozen importlib."
LIBRARY = os.path.dirname(os.__file__) + "/"
SEARCHES = (IMPORTS, LIBRARY + "importlib/")  # for modules, or for what is installed
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/"


class Uses:
    """The first uses of files, by audit events (PEP 578), and of modules, by a finder that finds none.

    Each has a place, a number: the later it is, the higher, and never less than what `len` was before. What was there
    at the beginning has place 0. When this object is closed, or gone, nothing is heard any more.

    What Python itself does for the program is heard, and ``pandas.read_csv`` and the like by that. Unheard is what
    libraries open by themselves (`readers`): once one is loaded, it may have used all files but code. So may SQLite's
    ``ATTACH`` have used a database, once there was another. Unheard, too, are files that are opened by a folder's
    descriptor, and questions whether there is a file, or how old or large one is (``os.stat``).

    Parameters
    ----------
    is_fresh
        Whether nothing of the user has run yet that may have used files; else anything was used, at place 0.
    """

    def __init__(self, *, is_fresh: bool) -> None:
        self._opened: dict[str, int] = {}  # absolute paths, as they were given
        self._listed: dict[str, int] = {}
        self._folders: dict[str, frozenset[str]] = {}  # of what is listed, the folders that were there
        self._globbed: dict[str, int] = {}  # folders below which files were looked for by patterns
        self._sought: dict[str, int] = {}  # modules, whether there are any or not
        self._connected: set[int] = set()  # places of databases, each of which may be attached to those before
        self._sorted = Sorted()
        self._latest: dict[str, float] = {}  # when each was used last, by the monotonic clock
        self._known_since = float("-inf")
        if not is_fresh:
            self._opened[ANYTHING] = 0
        for name, module in list(sys.modules.items()):
            self._sought[name] = 0
            if isinstance(file := attribute_of(module, "__file__"), str):
                self._opened[os.path.abspath(file)] = 0
            if _starts_interpreters(name):
                self._opened[ANYTHING] = 0
        self._watched: list[str] = []  # of the sorted files, those that counted when `places` was last asked for
        self._counts: tuple[Callable[[str], bool] | None, int] = None, 0
        self._finder = _Finder(self)
        self._end = listen(EVENTS, self._hear)
        sys.meta_path.insert(0, self._finder)  # ``importlib.import_module`` raises no event for what isn't there

    def close(self) -> None:
        """Hear nothing any more."""
        self._end()
        self._finder.leave()

    def __len__(self) -> int:
        return 1 + len(self._opened) + len(self._listed) + len(self._globbed) + len(self._sought)

    @property
    def anything(self) -> int | None:
        """The place from which on any file may have been used, as a program was started; None if none was."""
        return self._opened.get(ANYTHING)

    def note_readers(self) -> None:
        """Note whether a library is loaded by now that opens files unheard; to be called just before a copy is made.

        Looked for is the module itself, as modules that were imported ahead come without a search.
        """
        if UNHEARD not in self._opened and has_reader(sys.modules):
            self._add(self._opened, UNHEARD)

    def _unheard(self, places: Iterable[int]) -> Iterator[int]:
        """Yield the places from which on a file that is no code may have been used unheard, given those heard of it."""
        if UNHEARD in self._opened:
            yield self._opened[UNHEARD]
        if self._connected.intersection(places):
            yield min(self._connected)

    def places(self, counts: Callable[[str], bool], *, only_code: bool = False) -> set[int]:
        """Return the places of the first uses of those files, by absolute paths, that count; that of anything, too.

        Each file is asked about once, as long as it is the same function that says so. Unless only code counts, some
        may have been used unheard by now, and be heard of later.
        """
        self._sort()
        files = self._sorted.files
        known, asked = self._counts
        if known != counts:
            self._watched, asked = [], 0
        new = list(files)[asked:]
        self._watched += filter(counts, new)
        self._counts = counts, asked + len(new)
        found = set() if self.anything is None else {self.anything}
        if not only_code:
            found.update(self._unheard(self._connected))
        for path in self._watched:
            place = files[path]
            found.add(place if is_code(path) else min((place, *self._unheard([place]))))
        return found

    def place_of(self, change: Change) -> int | None:
        """Return the place of the first use of a file that has changed; None if it was not used.

        A file that is new was used by what opened it in vain, by what listed its folder, or one that holds a new one
        with it, and a module also by what looked for its name. The same holds for one that is gone. A Python source
        that was never heard of was not used, as only Python reads these; what else was never heard of may have been
        used at the beginning, and what was, from where on that may have been unheard.
        """
        of_file, of_searches = self._heard(change)
        if not of_file and not change.path.endswith(".py"):
            return 0
        unheard = () if is_code(change.path) else self._unheard(of_file)
        anything = () if self.anything is None else (self.anything,)
        return min((*of_file, *of_searches, *unheard, *anything), default=None)

    def was_used_since(self, path: str, moment: float) -> bool:
        """Return whether a file was used since a moment of the monotonic clock, whatever it was then, or not there.

        What this process has written itself counts as not used; what programs read that it starts is not known.
        """
        recent = {key for key, at in list(self._latest.items()) if at >= moment}
        if moment < self._known_since:
            return True
        if WRITTEN + path in recent:
            return False
        known = {"_opened": self._opened, "_listed": self._listed, "_globbed": self._globbed, "_sought": self._sought}
        lately = copy.copy(self)
        vars(lately).update({name: _only(recent, uses) for name, uses in known.items()}, _sorted=Sorted())
        heard = (lately._heard(Change(path, kind)) for kind in Kind)  # noqa: SLF001  # its own kind
        return any(map(any, heard))

    def _heard(self, change: Change) -> tuple[list[int], list[int]]:
        """Return the places of uses of a file, or of its folders, and of searches for it as a module."""
        self._sort()
        paths = dict.fromkeys((change.path, os.path.realpath(change.path)))
        places = [self._sorted.files[path] for path in paths if path in self._sorted.files]
        if change.kind is Kind.MODIFIED:
            return places, []
        places += itertools.chain(*(self._listings(path, change.kind) for path in paths))
        return places, [*itertools.chain(*(self._searches(path, change.kind) for path in paths))]

    def _listings(self, path: str, kind: Kind) -> Iterator[int]:
        """Yield the places of listings that would be others with a change: of a folder that has one entry more."""
        known = self._sorted
        entry = path
        while entry:
            folder, _, name = entry.rpartition("/")
            listed = known.listed.get(folder or "/", ())
            for one in listed:
                was_there = name in self._folders.get(one, ()) if kind is Kind.ADDED else os.path.lexists(entry)
                if entry == path or not was_there:
                    yield self._listed[one]
            yield from (self._globbed[one] for one in known.globbed.get(folder or "/", ()))
            opened = known.files.get(folder) if kind is Kind.ADDED else None
            if opened is not None and all(opened < self._listed[one] for one in listed):
                yield opened  # in vain, mostly
            entry = folder

    def _searches(self, path: str, kind: Kind) -> Iterator[int]:
        """Yield the places of searches that a source may end otherwise, or a folder that has come or gone with a file.

        For a folder is a package by itself, or a part of one (namespace packages).
        """
        is_folder = not path.endswith(".py")
        entry = path.rpartition("/")[0] if is_folder else path.removesuffix(".py").removesuffix("/__init__")
        while entry:
            folder, _, name = entry.rpartition("/")
            for module in self._sorted.modules.get(name, ()):
                if is_folder and (_was_part(module, entry) if kind is Kind.ADDED else os.path.lexists(entry)):
                    continue
                if _may_hold(module.rpartition(".")[0], folder):
                    yield self._sought[module]
            entry, is_folder = folder, True

    def _sort(self) -> None:
        self._sorted.take(self._opened, self._listed, self._globbed, self._sought)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        try:
            if event == "open":
                if not _is_to_write(args[2]):
                    self._note(args[0])
                elif args[0].__class__ is not int:
                    self._stamp(WRITTEN + _absolute(args[0]))
                elif _starts_interpreters(_caller()):  # a pipe, with what it is to do
                    self._add(self._opened, ANYTHING)
            elif event == "import":
                if args[1] is not None:  # compiled
                    self._note(args[1])
                elif _starts_interpreters(args[0]) and _caller() != DASK:
                    self._add(self._opened, ANYTHING)
            elif event in LISTINGS:
                self._note_listing(args[0])
            elif event in PATTERNS:
                self._note_pattern(event, args)
            elif event == "os.chdir":
                if not os.path.isdir(args[0]):
                    self._note(args[0])
            elif event in STARTS:
                if ANYTHING not in self._opened and _is_by_user(sys._getframe(2)) and not _is_quiet(event, args):  # noqa: SLF001
                    self._add(self._opened, ANYTHING)
            elif event == "sqlite3.connect":
                path = _database(args[0])
                self._note(path)
                if _caller() not in HISTORIES:
                    self._connected.add(self._opened[_absolute(path)])
            elif args[0] and "/" in os.fsdecode(args[0]):  # other libraries are looked for in the system
                self._note(args[0])
        except Exception as error:  # the border: the user's own call must go on
            if _is_by_handler(error.__traceback__):
                raise
            if isinstance(error, RecursionError):
                self._opened.setdefault(ANYTHING, len(self))

    def seek(self, module: str) -> None:
        """Note that a module is looked for."""
        self._add(self._sought, module)

    def _note(self, path: Any) -> None:
        if path.__class__ is int:
            return
        name = path if path.__class__ is str and path[:1] == "/" else _absolute(path)
        if not name.startswith(NO_FILES):
            self._add(self._opened, name)

    def _note_listing(self, path: Any) -> None:
        if path.__class__ is int:
            name = os.readlink(f"/proc/self/fd/{path}")
        else:
            name = _absolute("." if path is None else path)
        if name.startswith(NO_FILES):
            return
        frame = sys._getframe(3)  # noqa: SLF001  # public but for its name
        if frame.f_code.co_filename.startswith(SEARCHES) or _origin(frame).startswith(PACKAGE):
            return
        self._list(name)

    def _list(self, folder: str) -> None:
        is_new = folder not in self._listed
        self._add(self._listed, folder)  # first, as the look is heard, too
        if is_new:
            self._folders[folder] = _folders_in(folder)

    def _note_pattern(self, event: str, args: tuple[Any, ...]) -> None:
        """Note a search: the folders that it lists are heard of anyway, but not the names that it asks for."""
        if event == "glob.glob/2":
            pattern = os.path.join(os.fsdecode(args[2] or ""), os.fsdecode(args[0]))
        else:
            pattern = os.path.join(os.fsdecode(args[0]), "**" if event.endswith("rglob") else "", str(args[1]))
        first, *parts = _absolute(pattern).split("/")
        named = list(itertools.takewhile(lambda part: not WILD.search(part), parts[:-1]))
        folder = "/".join([first, *named]) or "/"
        if len(named) == len(parts) - 1:
            self._list(folder)
        else:
            self._add(self._globbed, folder)

    def _add(self, known: dict[str, int], key: str) -> None:
        self._stamp(key)
        if key in known:
            return
        place = len(self)
        if place >= USES_MAX:
            known, key = self._opened, ANYTHING
        known.setdefault(key, place)

    def _stamp(self, key: str) -> None:
        now = time.monotonic()
        if len(self._latest) >= USES_MAX:
            self._latest, self._known_since = {}, now
        self._latest[key] = now


class _Finder:
    """Hears of each module that is looked for, first of all finders.

    Attributes
    ----------
    uses
        Returns who is told, if there is still anybody.
    """

    def __init__(self, uses: Uses) -> None:
        self.uses: Callable[[], Uses | None] = weakref.ref(uses, self.leave)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:  # noqa: ARG002
        """Find nothing."""
        uses = self.uses()
        if uses is not None:
            uses.seek(name)

    def leave(self, _: object = None) -> None:
        """Be a finder no more."""
        self.uses = lambda: None
        if sys.meta_path and self in sys.meta_path:  # it is None at the interpreter's end
            sys.meta_path.remove(self)


class Sorted:
    """Uses by what is asked for; what is new is put in its place when somebody asks, not while the program runs.

    Attributes
    ----------
    files
        Places, by absolute paths and by real ones.
    listed, globbed
        The paths by which folders were listed and searched, by the same.
    modules
        Full names of modules, by the last part of each.
    """

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.listed: dict[str, list[str]] = {}
        self.globbed: dict[str, list[str]] = {}
        self.modules: dict[str, list[str]] = {}
        self._taken = [0, 0, 0, 0]

    def take(
        self, opened: dict[str, int], listed: dict[str, int], globbed: dict[str, int], sought: dict[str, int]
    ) -> None:
        """Take in what has come since the last time."""
        real = _RealPaths()
        for path in self._new(0, opened):
            if path not in (ANYTHING, UNHEARD):
                for name in real.names_of(_source(path)):
                    self.files[name] = min(opened[path], self.files.get(name, opened[path]))
        for path in self._new(1, listed):
            for name in real.names_of(path):
                self.listed.setdefault(name, []).append(path)
        for path in self._new(2, globbed):
            for name in real.names_of(path):
                self.globbed.setdefault(name, []).append(path)
        for module in self._new(3, sought):
            self.modules.setdefault(module.rpartition(".")[2], []).append(module)

    def _new(self, kind: int, keys: dict[str, int]) -> list[str]:
        new = list(keys)[self._taken[kind] :]
        self._taken[kind] += len(new)
        return new


def _only(keys: Set[str], known: dict[str, int]) -> dict[str, int]:
    return {key: place for key, place in list(known.items()) if key in keys}


class _RealPaths:
    """Real paths of many files; those of their folders are looked up once each."""

    def __init__(self) -> None:
        self._folder = functools.cache(os.path.realpath)

    def names_of(self, path: str) -> dict[str, None]:
        """Return the path of a file and its real one."""
        if "/../" not in path:
            path = os.path.normpath(path)
        folder, _, name = path.rpartition("/")
        real = f"{self._folder(folder or '/').rstrip('/')}/{name}"
        if os.path.islink(real) or name in ("", ".", ".."):
            real = os.path.realpath(path)
        return {os.path.normpath(path): None, real: None}


def _is_to_write(flags: Any) -> bool:
    """Return whether nothing of what there is can be read."""
    return flags.__class__ is int and bool(flags & os.O_TRUNC or flags & os.O_ACCMODE == os.O_WRONLY)


def _starts_interpreters(module: str) -> bool:
    """Return whether a module of multiprocessing or the like starts other interpreters, of which there is no event."""
    last = module.rpartition(".")[2]
    return last.startswith("popen_") and last != "popen_fork"


def _caller() -> str:
    """Return the module that `Uses._hear` hears of."""
    return str(sys._getframe(3).f_globals.get("__name__"))  # noqa: SLF001  # public but for its name


def _is_quiet(event: str, args: tuple[Any, ...]) -> bool:
    return event == "subprocess.Popen" and os.path.basename(os.fsdecode(args[0])) in QUIET


def _absolute(path: Any) -> str:
    name = os.fsdecode(path)
    return name if name[:1] == "/" else os.path.join(os.getcwd(), name)


def _database(name: Any) -> str:
    """Return the path of an SQLite database (sqlite.org/uri.html)."""
    path: str = os.fsdecode(name)
    if path.startswith("file:"):
        path = path[len("file:") :].partition("?")[0].partition("#")[0]
        path = path.removeprefix("//localhost").removeprefix("//")
    return path


def _source(path: str) -> str:
    """Return what there is to read: of a compiled file its source."""
    if path.endswith(".pyc"):
        try:
            return importlib.util.source_from_cache(path)
        except (ValueError, NotImplementedError):  # it does not lie where Python puts it
            pass
    return path


def _folders_in(path: str) -> frozenset[str]:
    try:
        with os.scandir(path) as entries:
            return frozenset(entry.name for entry in itertools.islice(entries, ENTRIES_MAX) if entry.is_dir())
    except OSError:
        return frozenset()


def _may_hold(package: str, folder: str) -> bool:
    """Return whether the modules of a package may lie in a folder; without a package, anything may be on the path."""
    if f"{folder}/".endswith(f"/{package.replace('.', '/')}/") or not package:
        return True
    path = _path_of(package)
    return path is None or os.path.realpath(folder) in path


def _was_part(module: str, folder: str) -> bool:
    """Return whether a folder makes no difference to a module that was found: its own, or it needs none."""
    path = _path_of(module)
    if path is None or attribute_of(sys.modules[module], "__file__"):
        return module in sys.modules
    return os.path.realpath(folder) in path


def _path_of(package: str) -> list[str] | None:
    """Return the real paths of a package's folders, as they were found; None if it is none, or is gone."""
    path = attribute_of(sys.modules.get(package), "__path__")
    try:
        return [os.path.realpath(one) for one in getattr(path, "_path", path)]  # that of namespaces looks anew
    except TypeError:
        return None


def _is_by_user(frame: FrameType | None) -> bool:
    """Return whether the user acts: not we, and not the import of an installed module."""
    return not _origin(frame).startswith((PACKAGE, IMPORTS))


def _origin(frame: FrameType | None) -> str:
    """Return the file of the innermost code that is not installed; we, and what imports, count as such."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith((PACKAGE, IMPORTS)) or not _is_installed(file):
            return file
        frame = frame.f_back
    return ""


def _is_installed(file: str) -> bool:
    if file.startswith("<"):  # made by a library, if it isn't a cell
        return not file.startswith("<ipython-input")
    return file.startswith(LIBRARY) or "/site-packages/" in file or "/dist-packages/" in file


_FUNCTIONS: tuple[Any, ...] = (_origin, os.path.join, os.path.isdir, os.fsdecode, importlib.util.source_from_cache)
_OWN = frozenset(code.co_filename for one in _FUNCTIONS if isinstance(code := getattr(one, "__code__", None), CodeType))


def _is_by_handler(trace: TracebackType | None) -> bool:
    """Return whether an error is not ours, but that of a signal handler which happened to run here."""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename not in _OWN:
            return True
        trace = trace.tb_next
    return False
