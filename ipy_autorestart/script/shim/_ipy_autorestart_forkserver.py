"""The fork server's own side: ``python main.py``, stopped inside `import site`, before CPython has opened the script.

It forks a run on request. The forked child returns from here, and the interpreter goes on as it would have, so that
``__main__``, tracebacks, flags and exit are right by construction.

As in `sitecustomize`, only builtin and low-level modules may be imported, and they are removed again.
"""

import os
import sys

_there = set(sys.modules)
import _signal  # type: ignore[import-not-found]  # noqa: E402  # it has no stub
import _socket  # noqa: E402
import atexit  # noqa: E402
import gc  # noqa: E402
import time  # noqa: E402

from _ipy_autorestart_moments import Moments  # type: ignore[import-not-found]  # noqa: E402  # it lies beside
from _ipy_autorestart_preloads import (  # type: ignore[import-not-found]  # noqa: E402  # it lies beside
    Chance,
    PlanFile,
    Shelf,
    fork,
    is_installed,
    prepare,
)

# Modules that are imported ahead, and the script, import their own.
_own = {"_ipy_autorestart_" + one for one in ("chance", "moments", "names", "preloads", "recording", "shelf")}
for _name in (_own | {"_signal", "_socket", "atexit", "gc", "time"}) - _there:
    del sys.modules[_name]

if False:  # for type checkers only
    from collections.abc import Callable, Container
    from typing import Any

    #: Sets up what a run needs, given its descriptors for reports and displays; returns what starts its reports.
    Attach = Callable[[list[int], "Ahead"], Callable[[], None]]

_SERVER, _REHEARSAL = os.getpid(), os.path.abspath(__file__)

#: Descriptors that one message may have: unix(7), SCM_MAX_FD.
FDS_MAX = 253

#: Files of modules come in messages that are no larger, and end with the second one; as in `script.forkserver`.
MESSAGE_BYTES, NO_MORE = 1 << 16, b"."

#: Seconds from its begin in which a run can be replaced by a cold one.
AGAIN_MAX = 1.0

#: From ``linux/mman.h``, since Linux 6.1.
MADV_COLLAPSE = 25


class Ahead:
    """What a run has from its fork server."""

    def __init__(self, chance: Chance, moments: Moments, shelf: Shelf) -> None:
        self.chance, self.moments, self.shelf = chance, moments, shelf
        self.show_objects = gc.unfreeze
        self.begun = 0.0

    def open(
        self,
        given: "Callable[[str, Container[str]], object]",
        wants_cold: "Callable[[str, str], bool]",
        *,
        is_kernel: bool,
    ) -> None:
        """Let the run have what was imported ahead; a kernel is as plain ones are only when it has started."""
        run = os.getpid()

        def misfits(name: str, why: str) -> None:
            # Not for a process that the script has forked, nor for a run that may have done much already.
            is_young = os.getpid() == run and time.monotonic() - self.begun < AGAIN_MAX
            if is_young and wants_cold(name, why):
                os.kill(run, _signal.SIGKILL)

        if not is_kernel:  # whose memory would be lost
            self.shelf.misfits = misfits
        self.shelf.given = given
        self.shelf.open(always=is_kernel)


def serve(control: int, plan: int, attach: "Attach", watched: "Container[str]") -> None:
    """Import ahead what is not watched, then fork on request; returns in each child when that may go on."""
    try:
        _serve(control, plan, attach, watched)
    except BaseException:  # noqa: BLE001  # the end of the supervisor is one too; else `site` would go on to the script
        os._exit(1)


