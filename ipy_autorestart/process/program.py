"""The program that runs in this process as something that is watched and restarts itself."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from ipy_autorestart.kernel.commandline import split
from ipy_autorestart.options import BadInput, OneOf, Options
from ipy_autorestart.process.carried import Carried
from ipy_autorestart.process.restarter import ProcessRestarter
from ipy_autorestart.process.screen import StderrScreen
from ipy_autorestart.process.start import ProcessStart, is_known, main_file
from ipy_autorestart.record import Resumed, Status
from ipy_autorestart.request import Kernel, Request, check_platform
from ipy_autorestart.supervisor import Supervisor


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `restart_on_change` is called with."""

    paths: Sequence[str | os.PathLike[str]]
    keep: Iterable[Any]
    when: str
    quiet: bool
    options: Options | None


def begin(wanted: Wanted, carried: Carried, *, folder: str) -> ProcessRestarter:
    """Begin to watch, or go on with what the image before has watched.

    Parameters
    ----------
    folder
        In which the process was started, as far as that is known.
    """
    _check(wanted)
    request = _request(wanted)
    request.check()
    state = carried.state
    start = ProcessStart.taken_down(folder, state)
    hangup_ignored = state is not None and state["hangup_ignored"]
    restarter = ProcessRestarter(start, asked=wanted.when == "asked", hangup_ignored=hangup_ignored)
    for sock in wanted.keep:
        restarter.keep(sock)
    with restarter.held():
        try:
            _supervise(request, carried, restarter, start, quiet=wanted.quiet)
        except BaseException:
            restarter.close()
            raise
    return restarter


def _supervise(
    request: Request, carried: Carried, restarter: ProcessRestarter, start: ProcessStart, *, quiet: bool
) -> None:
    """Take up the supervisor of the image before if it does what is wanted, else start one."""
    guest = carried.guest
    if guest and (guest["words"], guest["cwd"], guest["name"]) == (request.to_argv(), request.cwd, request.target.name):
        carried.take_guest()
        screen = None if quiet else StderrScreen(guest["name"], Status(**guest["status"]))
        supervisor = Supervisor.attach(guest, screen=screen, host=restarter)
        supervisor.rearm(previous=None)
        supervisor.send(Resumed())
    else:
        screen = None if quiet else StderrScreen(request.target.name, Status())
        supervisor = Supervisor.of(request, screen=screen, host=restarter)
        supervisor.start(since_ns=start.since_ns)
    carried.drop()


def _check(wanted: Wanted) -> None:
    """Raise `BadInput` where this process can't restart itself."""
    check_platform()
    try:
        OneOf(("anywhere", "asked"))(wanted.when)
    except BadInput as error:
        raise BadInput(f"when: {error}") from None
    if wanted.options is not None and not isinstance(wanted.options, Options):
        raise BadInput(f"options: expected Options(...), got {wanted.options!r}")
    if threading.current_thread() is not threading.main_thread():
        raise BadInput("restart_on_change: only the main thread can handle SIGHUP; call it there, before others start")
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        raise BadInput(
            "restart_on_change: IPython runs here; write %load_ext ipy_autorestart, then %watch_restart src/"
        )
    if not is_known(sys.orig_argv[1:]):
        raise BadInput("restart_on_change: this Python was started without a script; put the program in a file")


def _request(wanted: Wanted) -> Request:
    file = main_file()
    paths = [os.fspath(path) for path in wanted.paths] or [_home(file)]
    return Request(Kernel(_name()), tuple(dict.fromkeys([*paths, *filter(None, [file])])), wanted.options or Options())


def _home(file: str) -> str:
    """Return what is watched when nothing is named: the program's folder."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    is_package = spec is None or spec.parent
    return os.path.dirname(file) if file and is_package else os.getcwd()


def _name() -> str:
    """Return what the status line calls this program."""
    line = split(sys.orig_argv[1:])
    if line.how:
        return f"-m {line.what}" if line.how == "-m" else line.how
    return os.path.basename(line.what)
