"""What runs in the processes of a cluster, which don't have this package: nothing but the standard library.

The text of this file is sent, and becomes a module under `NAME` in each process, which keeps what it knows there.
`manifest` is what `tree.Tree.manifest` returns, and a project is any name for the owner and the roots of a tree.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import os
import platform
import shutil
import stat
import sys
import tempfile
import types
import uuid
from typing import Any

#: As which a process knows this module.
NAME = "_ipy_autorestart_cluster"

#: So many versions of a project stay, besides those that a process uses.
KEPT = 2

#: Where each project is in this process: its version, and what it has on ``sys.path``.
PLACES: dict[str, dict[str, Any]] = {}

#: What a process has imported that others are forked from: names of packages, folders, and the last module.
IMPORTED_AHEAD: dict[str, Any] = {}

Manifest = dict[str, Any]


# -- the folder of copies, one for each user of a machine --------------------------------------------------------------


def store() -> str:
    """Return the folder of copies; raises PermissionError if somebody else could write there."""
    folder = os.path.join(tempfile.gettempdir(), f"ipy_autorestart-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's alone: remove it")
    os.makedirs(os.path.join(folder, "blobs"), 0o700, exist_ok=True)
    return folder


def store_id() -> str:
    """Return a name for the folder of copies, which processes that see another one don't have."""
    path = os.path.join(store(), "id")
    _write(path, uuid.uuid4().hex.encode())
    with open(path, encoding="ascii") as file:
        return file.read()


def _write(path: str, content: bytes) -> None:
    """Write a file that is whole or not there, unless it is."""
    if os.path.exists(path):
        return
    aside = f"{path}.{uuid.uuid4().hex}"
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    with contextlib.suppress(FileExistsError):
        os.link(aside, path)
    os.unlink(aside)


def _copy_of(project: str, version: str) -> str:
    return os.path.join(store(), project, version)


#: In a copy that is none, as the project's own folder is seen here.
SHARED = ".shared"


def has(project: str, manifest: Manifest) -> bool:
    """Whether this machine has the version."""
    return os.path.isdir(_copy_of(project, manifest["version"]))


def missing(project: str, manifest: Manifest) -> list[str]:
    """Return the digests of the contents to send; nothing where the project's own folder is seen here."""
    if has(project, manifest):
        return []
    if all(_is_same(_origin(manifest, path), digest) for path, digest in manifest["files"].items()):
        _make(project, manifest["version"], {SHARED: ""})
        return []
    blobs = os.path.join(store(), "blobs")
    found = sorted({one for one in manifest["files"].values() if not os.path.exists(os.path.join(blobs, one))})
    if not found:
        put(project, manifest, {})
    return found


def put(project: str, manifest: Manifest, contents: dict[str, bytes]) -> None:
    """Make the copy of a version, of contents by their digests and those that were here; removes what is old."""
    blobs = os.path.join(store(), "blobs")
    lock = _lock(blobs, fcntl.LOCK_EX, waits=True)  # or another project's `put` would remove what no copy has yet
    try:
        for digest, content in contents.items():
            _write(os.path.join(blobs, digest), content)
        if not has(project, manifest):
            _make(project, manifest["version"], manifest["files"])
        _collect(project)
    finally:
        os.close(lock)


def contents(project: str, manifest: Manifest) -> dict[str, bytes]:
    """Return all contents by their digests, for a process that has none of them."""
    found = {}
    for path, digest in manifest["files"].items():
        copy = _place(project, manifest, path)
        with open(copy, "rb") as file:
            found[digest] = file.read()
    return found


