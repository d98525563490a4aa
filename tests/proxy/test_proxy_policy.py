"""Which kernel behind a proxy answers."""

from dataclasses import replace

import pytest

from ipy_autorestart.proxy.events import (
    AnswerLost,
    Died,
    Dismiss,
    Drop,
    Ended,
    Exit,
    Fork,
    Goodbye,
    HandOver,
    Judge,
    Judged,
    Keep,
    Kill,
    Leaves,
    Memory,
    NotForked,
    NotStarted,
    Outdated,
    Parked,
    Preloading,
    Ready,
    Serve,
    Start,
    Started,
    Tick,
    TookOver,
    Unparked,
)
from ipy_autorestart.proxy.policy import (
    AGAIN,
    ANSWERED,
    DEATHS_MAX,
    ENDING,
    FAILURES_MAX,
    LEAVE_MAX,
    NO_KERNEL,
    STANDBY_AFTER,
    TAKE_MAX,
    TRIES_MAX,
    Kernels,
    State,
    standby_at,
    step,
)

NONE = Kernels()


def run(*events, kernels=NONE, now=0.0):
    """Return the kernels after events, and all actions; where kernels are to be judged, none is outdated."""
    actions, events = [], list(events)
    while events:
        kernels, more = step(kernels, events.pop(0), now)
        if Judge() in more:
            more.remove(Judge())
            events.insert(0, Judged())
        actions += more
    return kernels, actions


def serving(*more):
    kernels, _ = run(Tick(), Started(1), Ready(1), TookOver(1), *more)
    return kernels


def ends(number):
    return [Ended(number, channel) for channel in sorted(ENDING)]


def test_the_first_kernel_is_started_takes_over_and_serves():
    kernels, actions = run(Tick())
    assert actions == [Start()]
    kernels, actions = run(Started(1), Ready(1), kernels=kernels)
    assert actions == [HandOver(1)]
    kernels, actions = run(TookOver(1), kernels=kernels)
    assert actions == [Serve(1)]
    assert kernels.serves


@pytest.mark.parametrize("quick", [True, False], ids=["takes over before the last message", "after it"])
def test_the_one_that_waits_takes_over_and_serves_when_the_one_before_has_ended(quick):
    kernels, actions = run(Leaves(1), kernels=serving(Started(2), Ready(2)))
    assert actions == [HandOver(2)]
    assert not kernels.serves
    events = [TookOver(2), *ends(1)] if quick else [*ends(1), TookOver(2)]
    kernels, actions = run(*events, kernels=kernels)
    assert actions == [Dismiss(1), Serve(2)]
    assert kernels.states == ((2, State.LIVE),)


@pytest.mark.parametrize("early", [1, 2, 3])
def test_last_messages_may_be_read_before_the_word_that_it_leaves(early):
    sent = ends(1)
    kernels, actions = run(*sent[:early], kernels=serving(Started(2), Ready(2)))
    assert (kernels.serves, actions) == (True, [])
    kernels, actions = run(Leaves(1), *sent[early:], kernels=kernels)
    assert sorted(actions, key=str) == [Dismiss(1), HandOver(2)]
    assert run(TookOver(2), kernels=kernels)[1] == [Serve(2)]


def test_a_restart_waits_for_a_kernel_that_starts():
    kernels, actions = run(Leaves(1), *ends(1), kernels=serving(Started(2)))
    assert actions == [Dismiss(1)]
    _, actions = run(Ready(2), TookOver(2), kernels=kernels)
    assert actions == [HandOver(2), Serve(2)]


def test_a_restart_starts_a_kernel_where_none_waits():
    _, actions = run(Leaves(1), kernels=serving())
    assert actions == [Start()]


def test_one_that_is_outdated_is_replaced_at_once_if_it_is_waited_for():
    kernels, actions = run(Outdated(2), kernels=serving(Started(2), Ready(2)))
    assert actions == [Kill(2)]
    _, actions = run(Outdated(3), kernels=run(Leaves(1), kernels=serving(Started(3)))[0])
    assert actions == [Kill(3), Start()]
    _, actions = run(Outdated(1), kernels=kernels)  # what is live is nothing to judge
    assert actions == []


