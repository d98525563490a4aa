"""The first file of a kernel's new image: it notes each SIGHUP until the real handler stands, and starts the kernel.

Started as ``python [flags] bootstrap.py (-m MODULE | -c CODE | SCRIPT) ARGS`` by its path; only the standard library is
used until the kernel's own modules are to be imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import sys
from typing import Any

STATE = "IPY_AUTORESTART_STATE"  # kernel.leave.STATE, which can't be imported yet


class Hangups:
    """Notes that a SIGHUP came, and knows whose the signal was."""

    def __init__(self) -> None:
        self.noted = False
        self.previous = signal.signal(signal.SIGHUP, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])

    def _note(self, *_: object) -> None:
        self.noted = True


def main() -> None:
    """Take over from the image before, and run what it was started with."""
    hangups = Hangups()
    state = _read_state()
    if state["ignored"]:
        hangups.previous = signal.SIG_IGN
    _reap()
    how, words = "", sys.argv[1:]
    if words[0] in ("-m", "-c"):
        how, *words = words
    sys.orig_argv[1:] = state["words"]
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's folder
    _resume_later(hangups, state)
    if not sys.flags.safe_path:
        sys.path.insert(0, {"-m": os.getcwd(), "-c": ""}.get(how, os.path.dirname(os.path.realpath(words[0]))))
    sys.argv[:] = ["-c" if how == "-c" else words[0], *words[1:]]
    match how:
        case "-m":
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        case "-c":
            exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})
        case _:
            runpy.run_path(words[0], run_name="__main__")


def _read_state() -> dict[str, Any]:
    number = int(os.environ.pop(STATE))
    with open(number, "rb") as file:
        state: dict[str, Any] = json.load(file)
    for guest in state["guests"]:
        os.set_inheritable(guest["link"], False)  # noqa: FBT003  # the name says it
    return state


def _reap() -> None:
    """Take note of children that ended under the image before, so that they don't stay as zombies."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _resume_later(hangups: Hangups, state: dict[str, Any]) -> None:
    """Have the extension take up its guests when the kernel's extensions are loaded.

    Relies on ``ipykernel.kernelapp.IPKernelApp.init_extensions``.
    """
    from ipykernel.kernelapp import IPKernelApp

    original = IPKernelApp.init_extensions

    def init_extensions(app: Any) -> None:  # noqa: ANN401  # an IPKernelApp of any version
        original(app)  # type: ignore[no-untyped-call]
        with _package_on_path():
            from ipy_autorestart.resume import resume
        resume(app.shell, state["guests"], hangups)

    IPKernelApp.init_extensions = init_extensions  # type: ignore[method-assign]  # the seam


@contextlib.contextmanager
def _package_on_path() -> Any:  # noqa: ANN401  # an iterator
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


if __name__ == "__main__":
    main()
