"""How often it is told that a run goes on: each second at first, then ever more rarely."""

from __future__ import annotations

import math

#: (from, apart), in seconds: from when on it is told how far apart. Most runs end before the first.
PACE = ((2, 1), (10, 5), (60, 10), (600, 60))


def told(seconds: float) -> int:
    """Return for how many seconds a run has gone on, as far as they are told; 0 before the first time."""
    apart = _apart(seconds)
    return math.floor(seconds / apart) * apart if apart else 0


def next_at(seconds: float) -> float:
    """Return the age at which a run that is ``seconds`` old is told of next."""
    apart = _apart(seconds)
    return told(seconds) + apart if apart else PACE[0][0]


def _apart(seconds: float) -> int:
    return max((apart for since, apart in PACE if seconds >= since), default=0)
