"""Which requests another kernel is to do, and which kernel answers."""

import pytest

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
    AnswerLost,
    Book,
    Died,
    Dismiss,
    Ended,
    Exit,
    Goodbye,
    HandOver,
    Kernels,
    Kill,
    Leaves,
    NotStarted,
    Outdated,
    Ready,
    Serve,
    Start,
    Started,
    State,
    Tick,
    TookOver,
    standby_at,
    step,
)


def book(*requests):
    found = Book()
    for key, kind in requests:
        found.note(key, "shell", kind, [key.encode()])
    return found


def keys(requests):
    return [request.frames[0].decode() for request in requests]


# -- requests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [("replied", "idle"), ("idle", "replied")])
def test_a_request_is_done_when_it_is_replied_to_and_the_kernel_says_so(order):
    found = book(("a", "execute_request"))
    getattr(found, order[0])("a")
    assert len(found) == 1
    getattr(found, order[1])("a")
    assert len(found) == 0


def test_what_has_no_reply_is_done_when_the_kernel_says_so():
    found = book(("a", "comm_msg"))
    found.busy("a")
    found.idle("a")
    assert len(found) == 0


def test_another_kernel_does_what_is_left_in_its_order_from_the_start():
    found = book(("a", "execute_request"), ("b", "complete_request"), ("c", "execute_request"))
    found.busy("b")
    found.replied("b")
    assert keys(found.left()) == ["a", "b", "c"]
    assert not any(request.replied or request.begun for request in found.left())
    found.idle("b")  # a new reply is awaited
    assert len(found) == 3


def test_a_message_without_reply_that_the_kernel_says_to_be_done_is_not_sent_again():
    found = book(("a", "unknown"), ("b", "execute_request"))
    found.idle("a")
    assert keys(found.left()) == ["b"]


def test_what_nobody_asked_for_is_not_noted():
    found = book(("a", "execute_request"))
    for act in (found.busy, found.idle, found.replied):
        act("other")
    assert keys(found.left()) == ["a"]


def test_a_dead_kernel_loses_what_it_was_at_work_on_and_the_cells_that_follow():
    found = book(("a", "execute_request"), ("b", "complete_request"), ("c", "execute_request"), ("d", "comm_msg"))
    found.busy("a")
    lost = found.take_lost()
    assert [keys(one) for one in lost] == [["a"], ["c"], []]
    assert keys(found.left()) == ["b", "d"]


def test_a_kernel_that_dies_before_it_says_what_it_has_begun_was_at_work_on_the_oldest():
    found = book(("a", "complete_request"), ("b", "execute_request"), ("c", "execute_request"))
    found.note("control", "control", "usage_request", [b"control"])
    assert [keys(one) for one in found.take_lost()] == [["a"], [], []]
    assert [keys(one) for one in found.take_lost()] == [["b"], ["c"], []]
    assert [keys(one) for one in found.take_lost()] == [[], [], []]
    assert keys(found.left()) == ["control"]


def test_a_kernel_that_dies_of_something_else_than_a_cell_aborts_no_cell():
    found = book(("a", "complete_request"), ("b", "execute_request"))
    found.busy("a")
    assert [keys(one) for one in found.take_lost()] == [["a"], [], []]
    assert keys(found.left()) == ["b"]


def test_where_a_kernel_tells_what_it_begins_no_other_request_is_blamed():
    found = book(("a", "execute_request"))
    assert [keys(one) for one in found.take_lost(tells=True)] == [[], [], []]
    assert keys(found.left()) == ["a"]


def test_a_message_without_reply_is_not_blamed():
    found = book(("a", "comm_msg"), ("b", "execute_request"))
    assert [keys(one) for one in found.take_lost()] == [["b"], [], []]


def test_a_question_about_comms_is_answered_as_any_other():
    found = book(("a", "comm_info_request"), ("b", "execute_request"))
    assert [keys(one) for one in found.take_lost()] == [["a"], [], []]


def test_what_is_done_though_nobody_is_told_is_forgotten():
    found = book(("a", "comm_msg"))
    found.forget("a")
    found.forget("other")
    assert len(found) == 0


def test_what_was_answered_before_the_death_is_only_said_to_be_done():
    found = book(("a", "execute_request"), ("b", "execute_request"))
    found.busy("a")
    found.replied("a")
    assert [keys(one) for one in found.take_lost()] == [["b"], [], ["a"]]


# -- kernels -----------------------------------------------------------------------------------------------------------


NONE = Kernels()


def run(*events, kernels=NONE, now=0.0):
    """Return the kernels after events, and all actions."""
    actions = []
    for event in events:
        kernels, more = step(kernels, event, now)
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
    assert standby_at(serving(), FAILURES_MAX) is None
    assert standby_at(run(Leaves(1), kernels=serving())[0], 0) is None
