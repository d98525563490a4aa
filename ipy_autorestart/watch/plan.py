"""Plan the fewest watches that announce every change that counts, and none in an ignored folder.

A folder without ignored folders below it is watched with everything in it. One that holds an ignored folder
is watched alone, and what it holds is planned in turn; in a small tree every folder is. Single names are watched
for in their folder: each root, since nothing inside a root tells that it was made again, each named file, and what
symlinks lead to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ipy_autorestart.watch.tree import Folder, Identity, Tree


@dataclass(frozen=True, slots=True)
class Anchor:
    """A single name to watch for: its real path, how the user knows it, and the folder it lies in."""

    real: str
    shown: str
    folder: Identity


@dataclass(frozen=True, slots=True)
class Spot:
    """One folder to watch.

    Attributes
    ----------
    real
        Where it lies: watches follow no symlinks.
    identity
        Another folder in the same place needs another watch.
    shown
        The path by which the user knows it; empty where only ``names`` in it count.
    names
        Real path and shown path of single names in it.
    """

    real: str
    identity: Identity
    recursive: bool = False
    shown: str = ""
    names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Where to watch; ``folders`` are the real paths of all folders that this covers, by identity."""

    spots: tuple[Spot, ...] = ()
    folders: Mapping[Identity, str] = field(default_factory=dict, repr=False)


def anchors(tree: Tree, named: Iterable[str]) -> tuple[Anchor, ...]:
    """Find where single names lie now; one whose folder is missing is left out until a scan sees it come."""
    found: dict[Anchor, None] = {}
    for path in (*tree.roots, *named):
        beside = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        for real in (beside, os.path.realpath(path)):
            _anchor(found, real, path)
    for link, real in tree.aliases.items():
        _anchor(found, real, link)
    return tuple(found)


def _anchor(found: dict[Anchor, None], real: str, shown: str) -> None:
    folder = os.path.dirname(real)
    try:
        status = os.stat(folder)
    except OSError:
        return
    if folder != real:
        found[Anchor(real, shown, (status.st_dev, status.st_ino))] = None


def plan(folders: Mapping[str, Folder], single: Iterable[Anchor] = (), *, few: int = 0) -> Plan:
    """Plan where to watch.

    Parameters
    ----------
    folders
        Listed folders, parents before children.
    single
        Names to watch for in their folders.
    few
        So many folders are watched one by one: a watch that is for all that is in a folder hears how each start writes
        to its ``__pycache__``, and that costs the start a millisecond where no processor is idle.
    """
    clean = _clean(folders) if len(folders) > few else dict.fromkeys(folders, False)
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
        folder_of, shown_in = os.path.dirname(anchor.real), os.path.dirname(anchor.shown)
        same_name = os.path.basename(anchor.real) == os.path.basename(anchor.shown)
        if same_name and (folder_of, shown_in) in known:
            continue  # its folder is watched anyway, and tells of it by this very path
        spot = spots.get(folder_of) or Spot(folder_of, anchor.folder)
        names = (*spot.names, (anchor.real, anchor.shown))
        spots[folder_of] = Spot(spot.real, spot.identity, spot.recursive, spot.shown, names)
        covered.setdefault(anchor.folder, folder_of)
    return Plan(tuple(spots.values()), covered)


def _clean(folders: Mapping[str, Folder]) -> dict[str, bool]:
    """Which folders can be watched with everything in them."""
    clean: dict[str, bool] = {}
    for path in reversed([*folders]):
        folder = folders[path]
        clean[path] = (
            not folder.hides
            and folder.readable
            and not folder.environment
            and all(clean.get(child, True) for child in folder.folders)
        )
    return clean
