"""Decide whether a client is in the middle of what it sends: one that is cut off there forgets the rest of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Seconds in which a client that has more to send is heard again, through a tunnel and on a busy machine; on a slow way
#: it is so many round trips.
QUIET = 0.1
QUIET_ROUND_TRIPS = 2

#: Who has sent less than this in so many seconds sends small requests one after another, each of which leaves a client
#: at once, and is in the middle of none.
LARGE_BYTES = 1 << 16
SMALL_MAX = 0.3

#: Seconds for which a system may keep back a receipt that a client waits for before it sends on (``TCP_DELACK_MAX``).
RECEIPT_MAX = 0.2

#: Seconds after which a client that is never quiet is cut off all the same.
QUIET_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """What comes from one client.

    Attributes
    ----------
    first
        Bytes that had been received when it was looked at first.
    received
        Bytes that have been received until now.
    since
        When it was looked at first, in seconds.
    heard
        When last something came.
    round_trip
        Seconds to the client and back.
    """

    first: int
    received: int
    since: float
    heard: float
    round_trip: float


def looked(
    incoming: Incoming | None, received: int, waiting: int, silent: float, round_trip: float, now: float
) -> Incoming:
    """Return what is known after a look at a connection.

    Parameters
    ----------
    incoming
        What was known before; None at the first look.
    received
        Bytes that have been received on it, ever; 0 where the system doesn't count them.
    waiting
        Bytes of these that nobody has taken yet.
    silent
        Seconds since the last of them came, where the system knows.
    round_trip
        Seconds to the client and back, where the system knows.
    now
        In seconds.
    """
    if incoming is None:
        return Incoming(received, received, now, now - silent if silent > RECEIPT_MAX else now, round_trip)
    if received == incoming.received and not waiting:
        return incoming
    return replace(incoming, received=received, heard=now)


def is_quiet(incoming: Incoming, now: float) -> bool:
    """Return whether the client has sent all that it was sending.

    Parameters
    ----------
    incoming
        What comes from it.
    now
        In seconds.
    """
    waited = now - incoming.since
    patience = QUIET_ROUND_TRIPS * incoming.round_trip
    if now - incoming.heard >= max(QUIET, patience) or waited >= QUIET_MAX:
        return True
    sends_small = incoming.received > 0 and incoming.received - incoming.first < LARGE_BYTES
    return sends_small and waited >= max(SMALL_MAX, patience)
