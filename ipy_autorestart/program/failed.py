"""A program that fails: whether it has, and whether its process can wait for the next change then."""

from __future__ import annotations

import sys

from ipy_autorestart.pristine import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = os.path.dirname(os.path.abspath(__file__))

#: First on the path of a next image, whose end is noticed by what lies there.
SHIM = os.path.join(_FOLDER, "shim")

#: What waits in the place of a program.
WAITING = os.path.join(_FOLDER, "waiting.py")

#: Of a message in a line.
MESSAGE_MAX = 60


def can_wait(environment: Mapping[str, str]) -> bool:
    """Return whether a next image with this environment can be followed by one that waits.

    Flags may keep `SHIM` off its path; and an empty ``PYTHONPATH`` couldn't be put back.
    """
    return not (sys.flags.no_site or sys.flags.ignore_environment) and environment.get("PYTHONPATH") != ""


def with_shim(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a next image that fails is noticed."""
    old = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": os.pathsep.join([SHIM, old] if old else [SHIM])}


def failure() -> str:
    """Return the exception that has ended the main module, in short; empty if none has.

    Of those that somebody has only shown (`code`, pdb), the traceback begins in a function that was called.
    """
    trace, error = getattr(sys, "last_traceback", None), getattr(sys, "last_value", None)
    if trace is None or trace.tb_frame.f_back is not None or not isinstance(error, Exception):
        return ""
    first = str(error).strip().partition("\n")[0]
    words = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return words if len(words) <= MESSAGE_MAX else f"{words[: MESSAGE_MAX - 1]}…"
