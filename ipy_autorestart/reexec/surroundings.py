"""What an exec keeps of a process and a fresh one would not have, by execve(2): read at the start, put back before it.

Folder, environment, descriptors, signals and interval timers are with `exec`. What can't be undone stays: privileges
given up for good (users, capabilities, ``no_new_privs``, seccomp), namespaces and the root folder, session and process
group, and without privileges a hard limit that was lowered and a priority that was lowered. Cgroup, NUMA policy and
security context are not the program's own affair.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ipy_autorestart.pristine import os, signal


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of this process, which is plain data; both functions raise what `IMPOSSIBLE` names."""

    read: Callable[[], Any]
    write: Callable[[Any], object]


#: What is raised by what this system doesn't have, or forbids.
IMPOSSIBLE = (OSError, ValueError, AttributeError, ImportError, MemoryError)


def read_all(outputs: Sequence[int]) -> dict[str, Any]:
    """Return the attributes of this process and its standard streams, of which two are the ``outputs``."""
    found: dict[str, Any] = {"blocking": [_is_blocking(fd) for fd in (0, *outputs)], "limits": _limits()}
    for name, attribute in ATTRIBUTES.items():
        with contextlib.suppress(*IMPOSSIBLE):
            found[name] = attribute.read()
    return found


def put_back(before: Mapping[str, Any]) -> None:
    """Restore what has changed since `read_all`, as far as it can be done, but for limits; before an exec."""
    for name, attribute in ATTRIBUTES.items():
        with contextlib.suppress(*IMPOSSIBLE):
            if name in before and attribute.read() != before[name]:
                attribute.write(before[name])
    for fd, blocking in enumerate(before.get("blocking", ())):  # the open file's: an asyncio pipe leaves it changed
        with contextlib.suppress(OSError):  # closed
            if blocking not in (None, _is_blocking(fd)):
                os.set_blocking(fd, blocking)


def put_limits_back(before: Mapping[str, Any]) -> None:
    """Restore the limits, last of all: a lower one on files or memory than this image needs is for the next."""
    with contextlib.suppress(*IMPOSSIBLE):
        _set_limits(before["limits"])


def raise_limits(before: Mapping[str, Any]) -> None:
    """Undo what was lowered, first of all: below a limit on memory, the way to the exec would be too long."""
    with contextlib.suppress(*IMPOSSIBLE):
        now = _limits()
        _set_limits({name: [_higher(soft, now[name][0]), now[name][1]] for name, (soft, _) in before["limits"].items()})


def ignored_signals() -> frozenset[int]:
    """Return the signals that are ignored, except those that Python ignores by itself."""
    return frozenset(signum for signum in _signals() if signal.getsignal(signum) is signal.SIG_IGN)


def ignore_only(ignored: Collection[int], *, besides: Collection[int]) -> None:
    """Ignore these signals and no others, leaving some as they are; only in the main thread."""
    for signum in _signals().difference(besides):
        is_ignored = signal.getsignal(signum) is signal.SIG_IGN
        if is_ignored != (signum in ignored):
            signal.signal(signum, signal.SIG_DFL if is_ignored else signal.SIG_IGN)


def _signals() -> set[int]:
    return set(map(int, signal.valid_signals())) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}


def _is_blocking(fd: int) -> bool | None:
    try:
        return os.get_blocking(fd)
    except OSError:  # closed
        return None


def _umask() -> int:
    """Return the umask, if possible without a moment in which it is another: other threads may be making files."""
    with contextlib.suppress(OSError), open("/proc/self/status", "rb") as lines:
        for line in lines:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


#: Names of limits; some have two.
LIMITS = [name for name in dir(resource) if name.startswith("RLIMIT_")]


def _limits() -> dict[str, list[int]]:
    return {name: list(resource.getrlimit(getattr(resource, name))) for name in LIMITS}