def test_a_kernel_that_ends_in_order_ends_the_proxy():
    _, actions = run(Goodbye(1), Died(1, 3), kernels=serving(Started(2), Ready(2)))
    assert actions == [Exit(3)]
    _, actions = run(Goodbye(1), Leaves(1), kernels=serving(Started(2), Ready(2)))  # it was asked to while it did
    assert actions == [Exit(0)]


def test_a_kernel_that_dies_is_answered_for_and_followed():
    kernels, actions = run(Died(1, -11), kernels=serving(Started(2), Ready(2)))
    assert actions == [AnswerLost(1, -11), HandOver(2)]
    _, actions = run(TookOver(2), kernels=kernels)
    assert actions == [Serve(2)]


def test_deaths_in_a_row_end_the_proxy():
    kernels = serving()
    for number in range(1, DEATHS_MAX):
        kernels, actions = run(Died(number, -11), kernels=kernels)
        assert actions == [AnswerLost(number, -11), Start()]
        kernels, _ = run(Started(number + 1), Ready(number + 1), TookOver(number + 1), kernels=kernels)
    _, actions = run(Died(DEATHS_MAX, -11), kernels=kernels)
    assert actions == [Exit(-11)]


def test_deaths_that_lie_apart_do_not():
    kernels = serving()
    for number in range(1, 3 * DEATHS_MAX):
        now = number * (ANSWERED + 1)
        kernels, actions = run(Died(number, -11), kernels=kernels, now=now)
        assert actions == [AnswerLost(number, -11), Start()]
        kernels, _ = run(Started(number + 1), Ready(number + 1), TookOver(number + 1), kernels=kernels, now=now)


def test_deaths_that_lie_apart_do_not_though_no_kernel_stays_for_long():
    kernels, number, now = serving(), 1, 0.0
    for _ in range(3 * DEATHS_MAX):
        kernels, actions = run(Died(number, -11), kernels=kernels, now=now)
        assert actions == [AnswerLost(number, -11), Start()]
        for _ in range(4):
            number, now = number + 1, now + ANSWERED / 2
            kernels, _ = run(Started(number), Ready(number), TookOver(number), kernels=kernels, now=now)
            kernels, _ = run(Leaves(number), *ends(number), kernels=kernels, now=now)  # files are saved again and again
        number += 1
        kernels, _ = run(Started(number), Ready(number), TookOver(number), kernels=kernels, now=now)


def test_deaths_count_however_long_each_takes_to_die_if_none_answers():
    kernels = run(Leaves(1), *ends(1), kernels=serving(Started(2), Ready(2)))[0]
    for number in range(2, 1 + DEATHS_MAX):
        kernels, actions = run(Tick(), kernels=kernels, now=number * 1000.0)
        assert actions == [Kill(number), Start()]
        kernels, _ = run(Started(number + 1), Ready(number + 1), kernels=kernels, now=number * 1000.0)
    assert run(Tick(), kernels=kernels, now=1e6)[1] == [Kill(DEATHS_MAX + 1), Exit(-9)]


def test_two_that_hang_one_after_the_other_are_both_ended():
    kernels, _ = run(Leaves(1), kernels=serving(Started(2), Ready(2)))
    kernels, actions = run(Tick(), kernels=kernels, now=1000.0)
    assert actions == [Kill(1)]
    _, actions = run(Tick(), kernels=kernels, now=2000.0)
    assert actions == [Kill(2), Start()]


def test_one_that_leaves_at_once_does_not_end_the_one_that_still_leaves():
    events = Leaves(1), Ended(1, "shell"), TookOver(2), Leaves(2), Started(3)
    kernels, _ = run(*events, kernels=serving(Started(2), Ready(2)))
    kernels, actions = run(Ended(2, "control"), Ended(2, "iopub"), kernels=kernels)
    assert actions == []
    assert run(*ends(1), kernels=kernels)[1] == [Dismiss(1)]


def test_kernels_that_cannot_start_end_the_proxy_if_none_answers():
    kernels, _ = run(Leaves(1), kernels=serving())
    for number in range(2, 1 + DEATHS_MAX):
        kernels, actions = run(Started(number), Died(number, 1), kernels=kernels)
        assert actions == [Start()]
    _, actions = run(Started(9), Died(9, 1), kernels=kernels)
    assert actions == [Exit(1)]


