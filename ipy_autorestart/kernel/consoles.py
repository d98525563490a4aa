"""Tells front ends that only print, line by line, from those that show cells.

It relies, in ``ipykernel`` 6.29 to 7, on ``Kernel.shell_handlers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KIND = "is_complete_request"


class Consoles:
    """The sessions that ask whether code is complete, as `jupyter console` does at the end of each line.

    JupyterLab's console does so, too, but its cells have ids, and it updates what they show.
    """

    def __init__(self, kernel: Any) -> None:
        self._sessions: set[str] = set()
        self._handlers: dict[str, Any] = getattr(kernel, "shell_handlers", {})
        self._original = self._handlers.get(KIND)
        if self._original is not None:
            self._handlers[KIND] = self._hear

    def _hear(self, *args: Any) -> Any:
        self._sessions.add(args[-1].get("header", {}).get("session", ""))
        assert self._original
        return self._original(*args)

    def has_sent(self, request: Mapping[str, Any]) -> bool:
        """Return whether a request is from one of them."""
        is_of_cell = "cellId" in request.get("metadata", {})
        return request.get("header", {}).get("session") in self._sessions and not is_of_cell

    def close(self) -> None:
        """Listen no more."""
        if self._handlers.get(KIND) == self._hear:
            self._handlers[KIND] = self._original
