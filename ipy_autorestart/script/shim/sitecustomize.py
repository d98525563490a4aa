"""Reports of what a run reads, imports and writes: runs inside `import site`, before CPython has opened the script.

A fork server stops here, and each forked child goes on from here. The module removes every trace of itself and gives
way to the user's own sitecustomize, or raises the ImportError that `site.execsitecustomize` expects if there is none.
It imports only modules that `site` has imported already, as a file beside the script may have the name of any other.
"""

import _frozen_importlib_external
import os
import sys
import time

if False:  # for type checkers only: the script would find these imported
    from collections.abc import Callable, Container, Sequence
    from types import FrameType
    from typing import Any

VARIABLE = "IPY_AUTORESTART_RUN"  # script.run.VARIABLE, which can't be imported here
FD = 200  # out of the way of the descriptors that the script will count
SEEN_MAX = 10_000  # reports that are remembered, so as not to be sent twice
SHIM = os.path.dirname(os.path.abspath(__file__)) + "/"
LIBRARY = os.path.dirname(os.__file__) + "/"
PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(SHIM))) + "/"
BOOTSTRAP = PACKAGE + "reexec/bootstrap.py"

PROGRAMS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn"})
REMOVES = frozenset({"os.rename", "os.remove", "os.truncate"})
ENVIRONMENT = frozenset({"os.putenv", "os.unsetenv"})
#: Events of a kernel's own (`kernel.standby`): it looks for a file, whether or not there is one; its start is over.
LOOKS_FOR, STARTED = "ipy_autorestart.looks_for", "ipy_autorestart.started"
LOOKS = {"open", "import", "ctypes.dlopen", "os.listdir", "os.scandir", "os.chdir", LOOKS_FOR}
#: Of sockets; those that may listen for TCP are of the families AF_INET and AF_INET6.
PORTS = frozenset({"socket.__new__", "socket.bind", "socket.connect"})
TCP = (2, 10)
LISTS_OBJECTS = frozenset({"gc.get_objects", "gc.get_referrers"})
#: The script hears of imports from then on.
ADDS_HOOK = "sys.addaudithook"
ASKS = "builtins.input"
#: Where Dask tells, on standard error, what a client runs first; with a cluster it is something of ours.
PRELOADING, CLUSTER = "distributed.preloading", "IPY_AUTORESTART_CLUSTER"
EVENTS = PROGRAMS | REMOVES | ENVIRONMENT | LOOKS | LISTS_OBJECTS | {STARTED, ADDS_HOOK, ASKS}
ANYTHING = ("*", "")
TO_WRITE = os.O_WRONLY | os.O_RDWR
NO_FILES = ("/proc/", "/sys/", "/dev/")  # what is there isn't the same twice

# The originals: the script may replace them.
write, getcwd, stat, fstat, fsdecode, readlink = os.write, os.getcwd, os.stat, os.fstat, os.fsdecode, os.readlink
abspath, join, samestat = os.path.abspath, os.path.join, os.path.samestat
monotonic = time.monotonic
source_from_cache = _frozen_importlib_external.source_from_cache  # knows this interpreter's tag and prefix
getframe = sys._getframe  # noqa: SLF001  # public but for its name


def begin() -> None:
    """Remove the traces of the way in, and set up the reports."""
    value = os.environ.pop(VARIABLE)
    fd, inode, pythonpath, plan, others, keeps, sockets, settings, beside, *roots = value[1:].split(value[0])
    here = SHIM[:-1]
    if pythonpath:
        folders = os.environ["PYTHONPATH"].split(os.pathsep)
        os.environ["PYTHONPATH"] = os.pathsep.join([folder for folder in folders if folder != here])
    else:
        del os.environ["PYTHONPATH"]
    serve: Any = None
    ours = is_ours(int(fd), int(inode))
    if ours and plan:
        serve = __import__("_ipy_autorestart_forkserver").serve
        del sys.modules["_ipy_autorestart_forkserver"]
    sys.path[:] = [path for path in sys.path if path != here]
    sys.path_importer_cache.pop(here, None)
    if sys.pycache_prefix:  # where compiled modules are written, and read from the next time
        roots += [sys.pycache_prefix + root for root in roots]
    watched = Watched(tuple(roots), beside)
    displays = LazyDisplays(settings) if settings else None
    ports = LazyPorts() if keeps else None
    passed = Passed(int(sockets))
    if serve:
        passed.reserve()
        if displays:  # prepared for the import of IPython, as nothing is displayed yet
            displays.before("IPython.core.display_functions")
        # Only forked children return from this.
        serve(int(fd), int(plan), lambda fds, ahead: attach(fds, displays, watched, ports, passed, ahead), watched)
    elif ours:
        start = attach([int(fd), *map(int, others.split())], displays, watched, ports, passed)
        try:
            start()
        except BrokenPipeError:  # the supervisor was killed before it could have this process guarded
            os._exit(0)


