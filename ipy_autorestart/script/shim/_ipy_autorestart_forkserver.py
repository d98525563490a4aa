"""The fork server's own side: parked inside `import site` of ``python main.py``, it forks a run whenever it is told to.

It is that very command, stopped before CPython has opened the script. A forked child returns from here, and the
interpreter goes on as it would have: so ``__main__``, tracebacks, flags and exit are right by construction.

Only builtin and low-level modules may be imported, as in `sitecustomize`, and those are taken out again.
"""

import os
import sys

_there = set(sys.modules)
import _socket  # noqa: E402
import atexit  # noqa: E402
import gc  # noqa: E402

for _name in {"_socket", "atexit", "gc"} - _there:  # what is imported ahead, and the script, find their own
    del sys.modules[_name]

if False:  # for type checkers only
    from collections.abc import Callable
    from typing import Any, TextIO

    #: Sets up what a run needs, with its descriptor for reports, and returns what makes it report.
    Attach = Callable[[int], Callable[[], None]]

SEPARATOR = "\x1f"
#: Never imported for a run: they speak, or patch what is there already.
NEVER = frozenset({"this", "antigravity", "__main__", "__hello__", "site", "sitecustomize", "usercustomize", "idlelib"})

#: With one of these in use everything is imported by the run itself: they must patch first.
PATCHES = frozenset({"gevent", "eventlet"})

_REHEARSAL = os.path.abspath(__file__)

#: Threads that come back by themselves after a fork.
HARMLESS_THREADS = frozenset({"jemalloc_bg_thd"})


class Unfit(Exception):  # noqa: N818  # said of the module
    """A module that must not be imported ahead, because of what its import does."""


class Plan:
    """What to import ahead, as the supervisor has written it, and where not to import from."""

    def __init__(self, text: str) -> None:
        lines = [line.split(SEPARATOR) for line in text.split("\n") if line]
        self.roots = tuple(value for kind, value in lines if kind == "root")
        self.named = [value for kind, value in lines if kind == "name"]
        self.unfit = {value for kind, value in lines if kind == "unfit"}
        self.learnt = [value for kind, value in lines if kind == "path"]
        self.folder = next((value for kind, value in lines if kind == "folder"), ".")
        self.cwd = next((value for kind, value in lines if kind == "cwd"), ".")

    def names(self) -> "list[str]":
        """Return the modules to import in their order: learnt files, where they are what the name stands for."""
        bases = sorted(filter(_is_installed, sys.path), key=len, reverse=True)
        wrong = NEVER | {entry.split(".")[0] for entry in _listing(self.folder)}  # what lies beside the script is meant
        found = dict.fromkeys(self.named)
        fits: dict[tuple[str, str], bool] = {}
        for path in self.learnt:
            base = next((base for base in bases if path.startswith(base + "/")), None)
            if base is None or (path.startswith(self.roots) and "/site-packages/" not in path):
                continue
            name = _module_name(path, base)
            top = name.partition(".")[0]
            if top and top not in wrong:
                if (top, base) not in fits:
                    fits[top, base] = _stands_for(top, base)
                if fits[top, base]:
                    found[name] = None
        names = [name for name in found if name.partition(".")[0] not in self.unfit]
        return names if PATCHES.isdisjoint(names) else []


def _is_installed(entry: str) -> bool:
    """Whether a part of sys.path holds what is installed, not what is worked on."""
    library = os.path.dirname(os.__file__)
    return entry in (library, library + "/lib-dynload") or os.path.basename(entry) in ("site-packages", "dist-packages")


