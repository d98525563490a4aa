from hypothesis import given
from hypothesis import strategies as st

from ipy_autorestart.watch.policy import LATE_SECONDS, LISTING_TOLD, Suspects, interval, is_listing_told


def test_cheap_scan_is_asked_for_once_a_second():
    assert interval(0.0004) == 1.0


def test_scan_takes_two_percent_of_the_time():
    assert interval(0.04) == 2.0


def test_scan_comes_in_five_seconds_at_the_latest():
    assert interval(0.2) == interval(1.0, polling=True) == 5.0


def test_polling_is_quicker():
    assert interval(0.0004, polling=True) == 0.5


def test_costly_scan_is_rare_while_nothing_happens():
    assert interval(0.03125, quiet=61.0) == 31.25
    assert interval(0.2, quiet=61.0) == 60.0
    assert interval(0.0004, quiet=61.0) == 1.0
    assert interval(0.0004, polling=True, quiet=61.0) == 0.5


def test_contents_yet_to_be_read_are_read_soon():
    assert interval(0.01, unread=True) == interval(1.0, unread=True) == 0.2


@given(st.floats(0, 100), st.booleans(), st.booleans(), st.floats(0, 1000))
def test_a_scan_always_comes(cost, polling, unread, quiet):
    assert 0.2 <= interval(cost, polling=polling, unread=unread, quiet=quiet) <= 60.0


def test_change_that_was_announced_is_no_suspect():
    suspects = Suspects()

    assert suspects.judge(["/a.py"], {"/a.py"}, 0.0) == (False, "")
    assert suspects.judge([], set(), 9.0) == (False, "")


def test_change_that_may_be_among_everything_is_no_suspect():
    suspects = Suspects()

    assert suspects.judge(["/a.py"], {""}, 0.0) == (False, "")
    assert suspects.judge([], set(), 9.0) == (False, "")


def test_event_that_comes_a_little_later_clears_a_suspect():
    suspects = Suspects()

    assert suspects.judge(["/a.py"], set(), 0.0) == (True, "")
    assert suspects.judge([], {"/a.py"}, LATE_SECONDS / 2) == (False, "")
    assert suspects.judge([], set(), 9.0) == (False, "")


def test_event_that_does_not_come_is_reported_once():
    suspects = Suspects()

    assert suspects.judge(["/a.py"], set(), 0.0) == (True, "")
    assert suspects.judge([], {"/b.py"}, LATE_SECONDS) == (False, "")
    assert suspects.judge([], set(), LATE_SECONDS + 0.1) == (False, "/a.py")
    assert suspects.judge([], set(), 9.0) == (False, "")


def test_first_listing_is_told_when_it_takes_long_and_ever_more_seldom():
    assert not is_listing_told(0.9, told=0)
    assert is_listing_told(1.0, told=0)
    assert not is_listing_told(4.9, told=1)
    assert is_listing_told(5.0, told=1)
    assert not is_listing_told(1e6, told=len(LISTING_TOLD))
