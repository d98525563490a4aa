"""Python's cache of compiled modules, which trusts whole seconds and sizes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterable

OPTIMIZATIONS = ("", "1", "2")


def forget(paths: Iterable[str]) -> None:
    """Delete the compiled form of changed sources.

    A save within the same second that keeps the size would leave it valid, and the old code would run
    (``importlib._bootstrap_external._validate_timestamp_pyc``).
    """
    for path in paths:
        if path.endswith(".py"):
            for optimization in OPTIMIZATIONS:
                with contextlib.suppress(OSError):
                    os.unlink(importlib.util.cache_from_source(path, optimization=optimization))
