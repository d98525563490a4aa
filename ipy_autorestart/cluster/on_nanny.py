"""A fork server for a nanny, with what its workers import; the standard library alone, and sent behind `remote`.

Both are one module in each process of a cluster, under the name of that. A worker that is forked has it from the start.
"""

# ruff: noqa: SLF001  # multiprocessing doesn't tell otherwise whether its fork server has begun

import contextlib
import gc
import importlib
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.spawn
import os
import signal
import sys
import tempfile
import threading

#: As which a fork server finds what it is to do first.
FIRST = "_ipy_autorestart_first"

#: That module. A fork server has neither this process's path nor what was sent to it.
FIRST_TEXT = """
import os, sys, types
sys.path.remove({folder!r})
del os.environ["PYTHONPATH"]
os.environ.update({environment!r})
sys.modules[{name!r}] = module = types.ModuleType({name!r})
module.DIGEST = {digest!r}
exec(compile({text!r}, {name!r}, "exec"), module.__dict__)
module.import_ahead({modules!r}, {program!r})
module.note_ahead()
module.settle()
"""

#: Seconds that a process which has nothing to do may take to end.
ENDS_WITHIN = 10.0

#: The configuration of Dask that was changed in this process, which may have several nannies.
CHANGED: "set[str]" = set()

_alone = threading.Lock()


def _server_pid() -> int:
    """Return the process of the fork server, 0 before there is one."""
    return getattr(multiprocessing.forkserver._forkserver, "_forkserver_pid", None) or 0


def begin_forks(name: str, digest: str, text: bytes, modules: "list[str]") -> bool:
    """Start a fork server that imports modules first, unless there is one; return whether it works.

    It is tried: one that can't import something in its own way may end, and would end a nanny that relies on it.
    """
    with _alone:
        if _server_pid():
            return _is_forking()
        # If it has to start again later, the file is gone, and it imports less.
        multiprocessing.get_context("forkserver").set_forkserver_preload([FIRST, "distributed"])
        path = os.environ.get("PYTHONPATH")
        environment = {} if path is None else {"PYTHONPATH": path}
        with tempfile.TemporaryDirectory(prefix="ipy_autorestart-") as folder:
            known = {"name": name, "digest": digest, "text": text, "modules": modules, "program": _program()}
            with open(os.path.join(folder, f"{FIRST}.py"), "w", encoding="utf-8") as file:
                file.write(FIRST_TEXT.format(folder=folder, environment=environment, **known))
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, path]))
            try:
                multiprocessing.forkserver.ensure_running()
            finally:
                del os.environ["PYTHONPATH"]
                os.environ.update(environment)
            return _is_forking()  # by then it has read the file


def _program() -> "dict[str, str]":
    """Return how multiprocessing tells others which program this is, if it is Dask's: any other may change.

    Each that it starts would run the program's text again, up to what stands below ``if __name__ == "__main__"``.
    """
    known = multiprocessing.spawn.get_preparation_data("")
    name, path = known.get("init_main_from_name", ""), known.get("init_main_from_path", "")
    if name.startswith("distributed."):
        return {"init_main_from_name": name}
    return {"init_main_from_path": path} if os.path.basename(path) in ("dask", "dask-worker") else {}


def _is_forking() -> bool:
    with contextlib.suppress(Exception):
        process = multiprocessing.get_context("forkserver").Process(target=int)
        process.start()
        process.join(ENDS_WITHIN)
        return process.exitcode == 0
    return False


def end_forks() -> None:
    """End the fork server, and with it any wait for its imports."""
    if pid := _server_pid():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def import_ahead(modules: "list[str]", program: "dict[str, str]") -> None:
    """Import what can be imported, run the program's text, and look up what a worker of Dask tells of its versions."""
    for name in ("distributed", *modules):
        with contextlib.suppress(BaseException):  # who needs it will import it
            importlib.import_module(name)
    with contextlib.suppress(BaseException):
        multiprocessing.spawn.prepare(program)
    with contextlib.suppress(Exception):
        sys.modules["dask"].config.refresh()  # as each does: what it finds out of types is kept
        sys.modules["distributed"].versions.get_versions()  # so are they


def settle() -> None:
    """Have no collection of garbage visit what is here: in a forked process it would copy all of it."""
    gc.collect()
    gc.freeze()