def is_ours(fd: int, inode: int) -> bool:
    """Return whether the supervisor opened a descriptor; programs that skip this shim pass on the variable alone."""
    try:
        return os.fstat(fd).st_ino == inode
    except OSError:
        return False


def attach(
    fds: "Sequence[int]",
    displays: "LazyDisplays | None",
    watched: "Watched",
    ports: "LazyPorts | None",
    passed: "Passed",
    ahead: "Any" = None,  # noqa: ANN401  # `Ahead` of the fork server's module
) -> "Callable[[], None]":
    """Set up what a run needs; return a function that starts its reports.

    The descriptors are the one for reports and, with ``displays``, the one to display on; with ``ports``, that for
    these, and those of ``passed``. ``ahead`` is what a fork server has for the run, if there is one.
    """
    # Python would hold back whole blocks for a pipe; a notebook wants each line.
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a TextIOWrapper, this early
    reports, *others = map(out_of_the_way, fds, range(FD, FD + len(fds)))
    if displays:
        displays.open(others.pop(0))
    if ports:
        ports.open(others.pop(0))
    passed.open(others)
    reporter = Reports(reports, watched, displays, ports, ahead)
    hear = reporter.hear
    armed: list[bool] = []
    events = EVENTS | PORTS if ports else EVENTS

    def hook(event: str, args: "tuple[Any, ...]") -> None:
        if event in events and armed:  # quick for the many others
            hear(event, args)

    def arm() -> None:
        passed.give()
        armed.append(True)
        write(reports, b"b%f\0" % monotonic() + (b"!\0" if watched.roots else b""))

    sys.addaudithook(hook)
    if ahead:
        ahead.open(reporter.given, reporter.wants_cold, is_kernel=BOOTSTRAP in sys.orig_argv)
    return arm


def out_of_the_way(fd: int, wanted: int) -> int:
    """Give a descriptor another number, not to be inherited by programs; return it."""
    try:
        if fd != wanted:
            os.dup2(fd, wanted, inheritable=False)
            os.close(fd)
            fd = wanted
    except OSError:  # fewer are allowed
        pass
    os.set_inheritable(fd, False)  # noqa: FBT003
    return fd


class LazyDisplays:
    """The displays of a run; their module is loaded when the run imports a library that can display."""

    NAMES = frozenset({"matplotlib.cm", "matplotlib._pylab_helpers", "IPython.core.display_functions"})
    AT_ONCE = ("matplotlib.cm", "matplotlib._pylab_helpers")  # if they were imported ahead
    file = SHIM + "_ipy_autorestart_displays.py"

    def __init__(self, settings: str) -> None:
        self._settings = settings
        self._fd = -1
        self._loaded: Any = None

    def open(self, fd: int) -> None:
        """Display through a pipe."""
        self._fd = fd
        if self._loaded is not None:
            self._loaded.open(fd)
        elif not self.NAMES.isdisjoint(sys.modules):  # `site` has imported it before this
            self._load()

    def before(self, name: str) -> None:
        """Act before the import of one of the `NAMES`."""
        self._load().before(name)

    def _load(self) -> "Any":  # noqa: ANN401  # a module that can't be imported here
        if self._loaded is None:
            self._loaded = load("_ipy_autorestart_displays", self.file).Displays(self._settings)
            if self._fd >= 0:
                self._loaded.open(self._fd)
        return self._loaded


