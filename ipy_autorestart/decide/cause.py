"""Why a target was restarted, in words."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.decide.words import relative


class Reason(enum.Enum):
    """What asked for a start."""

    FIRST = "started"
    CHANGE = "changed"
    HANGUP = "SIGHUP"
    ASKED = "asked"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Cause:
    """The reason for a start, with the changes it serves."""

    reason: Reason
    changes: tuple[Change, ...] = ()

    def describe(self, folder: str) -> str:
        """Say it in a few words, with paths relative to ``folder`` where they lie below it.

        Examples
        --------
        ``"src/a.py changed"``, ``"src/a.py and 2 more changed"``, ``"src/a.py deleted"``, ``"SIGHUP received"``.
        """
        match self.reason:
            case Reason.FIRST:
                return "first run"
            case Reason.HANGUP:
                return "SIGHUP received"
            case Reason.ASKED:
                return "asked by hand"
            case Reason.ENDED:
                return "it had ended"
            case Reason.CHANGE:
                first, *more = self.changes
                verb = {Kind.ADDED: "added", Kind.MODIFIED: "changed", Kind.DELETED: "deleted"}[first.kind]
                name = relative(first.path, folder)
                return f"{name} and {len(more)} more changed" if more else f"{name} {verb}"
