"""Which sockets stay open over a restart, and which are let go: decisions on plain values."""

import socket

import pytest
from hypothesis import given as example
from hypothesis import strategies as st

from ipy_autorestart.script.ports_policy import (
    Address,
    Listener,
    Owner,
    claimed,
    given,
    left_behind,
    listening,
    out_of_the_way,
    waiting,
    without,
    without_closed,
)

WEB = Address(socket.AF_INET, socket.IPPROTO_TCP, "127.0.0.1", 8000)
ADMIN = Address(socket.AF_INET, socket.IPPROTO_TCP, "127.0.0.1", 8001)
FIRST, SECOND = Owner(10, 3), Owner(20, 3)


def is_open(owner, inode):
    return owner == FIRST


def test_a_socket_waits_from_one_run_to_the_next():
    kept = listening((), Listener(1, WEB, FIRST))
    assert waiting(kept) == ()
    kept = left_behind(kept)
    assert claimed(kept, WEB) == Listener(1, WEB)
    kept = given(kept, Listener(1, WEB), SECOND)
    assert kept == (Listener(1, WEB, SECOND),)
    assert claimed(kept, WEB) is None


@pytest.mark.parametrize(
    "other",
    [
        ADMIN,
        Address(socket.AF_INET, socket.IPPROTO_TCP, "0.0.0.0", 8000),
        Address(socket.AF_INET6, socket.IPPROTO_TCP, "::1", 8000),
    ],
)
def test_another_address_gets_nothing(other):
    assert claimed((Listener(1, WEB),), other) is None


def test_a_socket_for_both_families_is_not_one_for_ipv6_alone():
    both = Address(socket.AF_INET6, socket.IPPROTO_TCP, "::", 8000)
    alone = Address(socket.AF_INET6, socket.IPPROTO_TCP, "::", 8000, only_v6=True)
    assert claimed((Listener(1, both),), alone) is None


def test_each_of_several_with_one_address_is_given_once():
    kept = (Listener(1, WEB), Listener(2, WEB))
    kept = given(kept, claimed(kept, WEB), FIRST)
    kept = given(kept, claimed(kept, WEB), SECOND)
    assert kept == (Listener(1, WEB, FIRST), Listener(2, WEB, SECOND))
    assert claimed(kept, WEB) is None


def test_a_descriptor_stands_for_the_socket_that_it_has_last():
    kept = listening((Listener(1, WEB, FIRST),), Listener(2, ADMIN, FIRST))
    assert kept == (Listener(2, ADMIN, FIRST),)
    assert listening(kept, Listener(2, ADMIN, SECOND)) == (Listener(2, ADMIN, SECOND),)


def test_what_is_closed_is_let_go_and_what_waits_is_not():
    kept = (Listener(1, WEB, FIRST), Listener(2, WEB, SECOND), Listener(3, ADMIN))
    assert without_closed(kept, is_open) == (Listener(1, WEB, FIRST), Listener(3, ADMIN))
    assert without(kept, FIRST) == (Listener(2, WEB, SECOND), Listener(3, ADMIN))


def test_who_binds_a_port_is_in_nobodys_way_but_a_living_owners():
    kept = (Listener(1, WEB, FIRST), Listener(2, WEB, SECOND), Listener(3, WEB), Listener(4, ADMIN, SECOND))
    assert out_of_the_way(kept, WEB, is_open) == (Listener(1, WEB, FIRST), Listener(4, ADMIN, SECOND))


@example(st.lists(st.tuples(st.sampled_from("lgbcr"), st.integers(1, 3), st.sampled_from([WEB, ADMIN]))))
def test_no_socket_has_two_owners_or_is_kept_twice(acts):
    kept = ()
    for act, number, address in acts:
        owner = Owner(number, 3)
        if act == "l":
            kept = listening(kept, Listener(number, address, owner))
        elif act == "g" and (one := claimed(kept, address)):
            kept = given(kept, one, owner)
        elif act == "b":
            kept = out_of_the_way(kept, address, is_open)
        elif act == "c":
            kept = without(kept, owner)
        elif act == "r":
            kept = left_behind(kept)
        assert len({one.inode for one in kept}) == len(kept)
