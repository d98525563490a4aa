from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.ipython.policy import GAP_MAX, QUIET, QUIET_MAX, Batch, OnBusy, Pace, admits, begun, restart_at

IDLE = Batch(pending=10.0, running=0, pace=Pace(ended=1.0), timeout=60.0)


def test_nothing_is_left_and_everything_begins_while_nothing_is_pending():
    batch = replace(IDLE, pending=None)
    assert restart_at(batch, 10.0) is None
    assert admits(batch, 10.0)


def test_an_idle_kernel_leaves_at_once():
    assert restart_at(IDLE, 10.0) <= 10.0


@pytest.mark.parametrize("on_busy", OnBusy)
def test_it_never_leaves_inside_a_cell(on_busy):
    assert restart_at(replace(IDLE, running=1, on_busy=on_busy), 1e9) is None


def test_a_batch_is_over_when_no_cell_has_followed_for_a_while():
    assert restart_at(replace(IDLE, pace=Pace(ended=20.0)), 20.0) == 20.0 + QUIET
    assert admits(IDLE, 20.0)


def test_after_the_timeout_no_cell_begins_and_the_end_of_the_running_one_is_enough():
    assert admits(IDLE, 69.9)
    assert not admits(IDLE, 70.0)
    assert restart_at(replace(IDLE, pace=Pace(ended=70.0)), 70.0) == 70.0


def test_interrupting_lets_no_cell_begin_and_leaves_with_the_running_one():
    batch = replace(IDLE, on_busy=OnBusy.INTERRUPT, pace=Pace(ended=10.01))
    assert not admits(batch, 10.0)
    assert restart_at(batch, 10.01) == 10.01


@given(
    st.floats(0, 100),
    st.integers(0, 3),
    st.floats(0, 100),
    st.sampled_from(OnBusy),
    st.floats(0, 50),
    st.floats(0, 200),
)
def test_what_may_not_begin_is_never_waited_for(pending, running, ended, on_busy, timeout, now):
    batch = Batch(pending=pending, running=running, pace=Pace(ended=ended), on_busy=on_busy, timeout=timeout)
    if not admits(batch, now):
        assert restart_at(batch, now) == (now if not running else None)


def paced(*gaps):
    """Return the pace after cells that took a second each and began so many seconds after the one before."""
    pace, now = Pace(), 0.0
    for gap in gaps:
        pace = begun(pace, now + gap)._replace(ended=now + gap + 1)
        now = pace.ended
    return pace


def test_a_batch_lasts_longer_where_cells_follow_only_after_the_reply():
    assert paced(5).quiet == QUIET  # nothing is known yet
    assert paced(5, 0.004, 0.004).quiet == QUIET  # they were sent at once
    assert paced(5, 0.06, 0.03).quiet == pytest.approx(4 * 0.06)
    assert paced(5, GAP_MAX - 0.01).quiet == QUIET_MAX
    assert restart_at(replace(IDLE, pace=paced(9, 0.06)), 11.06) == pytest.approx(11.06 + 4 * 0.06)


def test_what_a_person_runs_teaches_nothing_and_a_front_ends_way_is_unlearnt():
    assert paced(5, 1, 0.5).quiet == QUIET
    assert paced(5, 0.1, *[0.004] * 10).quiet == QUIET


def test_what_is_no_cell_begins_while_one_may_follow_and_not_when_the_restart_is_due():
    batch = replace(IDLE, pace=Pace(ended=20.0))
    due = restart_at(batch, 20.0)
    assert admits(batch, due - 0.001, is_cell=False)
    assert not admits(batch, due, is_cell=False)
    assert admits(batch, due, is_cell=True)
    assert admits(replace(batch, running=1), due, is_cell=False)  # a subshell may help the cell that runs
    assert admits(replace(batch, pending=None), due, is_cell=False)
