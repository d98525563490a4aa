"""What a run executes, as a command line in a folder would say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A Python program.

    Attributes
    ----------
    python
        The interpreter.
    flags
        For the interpreter: ``-X dev``.
    argv
        What follows: script or ``-m module``, and arguments.
    cwd
        The folder it runs in, by path: it may be made anew between two runs.
    environment
        All of it.
    roots
        Folders, with a slash at the end, and files of which a run is to report what it reads and writes.
    displays
        How figures are to be shown, as JSON, where what a run displays is; else all is as outside.
    stdio
        Descriptors of this process that become its standard streams; else nothing is read, and its output is.
    """

    python: str
    flags: tuple[str, ...] = ()
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    roots: tuple[str, ...] = ()
    displays: str = ""
    stdio: tuple[int, int, int] | None = None
