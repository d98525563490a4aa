"""Files that were finished more than once in a while: they may have been changed and put back, and read in between."""

from __future__ import annotations

from collections.abc import Container

from ipy_autorestart.decide.change import Change, Hint, Progress
from ipy_autorestart.decide.events import Touched

#: So many files are told apart; a checkout changes thousands.
FILES_MAX = 1000

#: A file that is put back has been finished so many times since it was as it is.
TIMES = 2

#: Seconds by which the hint of a file that was put back may come late, on a busy machine.
LATE_MAX = 1.0


class TouchedFiles:
    """Counts what hints say; one save of a file finishes it once, unless it is moved away for a moment."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[float, int]] = {}

    def note(self, hint: Hint, now: float) -> None:
        """Note a hint that came now."""
        if hint.path in self._files or len(self._files) < FILES_MAX:
            since, times = self._files.get(hint.path, (now, 0))
            self._files[hint.path] = since, times + (hint.progress is Progress.DONE)

    def take(self, now: float) -> dict[str, float]:
        """Return the files that may have been put back since the last call, each with the moment of its first hint.

        Those of which the last hint may be on its way count on.
        """
        files = self._files
        self._files = {path: one for path, one in files.items() if one[1] < TIMES and now < one[0] + LATE_MAX}
        return {path: since for path, (since, times) in files.items() if times >= TIMES}

    def clear(self) -> None:
        """Count anew."""
        self._files = {}


class Questions:
    """What a kernel was asked about such files, and has not answered."""

    def __init__(self) -> None:
        self._count = 0
        self._open: dict[int, Touched] = {}

    @property
    def open(self) -> tuple[Touched, ...]:
        """Those that wait for an answer."""
        return tuple(self._open.values())

    def ask(self, changes: tuple[Change, ...], since: float) -> Touched:
        """Return a question, which is open from now on."""
        self._count += 1
        question = Touched(self._count, changes, since)
        self._open[question.number] = question
        return question

    def close(self, number: int) -> bool:
        """Take an answer; return whether it was waited for."""
        return self._open.pop(number, None) is not None

    def settle(self, told: Container[str]) -> None:
        """Close those for files of which the last kernel was told as it exited: the next goes on from before their use.

        A kernel that has died was told of none.
        """
        self._open = {
            question.number: question
            for question in self.open
            if any(change.path not in told for change in question.changes)
        }
