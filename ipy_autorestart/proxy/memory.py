"""The memory that is left, of the machine and of the control groups; and who is to go first when there is none.

Parked copies share most pages with the kernel that they are copies of, and so are no reason to be short of memory
until that changes what they share.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

#: The share of the memory that is to be available.
AVAILABLE_MIN = 0.05

#: The value of ``oom_score_adj`` by which the system ends a process before all others (proc_pid_oom_score_adj(5)).
FIRST = 1000

#: Parts of what a control group is charged for that the system takes back when it is needed.
CACHE = ("active_file", "inactive_file")


def is_short(proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> bool:
    """Return whether too little is available; False where that can't be told."""
    return any(free < AVAILABLE_MIN * total for free, total in _rooms(proc, cgroups))


def expose(pid: int, *, really: bool) -> None:
    """Have the system end a process first when there is no memory left; or as any other, of those of this process."""
    with contextlib.suppress(OSError):  # it has just ended
        with open("/proc/self/oom_score_adj") as file:
            own = file.read()
        with open(f"/proc/{pid}/oom_score_adj", "w") as file:
            file.write(str(FIRST) if really else own)


def _rooms(proc: str, cgroups: str) -> Iterator[tuple[int, int]]:
    """Yield the bytes that are available, of how many: of the machine, and of each control group that has a limit."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        machine = _numbers(f"{proc}/meminfo")
        yield machine["MemAvailable:"], machine["MemTotal:"]
    with contextlib.suppress(OSError):
        with open(f"{proc}/self/cgroup") as file:
            path = next((line.strip()[3:] for line in file if line.startswith("0::")), "")  # cgroups(7), version 2
        while path:
            with contextlib.suppress(OSError, ValueError, KeyError):  # without a limit it says "max"
                folder = cgroups + path.rstrip("/")
                most, used = (int(_text(f"{folder}/memory.{name}")) for name in ("max", "current"))
                parts = _numbers(f"{folder}/memory.stat")
                yield most - used + sum(parts[name] for name in CACHE), most
            path = path[: path.rindex("/")]


def _text(path: str) -> str:
    with open(path) as file:
        return file.read()


def _numbers(path: str) -> Mapping[str, int]:
    """Return the numbers in a file by the words before them."""
    return {words[0]: int(words[1]) for line in _text(path).splitlines() if len(words := line.split()) > 1}
