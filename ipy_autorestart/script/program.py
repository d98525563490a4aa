"""The program of a run, as a command line in a folder would say it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A Python program.

    Attributes
    ----------
    python
        The interpreter.
    flags
        Options of the interpreter, as ``-X dev``.
    argv
        The rest of the command line: script or ``-m module``, and arguments.
    cwd
        The folder it runs in, by path: it may be replaced by a new one between two runs.
    environment
        All its variables.
    watched
        Folders and files; a run reports what it reads and writes of them.
    roots
        What paths of these begin with, as they are now: folders with a slash at the end, and files.
    beside, named
        A folder, with a slash at the end, of which a run reports the same apart, empty for none; and files that are
        watched all the same.
    displays
        JSON that says how to show figures; empty if a run displays nothing but its output.
    stdio
        Descriptors of this process that become its standard streams; None for an empty input and pipes to read from.
    in_session
        It runs in the session of this process, so that the terminal is its own too, not in a session of its own.
    keeps_ports
        Sockets on which a run listens go on in the next one.
    sockets
        Descriptors of this process, of sockets that each run gets by the protocol of systemd, from 3 on.
    home
        The folder or archive that becomes ``sys.path[0]``, where the command line doesn't say so.
    """

    python: str
    flags: tuple[str, ...] = ()
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    watched: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    beside: str = ""
    named: tuple[str, ...] = ()
    displays: str = ""
    stdio: tuple[int, int, int] | None = None
    in_session: bool = False
    keeps_ports: bool = False
    sockets: tuple[int, ...] = ()
    home: str = ""

    def renewed(self) -> Self:
        """Return it with the ``roots`` of now: a symlink to a release leads to the next one some day."""
        return replace(self, roots=tuple(prefixes(self.watched))) if self.watched else self


def prefixes(roots: Iterable[str]) -> list[str]:
    """Return how a path below a root may begin: as it is named, and without symlinks.

    Of many roots less is said than would be true, for a run gets it in a variable of its environment.
    """
    both = [path for root in roots for path in (root, os.path.realpath(root))]
    exact = list(dict.fromkeys(os.path.join(path, "") if os.path.isdir(path) else path for path in both))
    folders = list(dict.fromkeys(os.path.join(os.path.dirname(path), "") for path in exact))
    for found in (exact, folders):
        if sum(map(len, found)) <= PREFIXES_MAX:
            return found
    return [os.path.commonpath(folders)]


#: Characters of prefixes; Linux has room for 128 KiB in a variable.
PREFIXES_MAX = 1 << 14
