"""Run by each Dask client in a script's run, as its preload: the keys of tasks name the version of the project.

The key of a task says which function it calls, and nothing of the code that this calls. Somebody else may hold the
result of the same key, made of older code, and Dask would take that.
"""

import json
import os
import sys

if False:  # for type checkers only: this runs in the user's process
    from typing import Any

#: Names the file in which the helper says what the workers have.
VARIABLE = "IPY_AUTORESTART_CLUSTER"


def dask_setup(client: object) -> None:  # noqa: ARG001  # Dask hands it over
    """Have what belongs to the project, or to the script itself, tokenized with the version; once in a process."""
    from dask.base import normalize_token

    try:
        with open(os.environ[VARIABLE], encoding="utf-8") as file:
            said = json.load(file)
    except (KeyError, OSError, ValueError):  # no run of ours, or the watch has ended
        return
    before = normalize_token.dispatch(object)
    if getattr(before, "is_salted", False):
        return
    roots = tuple(root.rstrip("/") + "/" for root in said["roots"])

    def is_ours(value: "Any") -> bool:  # noqa: ANN401  # anything is tokenized
        name = getattr(value, "__module__", None)
        module = sys.modules.get(name) if isinstance(name, str) else None
        return name == "__main__" or (getattr(module, "__file__", None) or "").startswith(roots)

    def normalize(value: "Any") -> object:  # noqa: ANN401  # as above
        found = before(value)
        return ("ipy-autorestart", said["version"], found) if is_ours(value) else found

    normalize.is_salted = True  # type: ignore[attr-defined]  # a mark of ours
    known = normalize_token._lookup  # noqa: SLF001  # what has been looked up before is kept there
    known.update({kind: normalize for kind, found in known.items() if found is before})
