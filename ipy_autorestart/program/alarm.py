"""Wake the event loop of Qt or Tk: they wait outside of Python, where no handler of a signal is called.

GLib's needs no help, as PyGObject has it wake for signals.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from ipy_autorestart.pristine import Thread

QT = ("PySide6", "PyQt6", "PySide2", "PyQt5")


class Alarm:
    """Wakes the loop in the main thread, if there is one, so that the handlers of signals are called."""

    def __init__(self) -> None:
        self._bell: Any = None  # of Qt; one, for it must not be deleted while it is called

    def ring(self) -> None:
        """Wake it, from another thread; do nothing where there is no loop."""
        for name in QT:
            core: Any = sys.modules.get(f"{name}.QtCore")
            if core is not None and (app := core.QCoreApplication.instance()) is not None:
                self._bell = self._bell or _bell(core, app)
                self._bell.rung.emit()
        root: Any = getattr(sys.modules.get("tkinter"), "_default_root", None)
        if root is not None:
            Thread(lambda: _ring_tk(root))  # which may wait for a long callback


def _bell(core: Any, app: Any) -> Any:
    """Return an object of Qt's whose signal has the application's thread call a method of Python's."""
    signal = getattr(core, "Signal", None) or core.pyqtSignal
    bell = type("Bell", (core.QObject,), {"rung": signal(), "hear": lambda _: None})()
    bell.moveToThread(app.thread())
    bell.rung.connect(bell.hear)
    return bell


def _ring_tk(root: Any) -> None:
    """Have Tk's thread answer a question: it looks for signals after each event."""
    with contextlib.suppress(Exception):  # its loop doesn't run, or it has ended
        root.tk.call("info", "patchlevel")
