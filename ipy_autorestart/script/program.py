"""The program of a run, as a command line in a folder would say it."""

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
        Options of the interpreter, as ``-X dev``.
    argv
        The rest of the command line: script or ``-m module``, and arguments.
    cwd
        The folder it runs in, by path: it may be replaced by a new one between two runs.
    environment
        All its variables.
    roots
        Folders, with a slash at the end, and files; a run reports what it reads and writes of them.
    displays
        JSON that says how to show figures; empty if a run displays nothing but its output.
    stdio
        Descriptors of this process that become its standard streams; None for an empty input and pipes to read from.
    in_session
        It runs in the session of this process, so that the terminal is its own too, not in a session of its own.
    """

    python: str
    flags: tuple[str, ...] = ()
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    roots: tuple[str, ...] = ()
    displays: str = ""
    stdio: tuple[int, int, int] | None = None
    in_session: bool = False
