"""The memory that checkpoints of a kernel hold, by the system's word."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from ipy_autorestart.kernel.proc import children_of, read
from ipy_autorestart.memory import ENDED_FIRST
from ipy_autorestart.pristine import os

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

#: Of smaps_rollup, what is no file's: of those pages, unchanged ones stay in the page cache anyway.
ANONYMOUS = re.compile(rb"^(Anonymous|Pss_Anon|Private_Dirty|Private_Hugetlb): +(\d+) kB$", re.MULTILINE)


class Look(NamedTuple):
    """Bytes that a process has in memory; for itself; and in all, each divided by how many have it."""

    anonymous: int = 0
    private: int = 0
    share: float = 0.0


def look_at(pid: int) -> Look:
    """Look at a process; nothing is seen of one that has ended.

    The system goes through all of its pages, about 50 ms for 1 GB in pages of 4 kB, 3 ms in huge ones.
    """
    try:
        found = {name: int(size) << 10 for name, size in ANONYMOUS.findall(read(f"/proc/{pid}/smaps_rollup"))}
    except OSError:  # it has ended, or the system has no such file
        found = dict.fromkeys((b"Private_Dirty",), private_bytes_at_most(pid))
    huge = found.get(b"Private_Hugetlb", 0)
    private = found.get(b"Private_Dirty", 0) + huge
    anonymous, share = (found.get(name, private - huge) + huge for name in (b"Anonymous", b"Pss_Anon"))
    return Look(anonymous, private, share)


def private_bytes_at_most(pid: int) -> int:
    """Return how much memory a process may have for itself, at once: all that is no file's."""
    try:
        _, resident, shared, *_ = map(int, read(f"/proc/{pid}/statm").split())
    except (OSError, ValueError):
        return 0
    return max(resident - shared, 0) * PAGE_BYTES


def held_by(parked: Sequence[int], *, ahead: Collection[int], live: int, budget_bytes: float = -1.0) -> dict[int, int]:
    """Return the memory that copies of a process hold though it has changed or freed that, divided among them.

    The sum is what would be free without them: all that they and the process have, each page once, less what that has.
    Their private memory doesn't tell, for two copies may share what nobody else has; one that is made ahead shares
    almost all. A fork server that has some pages, too, makes the sum a little less.

    Parameters
    ----------
    parked
        The copies, the oldest first.
    ahead
        Copies of these.
    live
        The process.
    budget_bytes
        If they can't hold more in all, nobody looks closer, and it is what each may hold at most.
    """
    most = {pid: private_bytes_at_most(pid) for pid in parked}
    if sum(most.values()) <= budget_bytes or not most:
        return most
    seen = {pid: look_at(pid) for pid in {*parked, *ahead, live}}
    held = max(sum(one.share for one in seen.values()) - seen[live].anonymous, 0.0)
    *older, newest = parked
    if not older:
        return {newest: int(max(held, seen[newest].private))}
    # What the live one shares with any of them is in the newest, too: pages of older ones were not written since.
    shared = seen[live].anonymous - seen[live].private
    found = {newest: int(min(max(seen[newest].anonymous - shared, seen[newest].private), held))}
    of_older = max(held - found[newest], sum(seen[pid].private for pid in older))
    shares = sum(seen[pid].share for pid in older) or 1.0
    return {pid: int(of_older * seen[pid].share / shares) for pid in older} | found


def waiting(proxy: int) -> set[int]:
    """Return the children of a proxy that the system is to end first: checkpoints, and what is made ahead of them."""
    found = set()
    for pid in children_of(proxy):
        with contextlib.suppress(OSError, ValueError):  # it has just ended
            if int(read(f"/proc/{pid}/oom_score_adj")) == ENDED_FIRST:
                found.add(pid)
    return found
