"""The compiled code that a process has loaded, from the system's list of what is mapped into it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set


class Loads:
    """What the process with the ``pid`` has loaded, which may be another one later."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def now(self) -> Mapping[str, Set[int]] | None:
        """Return what it has loaded, as `loaded_by` does."""
        return loaded_by(self.pid)


def loaded_by(pid: int) -> Mapping[str, Set[int]] | None:
    """Return the inodes of all files that a process has mapped as code, by their paths; None if the system doesn't say.

    A file that was deleted or replaced since is still there, under its path of old (proc_pid_maps(5)).
    """
    found: dict[str, set[int]] = {}
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            for line in file:
                _, modes, _, _, inode, *path = line.rstrip(b"\n").split(maxsplit=5)
                if path and b"x" in modes:
                    name = os.fsdecode(path[0].removesuffix(b" (deleted)"))
                    found.setdefault(name, set()).add(int(inode))
    except OSError:
        return None
    return found
