"""What a shell executes, as its events tell: enough to know when it is idle, not to hold anything back."""

from __future__ import annotations

import collections
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Cells:
    """Counts the cells that run, in any thread.

    Parameters
    ----------
    shell
        Any IPython.
    on_end
        Called when a cell has ended, in its thread and before its reply is sent.
    """

    def __init__(self, shell: InteractiveShell, *, on_end: Callable[[], None]) -> None:
        self._shell = shell
        self._on_end = on_end
        self._executing: collections.Counter[int] = collections.Counter()
        self.ended = float("-inf")
        if _in_a_cell():  # whose end is told, but whose start was not
            self._executing[threading.get_ident()] = 1
        shell.events.register("pre_execute", self._note_start)
        shell.events.register("post_execute", self._note_end)

    @property
    def running(self) -> int:
        """How many run."""
        return len(self._executing)

    def describe(self) -> str:
        """Say what runs, or nothing."""
        return f"cell {self._shell.execution_count}" if self._executing else ""

    def _note_start(self) -> None:
        self._executing[threading.get_ident()] += 1  # a cell may run another

    def _note_end(self) -> None:
        thread = threading.get_ident()
        self._executing[thread] -= 1
        if self._executing[thread] <= 0:  # below: an empty cell ends without having begun
            del self._executing[thread]
        self.ended = time.monotonic()
        self._on_end()

    def close(self) -> None:
        """Leave nothing behind in the shell."""
        self._shell.events.unregister("pre_execute", self._note_start)
        self._shell.events.unregister("post_execute", self._note_end)


def _in_a_cell() -> bool:
    """Return whether this thread is executing a cell, by ``InteractiveShell.run_cell_async`` on its stack."""
    frame = sys._getframe()  # noqa: SLF001  # public but for its name
    while frame.f_code.co_name != "run_cell_async":
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return True
