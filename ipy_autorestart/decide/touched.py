"""Files that were finished more than once in a while: they may have been changed and put back, and read in between."""

from __future__ import annotations

from ipy_autorestart.decide.change import Hint, Progress

#: So many files are told apart; a checkout changes thousands.
FILES_MAX = 1000

#: A file that is put back has been finished so many times since it was as it is.
TIMES = 2


class TouchedFiles:
    """Counts what hints say; one save of a file finishes it once, unless it is moved away for a moment."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[float, int]] = {}

    def note(self, hint: Hint, now: float) -> None:
        """Note a hint that came now."""
        if hint.path in self._files or len(self._files) < FILES_MAX:
            since, times = self._files.get(hint.path, (now, 0))
            self._files[hint.path] = since, times + (hint.progress is Progress.DONE)

    def take(self) -> dict[str, float]:
        """Return the files that may have been put back since the last call, each with the moment of its first hint."""
        files, self._files = self._files, {}
        return {path: since for path, (since, times) in files.items() if times >= TIMES}
