"""Python's cache of compiled modules, which trusts whole seconds and sizes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable


def forget(paths: Iterable[str], *, prefix: str = "") -> None:
    """Delete the compiled forms of changed sources, whatever Python made them.

    A save within the same second that keeps the size would leave them valid, and the old code would run
    (``importlib._bootstrap_external._validate_timestamp_pyc``).

    Parameters
    ----------
    paths
        Files of any kind, absolute.
    prefix
        The folder where they are kept instead of beside the sources: ``sys.pycache_prefix``.
    """
    for path in paths:
        if path.endswith(".py"):
            folder, name = os.path.split(path)
            stem = name.removesuffix("py")  # with its dot
            for cache in (os.path.join(folder, "__pycache__"), *([prefix + folder] if prefix else [])):
                with contextlib.suppress(OSError):
                    for entry in os.listdir(cache):
                        if entry.startswith(stem) and entry.endswith(".pyc"):
                            os.unlink(os.path.join(cache, entry))
