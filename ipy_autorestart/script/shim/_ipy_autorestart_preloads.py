"""Imports of a fork server: which modules, and which of them would not survive a fork.

As in `sitecustomize`, only builtin and low-level modules may be imported here, and they are removed again.
"""

import _signal  # type: ignore[import-not-found]  # it has no stub
import os
import sys

from _ipy_autorestart_chance import Chance  # type: ignore[import-not-found]  # it lies beside
from _ipy_autorestart_names import file_of  # type: ignore[import-not-found]  # it lies beside
from _ipy_autorestart_recording import Recording  # type: ignore[import-not-found]
from _ipy_autorestart_shelf import Shelf, is_compiled  # type: ignore[import-not-found]

if False:  # for type checkers only
    from collections.abc import Callable, Container
    from typing import Any, TextIO

#: Never imported ahead: they print, or patch what is there already.
NEVER = frozenset({"this", "antigravity", "__main__", "__hello__", "site", "sitecustomize", "usercustomize", "idlelib"})

#: In front of a path: the script has changed its environment before it imports that (`script.forkserver.LATE`).
LATE = "+"

#: A run that uses one of these imports everything itself, as they must patch first.
PATCHES = frozenset({"gevent", "eventlet"})

#: Files that may stay open.
HARMLESS_FILES = frozenset({"/dev/null", "/dev/urandom", "/dev/random"})

#: What is there isn't the same twice.
NO_FILES = ("/proc/", "/sys/", "/dev/")

TO_WRITE = os.O_WRONLY | os.O_RDWR

#: Programs that only tell what there is: `ctypes.util.find_library` asks this one.
HARMLESS_PROGRAMS = frozenset({"/sbin/ldconfig"})

#: Threads that come back by themselves after a fork.
HARMLESS_THREADS = frozenset({"jemalloc_bg_thd"})


class Unfit(Exception):  # noqa: N818  # said of the module
    """A module must not be imported ahead, because of what its import does."""


class PlanFile:
    """Modules to import ahead, as the supervisor has written them down, and what to leave out."""

    def __init__(self, text: str, watched: "Container[str]") -> None:
        lines = [line.split(" ", 1) for line in text.split("\n") if line]
        self.watched = watched
        self.named = [value for kind, value in lines if kind == "name"]
        self.unfit = {value for kind, value in lines if kind == "unfit"}
        self.apart = {value for kind, value in lines if kind == "apart"}
        self.learnt = [value for kind, value in lines if kind == "path"]
        self.cwd = next((value for kind, value in lines if kind == "cwd"), ".")
        self.module = next((value for kind, value in lines if kind == "module"), "")
        self.output = int(next(value for kind, value in lines if kind == "output"))
        self.beside = {value for kind, value in lines if kind == "beside"}
        self.follows = ["follows", ""] in lines  # more modules come, while a run imports them
        self.paths: dict[str, str] = {}  # of learnt modules, once `names` has looked
        self.late: set[str] = set()
        self.patches = ""
        self._bases = sorted(filter(is_installed, sys.path), key=len, reverse=True)
        self._wrong = NEVER | self.beside
        self._fits: dict[tuple[str, str], bool] = {}

    def names(self) -> "list[str]":
        """Return the modules to import, in order: those of learnt files that an import would find there."""
        found = dict.fromkeys(self.named)
        for marked in self.learnt:
            path = marked.removeprefix(LATE)
            if name := self._name_of(path):
                found[name] = None
                self.paths[name] = path
                if path != marked:
                    self.late.add(name)
        self.patches = next(iter(PATCHES.intersection(found)), self.patches)
        # Python warns if the module that ``python -m`` runs is imported already.
        return [
            name
            for name in found
            if not self.patches
            and self.unfit.isdisjoint((name, name.partition(".")[0]))
            and name != self.module
            and name.rpartition(".")[2] != "__main__"
            and not name.rpartition(".")[2].startswith("popen_")  # whose import tells that other interpreters start
        ]

    def _name_of(self, path: str) -> str:
        """Return the name by which an import would find the module of a file there; empty if none would."""
        base = next((base for base in self._bases if path.startswith(base + "/")), None)
        if base is None or path in self.watched:
            return ""
        name = _module_name(path, base)
        top = name.partition(".")[0]
        if not top or top in self._wrong:
            return ""
        if (top, base) not in self._fits:
            self._fits[top, base] = _stands_for(top, base)
        return name if self._fits[top, base] else ""


def is_installed(entry: str) -> bool:
    """Return whether a folder of sys.path holds installed modules, not the user's own."""
    library = os.path.dirname(os.__file__)
    return entry in (library, library + "/lib-dynload") or os.path.basename(entry) in ("site-packages", "dist-packages")