def test_a_start_that_fails_is_tried_again_for_some_time():
    kernels, _ = run(Died(1, -9), kernels=serving())
    now = 0.0
    for _ in range(TRIES_MAX - 1):
        kernels, actions = run(NotStarted(), Tick(), kernels=kernels, now=now)
        assert actions == []
        assert kernels.due == now + AGAIN
        now = kernels.due
        kernels, actions = run(Tick(), kernels=kernels, now=now)
        assert actions == [Start()]
    assert run(NotStarted(), kernels=kernels, now=now)[1] == [Exit(NO_KERNEL)]
    kernels, _ = run(Started(2), Ready(2), TookOver(2), Died(2, -9), kernels=kernels, now=now)
    kernels, actions = run(NotStarted(), kernels=kernels, now=now)  # counted anew
    assert actions == []
    assert run(Started(3), kernels=kernels, now=now)[0].due == kernels.until


def test_one_that_dies_while_it_waits_is_not_missed():
    kernels, actions = run(Died(2, -9), kernels=serving(Started(2), Ready(2)))
    assert (actions, kernels.deaths) == ([], 0)


def test_one_that_dies_while_it_takes_over_is_followed_by_another():
    kernels, _ = run(Leaves(1), *ends(1), kernels=serving(Started(2), Ready(2)))
    kernels, actions = run(Died(2, -9), kernels=kernels)
    assert actions == [Start()]


def test_one_that_dies_while_it_leaves_has_said_all_that_it_will():
    kernels, _ = run(Leaves(1), Ended(1, "shell"), kernels=serving(Started(2), Ready(2)))
    kernels, actions = run(TookOver(2), Died(1, -9), kernels=kernels)
    assert actions == [Serve(2)]


def test_one_that_hangs_while_it_leaves_is_ended():
    kernels, _ = run(Leaves(1), TookOver(2), kernels=serving(Started(2), Ready(2)))
    assert run(Tick(), kernels=kernels, now=LEAVE_MAX - 1)[1] == []
    _, actions = run(Tick(), kernels=kernels, now=LEAVE_MAX)
    assert actions == [Kill(1), Serve(2)]


def test_one_that_takes_over_has_its_time_from_the_end_of_the_one_before():
    kernels, _ = run(Leaves(1), kernels=serving(Started(2), Ready(2)))
    kernels, actions = run(Tick(), kernels=kernels, now=LEAVE_MAX)
    assert actions == [Kill(1)]
    assert run(Tick(), kernels=kernels, now=LEAVE_MAX + TAKE_MAX - 1)[1] == []
    assert run(Tick(), kernels=kernels, now=LEAVE_MAX + TAKE_MAX)[1] == [Kill(2), Start()]


def test_one_that_hangs_while_it_takes_over_is_followed_by_another():
    kernels, _ = run(Leaves(1), *ends(1), kernels=serving(Started(2), Ready(2)))
    _, actions = run(Tick(), kernels=kernels, now=LEAVE_MAX + TAKE_MAX)
    assert actions == [Kill(2), Start()]


def test_words_of_one_that_is_gone_or_not_as_far_change_nothing():
    kernels = serving(Started(2))
    for event in (Leaves(2), Ended(2, "shell"), TookOver(2), Ready(7), Goodbye(2), Died(7, 0), Tick()):
        assert run(event, kernels=kernels) == (kernels, [])


def test_the_next_one_is_started_ahead_when_the_live_one_has_had_time_for_itself():
    assert standby_at(Kernels(), 0) is None
    assert standby_at(serving(), 0) == STANDBY_AFTER
    assert standby_at(serving(Started(2)), 0) is None
    assert standby_at(serving(Started(2), Ready(2)), 0) is None
    assert standby_at(serving(Goodbye(1)), 0) is None
    assert standby_at(serving(Memory(is_short=True)), 0) is None
    assert standby_at(serving(), FAILURES_MAX) is None
    assert standby_at(run(Leaves(1), kernels=serving())[0], 0) is None


def test_none_is_started_while_what_it_needs_is_imported_by_another():
    kernels, actions = run(Preloading(is_on=True), Leaves(1), *ends(1), kernels=serving())
    assert actions == [Dismiss(1)]
    assert run(Preloading(is_on=False), kernels=kernels)[1] == [Start()]
    kernels, actions = run(Preloading(is_on=True), Died(1, -9), kernels=serving())
    assert actions == [AnswerLost(1, -9)]
    assert run(Preloading(is_on=False), kernels=kernels)[1] == [Start()]
    _, actions = run(Preloading(is_on=True), Leaves(1), *ends(1), kernels=serving(Started(2), Ready(2)))
    assert HandOver(2) in actions  # one that is there isn't kept waiting


