"""When a fork server is made, with plain values."""

from ipy_autorestart.script.policy import APART, QUIET, Warmth, make_at


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