def _make(project: str, version: str, files: dict[str, str]) -> None:
    """Make a copy aside, of contents by their digests, and give it its name."""
    copy, blobs = _copy_of(project, version), os.path.join(store(), "blobs")
    aside = f"{copy}.{uuid.uuid4().hex}"
    os.makedirs(aside, 0o700)
    try:
        for path, digest in files.items():
            place = os.path.join(aside, path)
            if not os.path.abspath(place).startswith(aside + os.sep):
                raise ValueError(f"{path} lies outside")
            os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
            if digest:
                os.link(os.path.join(blobs, digest), place)
            else:
                _write(place, b"")
        with contextlib.suppress(OSError):  # another process was quicker
            os.rename(aside, copy)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _collect(project: str) -> None:
    """Remove old versions that no process uses, and contents that no version has."""
    folder = os.path.join(store(), project)
    with contextlib.suppress(OSError):
        copies = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
        copies.sort(key=lambda entry: entry.stat().st_mtime_ns)
        for entry in copies[:-KEPT]:
            if (lock := _lock(entry.path, fcntl.LOCK_EX)) >= 0:
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(lock)
        for blob in os.scandir(os.path.join(store(), "blobs")):
            if blob.stat().st_nlink == 1:
                os.unlink(blob.path)


def _lock(folder: str, how: int, *, waits: bool = False) -> int:
    """Return a descriptor that locks a folder, -1 if others do; the end of a process unlocks it."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, how if waits else how | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return -1
        return fd
    return -1


def _origin(manifest: Manifest, path: str) -> str:
    """Return the path here of what the copy has at ``path``: ``/project/src/a.py`` of ``0/src/a.py``."""
    number, _, rest = path.partition("/")
    return os.path.normpath(os.path.join(manifest["origins"][int(number)], rest))


def _place(project: str, manifest: Manifest, path: str) -> str:
    """Return where this process finds what the copy has at ``path``."""
    copy = _copy_of(project, manifest["version"])
    return _origin(manifest, path) if os.path.exists(os.path.join(copy, SHARED)) else os.path.join(copy, path)


def _is_same(path: str, digest: str) -> bool:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[: len(digest)] == digest
    return False


# -- this process ------------------------------------------------------------------------------------------------------


def stand(project: str, manifest: Manifest) -> dict[str, Any]:
    """Return what this process says of its machine and its path: fields of `policy.Process` that any can tell."""
    return {
        "store": store_id(),
        "has": has(project, manifest),
        "version": PLACES.get(project, {}).get("version", ""),
        "python": platform.python_version(),
    }


def probe(project: str, manifest: Manifest) -> dict[str, Any]:
    """Return that, and what it has imported of other versions."""
    said = stand(project, manifest)
    outdated = [] if said["version"] == manifest["version"] else sorted(loaded(project, manifest))[:20]
    return {**said, "outdated": outdated}


def loaded(project: str, manifest: Manifest) -> set[str]:
    """Return the names of the project's modules that this process has imported, from wherever."""
    places = [*PLACES.get(project, {}).get("roots", ()), *(_origin(manifest, path) for path in manifest["roots"])]
    bases = tuple(one.rstrip(os.sep) + os.sep for one in {*places, *map(os.path.realpath, places)})
    tops, found = set(manifest["tops"]), set()
    for name in _candidates(tops, bases):
        module = sys.modules.get(name)
        named_so = name.partition(".")[0] in tops
        if not named_so and _is_elsewhere(module, bases):
            continue
        files = [file_of(module), *_portions(module)]
        paths = [one for one in files if one and isinstance(one, str)]
        if (named_so and not all(map(_is_librarys, paths))) or any(_is_projects(path, bases) for path in paths):
            found.add(name)
    return found.difference(("__main__", "__mp_main__", NAME))


def _is_elsewhere(module: Any, bases: tuple[str, ...]) -> bool:
    """Whether this is a plain module of one file that is not below these, as nearly all of some thousand are.

    To ask it for a path, which it lacks, takes ten times as long.
    """
    known = module.__dict__ if type(module) is types.ModuleType else None
    return known is not None and "__path__" not in known and not str(known.get("__file__")).startswith(bases)


def _candidates(tops: set[str], bases: tuple[str, ...]) -> list[str]:
    """Return the names of all modules but those that were imported ahead, unless one of these may be the project's.

    To look at one of those copies a page of memory, in a process that was forked.
    """
    last, ahead = IMPORTED_AHEAD.get("last"), IMPORTED_AHEAD
    if last not in sys.modules or tops & ahead["tops"] or any(_is_projects(one, bases) for one in ahead["folders"]):
        return list(sys.modules)
    names = []
    for name in reversed(sys.modules):
        if name == last:
            break
        names.append(name)
    return names


