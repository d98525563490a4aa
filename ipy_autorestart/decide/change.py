"""Facts from the watch room: hints, and the differences that a look at the files has found."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Kind(enum.StrEnum):
    """The kinds of change, against the content that the target runs with."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One filtered fact about a path."""

    path: str
    kind: Kind


class Progress(enum.Enum):
    """The progress of the write that a hint announces."""

    DONE = "done"  # closed after writing, moved, deleted: the content is complete
    WRITING = "writing"  # created or modified, not closed yet
    UNKNOWN = "unknown"  # a folder came or went, or events were lost: look at everything


@dataclass(frozen=True, slots=True)
class Hint:
    """The observer's word that something may have changed; ``path`` is empty when it can't say what."""

    path: str
    progress: Progress


class Unfinished(enum.Enum):
    """The reasons to think that a change is not complete."""

    EMPTIED = "emptied"  # a file lost all its content: a write in progress
    VANISHED = "vanished"  # a tracked file has just gone: an editor's rename in progress
    GIT = "git"  # .git/index.lock exists
    BUILDING = "building"  # compiled code is gone or not written to its end: a build in progress


@dataclass(frozen=True, slots=True)
class Broken:
    """A saved syntax error; ``line`` and ``column`` count from 1, ``text`` is the line itself."""

    path: str
    message: str
    line: int = 0
    column: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The differences from the content that the target runs with."""

    changes: tuple[Change, ...] = ()  # what asks for a restart
    alike: tuple[str, ...] = ()  # paths whose bytes differ while their code is the same
    broken: tuple[Broken, ...] = ()  # files that can't be compiled; what runs keeps running
    unused: tuple[Change, ...] = ()  # what the target's last successful run had no use for
    written: tuple[str, ...] = ()  # paths that differ because the target wrote them itself
    unfinished: frozenset[Unfinished] = frozenset()  # reasons to look again before acting
    unannounced: bool = False  # a change was found that no hint had announced
    polling: bool = False  # some changes are found by scans alone
    notes: tuple[str, ...] = ()  # sentences for the status: limits met, folders that can't be read
    rescan: float = 1.0  # seconds after which a look without any hint is due
    put_back: tuple[Change, ...] = field(default=(), compare=False)  # written since the start, and as it was then
    age: float = field(default=0.0, compare=False)  # seconds since the latest of the changes was made
