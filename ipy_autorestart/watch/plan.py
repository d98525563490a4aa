"""Plan the fewest watches that announce every change that counts, and none in an ignored folder.

A folder without ignored folders below it is watched with everything in it. A folder that holds an ignored one is
watched alone, and its other folders are planned in turn; in a small tree every folder is. Single names are watched in
the folder that holds them: each root, since nothing inside a root tells that it was made again, each named file, and
the targets of symlinks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from ipy_autorestart.decide.change import Progress
from ipy_autorestart.watch.tree import Folder, Identity, Tree


class Notice(Protocol):
    """Receiver of what may have changed; called in an observer's thread."""

    def __call__(self, path: str, progress: Progress, *, folder: bool) -> None:
        """Take a path (empty: anything), how far the act has got, and whether the path may be a folder."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A single name to watch: its real path, its path as the user knows it, and the folder that holds it."""

    real: str
    shown: str
    folder: Identity


@dataclass(frozen=True, slots=True)
class Spot:
    """One folder to watch.

    Attributes
    ----------
    real
        Real path: watches follow no symlinks.
    identity
        Another folder in the same place needs another watch.
    shown
        Path as the user knows it; empty if only ``names`` count.
    names
        Real path and shown path of each single name.
    """

    real: str
    identity: Identity
    recursive: bool = False
    shown: str = ""
    names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The folders to watch; ``folders`` are the real paths of all that they cover, by identity."""

    spots: tuple[Spot, ...] = ()
    folders: Mapping[Identity, str] = field(default_factory=dict, repr=False)


def anchors(tree: Tree, named: Iterable[str]) -> tuple[Anchor, ...]:
    """Find single names where they lie now; one whose folder is missing is left out until a scan finds that folder."""
    places: dict[tuple[str, str], None] = {}
    for path in (*tree.roots, *named):
        beside = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        places[beside, path] = places[os.path.realpath(path), path] = None
    places.update(((real, link), None) for link, real in tree.aliases.items())
    found = []
    for real, shown in places:
        folder = os.path.dirname(real)
        with contextlib.suppress(OSError):
            status = os.stat(folder)
            if folder != real:
                found.append(Anchor(real, shown, (status.st_dev, status.st_ino)))
    return tuple(found)


def plan(folders: Mapping[str, Folder], single: Iterable[Anchor] = (), *, few: int = 0) -> Plan:
    """Plan where to watch.

    Parameters
    ----------
    folders
        Listed folders, parents before children.
    few
        Up to so many folders are watched one by one. A recursive watch would hear each start of the target write to
        ``__pycache__``, which costs that start a millisecond if no processor is idle.
    """
    clean: dict[str, bool] = {}  # whether a folder can be watched with everything in it
    for path, folder in reversed([*folders.items()]):
        clean[path] = (
            len(folders) > few
            and not folder.hides
            and folder.readable
            and not folder.environment
            and all(clean.get(child, True) for child in folder.children())
        )
    spots: dict[str, Spot] = {}
    covered: dict[Identity, str] = {}
    for path, folder in folders.items():
        if folder.environment or not folder.readable:
            continue
        covered[folder.identity] = folder.real
        if folder.top or not clean.get(os.path.dirname(path), False):
            spots[folder.real] = Spot(folder.real, folder.identity, clean[path], path)
    known = {(folder.real, path) for path, folder in folders.items()}
    for anchor in single:
        real_folder, shown_folder = os.path.dirname(anchor.real), os.path.dirname(anchor.shown)
        same_name = os.path.basename(anchor.real) == os.path.basename(anchor.shown)
        if same_name and (real_folder, shown_folder) in known:
            continue  # the watch on its folder announces it by this very path
        spot = spots.get(real_folder) or Spot(real_folder, anchor.folder)
        spots[real_folder] = replace(spot, names=(*spot.names, (anchor.real, anchor.shown)))
        covered.setdefault(anchor.folder, real_folder)
    return Plan(tuple(spots.values()), covered)
