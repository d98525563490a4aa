"""Run watchdog's observer over a plan, and pass on its events.

Importing this module imports ``watchdog.observers``, which takes 40 ms: import it where it is needed. All names used
but one (see `Deaths`) are public, in 6.0 as in 7.1. Known mistakes of a version are made up for here if that is
possible, and by the snapshot if not.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

import watchdog.observers
from watchdog.version import VERSION_MAJOR

from ipy_autorestart import catalogue
from ipy_autorestart.decide.filters import is_below
from ipy_autorestart.watch.events import EVENTS, Deaths, Handler, Overflow
from ipy_autorestart.watch.filesystem import explain_limit, inotify_fds, watched_inodes
from ipy_autorestart.watch.plan import Anchor, Notice, Plan, Spot, plan
from ipy_autorestart.watch.tree import Tree

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

#: Each spot takes a thread; with watchdog 6 two, and one of a user's 128 inotify instances.
MOST_SPOTS = 64 if VERSION_MAJOR < 7 else 256

#: Delays of watchdog that `_quick_pairing` shortens: module and class.
PAIRING = (
    ("watchdog.observers.inotify_move_event_grouper", "InotifyMoveEventGrouper"),  # 7.x
    ("watchdog.observers.inotify_buffer", "InotifyBuffer"),  # 6.0
)
_PAIRING_SECONDS = 0.005

# Time for watchdog to add a watch for a folder that a scan has found.
_CHECK_SECONDS = 0.5

# An observer that keeps dying is started again after so long; until then there are scans.
_APART_SECONDS = 1.0

# Time for a dead observer's threads to end: one that died holding a lock blocks the others.
_END_SECONDS = 2.0


class Observer:
    """Watchdog's threads, following one plan after the other.

    Attributes
    ----------
    few_spots
        Up to so many folders may have a spot each, even if fewer spots would do.
    notes
        Sentences on the limits that were met.
    wanted
        The plan that `keep_up` follows.
    """

    few_spots = 4 if VERSION_MAJOR < 7 else 16

    def __init__(self, notice: Notice) -> None:
        self.notes: list[str] = []
        self._notice = notice
        self._native: BaseObserver | None = None
        self._plan: Plan | None = None
        self.wanted = Plan()
        self._anchors: tuple[Anchor, ...] = ()
        self._scheduled: dict[tuple[str, bool], tuple[ObservedWatch, Handler]] = {}
        self._check_at = 0.0
        self._start_at = self._again_at = float("-inf")
        self._overflow = Overflow(notice)
        self._deaths = Deaths(notice)

    @property
    def complete(self) -> bool:
        """Whether every folder of the plan sends events."""
        return self._native is not None and not self.notes

    def follow(self, plan: Plan, now: float) -> bool:
        """Watch the folders of a plan, and watch again what has died or was left out.

        Returns whether a watch was added, so that a change may have come before it.
        """
        # Before the deaths: unscheduling an emitter that an exception has ended could block.
        emitters = self._native.emitters if self._native is not None else ()
        alive = {emitter.watch for emitter in emitters if emitter.is_alive()}
        if self._native is not None and (self._deaths.seen or not self._native.is_alive()):
            self.stop()
            # At once the first time, and then never sooner than so long after the time before.
            self._start_at, self._again_at = self._again_at, max(now, self._again_at) + _APART_SECONDS
        if self._native is None:
            if now < self._start_at:
                return False
            if plan == self._plan or not self._start(plan):
                self._plan = plan  # what a limit forbids is tried again for another plan only
                return False
        lost = self._lost(plan, alive)
        for key in lost:
            self._unschedule(key)
        if plan != self._plan or lost:
            first = self._plan is None
            self._plan, self.notes = plan, []
            self._check_at = now if first else now + _CHECK_SECONDS
            if self._add(plan):
                return True
        if now < self._check_at:
            return False
        self._check_at = float("inf")
        return self._find_unwatched(plan)

    def enter(self, path: str, real: str) -> None:
        """Do nothing before a folder is listed: `keep_up` plans for all."""

    def keep_up(self, tree: Tree, anchors: tuple[Anchor, ...], now: float) -> bool:
        """Follow the plan for a tree after a walk; return what `follow` does."""
        tree.gone.clear()
        if tree.moved or anchors != self._anchors:
            self._anchors, self.wanted = anchors, plan(tree.folders, anchors, few=self.few_spots)
        return self.follow(self.wanted, now)

    def start(self) -> bool:
        """Do nothing yet; return whether there is nothing against watching."""
        return True

    def _lost(self, plan: Plan, alive: Container[ObservedWatch]) -> list[tuple[str, bool]]:
        """Return the spots that send no events any more: the folder is gone, or another one, or the emitter ended."""
        now = {(spot.real, spot.recursive): spot.identity for spot in plan.spots}
        return [
            key
            for key, (watch, handler) in self._scheduled.items()
            if handler.gone or watch not in alive or now.get(key, handler.spot.identity) != handler.spot.identity
        ]

    def stop(self) -> None:
        """End all threads and close all descriptors; the next `follow` starts again."""
        logging.getLogger("watchdog.observers").removeHandler(self._overflow)
        self._deaths.stop()
        native, self._native, self._plan = self._native, None, None
        self._scheduled.clear()
        if native is None:
            return

        def end() -> None:
            native.stop()
            if native.ident is not None:
                native.join()

        # A thread that doesn't end in time receives nothing any more and costs no time.
        ending = threading.Thread(target=end, name="ipy-autorestart-end", daemon=True)
        ending.start()
        ending.join(_END_SECONDS)

    def _start(self, plan: Plan) -> bool:
        # watchdog 7.1 warns of nested mkdir with a repr of its whole state, megabytes on stderr.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        logging.getLogger("watchdog.observers").addHandler(self._overflow)
        self._deaths.start()
        try:
            with _nothing_left_open():
                if sys.platform.startswith("linux"):
                    from watchdog.observers.inotify import InotifyObserver

                    # Told to, it tells files that were moved in from those just created.
                    self._native = InotifyObserver(generate_full_events=True)
                else:
                    self._native = watchdog.observers.Observer()
            self._native.name = "ipy-autorestart-observer"
            self._native.start()
        except (OSError, RuntimeError) as error:  # no descriptors, no threads
            self.stop()
            self.notes = [explain_limit(error, watched=0, wanted=len(plan.folders))]
            return False
        return True

    def _add(self, plan: Plan) -> bool:
        added = False
        over = {*self._scheduled} - {(spot.real, spot.recursive) for spot in plan.spots}
        for spot in plan.spots:
            key = (spot.real, spot.recursive)
            if key in self._scheduled:
                self._scheduled[key][1].spot = spot  # its names may have changed
            elif len(self._scheduled) - len(over) >= MOST_SPOTS:
                more = len(plan.spots) - MOST_SPOTS
                self.notes = [catalogue.MANY_FOLDERS(count=more, most=MOST_SPOTS)]
            elif not self.notes:  # after one has met a limit, the rest would too
                added |= self._schedule(spot, plan)
        # Old spots go last, so that no folder is unwatched in between.
        for key in over:
            self._unschedule(key)
        return added

    def _schedule(self, spot: Spot, plan: Plan) -> bool:
        assert self._native is not None
        handler = Handler(spot, self._notice)
        try:
            with _quick_pairing(), _nothing_left_open():
                watch = self._native.schedule(handler, spot.real, recursive=spot.recursive, event_filter=EVENTS)
        except (FileNotFoundError, NotADirectoryError):
            return False  # gone since the walk; the next one leads to another plan
        except (OSError, RuntimeError) as error:
            self._limited(error, plan)
            return False
        self._scheduled[spot.real, spot.recursive] = watch, handler
        # Through its queue an event, of which the observer's thread only calls the handler, takes 0.3 ms longer.
        for emitter in self._native.emitters:
            if emitter.watch == watch:
                emitter.queue_event = handler.dispatch  # type: ignore[method-assign]
        return True

    def _unschedule(self, key: tuple[str, bool]) -> None:
        assert self._native is not None
        with contextlib.suppress(KeyError):
            self._native.unschedule(self._scheduled.pop(key)[0])

    def _find_unwatched(self, plan: Plan) -> bool:
        """Find folders that watchdog left out, and watch them again if no limit forbids it.

        7.x says nothing of those that it could not add. 6.0 leaves out folders that were moved in, and both leave out
        folders that were renamed at the wrong moment.
        """
        watched = watched_inodes()
        missing = [real for identity, real in plan.folders.items() if identity[1] not in watched]
        if self.notes or not missing or len(missing) == len(plan.folders):
            return False  # none found: inodes mean something else here (overlays), nothing can be said
        assert self._native is not None
        try:
            # The first folder of a spot is not left out in silence.
            with _nothing_left_open():
                probe = self._native.schedule(Handler(Spot("", (0, 0)), self._notice), missing[0], event_filter=EVENTS)
        except (FileNotFoundError, NotADirectoryError):
            return False  # gone since the walk
        except OSError as error:
            self._limited(error, plan)
            return False
        if probe not in {watch for watch, _ in self._scheduled.values()}:
            self._native.unschedule(probe)
        for (top, recursive), (_, handler) in [*self._scheduled.items()]:
            if recursive and any(is_below(real, top) for real in missing):
                self._unschedule((top, recursive))
                self._schedule(handler.spot, plan)
        return True

    def _limited(self, error: Exception, plan: Plan) -> None:
        found = watched_inodes()
        watched = sum(identity[1] in found for identity in plan.folders)
        self.notes = [explain_limit(error, watched=watched, wanted=len(plan.folders))]


@contextlib.contextmanager
def _nothing_left_open() -> Iterator[None]:
    """Close the inotify instances that watchdog forgets when it fails: they would keep the user's watches."""
    before = inotify_fds()
    try:
        yield
    except (OSError, RuntimeError):
        for fd in inotify_fds() - before:
            os.close(fd)
        raise


@contextlib.contextmanager
def _quick_pairing() -> Iterator[None]:
    """Shorten the wait for the other half of a move, for emitters that start meanwhile.

    watchdog holds a file that left a folder back for 0.5 s, in case it turns up elsewhere, and with it all that comes
    behind, even half of a rename that it read too early. A missed pair costs nothing here: each end of a move is
    judged on its own.
    """
    for module, name in PAIRING:
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