def test_kernels_are_judged_before_a_fresh_one_takes_over():
    kernels, actions = step(serving(Started(2), Ready(2)), Leaves(1), 0.0)
    assert actions == [Judge()]
    kernels, actions = step(kernels, Outdated(2), 0.0)
    assert actions == [Kill(2), Judge()]  # none takes over before all are judged
    assert step(kernels, Judged(), 0.0)[1] == [Start()]
    assert step(serving(Started(2), Ready(2)), Leaves(1, cold=True), 0.0)[1] == [HandOver(2)]  # just started for it
    kernels, actions = step(serving(Started(2), Ready(2)), Died(1, -9), 0.0)
    assert actions == [AnswerLost(1, -9), Judge()]
    assert step(kernels, Judged(), 0.0)[1] == [HandOver(2)]


# -- checkpoints -------------------------------------------------------------------------------------------------------


def parked(*checkpoints, more=()):
    """Return a kernel that serves, with a fresh one that waits, and checkpoints in the order of their making."""
    return serving(Started(2), Ready(2), *(Parked(1, one) for one in checkpoints), *more)


def lived(kernels, seconds=ANSWERED + 1):
    """Return kernels of which the live one has served for long enough."""
    return replace(kernels, since=kernels.since - seconds, revived=kernels.revived - seconds)


def test_the_next_kernel_is_made_of_the_first_checkpoint_that_there_is():
    kernels, actions = run(Leaves(1, (8, 7, 3)), kernels=parked(3, 7))
    assert actions == [Fork(7)]
    kernels, actions = run(Started(4, 7), Ready(4), *ends(1), TookOver(4), kernels=kernels)
    assert actions == [HandOver(4), Dismiss(1), Serve(4)]
    assert kernels.origin(4) == 7
    assert kernels.parked == (7, 3)


def test_one_that_waits_takes_over_at_once_and_one_that_is_being_made_is_waited_for():
    ahead = (Keep(1, (3, 7), 7), Started(4, 7))
    assert run(Leaves(1, (7,)), kernels=parked(3, 7, more=(*ahead, Ready(4))))[1] == [HandOver(4)]
    kernels, actions = run(Leaves(1, (7,)), kernels=parked(3, 7, more=ahead))
    assert actions == []
    assert run(Ready(4), kernels=kernels)[1] == [HandOver(4)]


def test_one_that_waits_takes_over_though_its_checkpoint_has_ended():
    ahead = (Keep(1, (3, 7), 7), Started(4, 7), Ready(4), Unparked(7))
    assert run(Leaves(1, (7, 3)), kernels=parked(3, 7, more=ahead))[1] == [HandOver(4)]


def test_without_a_checkpoint_that_is_wanted_a_fresh_one_takes_over():
    for back in ((), (5,)):
        kernels, actions = run(Leaves(1, back), kernels=parked(3, 7))
        assert actions == [HandOver(2)]
        kernels, actions = run(*ends(1), TookOver(2), kernels=kernels)
        assert actions == [Dismiss(1), Drop(7), Drop(3), Serve(2)]
        assert kernels.parked == ()


@pytest.mark.parametrize(
    ("failure", "drops"),
    [
        ([NotForked(4)], [Drop(7)]),
        ([Unparked(7), NotForked(4)], []),
        ([Died(4, -9)], [Drop(7)]),
        ([Ready(4), Died(4, -9)], [HandOver(4), Drop(7)]),
    ],
    ids=["it can't", "it has ended", "dies before it waits", "dies while it takes over"],
)
def test_what_fails_is_followed_by_the_next_that_is_wanted_and_at_last_by_a_fresh_one(failure, drops):
    kernels, _ = run(Leaves(1, (7, 3)), *ends(1), Started(4, 7), kernels=parked(3, 7))
    kernels, actions = run(*failure, kernels=kernels)
    assert actions == [*drops, Fork(3)]
    kernels, actions = run(Started(5, 3), NotForked(5), kernels=kernels)
    assert actions == [Drop(3), HandOver(2)]
    assert kernels.deaths == 0


