"""Signals of a proxy, in a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e

CODE = """
import os, select, signal
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
os.kill(os.getpid(), signal.SIGHUP)
from ipy_autorestart.proxy.signals import Signals
signals = Signals()
for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGCHLD"):
    os.kill(os.getpid(), getattr(signal, name))
select.select([signals], [], [], 5)
print(sorted(signal.Signals(one).name for one in signals.take()), signals.take())
"""


def test_signals_are_taken_from_those_that_waited_on_but_not_ignored_ones():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "['SIGCHLD', 'SIGHUP', 'SIGINT', 'SIGTERM', 'SIGUSR1'] []\n"
