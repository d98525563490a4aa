"""Turn watchdog's events into paths as the user knows them, and notice the failures that watchdog keeps to itself."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any

from watchdog import events

from ipy_autorestart.decide.change import Progress
from ipy_autorestart.watch.plan import Notice, Spot

_log = logging.getLogger(__name__)

# Only Linux reports that a file was closed; elsewhere nobody knows how far a write has got.
_WRITING = Progress.WRITING if sys.platform.startswith("linux") else Progress.UNKNOWN
_PROGRESS: dict[type[events.FileSystemEvent], Progress] = {
    events.FileCreatedEvent: _WRITING,
    events.FileModifiedEvent: _WRITING,
    events.FileMovedEvent: Progress.DONE,
    events.FileDeletedEvent: Progress.DONE,
    events.FileClosedEvent: Progress.DONE,
    events.DirCreatedEvent: Progress.UNKNOWN,
    events.DirMovedEvent: Progress.UNKNOWN,
    events.DirDeletedEvent: Progress.UNKNOWN,
}

#: One list for every spot: two filters on one folder overwrite each other's kernel mask (7.x). Opening is
#: left out so that the kernel never queues it; without the moves and folders, atomic saves would be lost.
EVENTS = [*_PROGRESS]


class Handler(events.FileSystemEventHandler):
    """Handler of the events of one spot.

    It runs in a thread of watchdog's: an exception would end that thread, and reading a file would cause more events.

    Attributes
    ----------
    spot
        The folder that is watched.
    gone
        Whether the folder was deleted. Its emitter ends then, though perhaps not at once, and a new folder in its
        place may get the same inode.
    """

    def __init__(self, spot: Spot, notice: Notice) -> None:
        self.spot = spot
        self.gone = False
        self._notice = notice
        self._appeared = "\0"

    def dispatch(self, event: events.FileSystemEvent) -> None:
        """Pass on both ends of an event; each is judged on its own."""
        if not isinstance(event, tuple(_PROGRESS)):
            return
        try:
            for path in filter(None, map(os.fsdecode, (event.src_path, event.dest_path))):
                self._pass_on(event, path)
        except Exception:  # noqa: BLE001 - it would end the observer's thread, and all watching with it
            _log.exception("an event was lost: %r", event)

    def _pass_on(self, event: events.FileSystemEvent, path: str) -> None:
        progress = _PROGRESS.get(type(event), Progress.UNKNOWN)  # of a subclass nothing is known
        folder = event.is_directory
        if folder:
            if not path.startswith(self._appeared):
                self._appeared = path + "/"
        elif isinstance(event, events.FileCreatedEvent | events.FileMovedEvent):
            # A symlink to a folder comes as a file; and a file in a new folder may have been closed long ago.
            folder = "." not in os.path.basename(path)
            if path.startswith(self._appeared):
                progress = Progress.UNKNOWN
        spot = self.spot
        for real, shown in spot.names:
            if path == real:
                self._notice(shown, progress, folder=folder)
        if path == spot.real and isinstance(event, events.DirDeletedEvent):
            self.gone = True
        if spot.shown:
            self._notice(spot.shown + path[len(spot.real) :], progress, folder=folder)


class Deaths:
    """Deaths of watchdog's threads by an exception; watchdog reports them to nobody, and receives no more events.

    Attributes
    ----------
    seen
        Whether there was one since the start.
    """

    def __init__(self, notice: Notice) -> None:
        self.seen = False
        self._notice = notice
        self._previous = threading.excepthook

    def start(self) -> None:
        """Look out for deaths from now on."""
        self.seen = False
        if threading.excepthook != self._handle:
            self._previous, threading.excepthook = threading.excepthook, self._handle

    def stop(self) -> None:
        """Put the previous hook back, unless somebody has set another since."""
        if threading.excepthook == self._handle:
            threading.excepthook = self._previous

    def _handle(self, died: threading.ExceptHookArgs) -> None:
        if not type(died.thread).__module__.startswith("watchdog."):
            self._previous(died)
            return
        trace = (died.exc_type, died.exc_value or died.exc_type(), died.exc_traceback)
        _log.error("a thread of watchdog's died, and is started again: %s", died.thread, exc_info=trace)
        # Closing the descriptors is left to what reads them (7.x: this thread, 6.0: a part of it), even if it is dead.
        reader: Any
        for reader in (died.thread, getattr(died.thread, "_inotify", None)):
            if hasattr(reader, "_is_reading"):
                reader._is_reading = False  # noqa: SLF001 - no public name says that nobody reads any more
        self.seen = True
        self._notice("", Progress.UNKNOWN, folder=True)


class Overflow(logging.Handler):
    """Handler of the log line by which watchdog 7 alone reports lost events (6 reports nothing)."""

    def __init__(self, notice: Notice) -> None:
        super().__init__(logging.WARNING)
        self._notice = notice

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - any warning will do
        """Ask for a look at everything."""
        self._notice("", Progress.UNKNOWN, folder=True)
