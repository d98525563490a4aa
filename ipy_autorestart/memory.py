"""The memory that is left, of the machine and of this process's control groups (cgroups(7)), and who is to give way."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from ipy_autorestart.pristine import os

#: The share of the memory that is to be available.
AVAILABLE_MIN = 0.05

#: Values of ``oom_score_adj`` by which the system ends a process before all others, and those that come next
#: (proc_pid_oom_score_adj(5)).
ENDED_FIRST, ENDED_NEXT = 1000, 999

MACHINE = re.compile(rb"^Mem(Available|Total): +(\d+) kB$", re.MULTILINE)

#: Of control groups, version 2 and 1: limits, usage, and the part of that which the system gives up first.
LIMITS = (
    (("memory.max", "memory.high"), "memory.current", re.compile(rb"^inactive_file (\d+)$", re.MULTILINE)),
    (("memory.limit_in_bytes",), "memory.usage_in_bytes", re.compile(rb"^total_inactive_file (\d+)$", re.MULTILINE)),
)

#: Where the system tells it.
PROC, CGROUPS = "/proc", "/sys/fs/cgroup"


def available_bytes() -> int:
    """Return how much memory is available to this process; 0 if that can't be told."""
    return max(min((free for free, _ in rooms()), default=0), 0)


def is_short(proc: str = PROC, cgroups: str = CGROUPS) -> bool:
    """Return whether too little is available; False where that can't be told."""
    return any(free < AVAILABLE_MIN * most for free, most in rooms(proc, cgroups))


def rooms(proc: str = PROC, cgroups: str = CGROUPS) -> Iterator[tuple[int, int]]:
    """Yield the bytes that are available, of how many: of the machine, and of each limit around this process."""
    with contextlib.suppress(OSError, KeyError):
        machine = {name: int(size) << 10 for name, size in MACHINE.findall(_read(f"{proc}/meminfo"))}
        yield machine[b"Available"], machine[b"Total"]
    with contextlib.suppress(OSError):
        for group in groups_of(os.fsdecode(_read(f"{proc}/self/cgroup")), cgroups):
            yield from rooms_of(group)


def rooms_of(group: str) -> Iterator[tuple[int, int]]:
    """Yield the same of a control group, by its folder, for each of its limits; nothing without one."""
    for limits, usage, reclaimed in LIMITS:
        for name in limits:
            with contextlib.suppress(OSError, ValueError):  # it isn't there, or "max"
                limit = int(_read(f"{group}/{name}"))
                given_up = reclaimed.search(_read(f"{group}/memory.stat"))
                yield limit - int(_read(f"{group}/{usage}")) + (int(given_up[1]) if given_up else 0), limit


def groups_of(lines: str, mount: str = CGROUPS) -> Iterator[str]:
    """Yield the folders of a process's groups that may limit its memory, by its ``/proc/<pid>/cgroup``.

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


def expose(pid: int, order: int | None) -> None:
    """Have the system end a process in this order when there is no memory left; None for that of this process."""
    with contextlib.suppress(OSError):  # it has just ended
        value = _read("/proc/self/oom_score_adj") if order is None else str(order).encode()
        fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value)
        finally:
            os.close(fd)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
    finally:
        os.close(fd)
