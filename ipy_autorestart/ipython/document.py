"""The saved notebook: it tells how the cells stand on a page, and earlier than the front end which are gone."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ipy_autorestart.pristine import os

#: The environment variable in which a Jupyter server says which notebook a kernel belongs to.
PATH = "JPY_SESSION_NAME"

#: A larger file would take longer to read than to run cells in vain.
SIZE_MAX = 20_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """The cells of a notebook, by their ids, and when it was saved."""

    ids: tuple[str, ...]  # as they stand on the page
    saved_ns: int


def saved_document() -> Document | None:
    """Return this kernel's notebook; None where it can't be read, or has no ids of cells (before nbformat 4.5)."""
    try:
        with open(os.environ[PATH], "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size > SIZE_MAX:
                return None
            cells = json.load(file)["cells"]
        return Document(tuple(str(cell["id"]) for cell in cells), status.st_mtime_ns)
    except (KeyError, OSError, TypeError, ValueError):
        return None
