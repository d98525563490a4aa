"""The first file of a new image: it notes SIGHUPs and SIGINTs for whoever goes on, and runs what the first image ran.

It is run by its path, as ``python [flags] bootstrap.py (-m MODULE | -c CODE | SCRIPT) ARGS``, and imports only the
standard library until SIGHUP has its handler.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import runpy
import signal
import sys


class Hangups:
    """Notes whether a SIGHUP came; ``previous`` is the handler that SIGHUP has while nothing is watched."""

    def __init__(self) -> None:
        self.noted = False
        self.previous = signal.signal(signal.SIGHUP, self._note)

    def _note(self, *_: object) -> None:
        self.noted = True

    def end(self) -> None:
        """Give SIGHUP back, unless somebody else has taken it."""
        if signal.getsignal(signal.SIGHUP) == self._note:
            signal.signal(signal.SIGHUP, signal.SIG_DFL if self.previous is None else self.previous)


def main() -> None:
    """Take over from the image before, and run what it ran."""
    hangups = Hangups()
    gc.disable()  # until the entry enables it: collections take a tenth of the imports' time
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's folder
    packages = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if is_missing := packages not in sys.path:
        sys.path.append(packages)
    from ipy_autorestart.reexec import RUN, STATE
    from ipy_autorestart.reexec.interrupts import Interrupts
    from ipy_autorestart.reexec.state import Carried
    from ipy_autorestart.reexec.surroundings import ignore_only

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        Interrupts()  # from the blocked ones on; whoever goes on finds it by `interrupts.current`

    state = os.environ.pop(STATE)
    carried = Carried.read(int(state) if state.isdigit() else state)
    if os.environ.pop(RUN, ""):  # of the shim, which flags of the interpreter have kept from running
        path = carried.process.environment.get("PYTHONPATH")
        os.environ.pop("PYTHONPATH", None) if path is None else os.environ.update(PYTHONPATH=path)
    carried.keep_from_children()
    if carried.process.hangup_ignored:
        hangups.previous = signal.SIG_IGN
    # Not SIGINT, which an idle kernel ignores: an interrupt must not hit the start.
    ignore_only(carried.process.ignored, besides={signal.SIGHUP, signal.SIGINT})
    signal.pthread_sigmask(signal.SIG_SETMASK, carried.process.blocked)
    with contextlib.suppress(ChildProcessError):  # children of the image before that have ended would stay as zombies
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    sys.orig_argv[:] = carried.process.argv
    module, _, name = carried.entry.partition(":")
    getattr(importlib.import_module(module), name)(carried, hangups)
    if is_missing:
        sys.path.remove(packages)
    how, argv = "", sys.argv[1:]
    if argv[0] in ("-m", "-c"):
        how, *argv = argv
    if not sys.flags.safe_path:
        sys.path.insert(0, {"-m": os.getcwd(), "-c": ""}.get(how, os.path.dirname(os.path.realpath(argv[0]))))
    sys.argv[:] = ["-c" if how == "-c" else argv[0], *argv[1:]]
    match how:
        case "-m":
            runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        case "-c":
            exec(compile(argv[0], "<string>", "exec"), {"__name__": "__main__"})
        case _:
            runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
