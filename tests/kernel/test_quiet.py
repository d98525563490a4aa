"""When a client may be cut off."""

import pytest

from ipy_autorestart.kernel import policy
from ipy_autorestart.kernel.policy import is_quiet, observed


def looks(*found, silent=0.0, round_trip=0.0):
    """Return what is known after looks at a connection: (when, received, waiting) each."""
    incoming = None
    for now, received, waiting in found:
        incoming = observed(incoming, received, waiting, silent, round_trip, now)
    return incoming


@pytest.mark.parametrize(
    ("found", "round_trip", "now", "expected"),
    [
        ([(0.0, 500, 0)], 0.0, 0.09, False),  # what comes next may be under way
        ([(0.0, 500, 0)], 0.0, 0.1, True),
        ([(0.0, 500, 0)], 0.125, 0.24, False),  # a client far away
        ([(0.0, 500, 0)], 0.125, 0.25, True),
        ([(0.0, 500, 0), (0.05, 900, 0)], 0.0, 0.14, False),
        ([(0.0, 500, 0), (0.05, 900, 0)], 0.0, 0.16, True),
        ([(0.0, 0, 0), (0.05, 0, 4)], 0.0, 0.14, False),  # nobody counts, but something lies there
        ([(0.05 * number, 500 + number, 0) for number in range(7)], 0.0, 0.29, False),
        ([(0.05 * number, 500 + number, 0) for number in range(7)], 0.0, 0.31, True),  # small ones, one after another
        ([(0.05 * number, 500 + number, 9) for number in range(7)], 0.0, 0.31, False),  # which pile up
        ([*[(0.05 * number, 500, 9) for number in range(7)], (0.31, 500, 0)], 0.0, 0.31, True),  # and are read
        ([(0.05 * number, 20_000 * number, 0) for number in range(7)], 0.0, 0.31, False),  # parts of a large one
        ([(0.05 * number, 100_000 * number, 0) for number in range(21)], 0.0, 0.99, False),
        ([(0.05 * number, 100_000 * number, 0) for number in range(21)], 0.0, 1.0, True),  # which never ends
        ([(0.05 * number, 100_000 * number, 9) for number in range(100)], 0.0, 4.99, False),
        ([(0.05 * number, 100_000 * number, 9) for number in range(101)], 0.0, 5.0, True),  # nor is ever read
        ([(0.05 * number, 100_000 * number, 9 * (number < 100)) for number in range(101)], 0.0, 5.0, True),
        ([(0.0, 500, 0)], 10.0, 0.99, False),
        ([(0.0, 500, 0)], 10.0, 1.0, True),  # nor can one be waited for that is too far away
    ],
)
def test_a_client_is_quiet_when_it_has_sent_nothing_for_a_while(found, round_trip, now, expected):
    assert is_quiet(looks(*found, round_trip=round_trip), now) is expected


def test_a_client_that_has_sent_nothing_for_long_is_not_waited_for():
    assert is_quiet(looks((5.0, 500, 0), silent=2.0), 5.0)
    assert not is_quiet(looks((5.0, 500, 0), silent=0.15), 5.0)  # for its receipts, it may be


def test_a_look_at_which_nothing_is_new_changes_nothing():
    once = looks((0.0, 500, 0))
    assert observed(once, 500, 0, 3.0, 0.0, 5.0) is once


def test_the_longest_wait_is_longer_than_any_other():
    assert policy.QUIET < policy.SMALL_MAX < policy.QUIET_MAX < policy.BACKLOG_MAX