@pytest.mark.parametrize("is_ready", [False, True])
def test_one_that_is_made_of_a_checkpoint_has_its_time(is_ready):
    kernels, _ = run(Leaves(1, (7,)), *ends(1), Started(4, 7), *([Ready(4)] * is_ready), kernels=parked(3, 7))
    assert kernels.due == TAKE_MAX
    assert run(Tick(), kernels=kernels, now=TAKE_MAX - 1)[1] == []
    assert run(Tick(), kernels=kernels, now=TAKE_MAX)[1] == [Kill(4), Drop(7), HandOver(2)]


def test_a_kernel_of_a_checkpoint_makes_later_ones_of_the_same_numbers():
    kernels, _ = run(Leaves(1, (3,)), Started(4, 3), Ready(4), *ends(1), kernels=parked(1, 3, 4, 5))
    kernels, _ = run(Parked(1, 6), Keep(1, ()), Parked(4, 4), kernels=kernels)  # none of them is live
    assert kernels.parked == (5, 4, 3, 1)
    kernels, actions = run(TookOver(4), Parked(4, 4), kernels=kernels)
    assert actions == [Drop(5), Drop(4), Serve(4)]
    assert kernels.parked == (4, 3, 1)


def test_only_what_is_kept_stays():
    kernels, actions = run(Keep(1, (2, 9, 3)), kernels=parked(1, 2, 3))
    assert actions == [Drop(1)]
    assert kernels.parked == (2, 3)


def test_one_is_made_ahead_of_the_likely_checkpoint_when_the_live_one_has_had_time_for_itself():
    kernels = parked(3, 7)
    assert kernels.ahead_at is None
    kernels, actions = run(Keep(1, (7, 3), 3), kernels=kernels, now=5.0)
    assert (actions, kernels.due) == ([], 5.0 + STANDBY_AFTER)
    kernels, _ = run(Keep(1, (7, 3), 3), kernels=kernels, now=5.05)  # no news
    kernels, actions = run(Tick(), kernels=kernels, now=5.0 + STANDBY_AFTER)
    assert actions == [Fork(3)]
    kernels, actions = run(Started(4, 3), Tick(), Ready(4), Tick(), kernels=kernels, now=6.0)
    assert (actions, kernels.due) == ([], float("inf"))
    kernels, actions = run(Keep(1, (7, 3), 7), kernels=kernels, now=7.0)
    assert actions == [Kill(4)]
    kernels, _ = run(Tick(), Started(5, 7), kernels=kernels, now=8.0)
    assert run(Keep(1, (7, 3)), kernels=kernels, now=9.0)[1] == [Kill(5)]
    assert run(Keep(1, (3,), 7), kernels=kernels, now=9.0)[1] == [Drop(7), Kill(5)]
    assert run(Goodbye(1), kernels=kernels, now=9.0)[0].ahead_at is None


def test_one_that_fails_ahead_is_not_tried_again():
    for failure in (NotForked(4), Died(4, -9)):
        kernels, actions = run(Keep(1, (7, 3), 7), Started(4, 7), failure, Tick(), kernels=parked(3, 7))
        assert actions == [Drop(7)]
        assert kernels.ahead_at is None
    kernels, _ = run(Keep(1, (7, 3), 7), Started(4, 7), kernels=parked(3, 7))
    assert run(Tick(), kernels=kernels, now=TAKE_MAX)[1] == [Kill(4), Drop(7)]


def test_what_is_likely_stays_so_if_it_is_older_than_what_took_over():
    kernels, _ = run(Keep(1, (7, 3), 3), Leaves(1, (7,)), Started(4, 7), Ready(4), *ends(1), kernels=parked(3, 7))
    assert run(TookOver(4), kernels=kernels)[0].likely == 3
    kernels, _ = run(Keep(1, (7, 3), 7), Started(4, 7), Ready(4), Leaves(1, (3,)), *ends(1), kernels=parked(3, 7))
    kernels, actions = run(Started(5, 3), Ready(5), TookOver(5), kernels=kernels)
    assert actions == [HandOver(5), Drop(7), Serve(5), Kill(4)]
    assert kernels.likely == 0


