"""A cold run: a fresh interpreter, started for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from ipy_autorestart.script.program import Program
from ipy_autorestart.script.run import Run

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")

#: Environment variable by which the shim learns what to do; it takes it out before the script begins.
VARIABLE = "IPY_AUTORESTART_RUN"

SEPARATOR = "\x1f"


def start(program: Program, *, whole: bool = False) -> Run:
    """Start a run; raises OSError if the interpreter or the folder isn't there."""
    pipes = [os.pipe() for _ in range(3)]
    stdout, stderr, reports = (read for read, _ in pipes)
    try:
        process = subprocess.Popen(
            [program.python, *program.flags, *program.words],
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=pipes[0][1],
            stderr=pipes[1][1],
            env=environment(program.environment, reports=pipes[2][1], roots=program.roots),
            pass_fds=[pipes[2][1]],
            start_new_session=True,
        )
    except BaseException:
        for read, _ in pipes:
            os.close(read)
        raise
    finally:
        for _, write in pipes:
            os.close(write)
    process.returncode = 0  # reaped with its group; nothing is to be done when this object goes
    return Run(process.pid, stdout=stdout, stderr=stderr, reports=reports, whole=whole)


def environment(plain: Mapping[str, str], *, reports: int, roots: Sequence[str]) -> dict[str, str]:
    """Return the environment in which a run finds the shim first."""
    # PYTHONPATH as it was travels with a mark, which tells an empty one from none.
    old = plain.get("PYTHONPATH")
    marked = "" if old is None else f"={old}"
    path = os.pathsep.join([SHIM, old] if old else [SHIM])
    return {**plain, "PYTHONPATH": path, VARIABLE: SEPARATOR.join([str(reports), marked, *roots])}