class LazyPorts:
    """The sockets on which a run listens; their module is loaded when the run makes the first one that could."""

    file = SHIM + "_ipy_autorestart_ports.py"

    def __init__(self) -> None:
        self._fd = -1
        self._loaded: Any = None

    def open(self, fd: int) -> None:
        """Tell of them on this descriptor."""
        self._fd = fd
        if "_socket" in sys.modules:  # ahead of the run
            self._load()

    def hear(self, event: str, args: "tuple[Any, ...]") -> None:
        """Act on an event of a socket, or on the end of this image."""
        if self._loaded is None:
            if event not in PORTS or args[1] not in TCP:
                return
            self._load()
        self._loaded.hear(event, args)

    def _load(self) -> None:
        self._loaded = load("_ipy_autorestart_ports", self.file).Ports(self._fd)


class Passed:
    """Sockets that the supervisor has opened, for programs that take them as systemd passes them: sd_listen_fds(3)."""

    FIRST = 3

    def __init__(self, count: int) -> None:
        self._places = range(self.FIRST, self.FIRST + count)
        self._fds: list[int] = []

    def reserve(self) -> None:
        """Keep their places free of what imports open."""
        for place in self._places:
            try:
                os.fstat(place)
            except OSError:
                nothing = os.open("/dev/null", os.O_RDONLY)
                if nothing != place:
                    os.dup2(nothing, place, inheritable=False)
                    os.close(nothing)

    def open(self, fds: "list[int]") -> None:
        """Take the descriptors."""
        self._fds = fds

    def give(self) -> None:
        """Put them in their places, and say so in the environment."""
        for fd, place in zip(self._fds, self._places):  # noqa: B905  # as many
            os.dup2(fd, place)
            os.close(fd)
        if self._fds:
            names = ":".join(["socket"] * len(self._fds))
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(self._fds)), LISTEN_FDNAMES=names)


def load(name: str, file: str) -> "Any":  # noqa: ANN401  # a module that can't be imported here
    """Return a module of this folder."""
    loader = _frozen_importlib_external.SourceFileLoader(name, file)
    module = type(sys)(name)
    module.__file__ = file
    loader.exec_module(module)
    return module


class Watched:
    """Paths below some roots, but for what is installed there, in an environment of the project's own.

    Only the part below a root is looked at: a project may lie in a folder of installed packages itself.
    """

    def __init__(self, roots: "tuple[str, ...]", beside: str = "") -> None:
        self.roots = roots
        self._beside = beside
        prefixes = (sys.prefix + "/", sys.base_prefix + "/")
        self._inside = {root: tuple(one for one in prefixes if one.startswith(root) and one != root) for root in roots}

    def __contains__(self, path: str) -> bool:
        return path.startswith(self.roots) and any(
            path.startswith(root) and not path.startswith(inside) and "/site-packages/" not in path[len(root) - 1 :]
            for root, inside in self._inside.items()
        )

    def is_beside(self, path: str) -> bool:
        """Whether a path, which isn't among them, lies where a run's own files may be, too."""
        return bool(self._beside) and path.startswith(self._beside)


