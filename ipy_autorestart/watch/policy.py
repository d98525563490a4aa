"""Decide how often to scan, by the cost of a scan and by whether events can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Set

# The share of the time that scans may take. It is tiny after a while without a change: only a change that sends no
# event has to wait for a scan then.
_SHARE = 1 / 50
_SHARE_QUIET = 1 / 1000
_QUIET_SECONDS = 10.0

_SHORTEST = 1.0
_SHORTEST_POLLING = 0.5
_LONGEST = 5.0
_LONGEST_QUIET = 60.0
_UNREAD = 0.2

#: An event that is later than this is not coming.
LATE_SECONDS = 0.5


def interval(cost: float, *, polling: bool = False, unread: bool = False, quiet: float = 0.0) -> float:
    """Return the seconds until the next scan.

    Parameters
    ----------
    cost
        Seconds that the last scan took.
    polling
        Whether a change may come without an event.
    unread
        Whether contents of the baseline are yet to be read; a look reads some.
    quiet
        Seconds since the last change.
    """
    if unread:
        return _UNREAD
    if polling:
        return min(max(cost / _SHARE, _SHORTEST_POLLING), _LONGEST)
    if quiet < _QUIET_SECONDS:
        return min(max(cost / _SHARE, _SHORTEST), _LONGEST)
    return min(max(cost / _SHARE_QUIET, _SHORTEST), _LONGEST_QUIET)


#: Seconds of the first listing after which it is told, and told anew.
LISTING_TOLD = (1.0, 5.0, 20.0, 60.0, 300.0)


def is_listing_told(seconds: float, told: int) -> bool:
    """Return whether the first listing is told after so many seconds, having been told so many times."""
    return told < len(LISTING_TOLD) and seconds >= LISTING_TOLD[told]


class Suspects:
    """Changes that a scan found before any event announced them.

    A scan may be quicker than the event, so each is given `LATE_SECONDS`. A file that is written through another
    name, or mapped into memory, sends no event either; it makes scans more frequent, which is the price of being sure.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def judge(self, fresh: Iterable[str], hints: Set[str], now: float) -> tuple[bool, str]:
        """Return whether a new change was not announced, and the path of an older one that never was, or "".

        A scan has just found the ``fresh`` paths changed; the ``hints`` came since the last call, and an empty one
        announces everything.
        """
        everything = "" in hints
        unannounced = [] if everything else [path for path in fresh if path not in hints]
        late = ""
        for path, since in [*self._since.items()]:
            if everything or path in hints:
                del self._since[path]
            elif now - since > LATE_SECONDS:
                late = path
                del self._since[path]
        for path in unannounced:
            self._since.setdefault(path, now)
        return bool(unannounced), late
