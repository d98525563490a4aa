"""How often it is reported that a run goes on."""

from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.decide.describe import next_at, reported


def test_it_is_reported_each_second_at_first_and_each_minute_at_last():
    assert [reported(seconds) for seconds in (0, 0.9, 1, 3.5, 14, 59, 61, 599, 601, 3661)] == [
        *(0, 0, 1, 3, 10, 55, 60, 590, 600, 3660)
    ]


@given(st.floats(0, 1e6))
def test_the_next_time_says_more(seconds):
    later = next_at(seconds)
    assert seconds < later
    assert reported(later) > reported(seconds)
    assert reported(seconds) <= seconds