def test_one_that_was_made_ahead_is_never_outdated():
    kernels = parked(7, more=(Keep(1, (7,), 7), Started(4, 7), Ready(4)))
    assert run(Outdated(4), kernels=kernels) == (kernels, [])
    assert standby_at(run(Outdated(2), kernels=kernels)[0], 0) == STANDBY_AFTER  # the fresh one has its own rules


def test_one_that_dies_is_followed_by_one_of_the_newest_checkpoint_then_of_older_ones():
    kernels, actions = run(Died(1, -11), kernels=parked(3, 7))
    assert actions == [AnswerLost(1, -11), Fork(7)]
    _, actions = run(Started(4, 7), NotForked(4), Started(5, 3), NotForked(5), kernels=kernels)
    assert actions == [Drop(7), Fork(3), Drop(3), HandOver(2)]


def test_one_that_dies_with_a_restart_to_come_is_followed_by_a_fresh_one():
    kernels, actions = run(Died(1, -11, hung_up=True), kernels=parked(3, 7))
    assert actions == [AnswerLost(1, -11), HandOver(2)]
    assert run(TookOver(2), kernels=kernels)[1] == [Drop(7), Drop(3), Serve(2)]


def test_a_checkpoint_of_which_a_kernel_dies_at_once_is_not_taken_again():
    before, _ = run(Died(1, -11), Started(4, 7), Ready(4), TookOver(4), Parked(4, 8), kernels=parked(3, 7))
    kernels, actions = run(Died(4, -11), kernels=before)
    assert actions == [AnswerLost(4, -11), Fork(3)]
    assert kernels.deaths == 2
    assert run(Died(4, -11), kernels=lived(before))[1] == [AnswerLost(4, -11), Fork(8)]


def test_a_cell_that_kills_a_kernel_which_has_just_gone_back_costs_that_cell_alone():
    back = (Leaves(1, (7, 3)), Ended(1, "shell"), Ended(1, "control"), Ended(1, "iopub"), Started(4, 7), Ready(4))
    before, _ = run(*back, TookOver(4), kernels=parked(3, 7))
    assert before.one(State.LIVE) == 4
    assert run(Died(4, -11, at_work=True), kernels=before)[1] == [AnswerLost(4, -11), Fork(7)]
    assert run(Parked(4, 8), Died(4, -11), kernels=before)[1] == [AnswerLost(4, -11), Fork(8)]
    assert run(Died(4, -11), kernels=before)[1] == [AnswerLost(4, -11), Fork(3)]


def test_deaths_in_a_row_end_the_proxy_though_there_are_checkpoints():
    kernels = parked(3, 5, 7, 9)
    for number, checkpoint in ((1, 9), (4, 7)):
        kernels, actions = run(Died(number, -11), kernels=kernels)
        assert actions[:2] == [AnswerLost(number, -11), Fork(checkpoint)]
        following = number + 3 if number == 1 else 5
        kernels, _ = run(Started(following, checkpoint), Ready(following), TookOver(following), kernels=kernels)
    assert run(Died(5, -11), kernels=kernels)[1] == [Exit(-11)]


def test_short_of_memory_it_does_without_what_is_made_ahead_then_without_what_is_missed_least():
    kernels, _ = run(Keep(1, (3, 7), 3), Started(4, 3), Ready(4), kernels=parked(3, 7))
    kernels, actions = run(Memory(is_short=True), Tick(), kernels=kernels, now=100.0)
    assert actions == [Kill(4)]
    kernels, actions = run(Memory(is_short=True), Tick(), kernels=kernels, now=101.0)
    assert actions == [Drop(7)]
    assert run(Memory(is_short=False), kernels=kernels, now=102.0)[1] == [Fork(3)]
    assert run(Memory(is_short=True), Memory(is_short=True), kernels=kernels, now=102.0)[1] == [Drop(3)]
    kernels, _ = run(Leaves(1, (3,)), kernels=kernels, now=102.0)
    assert run(Memory(is_short=True), kernels=kernels, now=103.0)[1] == [Fork(3)]  # not now


def test_words_of_checkpoints_of_one_that_is_not_live_change_nothing():
    kernels = parked(3, more=(Started(4, 3),))
    for event in (Parked(2, 9), Keep(2, ()), NotForked(1), NotForked(9), Unparked(9), Memory(is_short=False)):
        assert run(event, kernels=replace(kernels, likely=3))[0].parked == (3,)
