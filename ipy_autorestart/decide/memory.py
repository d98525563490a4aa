"""Decide whether a run's memory may be given back beside the start of the next run."""

from __future__ import annotations

from typing import NamedTuple

#: So many bytes of its own a run may have that the next one begins beside: the machine may not have room for both.
OWN_MAX_BYTES = 1 << 28


class Memory(NamedTuple):
    """What a process has in memory, in bytes.

    Attributes
    ----------
    own
        What is there and is no file's.
    other
        Mapped, and not for the process alone to write to: programs, files that are read, and what is shared.
    """

    own: int
    other: int


def may_overlap(before: Memory, now: Memory, *, shares: bool) -> bool:
    """Return whether the next run may begin before the memory of this one is given back.

    A mapping of a device or a file keeps that open, with what the device has in memory and with its lock (flock(2)).

    Parameters
    ----------
    before
        What the run had when it was forked ahead.
    now
        What it has when it is to end.
    shares
        Whether a new mapping of it can be seen by others; asked for only if there are new ones at all.
    """
    return now.own - before.own <= OWN_MAX_BYTES and (now.other == before.other or not shares)
