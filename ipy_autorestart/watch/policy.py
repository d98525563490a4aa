"""Decide how often to look at everything, by what looking costs and whether events can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Set

# A scan may take this part of the time, and hardly any where nothing has happened for a while: only what sends no
# event has to wait for it then.
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
    """Seconds until the next scan.

    Parameters
    ----------
    cost
        Seconds that the last scan took.
    polling
        Whether changes may come without an event.
    unread
        Whether old contents are yet to be read, which looks do bit by bit.
    quiet
        Seconds since something happened.
    """
    if unread:
        return max(_UNREAD, 5 * cost)
    if polling:
        return min(max(cost / _SHARE, _SHORTEST_POLLING), _LONGEST)
    if quiet < _QUIET_SECONDS:
        return min(max(cost / _SHARE, _SHORTEST), _LONGEST)
    return min(max(cost / _SHARE_QUIET, _SHORTEST), _LONGEST_QUIET)


class Suspects:
    """Changes that were found before any event told of them.

    A scan may be quicker than the event, so each is given `LATE_SECONDS`. A file that is written through
    another name, or mapped into memory, sends no event either; some more scans are the price of being sure.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def judge(self, fresh: Iterable[str], hints: Set[str], now: float) -> tuple[bool, str]:
        """Say whether a change was not announced, and name one that never was, if there is one.

        Parameters
        ----------
        fresh
            Paths that a scan has just found changed.
        hints
            Paths that events told of since the last call; an empty one tells of everything.
        """
        everything = "" in hints
        unheard = [] if everything else [path for path in fresh if path not in hints]
        late = ""
        for path, since in [*self._since.items()]:
            if everything or path in hints:
                del self._since[path]
            elif now - since > LATE_SECONDS:
                late = path
                del self._since[path]
        for path in unheard:
            self._since.setdefault(path, now)
        return bool(unheard), late