def note_ahead() -> None:
    """Note what has been imported so far, before anything of a project has been."""
    folders = {os.path.dirname(path) for path in map(file_of, list(sys.modules.values())) if path}
    tops = {name.partition(".")[0] for name in sys.modules}
    IMPORTED_AHEAD.update(last=next(reversed(sys.modules)), tops=tops, folders=folders)


def file_of(module: Any) -> str:
    """Return the file of a module; one that is to be imported lazily isn't imported by that."""
    try:
        file = object.__getattribute__(module, "__dict__").get("__file__")
    except AttributeError:  # no module, but what somebody has put there
        return ""
    return file if isinstance(file, str) else ""


def _is_projects(path: str, bases: tuple[str, ...]) -> bool:
    """Whether a file or folder is below one of these, which end with a slash, and in no environment there."""
    for base in bases:
        if f"{path}{os.sep}".startswith(base):
            inside = path[len(base) :].split(os.sep)
            hidden = any(name[:1] == "." or name in ("site-packages", "dist-packages") for name in inside)
            if not hidden and not _is_librarys(path):
                return True
    return False


def _is_librarys(path: str) -> bool:
    """Whether a file is of Python's own library; what is installed besides may be an older copy of the project."""
    library = os.path.realpath(os.path.dirname(os.__file__)) + os.sep
    return os.path.realpath(path).startswith(library) and "-packages" + os.sep not in path


def _portions(module: Any) -> list[Any]:
    try:
        return list(module.__path__)
    except Exception:  # noqa: BLE001  # as above
        return []


def enter(project: str, manifest: Manifest) -> list[str]:
    """Put a version first on the path, and forget the modules of any other; return the names of those.

    The machine has it. What has been imported from other versions lives on in whatever refers to it.
    """
    before = PLACES.get(project, {})
    if before.get("version") == manifest["version"]:
        return []
    for other, place in list(PLACES.items()):
        if other != project and not set(manifest["tops"]).isdisjoint(place.get("tops", ())):
            leave(other)  # its watch has ended, or this one would have been refused
    gone = sorted(loaded(project, manifest))
    for name in gone:
        module = sys.modules.pop(name, None)
        parent, _, leaf = name.rpartition(".")
        above = sys.modules.get(parent)
        if above is not None and getattr(above, leaf, None) is module:
            with contextlib.suppress(AttributeError):
                delattr(above, leaf)
    for path in before.get("added", ()):
        with contextlib.suppress(ValueError):
            sys.path.remove(path)
    if (lock := before.get("lock", -1)) >= 0:
        os.close(lock)
    copy = _copy_of(project, manifest["version"])
    lock = _lock(copy, fcntl.LOCK_SH)
    if lock < 0:
        raise FileNotFoundError(f"no copy of {manifest['version']} here")
    folders = [_place(project, manifest, path) for path in manifest["entries"]]
    first, last = folders, []
    if os.path.exists(os.path.join(copy, SHARED)):
        # What holds the watched folders has other things too, which must not come before what is installed.
        holders = [folder for folder, path in zip(folders, manifest["entries"], strict=True) if path.isdigit()]
        first = [one for one in folders if one not in {*sys.path, *holders}]
        last = [one for one in holders if one not in sys.path]
    sys.path[:0] = first
    sys.path += last
    PLACES[project] = {
        "version": manifest["version"],
        "tops": manifest["tops"],
        "roots": [_place(project, manifest, path) for path in manifest["roots"]],
        "added": [*first, *last],
        "lock": lock,
    }
    importlib.invalidate_caches()
    return gone


def leave(project: str) -> None:
    """Take the project off the path."""
    place = PLACES.pop(project, {})
    for path in place.get("added", ()):
        with contextlib.suppress(ValueError):
            sys.path.remove(path)
    if (lock := place.get("lock", -1)) >= 0:
        os.close(lock)