def _listing(folder: str) -> "list[str]":
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _module_name(path: str, base: str) -> str:
    """Return the name of the module in a compiled file or a library; empty if it can't have any."""
    folder, _, file = path[len(base) + 1 :].rpartition("/")
    parts = [*folder.split("/"), file.split(".")[0]] if folder else [file.split(".")[0]]
    parts = [part for part in parts if part not in ("__pycache__", "__init__")]
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _stands_for(top: str, base: str) -> bool:
    """Whether importing a name gives what lies there: another folder may come first."""
    import _frozen_importlib_external

    spec = _frozen_importlib_external.PathFinder.find_spec(top)
    if spec is None:
        return False
    where = spec.origin or "".join(list(spec.submodule_search_locations or [])[:1])
    return where.startswith(base + "/" + top)


def _open_files() -> "dict[str, str]":
    """Return what the descriptors of this process stand for."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink("/proc/self/fd/" + number)
        except OSError:  # it was that of the listing
            continue
    return found


class Trial:
    """What the process has, to be compared after each import."""

    def __init__(self, roots: "tuple[str, ...]", output: int) -> None:
        self.roots = roots
        self.output = output
        self.modules = len(sys.modules)
        self.threads = len(os.listdir("/proc/self/task"))
        self.files = _open_files()
        self.path = list(sys.path)

    def check(self) -> None:
        """Raise `Unfit` for what a fork doesn't carry over, or what belongs to the run."""
        for name in list(sys.modules)[self.modules :]:
            file = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(file, str) and file.startswith(self.roots) and "/site-packages/" not in file:
                raise Unfit("it imports watched code")
        self.modules = len(sys.modules)
        if len(os.listdir("/proc/self/task")) > self.threads:
            self._try_threads()
        for number, target in _open_files().items():
            if self.files.get(number) == target:
                continue
            if target.startswith(("socket:", "anon_inode:")) or (target.startswith("/dev/") and "random" not in target):
                raise Unfit("it opens " + target)
        if sys.path != self.path:
            raise Unfit("it changes sys.path")
        sys.stdout.flush()
        sys.stderr.flush()
        if os.lseek(self.output, 0, 1):
            raise Unfit("it prints")

    def _try_threads(self) -> None:
        # Pools such as OpenBLAS's end before a fork, by pthread_atfork, and come back on demand.
        pid = _fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
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
        self.threads = len(names)


def serve(control: int, plan: int, attach: "Attach") -> None:
    """Import ahead, then fork on request; returns in each child when it is told to go."""
    socket = _socket.socket(fileno=control)
    with open(plan, "r+", encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
        _say(socket, "preparing")
        made = Plan(text)
        cwd = made.cwd
        _prepare(socket, made, file)
    _say(socket, "ready")
    del text, file, made
    gc.collect()
    gc.freeze()
    _answer(socket, cwd, attach)


def _say(socket: "_socket.socket", *words: str) -> None:
    try:
        socket.send(SEPARATOR.join(words).encode("utf-8", "surrogateescape"))
    except OSError:
        os._exit(0)


def _prepare(socket: "_socket.socket", plan: Plan, file: "TextIO") -> None:
    """Import, and write down what was."""
    output = os.dup(1)
    before = set(sys.modules)
    trial = Trial(plan.roots, output)
    failed = []
    for name in plan.names():
        if name in sys.modules:
            continue
        _say(socket, "importing", name)
        try:
            __import__(name)
        except BaseException as error:  # noqa: BLE001  # the run will meet it too, and tell
            failed.append(name + SEPARATOR + type(error).__name__)
        try:
            trial.check()
        except Unfit as error:
            _say(socket, "unfit", name, str(error))
            os._exit(0)
    os.close(output)
    file.seek(0)
    file.truncate()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str):
            file.write(SEPARATOR.join(("file", path)) + "\n")
        if "." not in name and name not in before:
            file.write(SEPARATOR.join(("name", name)) + "\n")
    file.write("".join(SEPARATOR.join(("failed", line)) + "\n" for line in failed))


