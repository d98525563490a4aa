"""The first file of a new image, in a real one."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ipy_autorestart.reexec.commandline import BOOTSTRAP
from ipy_autorestart.reexec.process import ProcessState
from ipy_autorestart.reexec.state import Carried, TerminalState

pytestmark = pytest.mark.e2e

#: Where the state is given over, in place of the extension.
ENTRY = """
import os, signal
from ipy_autorestart.reexec.interrupts import current
def arrive(carried, hangups):
    os.kill(os.getpid(), signal.SIGHUP)
    seen["interrupted"] = current().noted
    current().end()
    seen.update(typed=carried.own.typed, noted=hangups.noted, state="IPY_AUTORESTART_STATE" in os.environ)
    hangups.end()
seen = {}
"""

SHOW = """
import json, os, signal, sys
from entry import seen
blocked = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
ignored = [int(n) for n in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2) if signal.getsignal(n) is signal.SIG_IGN]
seen.update(blocked=blocked, ignored=ignored, orig_argv=sys.orig_argv, argv=sys.argv, path=sys.path[0], name=__name__)
print(json.dumps(seen))
"""


def signals_of_the_image_before():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
    os.kill(os.getpid(), signal.SIGINT)


def started(folder, *argv, code=SHOW, **process):
    """Run an image that was handed a state, and return what it shows."""
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/entry.py").write_text(ENTRY)
    (folder / "shown.py").write_text(code)
    fd = os.memfd_create("state")
    given = {"argv": ("python", "given"), "folder": "/", "environment": {}, "surroundings": {}}
    given |= {"hangup_ignored": False, "ignored": frozenset(), "blocked": frozenset()}
    own = TerminalState(typed="half", cells=None)
    Carried(ProcessState(**{**given, **process}), (), own, entry="entry:arrive").write(fd)
    ended = subprocess.run(
        [sys.executable, BOOTSTRAP, *argv],
        env={**os.environ, "PYTHONPATH": str(folder / "elsewhere"), "IPY_AUTORESTART_STATE": str(fd)},
        pass_fds=[fd],
        preexec_fn=signals_of_the_image_before,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    os.close(fd)
    assert ended.stderr == ""
    return json.loads(ended.stdout)


def test_the_entry_gets_the_state_and_the_signals_that_came_meanwhile(tmp_path):
    seen = started(tmp_path, "shown.py", "-v")
    assert seen["interrupted"]
    assert (seen["typed"], seen["noted"], seen["state"]) == ("half", True, False)


@pytest.mark.parametrize(
    ("argv", "shown", "path"),
    [
        (["shown.py", "-v"], ["shown.py", "-v"], "{folder}"),
        (["-m", "shown", "-v"], ["{folder}/shown.py", "-v"], "{folder}"),
        (["-c", SHOW, "-v"], ["-c", "-v"], ""),
    ],
)
def test_what_runs_is_what_the_first_image_ran(tmp_path, argv, shown, path):
    folder = os.path.realpath(tmp_path)
    seen = started(tmp_path, *argv)
    assert seen["argv"] == [word.format(folder=folder) for word in shown]
    assert seen["path"] == path.format(folder=folder)
    assert (seen["orig_argv"], seen["name"]) == (["python", "given"], "__main__")


def test_signals_are_as_they_were_at_the_start(tmp_path):
    seen = started(
        tmp_path,
        "shown.py",
        hangup_ignored=True,
        ignored=frozenset({int(signal.SIGUSR2)}),
        blocked=frozenset({int(signal.SIGUSR2)}),
    )
    assert seen["ignored"] == [signal.SIGHUP, signal.SIGUSR2]
    assert seen["blocked"] == [signal.SIGUSR2]
