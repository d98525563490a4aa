"""Decisions about runs with plain values: when a fork server is made, and how much output is shown."""

import pytest

from ipy_autorestart.decide.events import Preloading
from ipy_autorestart.script.policy import (
    APART,
    BURST,
    DISPLAY,
    FOLLOWED,
    GETS_READY,
    QUIET,
    RATE,
    TAKES,
    WORTHWHILE,
    Allowance,
    Warmth,
    complete_at,
    cost,
    enough_at,
    expected,
    imported,
    make_at,
    own_files,
    refilled,
    spent,
    started_cold,
)


def test_the_first_is_made_when_the_imports_have_been_quiet_or_the_run_has_ended():
    known = Warmth(learnt=5, learnt_at=100)
    assert make_at(known, alive=False, running=True) == 100 + QUIET
    assert make_at(known, alive=False, running=False) == 100


def test_one_that_has_all_is_not_made_anew():
    assert make_at(Warmth(learnt=5, made=5), alive=True, running=True) is None


def test_more_imports_ask_for_another_but_not_again_and_again_while_a_run_goes_on():
    more = Warmth(learnt=6, made=5, learnt_at=100, made_at=99)
    assert make_at(more, alive=True, running=True) == 99 + APART
    assert make_at(more, alive=True, running=False) == 100


def test_what_is_installed_anew_is_waited_for():
    stale = Warmth(learnt=5, made=5, learnt_at=100, stale=True)
    assert make_at(stale, alive=True, running=False) == 100 + QUIET
    assert make_at(stale, alive=True, running=True) == 100 + QUIET


def test_one_that_died_is_made_again_until_it_is_hopeless():
    assert make_at(Warmth(learnt=5, made=5, failures=1), alive=False, running=False) is not None
    assert make_at(Warmth(learnt=5, made=5, failures=2), alive=False, running=False) is None
    assert make_at(Warmth(unfit=(("a", "why"),) * 13), alive=False, running=False) is None


def test_output_is_allowed_at_a_rate_and_in_a_burst_after_a_quiet_time():
    empty = spent(Allowance(at=10), BURST)
    assert refilled(empty, 11).left == RATE
    assert refilled(empty, 1000).left == BURST
    assert refilled(empty, 9).left == 0  # a clock that goes back gives nothing


@pytest.mark.parametrize(
    ("left", "size_bytes", "after"),
    [(0, 100, 100 / RATE), (0, 1 << 30, WORTHWHILE / RATE), (100, 100, 0), (-RATE, 0, 1)],
)
def test_text_waits_until_as_much_of_it_is_allowed_as_is_worth_a_message(left, size_bytes, after):
    assert enough_at(Allowance(left, at=10), size_bytes) == pytest.approx(10 + after)


def test_a_display_costs_more_than_its_text_but_less_than_its_bytes():
    assert cost(0) == DISPLAY
    assert cost(1 << 20) < 1 << 20


def test_how_long_a_cold_start_takes_is_the_time_of_its_imports():
    warmth = started_cold(Warmth(), 100)
    for moment in (100.2, 100.6, 101.0, 130.0, 130.1):  # the last are imported when it has long been at work
        warmth = imported(warmth, moment)
    assert warmth.cold == 1.0
    assert imported(Warmth(), 100.0) == Warmth()
    assert started_cold(warmth, 200).cold_before == 1.0


def test_a_fork_server_follows_at_once_what_no_other_serves_until_it_is_quiet():
    known = Warmth(learnt=5, learnt_at=100)
    assert make_at(known, alive=False, running=True, follows=True) == 100
    assert make_at(known, alive=True, running=True, follows=True) == 100 + QUIET
    stale = Warmth(learnt=5, learnt_at=100, stale=True)
    assert make_at(stale, alive=False, running=True, follows=True) == 100 + QUIET
    assert complete_at(known, running=True) == 100 + FOLLOWED
    assert complete_at(known, running=False) == 100
    assert expected(known, follows=True) == Preloading(100 + FOLLOWED + GETS_READY, 0.0)


def test_a_fork_server_is_expected_when_the_last_was_else_by_the_cold_start():
    assert expected(Warmth(made_at=100, cold=2.0)) == Preloading(100 + TAKES * 2.0, 2.0)
    assert expected(Warmth(made_at=100, took=2.5, cold=0.1, cold_before=2.0)) == Preloading(102.5, 2.0)


def test_own_files_lie_beside_the_script_below_no_root_and_are_not_installed():
    paths = [
        *("/p/data.csv", "/p/__pycache__/helper.cpython-311.pyc", "/p/old.pyc", "/p/sub/__pycache__/m.cpython-312.pyc"),
        *("/p/src/a.py", "/q/b.csv", "/p/.cache/fonts.json", "/p/env/lib/python3.11/os.py", "/p/.env"),
        *("/p/venv/lib/python3.11/site-packages/x.py", "/p/vendor/site-packages/y.py", "/pp/c.csv"),
    ]
    found = ["/p/data.csv", "/p/helper.py", "/p/old.pyc", "/p/sub/m.py", "/p/.env"]
    assert own_files(paths, "/p/", ("/p/src/",)) == found
