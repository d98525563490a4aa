"""What is put off because it seems to be the target's own work, and what never is."""

import itertools

import pytest

from ipy_autorestart.decide.backoff import NO_LOOP, PAUSE, PAUSE_MAX, RIGHT_AFTER, STARTS, Loop, admit, worth_waiting

GEN = frozenset({"/src/gen.py"})
OTHER = frozenset({"/src/other.py"})


def play(delay, seconds, *, paths=lambda number: GEN, lived=True):
    """Change some files so long after every start; return when the starts were."""
    loop, now, starts = NO_LOOP, 0.0, [0.0]
    while now < seconds:
        now = made = starts[-1] + delay
        known = {"made": made, "started": starts[-1], "lived": lived}
        loop, admitted = admit(loop, paths(len(starts)), now=now, **known)
        if not admitted:
            now = loop.until
            loop, admitted = admit(loop, paths(len(starts)), now=now, **known)
            assert admitted, "what has waited is served"
        starts.append(now)
    return starts


def gaps(starts):
    return [later - earlier for earlier, later in itertools.pairwise(starts)]


@pytest.fixture
def looping():
    """A file that the target writes 0.1 s after each start, when its next start has just been put off."""
    loop = NO_LOOP
    for number in range(STARTS):
        loop, admitted = admit(loop, GEN, made=number + 0.1, started=number, lived=True, now=number + 0.1)
        assert admitted
    loop, admitted = admit(loop, GEN, made=STARTS + 0.1, started=STARTS, lived=True, now=STARTS + 0.1)
    assert (admitted, loop.until) == (False, STARTS + 0.1 + PAUSE)
    return loop


def test_a_loop_gets_slower_up_to_a_few_seconds():
    seen = gaps(play(0.05, 100))
    assert all(gap < PAUSE for gap in seen[:STARTS])
    assert [round(gap - 0.05, 6) for gap in seen[STARTS : STARTS + 5]] == [0.5, 1.0, 2.0, 2.0, 2.0]
    assert max(seen) < PAUSE_MAX + 0.1


def test_files_that_the_target_writes_in_turns_are_a_loop_too():
    seen = gaps(play(0.05, 100, paths=lambda number: GEN if number % 2 else OTHER))
    assert len(seen) < 2 * STARTS + 60
    assert max(seen) < PAUSE_MAX + 0.1


def test_who_saves_later_than_right_after_a_start_is_never_held_up():
    assert max(gaps(play(RIGHT_AFTER + 0.01, 100))) == pytest.approx(RIGHT_AFTER + 0.01)


def test_what_changes_when_nothing_of_the_target_lives_is_never_held_up():
    assert max(gaps(play(0.001, 1, lived=False))) == pytest.approx(0.001)


def test_changes_of_different_files_are_no_loop():
    assert max(gaps(play(0.05, 10, paths=lambda number: frozenset({str(number)})))) == pytest.approx(0.05)


def test_a_change_during_the_wait_is_served_with_it_and_does_not_prolong_it(looping):
    known = {"started": STARTS, "lived": True}
    for now in (STARTS + 0.2, STARTS + 0.1 + 0.9 * PAUSE):
        assert admit(looping, GEN, made=now, now=now, **known) == (looping, False)
    assert admit(looping, GEN, made=STARTS + 0.2, now=looping.until, **known)[1]


def test_another_file_is_served_at_once_and_the_loop_goes_on(looping):
    at = STARTS + 0.2
    loop, admitted = admit(looping, GEN | OTHER, made=at, started=STARTS, lived=True, now=at)
    assert admitted
    assert not admit(loop, GEN, made=at + 0.1, started=at, lived=True, now=at + 0.1)[1]


def test_what_changed_after_the_end_is_served_at_once_though_a_wait_is_on(looping):
    at = STARTS + 0.2
    assert admit(looping, GEN, made=at, started=STARTS, lived=False, now=at)[1]


def test_one_start_that_no_such_change_follows_is_forgiveness(looping):
    served, admitted = admit(looping, GEN, made=STARTS + 0.1, started=STARTS, lived=True, now=looping.until)
    assert admitted
    started = looping.until
    loop, admitted = admit(served, GEN, made=started + 1, started=started, lived=True, now=started + 1)
    assert (admitted, loop) == (True, Loop(dict.fromkeys(GEN, 1)))


@pytest.mark.parametrize(
    ("ready_at", "now", "until"),
    [
        (10.0, 9.5, 9.5 + (0.5 + 1.0) / 2),  # sooner than a cold start
        (10.0, 9.0, None),  # as late as one
        (10.0, 9.09, None),  # hardly sooner
        (10.0, 10.5, 10.5 + 0.5),  # overdue: half of what it may save is risked
        (10.0, 11.5, None),  # long overdue
    ],
)
def test_what_is_imported_ahead_is_waited_for_if_that_is_sooner(ready_at, now, until):
    assert worth_waiting(ready_at, cold=1.0, now=now) == until


def test_a_start_that_takes_next_to_nothing_waits_for_nothing():
    assert worth_waiting(10.0, cold=0.05, now=10.0) is None
