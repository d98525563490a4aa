"""The sources of a project as they are shipped: read, checked, and named by what they hold."""

from __future__ import annotations

import ast
import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipy_autorestart import catalogue
from ipy_autorestart.decide.compiled import is_compiled
from ipy_autorestart.decide.filters import Filter, is_environment
from ipy_autorestart.decide.guard import is_source

#: More than this is no code: a tree is kept in memory, and goes over the wire of the cluster's scheduler.
LIMIT_BYTES = 64 << 20


class TooLarge(ValueError):  # noqa: N818  # it is shown to the user, who made no "error"
    """The files would be too much for a cluster, as one line with the fix."""


@dataclass(frozen=True, slots=True)
class Tree:
    """What a cluster gets, and where a process finds it.

    A copy has one numbered folder for each folder here that roots lie in: ``0/src/pkg/a.py`` for ``/project/src``. So
    ``import pkg`` finds there what it finds here, and so does ``import src.pkg``.

    Attributes
    ----------
    files
        Their contents by their paths in the copy.
    entries
        Folders of the copy that go first on ``sys.path``, in this order.
    origins
        What the numbered folders are copies of: ``/project``. Where processes see the same there, nothing is shipped.
    roots
        Where the roots are in the copy: ``0/src``. What is imported from there is the project's.
    broken
        Messages of syntax errors by path; these files are left out.
    """

    files: Mapping[str, bytes]
    entries: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> frozenset[str]:
        """The paths here of all files."""
        places = (path.partition("/") for path in self.files)
        return frozenset(os.path.join(self.origins[int(number)], rest) for number, _, rest in places)

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the contents by path."""
        return {path: digest(content) for path, content in self.files.items()}

    @property
    def version(self) -> str:
        """The digest of all of it."""
        lines = [f"{path}\0{found}\n" for path, found in sorted(self.digests.items())]
        return digest("".join([*lines, *self.entries]).encode())

    @property
    def tops(self) -> frozenset[str]:
        """Names of the modules that an import finds first: ``pkg``."""
        names = set()
        for entry in filter(os.path.dirname, self.entries):  # not a numbered folder, which holds the roots' own
            for path in self.files:
                if path.startswith(f"{entry}/"):
                    names.add(path[len(entry) + 1 :].split("/")[0].removesuffix(".py"))
        return frozenset(name for name in names if name.isidentifier())

    def manifest(self) -> dict[str, Any]:
        """Return all but the contents, as plain values: what `remote` is told."""
        return {
            "version": self.version,
            "files": self.digests,
            "entries": list(self.entries),
            "origins": list(self.origins),
            "roots": list(self.roots),
            "tops": sorted(self.tops),
        }

    def contents(self, wanted: Iterable[str]) -> dict[str, bytes]:
        """Return contents by their digests, those that are wanted."""
        found = {digest(content): content for content in self.files.values()}
        return {one: found[one] for one in wanted}


def digest(content: bytes) -> str:
    """Return a name for some bytes."""
    return hashlib.sha256(content).hexdigest()[:32]


def read_tree(
    roots: Sequence[str], which: Filter | None = None, *, named: Iterable[str] = (), limit_bytes: int = LIMIT_BYTES
) -> Tree:
    """Read the sources below the roots; raises `TooLarge`, and OSError never: what is gone is not in it.

    Python sources count, and files that a pattern names. What begins with a dot, or lies in a folder that does, is
    never read: keys and passwords have such names. Nor is compiled code, made for this machine.

    Parameters
    ----------
    roots
        Folders and files, as absolute paths.
    which
        What counts below a root.
    named
        Files that count whatever their names.
    """
    which = which or Filter()
    origins: dict[str, int] = {}
    files: dict[str, bytes] = {}
    entries: dict[str, None] = {}
    places: list[str] = []
    broken: dict[str, str] = {}
    total = 0
    for root in roots:
        base = _import_folder(root)
        origin = os.path.dirname(base)
        place = str(origins.setdefault(origin, len(origins)))
        places.append(f"{place}/{os.path.relpath(root, origin)}")
        for path in _walk(root, which, frozenset(named)):
            try:
                with open(path, "rb") as file:
                    content = file.read(limit_bytes + 1)
            except OSError:
                continue
            inside = f"{place}/{os.path.relpath(path, origin)}"
            if inside in files:
                continue
            if is_source(path, content) and (message := _error(content)):
                broken[path] = message
                continue
            total += len(content)
            if total > limit_bytes:
                raise TooLarge(catalogue.TOO_LARGE(path=root, most=limit_bytes >> 20))
            files[inside] = content
        entries[f"{place}/{os.path.basename(base)}"] = None
    entries |= dict.fromkeys(map(str, origins.values()))
    return Tree(files, tuple(entries), tuple(origins), tuple(places), broken)


def _import_folder(root: str) -> str:
    """Return the folder from which modules at ``root`` are imported: above all packages that it is in."""
    folder = root if os.path.isdir(root) else os.path.dirname(root)
    while os.path.isfile(os.path.join(folder, "__init__.py")) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


def _walk(root: str, which: Filter, named: frozenset[str]) -> Iterator[str]:
    """Yield the files that count, in the order of their names."""
    if os.path.isfile(root):
        if not os.path.basename(root).startswith("."):
            yield root
        return
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or (folder != root and is_environment({*folders, *names})):
            folders.clear()
            continue
        seen.add(real)
        inside = [name for name in folders if not name.startswith(".")]
        folders[:] = sorted(name for name in inside if _enters(root, os.path.join(folder, name), which))
        for name in sorted(names):
            path = os.path.join(folder, name)
            counts = path in named or (which.picks(root, path) and not which.excludes(path, folder=False))
            if counts and not name.startswith(".") and not is_compiled(path):
                yield path


def _enters(root: str, folder: str, which: Filter) -> bool:
    return which.enters(root, folder) and not which.excludes(folder, folder=True)


def _error(content: bytes) -> str:
    """Return the message of the syntax error in a source, empty if there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(content)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or catalogue.NESTED()
    return ""
