"""Turn watchdog's events into the paths that the user knows, and hear of its troubles."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any, Protocol

from watchdog import events

from ipy_autorestart.decide.change import Progress
from ipy_autorestart.watch.plan import Spot

_log = logging.getLogger(__name__)


class Tell(Protocol):
    """Gets what may have changed."""

    def __call__(self, path: str, progress: Progress, *, folder: bool) -> None:
        """Take a path (empty: anything), how far the act has got, and whether the path may be a folder."""


# Only Linux says when a file is closed; elsewhere how far a write has got is not known.
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
    """Turn one spot's events into the paths that the user knows.

    It runs in a thread of watchdog's: an exception would end it, and reading would feed it.

    Attributes
    ----------
    spot
        What is watched.
    gone
        Whether the folder was deleted. The emitter ends then, if not at once, and a new folder in its place
        may get the same inode.
    """

    def __init__(self, spot: Spot, tell: Tell) -> None:
        self.spot = spot
        self.gone = False
        self._tell = tell
        self._appeared = "\0"

    def dispatch(self, event: events.FileSystemEvent) -> None:
        """Pass on both ends of an event; each counts or doesn't by itself."""
        try:
            progress = _PROGRESS.get(type(event), Progress.UNKNOWN)
            for path in (os.fsdecode(event.src_path), os.fsdecode(event.dest_path)):
                if path:
                    self._pass_on(event, path, progress)
        except Exception:  # noqa: BLE001 - it would end the observer's thread, and all watching with it
            _log.exception("an event was lost: %r", event)

    def _pass_on(self, event: events.FileSystemEvent, path: str, progress: Progress) -> None:
        folder = event.is_directory
        if folder:
            if not path.startswith(self._appeared):
                self._appeared = path + "/"
        elif isinstance(event, events.FileCreatedEvent | events.FileMovedEvent):
            # A symlink to a folder comes as a file; and the file in a new folder may be long closed.
            folder = "." not in os.path.basename(path)
            if path.startswith(self._appeared):
                progress = Progress.UNKNOWN
        spot = self.spot
        for real, shown in spot.names:
            if path == real:
                self._tell(shown, progress, folder=folder)
        if path == spot.real and isinstance(event, events.DirDeletedEvent):
            self.gone = True
        if spot.shown and path == spot.real:
            self._tell(spot.shown, progress, folder=folder)
        elif spot.shown:
            self._tell(spot.shown + path[len(spot.real) :], progress, folder=folder)


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
