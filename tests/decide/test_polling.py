"""How often a target is restarted where only scans find what changes, whenever they come."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.decide.change import Change, Found, Kind
from ipy_autorestart.decide.cycle import Cycle
from ipy_autorestart.decide.events import Begin, Commit, Exited, Hangup, Look, Signal, Start, Started, Stop, Tick
from ipy_autorestart.decide.step import step, wake_at
from ipy_autorestart.decide.timing import Timing, polled

ANSWERS = {Signal: Hangup(), Stop: Exited(-15), Start: Started()}


def restarts(saves, poll, late):
    """Return how many restarts serve the saves, given as seconds, with scans that are ``late`` each."""
    cycle, served, count, now = Cycle(timing=polled(Timing(), poll)), 0, 0, 0.0
    events = [Begin(runs=True)]
    while True:
        while events:
            cycle, actions = step(cycle, events.pop(0), now)
            for action in actions:
                if isinstance(action, Look):
                    seen = sum(save <= now for save in saves)
                    changes = tuple(Change(f"/p/{number}.py", Kind.ADDED) for number in range(served, seen))
                    events.append(Found(changes, rescan=poll))
                elif isinstance(action, Commit):
                    served = seen
                else:
                    count += isinstance(action, Start)
                    events.append(ANSWERS[type(action)])
        if now > max(saves) + 5 * (poll + 1) and served == len(saves):
            return count
        now = math.nextafter(max(now, wake_at(cycle)), math.inf) + late
        events = [Tick()]


@pytest.mark.parametrize("poll", [0.1, 0.5, 1.0])
@given(begin=st.floats(1, 3), late=st.floats(0, 0.005))
def test_files_saved_within_a_fifth_of_a_second_are_one_restart(poll, begin, late):
    assert restarts([begin + 0.02 * number for number in range(10)], poll, late) == 1


@given(begin=st.floats(1, 3), late=st.floats(0, 0.005), apart=st.floats(0.099, 0.11))
def test_files_saved_in_a_slow_row_are_three_restarts_at_most(begin, late, apart):
    assert 1 <= restarts([begin + apart * number for number in range(10)], 0.1, late) <= 3


@given(begin=st.floats(1, 3), poll=st.floats(0.05, 2))
def test_a_lone_save_is_one_restart(begin, poll):
    assert restarts([begin], poll, 0.001) == 1
