"""How long the tests of faults and load go on: briefly in the suite, long in `make soak`.

One number steers all of them, the restarts that are wanted of each target: ``IPY_AUTORESTART_TEST_RESTARTS``.
"""

import math
import os

_WANTED = int(os.environ.get("IPY_AUTORESTART_TEST_RESTARTS", "0"))


def restarts(short):
    """So many restarts."""
    return _WANTED or short


def seconds(short):
    """So long do edits go on: 200 s for 1,000 restarts."""
    return _WANTED / 5 or short


def examples(short):
    """So many examples of hypothesis: 30,000 for 1,000 restarts."""
    return 30 * _WANTED or short


def notebooks(short):
    """So many notebooks: 3,000 for 1,000 restarts."""
    return 3 * _WANTED or short


def long_notebooks(short):
    """So many long ones: 300 for 1,000 restarts."""
    return math.ceil(0.3 * _WANTED) or short


#: Whether they go on for long.
is_long = bool(_WANTED)
