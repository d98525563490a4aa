"""watchdog's own observer: made for the system, hurried, and ended whatever state it is in.

Importing this module imports ``watchdog.observers``, whose value depends on the platform.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import watchdog.observers

from ipy_autorestart.watch.handler import EVENTS, Handler
from ipy_autorestart.watch.limits import inotify_descriptors

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

# So long a dead observer's threads may take to end: one that died with a lock in its hands keeps the others.
_END_SECONDS = 2.0

# watchdog holds a file that left a folder back for 0.5 s, in case it turns up elsewhere, with all that comes
# after it: also half of a rename that it read too early. A pair that is missed costs nothing here, since each
# end of a move is judged on its own.
_PAIRING_SECONDS = 0.005
PAIRING = (
    ("watchdog.observers.inotify_move_event_grouper", "InotifyMoveEventGrouper"),  # 7.x
    ("watchdog.observers.inotify_buffer", "InotifyBuffer"),  # 6.0
)


def at_once(handler: Handler) -> Callable[[FileSystemEvent], None]:
    """Return what hands an event over in the emitter's own thread.

    The queue to the observer's thread, which only calls the handler, takes a third of a millisecond. What was queued
    before still comes that way.
    """
    wanted = tuple(EVENTS)

    def queue_event(event: FileSystemEvent) -> None:
        if isinstance(event, wanted):
            handler.dispatch(event)

    return queue_event


def end(native: BaseObserver) -> None:
    """End its threads, as far as they let themselves be ended; what is left sends nothing and costs no time."""

    def act() -> None:
        native.stop()
        if native.ident is not None:
            native.join()

    ending = threading.Thread(target=act, name="ipy-autorestart-end", daemon=True)
    ending.start()
    ending.join(_END_SECONDS)


def native_observer() -> BaseObserver:
    """Make the system's own observer, which on Linux tells files that moved in from those just created."""
    observer = watchdog.observers.Observer
    if not sys.platform.startswith("linux"):
        return observer()
    from watchdog.observers.inotify import InotifyObserver

    return InotifyObserver(generate_full_events=True)


@contextlib.contextmanager
def nothing_left_open() -> Iterator[None]:
    """Close the inotify instances that watchdog forgets when it fails: they would keep the user's watches."""
    before = inotify_descriptors()
    try:
        yield
    except (OSError, RuntimeError):
        for descriptor in inotify_descriptors() - before:
            os.close(descriptor)
        raise


@contextlib.contextmanager
def quick_pairing() -> Iterator[None]:
    """Have emitters that start meanwhile wait less for the other half of a move."""
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
