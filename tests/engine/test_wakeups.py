import os
import select
import signal
import threading
import time

import pytest

from ipy_autorestart.decide.change import Hint, Progress
from ipy_autorestart.engine.wakeups import Wakeups


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


def test_a_signal_taken_at_once_wakes_no_more(wakeups):
    os.kill(os.getpid(), signal.SIGHUP)
    assert wakeups.waits
    assert wakeups.signals() == {signal.SIGHUP}
    assert not wakeups.waits
    assert select.select([wakeups], [], [], 0)[0] == []


def test_the_end_of_a_child_still_waits_for_the_next_turn():
    wakeups = Wakeups(signal.SIGHUP, signal.SIGCHLD)
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGCHLD)
    assert wakeups.signals() == {signal.SIGHUP}
    assert wakeups.waits
    assert wakeups.take() == ({signal.SIGCHLD}, [])
    assert not wakeups.waits
    wakeups.close()
    for signum in (signal.SIGHUP, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)


def test_a_hint_that_came_meanwhile_still_waits(wakeups):
    wakeups.hint(Hint("/p/a.py", Progress.DONE))
    wakeups.signals()
    assert wakeups.waits
    time.sleep(0.01)
    numbers, [(hint, came_at)] = wakeups.take()
    assert (numbers, hint) == (set(), Hint("/p/a.py", Progress.DONE))
    assert time.monotonic() - 60 < came_at < time.monotonic() - 0.01


def test_hints_of_many_threads_all_arrive(wakeups):
    def hint():
        for number in range(500):
            wakeups.hint(Hint(str(number), Progress.DONE))

    threads = [threading.Thread(target=hint) for _ in range(4)]
    for thread in threads:
        thread.start()
    count = 0
    while count < 2000:
        if not wakeups.waits:
            assert select.select([wakeups], [], [], 5)[0] == [wakeups]
        count += len(wakeups.take()[1])
    for thread in threads:
        thread.join()


def test_its_own_hangup_is_told_from_those_of_others(wakeups):
    os.kill(os.getpid(), signal.SIGHUP)
    wakeups.hang_up()
    assert wakeups.waits
    assert (wakeups.has_hung_up(), wakeups.signals()) == (True, {signal.SIGHUP})
    assert (wakeups.has_hung_up(), wakeups.signals(), wakeups.waits) == (False, set(), False)
    wakeups.hang_up()
    assert (wakeups.signals(), wakeups.waits, wakeups.has_hung_up()) == (set(), True, True)


def test_where_hangups_are_ignored_they_stay_so_and_its_own_is_told_all_the_same():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    wakeups = Wakeups(signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)
    wakeups.hang_up()
    assert (wakeups.has_hung_up(), wakeups.signals(), wakeups.waits) == (True, set(), False)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    wakeups.close()
    signal.signal(signal.SIGHUP, before)
