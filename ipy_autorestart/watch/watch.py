"""The watch room's door: what differs now from the content that the target runs with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from ipy_autorestart.decide.change import Change, Found, Hint, Kind, Progress

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

IGNORED = {".git", ".venv", "venv", "node_modules", "__pycache__", ".ipynb_checkpoints"}


class Watch:
    """Plain first version: every event is a hint, a look hashes every Python file."""

    def __init__(self, roots: Sequence[str], *, named: Sequence[str] = (), on_hint: Callable[[Hint], None]) -> None:
        self._roots = roots
        self._named = named
        self._on_hint = on_hint
        self._baseline: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        from watchdog import events
        from watchdog.observers import Observer

        on_hint = self._on_hint

        class Handler(events.FileSystemEventHandler):
            def dispatch(self, event: events.FileSystemEvent) -> None:
                done = event.event_type in ("closed", "moved", "deleted")
                for path in (event.src_path, event.dest_path):
                    name = os.fsdecode(path)
                    if name.endswith(".py"):
                        on_hint(Hint(name, Progress.DONE if done else Progress.WRITING))

        wanted = [
            events.FileCreatedEvent,
            events.FileModifiedEvent,
            events.FileMovedEvent,
            events.FileDeletedEvent,
            events.FileClosedEvent,
            events.DirCreatedEvent,
            events.DirMovedEvent,
            events.DirDeletedEvent,
        ]
        self.look()
        self.commit()
        self._observer = Observer()
        for root in {path if os.path.isdir(path) else os.path.dirname(path) for path in (*self._roots, *self._named)}:
            self._observer.schedule(Handler(), root, recursive=True, event_filter=wanted)
        self._observer.start()

    def stop(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def look(self) -> Found:
        self._seen = {path: digest for path in self._paths() if (digest := _digest(path))}
        changes = [
            Change(path, Kind.MODIFIED if path in self._baseline else Kind.ADDED)
            for path, digest in self._seen.items()
            if self._baseline.get(path) != digest
        ]
        changes += [Change(path, Kind.DELETED) for path in self._baseline if path not in self._seen]
        return Found(tuple(changes))

    def commit(self) -> None:
        self._baseline = self._seen

    def _paths(self) -> Iterator[str]:
        yield from self._named
        for root in self._roots:
            for folder, folders, names in os.walk(root):
                folders[:] = [name for name in folders if name not in IGNORED]
                yield from (os.path.join(folder, name) for name in names if name.endswith(".py"))


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.blake2b(file.read()).hexdigest()
    except OSError:
        return ""
