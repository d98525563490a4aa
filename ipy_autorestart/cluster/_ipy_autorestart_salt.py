"""Run by each Dask client of a script, kernel or program, as its preload: the keys of tasks name the project's version.

The key of a task says which function it calls, and nothing of the code that this calls. Somebody else may hold the
result of the same key, made of older code, and Dask would take that. Workers have it, too: it is sent with `remote`.
"""

import json
import os
import sys

if False:  # for type checkers only: this runs in the user's process
    from collections.abc import Iterator
    from typing import Any

#: Names the files in which helpers say what the workers have.
VARIABLE = "IPY_AUTORESTART_CLUSTER"


def dask_setup(client: object) -> None:  # noqa: ARG001  # Dask hands it over
    """Have what belongs to the project, or to the script itself, tokenized with the version; once in a process."""
    from dask.base import normalize_token

    before = normalize_token.dispatch(object)
    if getattr(before, "is_salted", False):
        return
    known: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}

    def said() -> "Iterator[dict[str, Any]]":
        """Yield what each watch has said last: it may be newer than this process, and than a copy's memory."""
        for path in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
            try:
                found = os.stat(path)
                which = (found.st_mtime_ns, found.st_ino)
                if path not in known or known[path][0] != which:
                    with open(path, encoding="utf-8") as file:
                        known[path] = (which, json.load(file))
            except (OSError, ValueError):  # nothing yet, or the watch has ended
                pass
            if path in known:
                yield known[path][1]
        # On a worker, for tasks that submit tasks: `remote` is kept under this name.
        for place in getattr(sys.modules.get("_ipy_autorestart_cluster"), "PLACES", {}).values():
            yield {"version": place["version"], "roots": place.get("roots", ())}

    def normalize(value: "Any") -> object:  # noqa: ANN401  # anything is tokenized
        found = before(value)
        name = getattr(value, "__module__", None)
        module = sys.modules.get(name) if isinstance(name, str) else None
        file = getattr(module, "__file__", None) or ""
        versions = [
            one["version"]
            for one in said()
            if name == "__main__" or file.startswith(tuple(root.rstrip("/") + "/" for root in one["roots"]))
        ]
        return ("ipy-autorestart", *versions, found) if versions else found

    normalize.is_salted = True  # type: ignore[attr-defined]  # a mark of ours
    lookup = normalize_token._lookup  # noqa: SLF001  # what has been looked up before is kept there
    lookup.update({kind: normalize for kind, found in lookup.items() if found is before})
