"""Python's cache of compiled modules, which trusts whole seconds and sizes."""

from __future__ import annotations

import contextlib
import glob
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
            stem = f"{glob.escape(name.removesuffix('.py'))}.*.pyc"
            caches = [os.path.join(glob.escape(folder), "__pycache__", stem)]
            if prefix:
                caches.append(os.path.join(glob.escape(prefix + folder), stem))
            for compiled in (file for cache in caches for file in glob.iglob(cache)):
                with contextlib.suppress(OSError):
                    os.unlink(compiled)
