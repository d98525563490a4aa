"""A cold run: a fresh interpreter, started for it."""

from __future__ import annotations

import os
import subprocess

from ipy_autorestart.script.ends import ends
from ipy_autorestart.script.program import Program
from ipy_autorestart.script.run import Run

SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shim")

#: Environment variable by which the shim learns what to do; it takes it out before the script begins.
VARIABLE = "IPY_AUTORESTART_RUN"

SEPARATOR = "\x1f"


def start(program: Program, *, whole: bool = False) -> Run:
    """Start a run; raises OSError if the interpreter or the folder isn't there."""
    with ends(program) as (ours, theirs):
        stdin, stdout, stderr = theirs.stdio
        process = subprocess.Popen(
            [program.python, *program.flags, *program.words],
            cwd=program.cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment(program, link=theirs.others[0], shown=theirs.others[-1]),
            pass_fds=theirs.others,
            start_new_session=True,
        )
    process.returncode = 0  # reaped with its group; nothing is to be done when this object goes
    return Run(process.pid, ours, whole=whole)


def environment(program: Program, *, link: int, plan: int | None = None, shown: int = 0) -> dict[str, str]:
    """Return the environment in which a run finds the shim first.

    ``link`` is the descriptor to report on, or with a ``plan`` that by which a fork server is controlled; ``shown``
    is that to display on.
    """
    plain = program.environment
    # PYTHONPATH as it was travels with a mark, which tells an empty one from none.
    old = plain.get("PYTHONPATH")
    marked = "" if old is None else f"={old}"
    path = os.pathsep.join([SHIM, old] if old else [SHIM])
    number = str(os.fstat(link).st_ino)
    words = [str(link), number, marked, "" if plan is None else str(plan), str(shown), program.displays, *program.roots]
    return {**plain, "PYTHONPATH": path, VARIABLE: SEPARATOR.join(words)}
