from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.ipython.policy import QUIET, Batch, OnBusy, admits, restart_at

IDLE = Batch(pending=10.0, running=0, ended=1.0, timeout=60.0)


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
    assert restart_at(replace(IDLE, ended=20.0), 20.0) == 20.0 + QUIET
    assert admits(IDLE, 20.0)


def test_after_the_timeout_no_cell_begins_and_the_end_of_the_running_one_is_enough():
    assert admits(IDLE, 69.9)
    assert not admits(IDLE, 70.0)
    assert restart_at(replace(IDLE, ended=70.0), 70.0) == 70.0


def test_interrupting_lets_no_cell_begin_and_leaves_with_the_running_one():
    batch = replace(IDLE, on_busy=OnBusy.INTERRUPT, ended=10.01)
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
    batch = Batch(pending=pending, running=running, ended=ended, on_busy=on_busy, timeout=timeout)
    if not admits(batch, now):
        assert restart_at(batch, now) == (now if not running else None)
