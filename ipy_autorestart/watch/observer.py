"""Run watchdog's observer over a plan, and pass on what it says.

Importing this module imports ``watchdog.observers``, which takes 40 ms: import it where it is needed. Only
watchdog's public names are used, on 6.0 as on 7.1. What a version is known to get wrong is made up for here
where it can be, and by the snapshot where it can't.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import watchdog.events as events
import watchdog.observers
from watchdog.version import VERSION_MAJOR

from ipy_autorestart.decide.change import Progress
from ipy_autorestart.watch.limits import sentence
from ipy_autorestart.watch.plan import Plan, Spot

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch


class Tell(Protocol):
    """Gets what may have changed."""

    def __call__(self, path: str, progress: Progress, *, folder: bool) -> None:
        """Take a path (empty: anything), how far the act has got, and whether the path may be a folder."""


_log = logging.getLogger(__name__)

# One list for every spot: two filters on one folder overwrite each other's kernel mask (7.x). Opening is left
# out so that the kernel never queues it; without the moves and folders, atomic saves would be lost.
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

#: Each spot takes a thread; on watchdog 6 two, and one of the 128 inotify instances a user has by default.
MOST_SPOTS = 64 if VERSION_MAJOR < 7 else 256

# watchdog holds a file that left a folder back for 0.5 s, in case it turns up elsewhere, with all that comes
# after it: also half of a rename that it read too early. A pair that is missed costs nothing here, since each end
# of a move is judged on its own.
_PAIRING_SECONDS = 0.005
_PAIRING = (
    ("watchdog.observers.inotify_move_event_grouper", "InotifyMoveEventGrouper"),  # 7.x
    ("watchdog.observers.inotify_buffer", "InotifyBuffer"),  # 6.0
)


@dataclass(slots=True)
class _Scheduled:
    """A spot that is watched; ``handler`` knows the spot's names, which may change while it is."""

    spot: Spot
    watch: ObservedWatch
    handler: Handler