def _serve(control: int, plan: int, attach: "Attach", watched: "Container[str]") -> None:
    socket = _socket.socket(fileno=control)
    with open(plan, "r+", encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
        _send(socket, "preparing")
        made = PlanFile(text, watched)
        cwd = made.cwd
        moments = Moments()
        chance, shelf = prepare(made, file, lambda *words: _send(socket, *words), lambda: _more(socket))
    moments.find(shelf.values(), shelf.get("datetime"))
    ahead = Ahead(chance, moments, shelf)
    del text, file, made
    gc.collect()
    gc.freeze()
    _collapse(ahead.shelf.get("ctypes"))
    _send(socket, "ready")
    while True:
        data, ancillary, _, _ = socket.recvmsg(64, _socket.CMSG_SPACE(FDS_MAX * 4))
        if not data:  # the supervisor is gone
            os._exit(0)
        fds = memoryview(ancillary[0][2]).cast("i").tolist()
        pid = fork()
        if pid == 0:
            between = os.getpid()
            if child := fork():
                _send(socket, "forked", str(child))  # for the supervisor adopts orphans, and ends those of a run
                os._exit(0)
            _park(socket, between, fds, cwd, attach, watched, ahead)
            return
        for fd in fds:
            os.close(fd)
        os.waitpid(pid, 0)


def _more(socket: "_socket.socket") -> "list[str] | None":
    """Say that all is imported, and wait for files of other modules; None after the last."""
    _send(socket, "imported")
    data = socket.recv(MESSAGE_BYTES)
    if not data:  # the supervisor is gone
        os._exit(0)
    return data.decode("utf-8", "surrogateescape").split("\n") if data != NO_MORE else None


def _collapse(ctypes: "Any") -> None:  # a module
    """Move the memory into huge pages, where the system has them (madvise(2), ``MADV_COLLAPSE``).

    The system goes through a process's memory page by page at a fork and at its end, and a restart waits for both.
    Measured with torch: a run ends in 4 ms instead of 15, and is forked in 3 instead of 12. Large libraries have
    imported the `ctypes` that this needs; without them there is not much to gain.
    """
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


def _send(socket: "_socket.socket", *words: str) -> None:
    try:
        socket.send(" ".join(words).encode("utf-8", "surrogateescape"))
    except OSError:
        os._exit(0)


def _park(
    socket: "_socket.socket",
    between: int,
    fds: "list[int]",
    cwd: str,
    attach: "Attach",
    watched: "Container[str]",
    ahead: Ahead,
) -> None:
    """Do in the child all that can be done ahead, then wait."""
    while os.getppid() == between:
        os.sched_yield()
    go, *streams = fds[:4]
    if os.getsid(0) == _SERVER:
        os.setsid()
    else:  # the fork server is in the supervisor's session, which is the terminal's
        os.setpgid(0, 0)
    for fd, place in zip(streams, range(3)):  # noqa: B905  # as many
        os.dup2(fd, place)
        os.close(fd)  # it is greater than 2: these are taken
    # Frozen objects, `__main__` among them, would not be finalized. What is registered first runs last.
    atexit.register(gc.unfreeze)
    shelf = ahead.shelf
    ahead.chance.renew(shelf.get)
    _number_main_thread(shelf.get("threading"))
    report = attach(fds[4:], ahead)  # all is shared with the fork server until somebody looks at it
    _rehearse()
    shelf.rehearse()
    # A finder misses files that are added in the clock's tick of its last look; installed ones are watched.
    installed = tuple(path + "/" for path in filter(is_installed, sys.path))
    zipped = "python" + str(sys.version_info[0]) + str(sys.version_info[1]) + ".zip"  # of the interpreter itself
    absent = [
        path for path, finder in sys.path_importer_cache.items() if finder is None and os.path.basename(path) != zipped
    ]
    forgets = [
        finder.invalidate_caches  # type: ignore[union-attr]  # it has one
        for path, finder in sys.path_importer_cache.items()
        if hasattr(finder, "invalidate_caches") and (path + "/" in watched or not (path + "/").startswith(installed))
    ]
    _send(socket, "parked", str(os.getpid()))
    socket.close()
    if os.read(go, 1) != b"g":
        os._exit(0)
    os.close(go)
    ahead.begun = time.monotonic()
    report()
    os.chdir(cwd)  # by its path: the folder may have been made anew
    for path in absent:
        sys.path_importer_cache.pop(path, None)
    for forget in forgets:
        forget()
    ahead.moments.renew()


def _rehearse() -> None:
    """Do the work of a start once, so that the pages it writes to are copied now, not while somebody waits.

    Measured: this saves 400 of the 550 page faults between the word to go and the first line of a script.
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


def _number_main_thread(threading: "Any") -> None:  # a module, or None
    """Let the main thread know its number in this process; Python leaves it that of before the fork."""
    if threading is not None and hasattr(threading.Thread, "_set_native_id"):
        threading.main_thread()._set_native_id()  # noqa: SLF001