class Reports:
    """Reports of what the run uses, each sent once.

    Each is one write of less than PIPE_BUF bytes, so that reports of forked children don't mix.
    """

    def __init__(
        self,
        fd: int,
        watched: Watched,
        displays: "LazyDisplays | None",
        ports: "LazyPorts | None" = None,
        ahead: "Any" = None,  # noqa: ANN401  # `Ahead` of the fork server's module
    ) -> None:
        self._fd = fd
        self._ports = ports
        self._ahead = ahead
        self._pipe = fstat(fd)
        self._watched = watched
        self._displays = displays
        self._is_kernel = self._starts = BOOTSTRAP in sys.orig_argv  # which may wait then until it is wanted
        self._seen: set[object] = set()
        functions = (abspath, fsdecode, source_from_cache)
        self._own = {
            getframe().f_code.co_filename,
            LazyDisplays.file,
            LazyPorts.file,
            *(one.__code__.co_filename for one in functions),
        }

    def hear(self, event: str, args: "tuple[Any, ...]") -> None:
        """Report what an event uses, if anything; never raises."""
        try:
            use = self._use(event, args)
            if use is not None:
                self._tell(use)
            if event == "os.rename":  # os.replace too; of a folder it stands for all that is in it
                self._tell(("w", _in_folder(args[1], args[3])))
        except Exception as error:  # the border: the user's own call must go on
            trace = error.__traceback__
            while trace is not None:
                if trace.tb_frame.f_code.co_filename not in self._own:
                    raise  # the error of a signal handler of the script, which happened to run here
                trace = trace.tb_next

    def _tell(self, use: "tuple[str, Any]") -> None:
        if use[1].__class__ is int or use in self._seen:
            return
        if len(self._seen) > SEEN_MAX:
            self._seen.clear()
        self._seen.add(use)
        self._send(*use)

    def given(self, name: str, brought: "Container[str]") -> None:
        """Report the import of a module that was imported ahead, with what it has brought along; never raises."""
        try:
            while name:
                module = sys.modules.get(name)
                spec = None
                if issubclass(type(module), type(sys)):  # not by `getattr`: what is lazy would be imported now
                    spec = object.__getattribute__(module, "__dict__").get("__spec__")
                use = "i", getattr(spec, "cached", None) or getattr(spec, "origin", None)
                if use not in self._seen and use[1].__class__ is str:
                    self._seen.add(use)
                    self._write("i" + use[1])
                name = name.rpartition(".")[0]
        except Exception:  # noqa: BLE001  # the border: the pipe may be closed
            return
        if PRELOADING in brought:
            leave_out_ours()
        if self._displays:
            for one in LazyDisplays.AT_ONCE:
                if one in brought:
                    self._displays.before(one)

    def wants_cold(self, name: str, why: str) -> bool:
        """Report that a cold start should take the place of this run, and because of the import of which module."""
        try:
            return self._write("c" + name.partition(".")[0] + " " + why)
        except OSError:  # closed
            return False

    def _use(self, event: str, args: "tuple[Any, ...]") -> "tuple[str, Any] | None":
        """Return the kind of a use and its object.

        That is r(ead), w(rite), i(mport), m(odule that is looked for), e(nvironment), q(uestion), or * for anything.
        """
        if event == STARTED:
            self._starts = False
            if self._ahead:
                self._ahead.shelf.settle()
            return None
        if event in LISTS_OBJECTS:
            if self._ahead:
                self._ahead.show_objects()
            elif self._is_kernel:  # it has frozen what it had at its start (`kernel.standby`)
                sys.modules["gc"].unfreeze()
            return None
        if event == ADDS_HOOK:
            if self._ahead and not getframe(3).f_code.co_filename.startswith(PACKAGE):
                self._ahead.shelf.is_heard = True
            return None
        if self._ports and (event in PORTS or event == "os.exec"):
            self._ports.hear(event, args)
            return ANYTHING if event == "os.exec" else None
        path = args[0]
        if event == "open":
            mode, flags = args[1], args[2]
            by_name = path.__class__ is str
            if by_name and path.startswith(SHIM):
                return None
            if flags & TO_WRITE or (mode is not None and mode[:1] in "wax"):
                return "w", path
            return "i" if by_name and path[-4:] == ".pyc" and path not in self._watched else "r", path
        if event == "import":
            if path == PRELOADING:
                leave_out_ours()
            if self._displays and path in LazyDisplays.NAMES:
                self._displays.before(path)  # or nothing would be in there
            if args[1] is not None:  # compiled
                return "r" if args[1] in self._watched else "i", args[1]
            last = path.rpartition(".")[2]
            # multiprocessing and the like start other interpreters, of which there is no event
            if last[:6] == "popen_" and last != "popen_fork":
                return ANYTHING
            return ("m", path) if self._watched.roots and self._may_be_watched(path) else None
        if event == "ctypes.dlopen":
            return ("r", path) if path and "/" in fsdecode(path) else None  # others are looked for in the system
        if event in ENVIRONMENT:
            if not self._is_by_script(getframe(3)):
                return None
            if self._ahead:
                self._ahead.shelf.environment_changes.add(path)
            return "e", path
        if event in PROGRAMS:
            return ANYTHING
        if event == ASKS:
            return "q", ""
        if event in REMOVES:
            return "w", path if event == "os.truncate" else _in_folder(path, args[1 if event == "os.remove" else 2])
        if event == "os.chdir":
            self._seen.clear()  # from now on relative paths mean other files
            return None
        if event == "os.listdir" and getframe(3).f_code.co_filename[:18] == "<frozen importlib.":
            return None  # a search for modules is not a use
        return "r", path

    def _may_be_watched(self, name: str) -> bool:
        """Return whether a module that is looked for may be of the watched folders."""
        top = name.partition(".")[0]
        package = sys.modules.get(top)
        if package is None:
            return top not in sys.stdlib_module_names
        file = object.__getattribute__(package, "__dict__").get("__file__")
        return file.__class__ is not str or file in self._watched

    def _send(self, kind: str, path: "Any") -> None:  # noqa: ANN401
        report = kind
        if kind in "iem":
            report += fsdecode(path)
        if kind in "ri" and self._starts:
            self._send_state(_source(path))
        if kind in "rw":
            name = _source(path) if kind == "r" else _absolute(path)
            if name not in self._watched:
                if not self._watched.is_beside(name):
                    return
                report = "d" if kind == "r" else "o"
            report += name
        self._write(report)

    def _send_state(self, name: str) -> None:
        """Report what a start finds at a path, as ``Backend`` looks for it again; said before it is read."""
        if name.startswith(NO_FILES):
            return
        try:
            found = stat(name)
        except OSError:
            self._write("s " + name)
        else:
            self._write(f"s{found.st_mtime_ns}.{found.st_size}.{found.st_ino} {name}")

    def _write(self, report: str) -> bool:
        data = report.encode("utf-8", "surrogateescape") + b"\0"
        is_there = bool(samestat(fstat(self._fd), self._pipe))  # the script may have closed it, and opened another file
        if is_there:
            write(self._fd, data if len(data) < 4096 else b"*\0")
        return is_there

    def _is_by_script(self, frame: "FrameType | None") -> bool:
        """Return whether the script acts, not the import of an installed module, which a fork server does as well.

        What a kernel does at its start isn't the script's either, as every kernel does it.
        """
        file, own = "", False
        while frame is not None:
            file = frame.f_code.co_filename
            if file[:18] == "<frozen importlib.":
                return False
            if not self._is_installed(file):
                if frame.f_code.co_name == "<module>":
                    return file != BOOTSTRAP or own
                own = own or (file[:8] != "<frozen " and not file.startswith(PACKAGE))
            frame = frame.f_back
        return file != BOOTSTRAP or own

    def _is_installed(self, file: str) -> bool:
        """Return whether a module is installed, by the folder of sys.path that it was found in."""
        if file in self._watched:
            return False
        entries = (entry for entry in sys.path if isinstance(entry, str) and file.startswith(entry + "/"))
        entry = max(entries, key=len, default="")
        return entry + "/" == LIBRARY or entry.endswith(("/site-packages", "/dist-packages"))


