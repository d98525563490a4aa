"""Turn watchdog's events into the paths that the user knows."""

from __future__ import annotations

import logging
import os
import sys
from typing import Protocol

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
