"""Moments of their import that modules keep, as loguru does for ``{elapsed}``: in a run they are that of its begin.

As in `sitecustomize`, only builtin and low-level modules may be imported here, and they are removed again.
"""

import sys

_there = set(sys.modules)
import time  # noqa: E402

from _ipy_autorestart_names import names_of  # type: ignore[import-not-found]  # noqa: E402  # it lies beside

if "time" not in _there:
    del sys.modules["time"]

if False:  # for type checkers only
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any


def whole_seconds() -> int:
    """Return the time as many take it; whole seconds of the monotonic clock could be any number."""
    return int(time.time())


CLOCKS = (time.time, time.time_ns, time.monotonic, time.monotonic_ns, whole_seconds)


class Moments:
    """Names in modules whose values are moments between the making of this object and `find`."""

    def __init__(self) -> None:
        self._since: list[float] = [clock() for clock in CLOCKS]
        self._found: list[tuple[dict[str, Any], str, Callable[[], object]]] = []

    def find(self, modules: "Iterable[ModuleType]", datetime: "Any" = None) -> None:  # noqa: ANN401  # a module
        """Look for them in these modules, one of which may be `datetime`."""
        spans = [(clock, since, clock()) for clock, since in zip(CLOCKS, self._since)]  # noqa: B905  # as many
        date: Any = getattr(datetime, "datetime", None)
        for module in modules:
            names = names_of(module)
            for name, value in list(names.items()):
                kind: Any = type(value)  # `__class__` would have Django's settings loaded
                now: Callable[[], object] | None = None
                if kind is int or (kind is float and not value.is_integer()):  # else somebody has chosen it
                    for clock, since, until in spans:
                        if since.__class__ is kind and since <= value <= until:
                            now = clock
                elif date is not None and issubclass(kind, date):
                    now = self._date(value)
                if now is not None:
                    self._found.append((names, name, now))

    def _date(self, value: "Any") -> "Callable[[], object] | None":  # noqa: ANN401  # a datetime, or of a class of its own
        try:
            moment = value.timestamp()
        except (OverflowError, ValueError, OSError):  # of the year 1
            return None
        kind, zone = type(value), value.tzinfo
        is_now = self._since[0] <= moment <= time.time()
        return (lambda: kind.fromtimestamp(time.time(), zone)) if is_now else None

    def renew(self) -> None:
        """Let them be now."""
        for names, name, now in self._found:
            names[name] = now()
