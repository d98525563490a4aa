"""Kernels to be measured: how they are started, watched and asked, and the same again with another ipykernel."""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import report
import zmq

sys.path.insert(0, str(Path(__file__).parents[2] / "notebooks"))
from play import Cell, kernel

PACKAGES = ("ipykernel", "ipython", "pyzmq", "jupyter-client")
RERUN, COLD = "--rerun all", "--rerun all --cold"
PATIENCE = 60.0  # seconds in which what is waited for must have come
SETTLED = 30.0  # seconds in which a kernel must have come to rest
PID = "#| rerun: false\nimport os; print(os.getpid())"


def options(doc, *, rounds):
    """Return the parser of a benchmark's command line."""
    parser = report.options(doc, rounds=rounds)
    words = "measure with this interpreter too, of an environment with another ipykernel; may be given again"
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help=words)
    return parser


def measure_with_others():
    """Run this program once more, with all else that it was told, by each interpreter of ``--python``."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--python", action="append", default=[])
    others, words = parser.parse_known_args()
    for python in others.python:
        subprocess.run([python, sys.argv[0], *words], check=True)


def start(folder):
    """Start a kernel in a new folder that has a module to be saved; a context manager."""
    module = Path(folder, "src/a.py")
    module.parent.mkdir(parents=True)
    module.write_text("V = 0\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kernel(cwd=str(folder), env=environment)


def watch(player, options):
    """Have a kernel restart itself; return the cell with its status."""
    player.run("%load_ext ipy_autorestart")
    cell = player.run(f"%watch_restart src/ {options}")
    player.wait(lambda: "running" in cell.text)
    return cell


def way_of(player):
    """Return how a kernel that has restarted does so: in the process that its server knows, or behind that."""
    return "exec" if int(player.run(PID, cell_id="pid").streams()) == player.pid else "proxy"


def ask(player):
    """Send a request that is no cell; return what becomes of it, as that of a cell."""
    message = player.client.session.msg("kernel_info_request")
    cell = player.cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"], "")
    player.client.shell_channel.send(message)
    return cell


def moments(player, *conditions):
    """Take messages until all conditions have held; return when each first did, in seconds since 1970.

    Each message is taken as soon as it is there: ``Player.wait`` looks for replies every 50 ms.
    """
    poller, found, deadline = zmq.Poller(), {}, time.monotonic() + PATIENCE
    for channel in (player.client.iopub_channel, player.client.shell_channel):
        poller.register(channel.socket, zmq.POLLIN)
    while True:
        for condition in conditions:
            if condition not in found and condition():
                found[condition] = time.time()
        if len(found) == len(conditions):
            return [found[condition] for condition in conditions]
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(found)} of {len(conditions)} conditions have held in {PATIENCE} s")
        poller.poll(1000)
        player.pump(0)


def settle(player):
    """Wait until a kernel, and all that it has started, is at rest."""
    end, before, now = time.monotonic() + SETTLED, -1.0, 0.0
    while now - before > 0.05 and time.monotonic() < end:
        player.look_on(1)
        before, now = now, spent(player.pid)


def spent(pid):
    """Return the seconds of processor time that a process and its descendants have taken so far."""
    seconds, itself = 0.0, psutil.Process(pid)
    for process in (itself, *itself.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:2])
    return seconds
