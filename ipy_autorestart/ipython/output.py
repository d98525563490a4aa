"""The lines of a terminal that programs, cells and statuses share: no status tears a line of the others."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.cells import Cells

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Lines:
    """Writes to the terminal of one shell, from any thread.

    What a cell prints goes past this, so nobody knows whether its line has ended: while one runs, what is to be said is
    kept until its end, and of each speaker the last. At the prompt prompt_toolkit writes above it, in whole lines.

    Parameters
    ----------
    shell
        The running IPython.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell: Any = shell
        self._kept: dict[str, str] = {}
        self._is_open = False
        self._lock = threading.RLock()  # a cell may run another
        self._cells = Cells(shell, on_end=self._say_kept)
        shell.events.register("pre_execute", self._let_end)

    def say(self, speaker: str, line: str) -> None:
        """Write a line as soon as it stands alone."""
        with self._lock:
            self._kept.pop(speaker, None)
            self._kept[speaker] = line
            self._say_kept()

    def write(self, stream: str, text: str) -> None:
        """Write what a program wrote to "stdout" or "stderr", at once."""
        with self._lock:
            if text:
                (sys.stderr if stream == "stderr" else sys.stdout).write(text)
                self._is_open = not text.endswith("\n")

    def close(self) -> None:
        """Say what is kept, and leave nothing behind in the shell."""
        self._shell.events.unregister("pre_execute", self._let_end)
        self._cells.close()
        with self._lock:
            self._say_all()

    def _let_end(self) -> None:
        """Have a cell begin behind the line that another thread is writing."""
        with self._lock:
            pass

    def _say_kept(self) -> None:
        with self._lock:
            if not self._cells.running:
                self._say_all()

    def _say_all(self) -> None:
        for line in self._kept.values():
            begin = "\n" if self._is_open or not self._is_at_prompt else ""
            sys.stderr.write(f"{begin}{line}\n")
            self._is_open = False
        self._kept.clear()

    @property
    def _is_at_prompt(self) -> bool:
        app = getattr(getattr(self._shell, "pt_app", None), "app", None)
        return app is not None and app.is_running