def _set_limits(limits: Mapping[str, Sequence[int]]) -> None:
    for name, (soft, hard) in limits.items():
        limit = getattr(resource, name)
        try:
            resource.setrlimit(limit, (soft, hard))
        except IMPOSSIBLE:
            highest = resource.getrlimit(limit)[1]
            with contextlib.suppress(*IMPOSSIBLE):
                resource.setrlimit(limit, (lower(soft, highest), highest))


def lower(one: int, other: int) -> int:
    """Return the lower of two limits."""
    return min(one, other, key=_as_number)


def _higher(one: int, other: int) -> int:
    return max(one, other, key=_as_number)


def _as_number(limit: int) -> float:
    """Return what can be compared: ``RLIM_INFINITY`` is the highest, and negative."""
    return float("inf") if limit == resource.RLIM_INFINITY else limit


def _file(name: str, form: str = "{}") -> Attribute:
    """Return the attribute in a file of proc(5), which may be written in another form than it is read."""

    def read() -> str:
        with open(f"/proc/self/{name}", encoding="ascii") as file:
            return file.read().strip()

    def write(text: str) -> None:
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(form.format(text))

    return Attribute(read, write)


def _call(name: str, *arguments: int) -> int:
    """Call a function of the C library, all of whose arguments are longs; raises OSError."""
    import ctypes  # takes a while, and is there by now in a program that could have changed what is read so

    function = ctypes.CDLL(None, use_errno=True)[name]
    function.restype = ctypes.c_long
    result = int(function(*map(ctypes.c_long, arguments)))
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{name} failed")
    return result


def _prctl(get: int, set_: int, *, points: bool = False) -> Attribute:
    """Return an attribute of prctl(2), by its numbers in ``linux/prctl.h``; some are returned through a pointer."""

    def read() -> int:
        if not points:
            return _call("prctl", get, 0, 0, 0, 0)
        import ctypes

        place = ctypes.c_int()
        _call("prctl", get, ctypes.addressof(place), 0, 0, 0)
        return place.value

    return Attribute(read, lambda value: _call("prctl", set_, value, 0, 0, 0))


def _io_priority(get: int, set_: int) -> Attribute:
    """Return the attribute of ioprio_set(2), by the numbers of two system calls."""
    own = (1, 0)  # of this process
    return Attribute(lambda: _call("syscall", get, *own), lambda value: _call("syscall", set_, *own, value))


#: Numbers of ioprio_get(2) and ioprio_set(2), which the C library has no functions for.
IOPRIO = {"x86_64": (252, 251), "aarch64": (31, 30)}

#: The ids come first, as the privileges for others may depend on them.
ATTRIBUTES: dict[str, Attribute] = {
    "effective user": Attribute(os.geteuid, os.seteuid),
    "effective group": Attribute(os.getegid, os.setegid),
    "groups": Attribute(os.getgroups, os.setgroups),
    "umask": Attribute(_umask, os.umask),
    "nice": Attribute(
        lambda: os.getpriority(os.PRIO_PROCESS, 0), lambda value: os.setpriority(os.PRIO_PROCESS, 0, value)
    ),
}

if sys.platform == "linux":
    ATTRIBUTES |= {
        "affinity": Attribute(
            lambda: sorted(os.sched_getaffinity(0)), lambda processors: os.sched_setaffinity(0, processors)
        ),
        "scheduler": Attribute(
            lambda: [os.sched_getscheduler(0), os.sched_getparam(0).sched_priority],
            lambda both: os.sched_setscheduler(0, both[0], os.sched_param(both[1])),
        ),
        "score for the OOM killer": _file("oom_score_adj"),
        "core dumps": _file("coredump_filter", "0x{}"),
        "personality": Attribute(lambda: _call("personality", 0xFFFFFFFF), lambda value: _call("personality", value)),
        "parent-death signal": _prctl(2, 1, points=True),
        "child subreaper": _prctl(37, 36, points=True),
        "secure bits": _prctl(27, 28),
        "timer slack": _prctl(30, 29),
        "no huge pages": _prctl(42, 41),
        "memory merge": _prctl(68, 67),
    }
    if machine := IOPRIO.get(os.uname().machine):
        ATTRIBUTES["I/O priority"] = _io_priority(*machine)
