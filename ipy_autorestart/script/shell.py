"""A shell as a small process beside a run: it takes a megabyte, starts in a millisecond, and waits at a pipe."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from typing import Any


def start_shell(
    program: str, name: str, *arguments: str, group: int | None = None, defaults: Collection[int] = ()
) -> tuple[int, int]:
    """Start a shell; return the process, and the descriptor that writes to its standard input. Raises OSError.

    Parameters
    ----------
    program, name, arguments
        What it does, how a list of processes shows it, and its parameters.
    group
        The process group that it joins, 0 for one of its own; by default it has a session of its own.
    defaults
        Signals that it doesn't ignore though this process does.
    """
    apart: dict[str, Any] = {"setsid": True} if group is None else {"setpgroup": group}
    with contextlib.ExitStack() as undo, contextlib.ExitStack() as done:
        read, write = os.pipe()
        undo.callback(os.close, write)
        done.callback(os.close, read)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        done.callback(os.close, nothing)
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", program, name, *arguments],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate((read, nothing, nothing))],
            setsigmask=[],
            setsigdef=defaults,
            **apart,
        )
        undo.pop_all()
    return pid, write
