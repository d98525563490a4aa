"""What the observer's thread hears, kept until a look takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from ipy_autorestart.decide.change import Hint, Progress
from ipy_autorestart.decide.filters import Filter, is_below

#: So many of the files that didn't count are remembered until they are asked for.
PASSED_OVER_MAX = 20


class Hints:
    """Takes events as they come, and keeps of them what may count.

    Parameters
    ----------
    roots, named
        As for `Watch`.
    filter
        What counts below the roots.
    on_hint
        Called in the observer's thread for each hint; must be quick and must not raise.

    Attributes
    ----------
    wanted
        Files that count whatever the filter says.
    folders
        Those whose events tell that anything in them may have changed.
    """

    def __init__(
        self,
        roots: Sequence[str],
        named: Sequence[str],
        filter: Filter,  # noqa: A002 - the glossary's word
        on_hint: Callable[[Hint], None],
    ) -> None:
        self.wanted = frozenset((*roots, *named))
        self.folders = frozenset(roots)
        self._roots = roots
        self._filter = filter
        self._on_hint = on_hint
        self._hints: deque[Hint] = deque()
        self._passed_over: deque[str] = deque(maxlen=PASSED_OVER_MAX)

    def notice(self, path: str, progress: Progress, *, folder: bool) -> None:
        """Pass on what may count: strings are compared and nothing else, as this runs for every event."""
        if path and path not in self.wanted and path not in self.folders:
            counts = self._filter.enters if folder else self._filter.counts
            if not any(is_below(path, root) and counts(root, path) for root in self._roots):
                if not folder:
                    self._passed_over.append(path)
                return
        if folder or path in self.folders:
            progress = Progress.UNKNOWN
        hint = Hint(path, progress)
        self._hints.append(hint)
        self._on_hint(hint)

    def take(self) -> set[str]:
        """Return the paths of all hints since the last call; an empty one if anything may have changed."""
        heard = set()
        while self._hints:
            hint = self._hints.popleft()
            heard.add(hint.path)
            if hint.progress is Progress.UNKNOWN:
                heard.add("")
        return heard

    def passed_over(self) -> Iterator[tuple[str, str]]:
        """Yield files that changed lately without being looked at, and why."""
        paths = dict.fromkeys(self._passed_over.popleft() for _ in range(len(self._passed_over)))
        for path in paths:
            reasons = [self._filter.why_not(root, path) for root in self._roots if is_below(path, root)]
            if all(reasons) and reasons:
                yield path, reasons[0]
