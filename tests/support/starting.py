"""How the tests start a run and wait for its end."""

import os
import sys
from dataclasses import dataclass

from waiting import eventually

from ipy_autorestart.decide.use import Used
from ipy_autorestart.script.program import Program


@dataclass(frozen=True)
class Finished:
    """What a run was."""

    status: int
    out: str
    err: str
    used: Used = Used()  # noqa: RUF009  # frozen


def program(*words, flags=(), roots=(), env=(), python=sys.executable, displays='{"formats": ["png"], "options": {}}'):
    """Return what runs in the current folder and environment, and displays as in a notebook."""
    return Program(
        python=python,
        flags=tuple(flags),
        words=words,
        cwd=os.getcwd(),
        environment={**os.environ, **dict(env)},
        roots=tuple(roots),
        displays=displays,
    )


def finish(run):
    """Wait for the end of a run and of all that it has started."""
    ended = []

    def has_ended():
        if news := run.poll():
            ended.append(news)
        run.drain()
        return ended and not ended[-1].left

    eventually(has_ended, timeout=30)
    run.drain()
    out, err = (stream.take(0, 1 << 30)[0] for stream in run.streams)
    for pipe in run.close():
        pipe.close()
    return Finished(ended[-1].status, out, err, run.reports.used)