def leave_out_ours() -> None:
    """Have Dask not tell of `cluster/_ipy_autorestart_salt.py`, if the run's clients run that."""
    logging = sys.modules.get("logging")
    if logging is not None and CLUSTER in os.environ:
        for name in (PRELOADING, "distributed.utils"):
            logging.getLogger(name).addFilter(is_others)


def is_others(record: "Any") -> bool:  # noqa: ANN401  # a record of a log
    """Return whether it tells of something else."""
    return "_ipy_autorestart_salt" not in f"{record.msg} {record.args}"


def _in_folder(path: "Any", fd: int) -> "Any":  # noqa: ANN401
    """Return a path that is given relative to an open folder, as `shutil.rmtree` does; as it is where none is given."""
    return path if fd < 0 else join(readlink(f"/proc/self/fd/{fd}"), fsdecode(path))


def _absolute(path: "Any") -> str:  # noqa: ANN401  # a str, bytes or os.PathLike, or None for the current folder
    name = fsdecode(path) if path is not None else "."
    return abspath(name if name[:1] == "/" else join(getcwd(), name))


def _source(path: "Any") -> str:  # noqa: ANN401
    """Return what there is to read: of a compiled file its source."""
    name = _absolute(path)
    if name[-4:] == ".pyc":
        try:
            return source_from_cache(name)
        except ValueError:  # it does not lie where Python puts it
            pass
    return name


begin()
del sys.modules["sitecustomize"]
try:
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401  # the user's own
except ImportError as error:
    if error.name != "sitecustomize":
        raise
    raise ImportError("there is none", name="sitecustomize") from None
