"""The terminal's lines, which programs, cells and statuses share: no status breaks into another's line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.cells import Cells
from ipy_autorestart.ipython.hooks import Hooks
from ipy_autorestart.pristine import RLock

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class ShellLines:
    """Writes to the terminal of one shell, from any thread.

    A cell prints past this, so it isn't known whether its line has ended. While a cell runs, the last line of each
    speaker is kept until its end. At the prompt, prompt_toolkit writes above it, in whole lines.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell: Any = shell
        self._kept: dict[str, str] = {}
        self._is_open = False
        self._lock = RLock()  # a cell may run another
        self._cells = Cells(shell, on_end=self._write_kept_if_idle)
        self._hooks = Hooks(shell, {"pre_execute": self._wait_for_line})

    def say(self, speaker: str, line: str) -> None:
        """Write a line as soon as no other line is open."""
        with self._lock:
            self._kept.pop(speaker, None)
            self._kept[speaker] = line
            self._write_kept_if_idle()

    def write(self, stream: str, text: str) -> None:
        """Write at once what a program wrote to "stdout" or "stderr"."""
        with self._lock:
            if text:
                (sys.stderr if stream == "stderr" else sys.stdout).write(text)
                self._is_open = not text.endswith("\n")

    def close(self) -> None:
        """Write what is kept, and unregister from the shell's events."""
        self._hooks.close()
        self._cells.close()
        with self._lock:
            self._write_kept()

    def _wait_for_line(self) -> None:
        """Wait, before a cell begins, until another thread has written its line."""
        with self._lock:
            pass

    def _write_kept_if_idle(self) -> None:
        with self._lock:
            if not self._cells.running:
                self._write_kept()

    def _write_kept(self) -> None:
        app = getattr(getattr(self._shell, "pt_app", None), "app", None)
        is_at_prompt = app is not None and app.is_running
        for line in self._kept.values():
            begin = "\n" if self._is_open or not is_at_prompt else ""
            sys.stderr.write(f"{begin}{line}\n")
            self._is_open = False
        self._kept.clear()
