"""Decisions about the sockets on which runs listen: which of them the next run gets, and which are let go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

#: Seconds from the start of a run in which it may bind an address again.
WAIT_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """What a socket is bound to.

    Attributes
    ----------
    family, protocol
        ``AF_INET`` or ``AF_INET6``, and ``IPPROTO_TCP`` or one that is used as that is.
    host, port
        As ``getsockname`` returns them, and 0 for a port that the system is to choose.
    only_v6
        Whether it takes connections of IPv6 alone.
    device
        The network interface to which it is restricted, if any.
    """

    family: int
    protocol: int
    host: str
    port: int
    only_v6: bool = False
    device: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that listens, and the descriptor of its socket."""

    pid: int
    fd: int


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that is kept, by the ``inode`` that all its descriptors share; without an owner it waits for one."""

    inode: int
    address: Address
    owner: Owner | None = None


Listeners = tuple[Listener, ...]


def listening(listeners: Listeners, new: Listener) -> Listeners:
    """Return them with one that a run listens on, instead of what its owner or it was before."""
    others = (one for one in listeners if one.inode != new.inode and one.owner != new.owner)
    return (*others, new)


def waiting(listeners: Listeners) -> Listeners:
    """Return those that wait for the run to bind their addresses."""
    return tuple(one for one in listeners if one.owner is None)


def left_behind(listeners: Listeners) -> Listeners:
    """Return them when their run has been stopped, and the next one may have them."""
    return tuple(replace(one, owner=None) for one in listeners)


def claimed(listeners: Listeners, address: Address) -> Listener | None:
    """Return the one that a run gets which binds an address."""
    return next((one for one in waiting(listeners) if one.address == address), None)


def given(listeners: Listeners, one: Listener, owner: Owner) -> Listeners:
    """Return them when a run has got one, in its place: of several with one address each run gets the same."""
    return tuple(replace(other, owner=owner) if other == one else other for other in listeners)


def without_closed(listeners: Listeners, is_open: Callable[[Owner, int], bool]) -> Listeners:
    """Return those that wait and those whose owners have them open, by descriptor and inode."""
    return tuple(one for one in listeners if one.owner is None or is_open(one.owner, one.inode))


def without(listeners: Listeners, owner: Owner) -> Listeners:
    """Return them when an owner closes its own."""
    return tuple(one for one in listeners if one.owner != owner)


def out_of_the_way(listeners: Listeners, address: Address, is_open: Callable[[Owner, int], bool]) -> Listeners:
    """Return them when a run binds an address itself: of its port stays only what a process has open."""
    return tuple(
        one
        for one in listeners
        if one.address.port != address.port or (one.owner is not None and is_open(one.owner, one.inode))
    )
