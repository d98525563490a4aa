"""Which requests another kernel is to do."""

import pytest

from ipy_autorestart.proxy.book import Book


def book(*requests):
    found = Book()
    for key, kind in requests:
        found.note(key, "shell", kind, [key.encode()])
    return found


def keys(requests):
    return [request.frames[0].decode() for request in requests]


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
    assert [keys(one) for one in lost] == [["a"], ["c"], [], []]
    assert keys(found.left()) == ["b", "d"]


def test_a_kernel_that_dies_before_it_says_what_it_has_begun_was_at_work_on_the_oldest():
    found = book(("a", "complete_request"), ("b", "execute_request"), ("c", "execute_request"))
    found.note("control", "control", "usage_request", [b"control"])
    assert [keys(one) for one in found.take_lost()] == [["a"], [], [], []]
    assert [keys(one) for one in found.take_lost()] == [["b"], ["c"], [], []]
    assert [keys(one) for one in found.take_lost()] == [[], [], [], []]
    assert keys(found.left()) == ["control"]


def test_a_kernel_that_dies_of_something_else_than_a_cell_aborts_no_cell():
    found = book(("a", "complete_request"), ("b", "execute_request"))
    found.busy("a")
    assert [keys(one) for one in found.take_lost()] == [["a"], [], [], []]
    assert keys(found.left()) == ["b"]


def test_where_a_kernel_tells_what_it_begins_no_other_request_is_blamed():
    found = book(("a", "execute_request"))
    assert [keys(one) for one in found.take_lost(at_work=())] == [[], [], [], []]
    assert keys(found.left()) == ["a"]


def test_what_had_ended_is_neither_blamed_nor_done_again():
    found = book(*((key, "execute_request") for key in "abcde"), ("f", "comm_msg"))
    found.busy("b")  # of the first one clients have heard nothing
    found.busy("c")
    lost = found.take_lost(at_work=["c"], ended=["a", "f"])
    assert [keys(one) for one in lost] == [["c"], ["d", "e"], [], ["a", "b"]]
    assert keys(found.left()) == ["f"]


def test_a_message_without_reply_is_not_blamed():
    found = book(("a", "comm_msg"), ("b", "execute_request"))
    assert [keys(one) for one in found.take_lost()] == [["b"], [], [], []]


def test_a_question_about_comms_is_answered_as_any_other():
    found = book(("a", "comm_info_request"), ("b", "execute_request"))
    assert [keys(one) for one in found.take_lost()] == [["a"], [], [], []]


def test_what_is_done_though_nobody_is_told_is_forgotten():
    found = book(("a", "comm_msg"))
    found.forget("a")
    found.forget("other")
    assert len(found) == 0


def test_what_was_answered_before_the_death_is_only_said_to_be_done():
    found = book(("a", "execute_request"), ("b", "execute_request"))
    found.busy("a")
    found.replied("a")
    assert [keys(one) for one in found.take_lost()] == [["b"], [], ["a"], []]
