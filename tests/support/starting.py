"""How the tests start a run and wait for its end."""

import contextlib
import os
import re
import sys
from dataclasses import dataclass

import psutil
from waiting import eventually

from ipy_autorestart.decide.use import Used
from ipy_autorestart.script.forkserver import ForkServer, Preloads
from ipy_autorestart.script.orphans import Orphans, adopt_orphans
from ipy_autorestart.script.preloader import folder_of, importable
from ipy_autorestart.script.program import Program
from ipy_autorestart.script.run import start_cold


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
        argv=words,
        cwd=os.getcwd(),
        environment={**os.environ, **dict(env)},
        roots=tuple(roots),
        displays=displays,
    )


def finish(run, within=None):
    """Wait for the end of a run and of all that it has started, for so many seconds, or for as long as tests wait."""
    ended, orphans = [], Orphans()

    def has_ended():
        if news := run.poll(orphans):
            ended.append(news)
        run.drain()
        return ended and not ended[-1].left

    eventually(has_ended, **({"timeout": within} if within else {}))
    run.drain()
    out, err = (stream.take(0, 1 << 30)[0] for stream in run.streams)
    for pipe in run.close():
        pipe.close()
    return Finished(ended[-1].status, out, err, run.reports.used)


def fork_server(what, paths, unfit=()):
    """Return a fork server that has imported the modules at these paths, but for those that are unfit."""
    server = ForkServer(what, Preloads(paths=tuple(paths), unfit=unfit, beside=tuple(importable(folder_of(what)))))
    eventually(lambda: server.read() or server.is_ready or not server.is_alive, timeout=60, what="the fork server")
    return fork_server(what, paths, (*unfit, server.unfit[0].partition(".")[0])) if server.unfit else server


@contextlib.contextmanager
def forking(what, paths):
    """Import the modules at these paths ahead; yields how a run is started that was forked then."""
    server = fork_server(what, paths)

    def start():
        if not server.is_ready:  # these flags keep the shim out, and then no fork server is made
            assert {"-E", "-I", "-S"} & set(what.flags)
            return start_cold(what)
        server.park()
        eventually(lambda: server.read() or server._parked, what="the parked run")
        return server.go(lossless=False, within=0, guard=lambda pid: None)

    try:
        yield start
    finally:
        server.close()


@contextlib.contextmanager
def adopted():
    """Be the parent of what is forked ahead, as a supervisor is."""
    adopt_orphans(really=True)
    yield
    adopt_orphans(really=False)
    eventually(lambda: Orphans().reap(besides=0) or not psutil.Process().children())


def told(run):
    """Return what a run was, without what differs between any two: addresses, numbers of threads and processes."""
    return masked(run.out), masked(run.err), run.status


def masked(text):
    """Take such things out of what a run has written."""
    text = re.sub(r"0x[0-9a-f]{6,}|MainThread\(\w+, started \d+\)|(?<=started )\d+", "…", text)
    return [word for word in re.split(r"(?<=[,\n ])", text) if os.path.basename(word) != "fd"]
