"""``IPython.embed``, imported when it is first used: IPython 8 imports it, and with it all of its terminal, at once.

That takes a quarter of a kernel's start, and a kernel has no terminal to embed a shell in. IPython 9 does so itself.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

NAME = "IPython.terminal.embed"


class _Late(types.ModuleType):
    """Stands for the module until something of it is asked for."""

    def embed(self, *words: Any, **how: Any) -> Any:  # noqa: ANN401
        """Do what ``IPython.embed`` does."""
        return self._real().embed(*words, **how)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Import the module, if it wasn't yet, and return what it has."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> Any:  # noqa: ANN401
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        return importlib.import_module(NAME)


def is_early() -> bool:
    """Whether the module was imported, by IPython itself, or stood for."""
    return NAME in sys.modules


def stand_in() -> None:
    """Take the module's place, until it is used."""
    sys.modules[NAME] = _Late(NAME)
