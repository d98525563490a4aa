"""The connection of a kernel: what clients need to know of it, and the file that tells them.

The kernel itself is the authority, not the file: that may be deleted or changed while the kernel runs, and a new image
that relied on it would be another kernel to all clients.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from ipy_autorestart.pristine import os


def connection_of(app: Any) -> dict[str, Any]:  # an IPKernelApp
    """Return address, ports and key of a kernel, in the form of its file."""
    found = app.get_connection_info()
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def connect_as(app: Any, connection: Mapping[str, Any]) -> None:
    """Have a kernel that is about to start use the connection of another."""
    for name, value in connection.items():
        if name.endswith("_port"):  # `load_connection_info` takes only those that are 0
            setattr(app, name, value)
    app.load_connection_info(connection)


def read_file(path: str) -> dict[str, Any]:
    """Return what the file says, if there is one; more than the kernel knows, such as its own name."""
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        found = json.load(file)
        return found if isinstance(found, dict) else {}
    return {}


def restore_file(path: str, connection: Mapping[str, Any]) -> None:
    """Write the file if it does not say this, because it is gone or was changed."""
    found = read_file(path)
    if found.items() >= connection.items():
        return
    from jupyter_core.paths import secure_write  # ipykernel needs it too

    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with secure_write(path) as file:
        json.dump({**found, **connection}, file, indent=2)