def _module_name(path: str, base: str) -> str:
    """Return the name of the module in a compiled file or a library; empty if there can be none."""
    folder, _, file = path[len(base) + 1 :].rpartition("/")
    parts = [*folder.split("/"), file.split(".")[0]] if folder else [file.split(".")[0]]
    parts = [part for part in parts if part not in ("__pycache__", "__init__")]
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _stands_for(top: str, base: str) -> bool:
    """Return whether a name is imported from a folder: another may come first."""
    import _frozen_importlib_external

    spec = _frozen_importlib_external.PathFinder.find_spec(top)
    if spec is None:
        return False
    where = spec.origin or "".join(list(spec.submodule_search_locations or [])[:1])
    return where.startswith(base + "/" + top)


def _state(path: str) -> str:
    """Return what tells a file from what it is later, as `script.pipes.state_of` does."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return ".".join(map(str, (found.st_mtime_ns, found.st_size, found.st_ino)))


def _open_files() -> "dict[str, str]":
    """Return the files of this process's descriptors."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink("/proc/self/fd/" + fd)
        except OSError:  # the listing's own
            continue
    return found


def _mappings() -> "tuple[int, set[str]]":
    """Return the number of shared memory mappings, as locks of multiprocessing have them, and the libraries."""
    shared, libraries = 0, set()
    with open("/proc/self/maps") as file:
        for line in file:
            shared += " rw-s " in line
            if " r-xp " in line:
                _, slash, path = line.rstrip("\n").partition("/")
                libraries.add(slash + path)
    return shared, libraries


class Trial:
    """The effects of imports on the process, judged after each."""

    def __init__(self, plan: PlanFile) -> None:
        self.recording = Recording()
        self._watched = plan.watched
        self.beside = plan.beside
        self._apart = plan.apart
        self.output = plan.output
        self.attempted: set[str] = set()
        self.read: dict[str, str] = {}  # files of no package's, and their states when they were opened
        self._inside = (*NO_FILES, *(path + "/" for path in filter(is_installed, sys.path)))
        self._faults: list[str] = []
        self._armed = [True]
        self._modules = len(sys.modules)
        self._threads = len(os.listdir("/proc/self/task"))
        self._files = _open_files()
        self._shared, self._libraries = _mappings()
        self._path = list(sys.path)
        self._shell: Any = None
        self.chance = Chance()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: "tuple[Any, ...]") -> None:
        """Note the effects of an import; the hook stays for ever, and does nothing when the trial is over."""
        if not self._armed:
            return
        if event == "import":
            self.attempted.add(args[0].partition(".")[0])
            if args[0] == "random":
                self.chance.attend()
            self._attend()
        elif event == "open":
            if isinstance(args[0], str):
                self._note_open(os.path.abspath(args[0]), args[2])
        elif event == "ctypes.dlopen":
            if args[0] is not None:
                self.recording.note_read(None)
        elif event in ("tempfile.mkdtemp", "tempfile.mkstemp"):
            self._faults.append("it makes temporary files")
        elif event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"):
            if args and args[0] in HARMLESS_PROGRAMS:
                return
            self._faults.append("it starts a program")

    def _note_open(self, path: str, flags: int) -> None:
        if path in self._watched:
            self._faults.append("it reads watched files")
        elif not flags & TO_WRITE and not path.startswith(self._inside) and not path.endswith((".py", ".pyc")):
            self.read.setdefault(path, _state(path))

    def _attend(self) -> None:
        """Note from now on when an import looks for a shell: a kernel will have one, and this process has none."""
        module: Any = sys.modules.get("IPython.core.interactiveshell")
        if self._shell is None and "ipykernel" in sys.modules and hasattr(module, "InteractiveShell"):
            self._shell = module.InteractiveShell

            def initialized(_: object) -> bool:  # `get_ipython` asks for it
                self._faults.append("it looks for the kernel's shell")
                return False

            self._shell.initialized = classmethod(initialized)

    def end(self) -> None:
        """Do nothing from now on."""
        self._armed.clear()
        self.chance.end()
        self.recording.end()
        if self._shell is not None:
            del self._shell.initialized  # what it inherits is there again

    def check(self) -> None:
        """Raise `Unfit` for an effect that does not survive a fork, or that belongs to the run."""
        self._attend()
        for name in list(sys.modules)[self._modules :]:
            file = file_of(sys.modules.get(name))
            if not os.path.isabs(file):  # none, or made up
                continue
            if file in self._watched or os.path.realpath(file) in self._watched:
                raise Unfit("it imports watched code")
            if name in self._apart:
                raise Unfit("it imports " + name)
        self._modules = len(sys.modules)
        common = self.beside & self.attempted
        faults = self._faults + ["it imports " + name + ", which the script has too" for name in common]
        fault = faults[0] if faults else self.chance.fault() or self.recording.fault()
        if fault:
            raise Unfit(fault)
        if len(os.listdir("/proc/self/task")) > self._threads:
            self._try_threads()
        for fd, target in _open_files().items():
            if self._files.get(fd) != target and target not in HARMLESS_FILES:
                raise Unfit("it opens " + target)
        shared, libraries = _mappings()
        if shared > self._shared:
            raise Unfit("it shares memory with other processes")
        if any(library in self._watched for library in libraries - self._libraries):
            raise Unfit("it loads watched code")
        if _signal.getitimer(_signal.ITIMER_REAL) != (0.0, 0.0):
            raise Unfit("it sets a timer")
        if sys.path != self._path:
            raise Unfit("it changes sys.path")
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            printed = os.read(self.output, 1)
        except BlockingIOError:
            return
        if printed:
            raise Unfit("it prints")

    def _try_threads(self) -> None:
        # Pools such as OpenBLAS's end before a fork, through pthread_atfork, and come back on demand.
        self._armed.clear()
        pid = fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        self._armed.append(True)
        names = []
        for task in os.listdir("/proc/self/task"):
            try:
                with open("/proc/self/task/" + task + "/comm") as file:
                    names.append(file.read().strip())
            except OSError:  # it has just ended
                continue
        others = [name for name in names if name not in HARMLESS_THREADS]
        if len(others) > 1:
            raise Unfit("it starts threads")
        self._threads = len(names)


