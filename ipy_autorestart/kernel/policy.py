"""Decide whether a client is in the middle of a message: one that is cut off there forgets the rest of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Seconds in which a client that has more to send sends it, through a tunnel and on a busy machine; or so many round
#: trips, if that is longer.
QUIET = 0.1
QUIET_ROUND_TRIPS = 2

#: A client that has sent less than this in so many seconds sends small requests one after another. Each leaves the
#: client at once, so it is in the middle of none; but while some wait to be read, more may wait on its side.
LARGE_BYTES = 1 << 16
SMALL_MAX = 0.3

#: Seconds for which the system may delay an acknowledgement that the client waits for (``TCP_DELACK_MAX``).
DELAY_MAX = 0.2

#: Seconds after which a client that is never quiet is cut off anyway.
QUIET_MAX = 1.0

#: The same for one whose messages wait to be read: it has sent more than was read in that time, and what libzmq leaves
#: in the system's buffer is lost when it is cut off.
BACKLOG_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """Data that one client sends."""

    first: int  # bytes that had been received at the first look
    received: int  # bytes that have been received until now
    waiting: int  # of these, those that wait to be read
    since: float  # time of the first look
    heard: float  # time at which the last bytes arrived
    round_trip: float  # seconds to the client and back


def observed(
    incoming: Incoming | None, received: int, waiting: int, silent: float, round_trip: float, now: float
) -> Incoming:
    """Return what is known after another look at a connection; at the first, there is nothing ``incoming``.

    So many bytes were ever received on it, so many are waiting to be read, and the last byte arrived so many seconds
    ago. What the system doesn't count is 0.
    """
    if incoming is None:
        return Incoming(received, received, waiting, now, now - silent if silent > DELAY_MAX else now, round_trip)
    if received == incoming.received and not waiting:
        return replace(incoming, waiting=0) if incoming.waiting else incoming
    return replace(incoming, received=received, waiting=waiting, heard=now)


def is_quiet(incoming: Incoming, now: float) -> bool:
    """Return whether the client has sent all that it was sending, by the last look."""
    waited = now - incoming.since
    patience = QUIET_ROUND_TRIPS * incoming.round_trip
    if now - incoming.heard >= max(QUIET, patience) or waited >= (BACKLOG_MAX if incoming.waiting else QUIET_MAX):
        return True
    sends_small = incoming.received > 0 and incoming.received - incoming.first < LARGE_BYTES and not incoming.waiting
    return sends_small and waited >= max(SMALL_MAX, patience)
