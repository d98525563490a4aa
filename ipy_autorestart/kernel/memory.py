"""The memory that copies of a kernel have for themselves, and that is available for more, by the system's word."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator

from ipy_autorestart.kernel.proc import read
from ipy_autorestart.pristine import os

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

#: Of smaps_rollup, what ends with the process: pages that are unchanged copies of files stay in the page cache anyway.
PRIVATE = re.compile(rb"^Private_(?:Dirty|Hugetlb): +(\d+) kB$", re.MULTILINE)
AVAILABLE = re.compile(rb"^MemAvailable: +(\d+) kB$", re.MULTILINE)

#: Of cgroups, version 2 and 1: limits, usage, and the part of that which the system gives up first, in memory.stat.
LIMITS = (
    (("memory.max", "memory.high"), "memory.current", re.compile(rb"^inactive_file (\d+)$", re.MULTILINE)),
    (("memory.limit_in_bytes",), "memory.usage_in_bytes", re.compile(rb"^total_inactive_file (\d+)$", re.MULTILINE)),
)


def private_bytes(pid: int) -> int:
    """Return how much memory a process has that nobody else has; 0 if it has ended.

    The system goes through all of its pages, about 50 ms for 1 GB in pages of 4 kB, 3 ms in huge ones.
    """
    try:
        found = PRIVATE.findall(read(f"/proc/{pid}/smaps_rollup"))
    except OSError:  # it has ended, or the system has no such file
        return private_bytes_at_most(pid)
    return sum(map(int, found)) << 10


def private_bytes_at_most(pid: int) -> int:
    """Return how much that may be, at once: memory of a fork that the other side has, too, is in it."""
    try:
        _, resident, shared, *_ = map(int, read(f"/proc/{pid}/statm").split())
    except (OSError, ValueError):
        return 0
    return max(resident - shared, 0) * PAGE_BYTES


def private_bytes_of(pids: Collection[int], budget_bytes: int) -> dict[int, int]:
    """Return the private memory of some processes, looked at closely only while all may be over a budget.

    Those that have most come first; as soon as the sum is within the budget, the others stay what they are at most.
    """
    found = {pid: private_bytes_at_most(pid) for pid in pids}
    for pid in sorted(found, key=lambda pid: -found[pid]):
        if sum(found.values()) <= budget_bytes:
            break
        found[pid] = private_bytes(pid)
    return found


def available_bytes() -> int:
    """Return how much memory is available to this process: of the machine, and in each of its cgroups; 0 if unknown."""
    try:
        found, groups = AVAILABLE.search(read("/proc/meminfo")), groups_of(os.fsdecode(read("/proc/self/cgroup")))
    except OSError:
        return 0
    machine = int(found[1]) << 10 if found else 0
    return max(min([machine, *(headroom for group in groups for headroom in headrooms(group))]), 0)


def groups_of(lines: str, mount: str = "/sys/fs/cgroup") -> Iterator[str]:
    """Yield the folders of a process's cgroups that may limit its memory, by its ``/proc/<pid>/cgroup`` (cgroups(7)).

    In a container the path may be one outside of it, while the mount begins with the container's own.
    """
    for line in lines.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            tops = (mount, f"{mount}/unified")
        elif "memory" in controllers.split(","):
            tops = (f"{mount}/{controllers}", f"{mount}/memory")
        else:
            continue
        parts = path.strip("/").split("/")
        below = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
        for folder in dict.fromkeys(f"{top}/{part}".rstrip("/") for top in tops for part in (*below, "")):
            if os.path.isdir(folder):
                yield folder


def headrooms(group: str) -> Iterator[int]:
    """Yield how much memory a cgroup, by its folder, may still have, for each of its limits; nothing without one."""
    for limits, usage, reclaimed in LIMITS:
        for name in limits:
            with contextlib.suppress(OSError, ValueError):  # it isn't there, or "max"
                limit = int(read(f"{group}/{name}"))
                given_up = reclaimed.search(read(f"{group}/memory.stat"))
                yield limit - int(read(f"{group}/{usage}")) + (int(given_up[1]) if given_up else 0)