def prepare(
    plan: PlanFile, file: "TextIO", send: "Callable[..., None]", more: "Callable[[], list[str] | None]"
) -> "tuple[Chance, Shelf]":
    """Import the modules of the plan, report each, and write the result to the plan's file.

    ``more`` waits for files of other modules, if the plan says that more come, and returns None after the last.
    Returns what gives each run random state of its own, and what gives it the modules.
    """
    os.set_blocking(plan.output, False)
    trial = Trial(plan)
    before = set(sys.modules)
    failed: list[tuple[str, str]] = []
    asked: list[str] = []
    learnt: list[str] | None = plan.learnt
    while learnt is not None:
        plan.learnt = learnt
        _import(plan, trial, send, asked, failed)
        learnt = more() if plan.follows else None
    trial.end()
    if plan.late:
        trial.recording.note_local_time()
    os.close(plan.output)
    file.seek(0)
    file.truncate()
    for name, module in list(sys.modules.items()):
        if path := file_of(module):
            file.write("file " + path + "\n")
        if "." not in name and name not in before:
            trial.attempted.add(name)
    for entry in filter(is_installed, sys.path):  # a module that is installed later may go first
        file.write("file " + entry + "/.py\n")
    file.writelines("asked " + plan.paths[name] + "\n" for name in asked if name in plan.paths)
    file.writelines("name " + name + "\n" for name in sorted(trial.attempted))
    file.writelines("read " + state + " " + path + "\n" for path, state in trial.read.items() if "\n" not in path)
    file.writelines("failed " + name + " " + why + "\n" for name, why in failed)
    shelf = Shelf(trial.recording)
    for name in asked:
        shelf.prepare(name)
    return trial.chance, shelf


def _import(
    plan: PlanFile, trial: Trial, send: "Callable[..., None]", asked: "list[str]", failed: "list[tuple[str, str]]"
) -> None:
    """Import the modules that the plan has now; ends this process by an import that can't be ahead of a run."""
    names = plan.names()
    if plan.patches and asked:  # what it would patch is there already
        _give_up(send, plan.patches, "what it patches was imported before")
    for name in names:
        if name in sys.modules or name in asked:
            continue
        asked.append(name)
        send("importing", name)
        before = len(sys.modules)
        try:
            trial.recording.run(name)
        except BaseException as error:  # noqa: BLE001  # the run will meet it too, and show it
            # Libraries try what may not be there, and what is imported late may need what is not set yet.
            if name in plan.named or not (name in plan.late or isinstance(error, ImportError)):
                failed.append((name, type(error).__name__))
        try:
            trial.check()
        except Unfit as error:
            _give_up(send, name, str(error))
        if name in plan.late and any(is_compiled(module) for module in list(sys.modules.values())[before:]):
            send("late", plan.paths[name])  # compiled code may read any variable, and is imported once in a process
            os.killpg(0, _signal.SIGKILL)


def _give_up(send: "Callable[..., None]", name: str, why: str) -> None:
    send("unfit", name, why)
    os.killpg(0, _signal.SIGKILL)  # with what it has started


def fork() -> int:
    """Fork without the warning of Python 3.12 about threads: the remaining ones are known to be harmless."""
    import _warnings

    filters: list[Any] = getattr(_warnings, "filters", []) if sys.version_info >= (3, 12) else []
    filters.insert(0, ("ignore", None, DeprecationWarning, None, 0))
    try:
        return os.fork()
    finally:
        filters.pop(0)