class Observer:
    """Watchdog's threads, following one plan after the other.

    Attributes
    ----------
    notes
        Which limits were met, in sentences.
    """

    def __init__(self, tell: Tell) -> None:
        self.notes: list[str] = []
        self._tell = tell
        self._native: BaseObserver | None = None
        self._plan: Plan | None = None
        self._scheduled: dict[tuple[str, bool], _Scheduled] = {}
        self._overflow = _Overflow(tell)

    @property
    def complete(self) -> bool:
        """Whether every folder of the plan sends events."""
        return self._native is not None and not self.notes

    def follow(self, plan: Plan) -> bool:
        """Watch what the plan says, and again what has died.

        Returns
        -------
        bool
            Whether a watch was added, so that a change may have come before it.
        """
        if self._native is not None and not self._native.is_alive():
            self.stop()
        if self._native is None and (plan == self._plan or not self._start(plan)):
            self._plan = plan  # what a limit forbids is tried again with another plan only
            return False
        lost = self._drop(plan)
        if plan == self._plan and not lost:
            return False
        self._plan, self.notes = plan, []
        added = self._add(plan)
        self._find_unwatched(plan)
        return added

    def stop(self) -> None:
        """End all threads and close all descriptors; the next `follow` starts anew."""
        logging.getLogger("watchdog.observers").removeHandler(self._overflow)
        native, self._native = self._native, None
        self._scheduled.clear()
        self._plan = None
        if native is not None:
            native.stop()
            if native.ident is not None:
                native.join()

    def _start(self, plan: Plan) -> bool:
        # watchdog 7.1 warns of nested mkdir with a repr of its whole state, megabytes on stderr.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        logging.getLogger("watchdog.observers").addHandler(self._overflow)
        try:
            self._native = _native()
            self._native.name = "ipy-autorestart-observer"
            self._native.start()
        except (OSError, RuntimeError) as error:  # no descriptors, no threads
            self.stop()
            self.notes = [sentence(error, watched=0, wanted=len(plan.folders))]
            return False
        return True

    def _drop(self, plan: Plan) -> bool:
        """Give up spots that died or lie in another folder now; say whether there were any."""
        assert self._native is not None
        alive = {emitter.watch for emitter in self._native.emitters if emitter.is_alive()}
        wanted = {(spot.real, spot.recursive): spot.identity for spot in plan.spots}
        lost = [
            key
            for key, scheduled in self._scheduled.items()
            if scheduled.watch not in alive
            or wanted.get(key, scheduled.spot.identity) != scheduled.spot.identity
        ]
        for key in lost:
            self._unschedule(key)
        return bool(lost)

    def _add(self, plan: Plan) -> bool:
        added = False
        over = {*self._scheduled} - {(spot.real, spot.recursive) for spot in plan.spots}
        for spot in plan.spots:
            key = (spot.real, spot.recursive)
            scheduled = self._scheduled.get(key)
            if scheduled is not None:
                scheduled.spot = scheduled.handler.spot = spot
            elif len(self._scheduled) - len(over) < MOST_SPOTS:
                added |= self._schedule(spot, plan)
            else:
                self.notes = [
                    f"{len(plan.spots) - MOST_SPOTS} folders beyond {MOST_SPOTS} are checked at intervals"
                ]
        # What is no longer wanted goes last, so that nothing is blind in between.
        for key in over:
            self._unschedule(key)
        return added

    def _schedule(self, spot: Spot, plan: Plan) -> bool:
        assert self._native is not None
        handler = Handler(spot, self._tell)
        try:
            with _quick_pairing():
                watch = self._native.schedule(
                    handler, spot.real, recursive=spot.recursive, event_filter=[*_PROGRESS]
                )
        except (FileNotFoundError, NotADirectoryError):
            return False  # gone since the walk; the next one leads to another plan
        except (OSError, RuntimeError) as error:
            self._limited(error, plan)
            return False
        self._scheduled[spot.real, spot.recursive] = _Scheduled(spot, watch, handler)
        return True

    def _unschedule(self, key: tuple[str, bool]) -> None:
        assert self._native is not None
        with contextlib.suppress(KeyError):
            self._native.unschedule(self._scheduled.pop(key).watch)

    def _find_unwatched(self, plan: Plan) -> None:
        """Notice the watches that watchdog 7 could not add and says nothing about."""
        if self.notes or self._native is None:
            return
        watched = _watched_inodes()
        missing = [real for identity, real in plan.folders.items() if identity[1] not in watched]
        if not watched or not missing:
            return
        probe = Handler(Spot(missing[0], (0, 0)), self._tell)
        try:
            # A folder that comes first in its spot is not passed over in silence.
            watch = self._native.schedule(probe, missing[0], event_filter=[*_PROGRESS])
        except OSError as error:
            self._limited(error, plan, watched=len(plan.folders) - len(missing))
        else:
            if watch not in {scheduled.watch for scheduled in self._scheduled.values()}:
                self._native.unschedule(watch)

    def _limited(self, error: Exception, plan: Plan, *, watched: int | None = None) -> None:
        if watched is None:
            found = _watched_inodes()
            watched = sum(identity[1] in found for identity in plan.folders)
        self.notes = [sentence(error, watched=watched, wanted=len(plan.folders))]


class Handler(events.FileSystemEventHandler):
    """Turn one spot's events into the paths that the user knows.

    It runs under the observer's lock, in its thread: an exception would end it, and reading would feed it.
    """

    def __init__(self, spot: Spot, tell: Tell) -> None:
        self.spot = spot
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
        if spot.shown and path == spot.real:
            self._tell(spot.shown, progress, folder=folder)
        elif spot.shown:
            self._tell(spot.shown + path[len(spot.real) :], progress, folder=folder)


class _Overflow(logging.Handler):
    """Hear of lost events, which watchdog 7 tells its log alone (and 6 nobody)."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(logging.WARNING)
        self._say = tell

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - whatever it says
        """Ask for a look at everything."""
        self._say("", Progress.UNKNOWN, folder=True)


def _native() -> BaseObserver:
    """Make the system's own observer, which on Linux tells files that moved in from those just created."""
    observer = watchdog.observers.Observer
    if not sys.platform.startswith("linux"):
        return observer()
    from watchdog.observers.inotify import InotifyObserver

    return InotifyObserver(generate_full_events=True)


@contextlib.contextmanager
def _quick_pairing() -> Iterator[None]:
    """Have emitters that start meanwhile wait less for the other half of a move."""
    for module, name in _PAIRING:
        try:
            pairing = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
        before = pairing.delay
        pairing.delay = _PAIRING_SECONDS
        try:
            yield
        finally:
            pairing.delay = before
        return
    yield


def _watched_inodes() -> set[int]:
    """Inodes that this process watches, by proc_pid_fdinfo(5); empty where that can't be had."""
    found: set[int] = set()
    try:
        for descriptor in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{descriptor}") == "anon_inode:inotify":
                    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:
                        found.update(
                            int(line.split()[2][4:], 16) for line in lines if line.startswith("inotify ")
                        )
    except OSError:
        return set()
    return found
