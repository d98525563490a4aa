"""When something that ended by itself starts again, where that is wanted."""

from __future__ import annotations

#: Seconds before the first start, doubled each time up to the most, and how long a run lasts that was worth its start:
#: what Docker's restart policy does.
PAUSE, PAUSE_MAX, WORTHWHILE = 0.1, 60.0, 10.0


def pause(last: float, *, lasted: float) -> float:
    """Return the seconds to wait, from those of the wait before, 0 for none, and those that the run lasted."""
    return PAUSE if not last or lasted >= WORTHWHILE else min(2 * last, PAUSE_MAX)
