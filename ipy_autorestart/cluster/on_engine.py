"""What runs in an engine of ipyparallel, which doesn't have this package: nothing but the standard library.

The text of this file is sent, as that of `remote` is, and becomes a module under `NAME`.
"""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

#: As which an engine knows this module.
NAME = "_ipy_autorestart_engine"

#: What was made by modules that have been forgotten, with its name, as long as it lives.
REMNANTS: list[tuple[str, weakref.ref[Any]]] = []


def push(remote: Any, project: str, manifest: dict[str, Any], contents: dict[str, bytes]) -> dict[str, Any]:
    """Make this engine run a version, if the machine has all of it with these contents; return what it is then."""
    missing = remote.missing(project, manifest)
    if set(missing) <= set(contents):
        if missing:
            remote.put(project, manifest, contents)
        REMNANTS.extend(_made_by(remote.loaded(project, manifest)))
        if remote.enter(project, manifest) or REMNANTS:
            gc.collect()  # a module and its functions refer to each other
        missing = []
    return {**look(remote, project, manifest), "missing": missing}


def look(remote: Any, project: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what this engine says about itself, and the names of what lives on of old code."""
    REMNANTS[:] = [(name, made) for name, made in REMNANTS if made() is not None]
    lives_on = sorted({name for name, _ in REMNANTS})
    engine = sys.modules["ipyparallel"].__version__
    return {**remote.probe(project, manifest), "lives_on": lives_on, "engine": engine}


def _made_by(modules: Iterable[str]) -> Iterator[tuple[str, weakref.ref[Any]]]:
    known = {id(made()) for _, made in REMNANTS}
    for name in modules:
        for made in list(vars(sys.modules[name]).values()):
            if isinstance(made, type | types.FunctionType) and made.__module__ == name and id(made) not in known:
                yield f"{name}.{made.__qualname__}", weakref.ref(made)
