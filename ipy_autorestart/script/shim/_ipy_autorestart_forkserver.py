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

from _ipy_autorestart_preloads import (  # type: ignore[import-not-found]  # noqa: E402  # it lies beside
    Plan,
    fork,
    is_installed,
    prepare,
)

# What is imported ahead, and the script, find their own.
for _name in {"_ipy_autorestart_preloads", "_signal", "_socket", "atexit", "gc"} - _there:
    del sys.modules[_name]

if False:  # for type checkers only
    from collections.abc import Callable
    from typing import Any

    #: Sets up what a run needs, with its descriptors for reports and displays, and returns what makes it report.
    Attach = Callable[..., Callable[[], None]]

_REHEARSAL = os.path.abspath(__file__)

#: From ``linux/mman.h``, since Linux 6.1.
MADV_COLLAPSE = 25


def serve(control: int, plan: int, attach: "Attach") -> None:
    """Import ahead, then fork on request; returns in each child when it is told to go."""
    socket = _socket.socket(fileno=control)
    with open(plan, "r+", encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
        _say(socket, "preparing")
        made = Plan(text)
        cwd = made.cwd
        prepare(made, file, lambda *words: _say(socket, *words))
    del text, file, made
    gc.collect()
    gc.freeze()
    _collapse()
    _say(socket, "ready")
    _answer(socket, cwd, attach)


def _collapse() -> None:
    """Put what is in memory into huge pages, where the system has them (madvise(2), ``MADV_COLLAPSE``).

    A fork and a process's end go through its memory page by page, and a restart waits for both. Measured with torch: a
    run's end is done in 4 ms instead of 15, and the fork in 3 instead of 12. The C library is called by the ctypes that
    what is large has imported; what is small does without.
    """
    ctypes: Any = sys.modules.get("ctypes")
    try:
        advise = ctypes.CDLL(None).madvise
        with open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") as file:
            size = int(file.read())
        with open("/proc/self/maps") as file:
            mappings = [line.split() for line in file]
    except (AttributeError, OSError, ValueError):
        return
    for where, modes, _, _, _, *name in mappings:
        if modes == "rw-p" and name in ([], ["[heap]"]):
            first, end = (int(one, 16) for one in where.split("-"))
            for start in range(-(-first // size) * size, end - size + 1, size):
                advise(ctypes.c_void_p(start), ctypes.c_size_t(size), MADV_COLLAPSE)


def _say(socket: "_socket.socket", *words: str) -> None:
    try:
        socket.send(" ".join(words).encode("utf-8", "surrogateescape"))
    except OSError:
        os._exit(0)


def _answer(socket: "_socket.socket", cwd: str, attach: "Attach") -> None:
    """Fork whenever it is asked for."""
    guarded = 0
    while True:
        data, ancillary, _, _ = socket.recvmsg(64, _socket.CMSG_SPACE(6 * 4))
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
        pid = fork()
        if pid == 0:
            between = os.getpid()
            if fork():
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
    go, *streams = numbers[:4]
    others = numbers[4:]
    os.setsid()
    for number, place in zip(streams, range(3)):  # noqa: B905  # as many
        os.dup2(number, place)
        os.close(number)  # it is greater than 2: these are taken
    # What is frozen when the interpreter ends, as `__main__` is, would not be finalized. The first one runs last.
    atexit.register(gc.unfreeze)
    _begin_anew()
    report = attach(*others)
    _rehearse()
    # Files may be added in the very tick of the clock in which these have looked; what is installed is watched.
    installed = tuple(path + "/" for path in filter(is_installed, sys.path))
    zipped = "python" + str(sys.version_info[0]) + str(sys.version_info[1]) + ".zip"  # of the interpreter itself
    absent = [
        path for path, finder in sys.path_importer_cache.items() if finder is None and os.path.basename(path) != zipped
    ]
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
    for path in absent:
        sys.path_importer_cache.pop(path, None)
    for forget in forgets:
        forget()
    _start_clock()


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
    """Give the run its own random state, where libraries keep one from their import."""
    numpy = sys.modules.get("numpy.random.mtrand") or sys.modules.get("numpy.random")
    if numpy is not None and hasattr(numpy, "seed"):
        numpy.seed()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "default_generator"):
        torch.default_generator.seed()


def _start_clock() -> None:
    """Have `relativeCreated` of log records count from the run's start."""
    logging: Any = sys.modules.get("logging")
    if logging is not None and hasattr(logging, "_startTime"):
        import time

        logging._startTime = time.time_ns() if isinstance(logging._startTime, int) else time.time()  # noqa: SLF001
