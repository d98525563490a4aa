import os
import select
import signal

import pytest

from ipy_autorestart.decide.change import Hint, Progress
from ipy_autorestart.wakeups import Wakeups


@pytest.fixture
def wakeups():
    old = signal.getsignal(signal.SIGHUP)
    made = Wakeups(signal.SIGHUP)
    yield made
    made.close()
    signal.signal(signal.SIGHUP, old)


def test_a_signal_in_a_flood_of_hints_is_not_lost(wakeups):
    for number in range(5000):
        wakeups.hint(Hint(str(number), Progress.DONE))
    os.kill(os.getpid(), signal.SIGHUP)
    numbers, hints = wakeups.take()
    assert numbers == {signal.SIGHUP}
    assert len(hints) == 5000
    assert wakeups.take() == (set(), [])


def test_signals_and_hints_wake(wakeups):
    assert select.select([wakeups], [], [], 0)[0] == []
    os.kill(os.getpid(), signal.SIGHUP)
    assert select.select([wakeups], [], [], 5)[0] == [wakeups]
    wakeups.take()
    wakeups.hint(Hint("/p/a.py", Progress.DONE))
    assert select.select([wakeups], [], [], 5)[0] == [wakeups]