def _fork() -> int:
    """Fork without the warning of Python 3.12 about threads: those that are left are known to be harmless."""
    import _warnings

    filters: list[Any] = getattr(_warnings, "filters", []) if sys.version_info >= (3, 12) else []
    filters.insert(0, ("ignore", None, DeprecationWarning, None, 0))
    try:
        return os.fork()
    finally:
        filters.pop(0)


def _answer(socket: "_socket.socket", cwd: str, attach: "Attach") -> None:
    """Fork whenever it is asked for."""
    guarded = 0
    while True:
        data, ancillary, _, _ = socket.recvmsg(64, _socket.CMSG_SPACE(4 * 4))
        if not data:  # the supervisor is gone: nothing may outlive it
            if guarded:
                try:  # noqa: SIM105  # contextlib is not to be imported
                    os.killpg(guarded, 9)
                except OSError:
                    pass
            os._exit(0)
        if data[:1] == b"g":
            guarded = int(data[1:])
            continue
        numbers = memoryview(ancillary[0][2]).cast("i").tolist()
        pid = _fork()
        if pid == 0:
            between = os.getpid()
            if _fork():
                os._exit(0)  # so that the run becomes a child of the supervisor, which adopts orphans
            _park(socket, between, numbers, cwd, attach)
            return
        for number in numbers:
            os.close(number)
        os.waitpid(pid, 0)


def _park(socket: "_socket.socket", between: int, numbers: "list[int]", cwd: str, attach: "Attach") -> None:
    """In the child: do all that can be done ahead, then wait."""
    while os.getppid() == between:
        os.sched_yield()
    go, stdout, stderr, reports = numbers
    os.setsid()
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for number in (stdout, stderr):
        if number > 2:
            os.close(number)
    # What is frozen when the interpreter ends, as `__main__` is, would not be finalized. The first one runs last.
    atexit.register(gc.unfreeze)
    _begin_anew()
    report = attach(reports)
    _rehearse()
    # Files may be added in the very tick of the clock in which these have looked; what is installed is watched.
    installed = tuple(path + "/" for path in filter(_is_installed, sys.path))
    forgets = [
        finder.invalidate_caches  # type: ignore[union-attr]  # it has one
        for path, finder in sys.path_importer_cache.items()
        if hasattr(finder, "invalidate_caches") and not (path + "/").startswith(installed)
    ]
    _say(socket, "parked", str(os.getpid()))
    socket.close()
    if os.read(go, 1) != b"g":
        os._exit(0)
    os.close(go)
    report()
    os.chdir(cwd)  # by its path: the folder may have been made anew
    for forget in forgets:
        forget()


def _rehearse() -> None:
    """Do once what a start does: pages that it writes to are copied now, and not when somebody waits.

    Measured: of the 550 page faults between the word to go and the first line of a script, 400 are gone with it.
    """
    import _frozen_importlib_external as external

    file = _REHEARSAL
    exec(compile("import sys, os\nclass A:\n    def f(self): return [x for x in (1, 2)]\nA().f()\n", file, "exec"), {})
    finder = external.FileFinder(os.path.dirname(file), (external.SourceFileLoader, [".py"]))
    spec = finder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        spec.loader.get_code("sitecustomize")  # type: ignore[attr-defined]  # a SourceFileLoader has it
    for name in ("_ipy_autorestart_nothing", "os"):
        try:  # noqa: SIM105  # contextlib is not to be imported
            __import__(name)
        except ImportError:
            pass


def _begin_anew() -> None:
    """Give the run its own random state and clock, where libraries keep one from their import."""
    numpy = sys.modules.get("numpy.random.mtrand") or sys.modules.get("numpy.random")
    if numpy is not None and hasattr(numpy, "seed"):
        numpy.seed()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "default_generator"):
        torch.default_generator.seed()
    logging: Any = sys.modules.get("logging")
    if logging is not None and hasattr(logging, "_startTime"):  # of `relativeCreated`
        import time

        logging._startTime = time.time_ns() if isinstance(logging._startTime, int) else time.time()  # noqa: SLF001
