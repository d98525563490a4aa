"""What watchdog says of its own troubles, if anything: events that were lost, threads that died."""

from __future__ import annotations

import logging
import threading
from typing import Any

from ipy_autorestart.decide.change import Progress
from ipy_autorestart.watch.handler import Tell

log = logging.getLogger(__name__)


class Deaths:
    """Hear of watchdog's threads that an exception has ended; it tells nobody, and goes on deaf.

    Attributes
    ----------
    heard
        Whether there was one since the start.
    """

    def __init__(self, tell: Tell) -> None:
        self.heard = False
        self._say = tell
        self._before = threading.excepthook

    def start(self) -> None:
        """Listen, for deaths from now on."""
        self.heard = False
        if threading.excepthook != self._hear:
            self._before, threading.excepthook = threading.excepthook, self._hear

    def stop(self) -> None:
        """Listen no more."""
        if threading.excepthook == self._hear:
            threading.excepthook = self._before

    def _hear(self, died: threading.ExceptHookArgs) -> None:
        if not type(died.thread).__module__.startswith("watchdog."):
            self._before(died)
            return
        trace = (died.exc_type, died.exc_value or died.exc_type(), died.exc_traceback)
        log.error("a thread of watchdog's died, and is started anew: %s", died.thread, exc_info=trace)
        # What reads (7.x: this thread, 6.0: a part of it) leaves it to itself to close its descriptors.
        reader: Any
        for reader in (died.thread, getattr(died.thread, "_inotify", None)):
            if hasattr(reader, "_is_reading"):
                reader._is_reading = False  # noqa: SLF001  # no public name says that nobody reads any more
        self.heard = True
        self._say("", Progress.UNKNOWN, folder=True)


class Overflow(logging.Handler):
    """Hear of lost events, which watchdog 7 tells its log alone (and 6 nobody)."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(logging.WARNING)
        self._say = tell

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - whatever it says
        """Ask for a look at everything."""
        self._say("", Progress.UNKNOWN, folder=True)
