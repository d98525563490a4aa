"""ipykernel's debugger, imported when it is first used: that takes a quarter of a kernel's start.

Relies on ``ipykernel.debugger.Debugger`` and ``_is_debugpy_available``, which `ipkernel` imports by name; debugging
works as ever, and the first request of a session waits a tenth of a second.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
import types
from typing import Any

NAME = "ipykernel.debugger"


class LateDebugger:
    """Stands for a ``Debugger`` until something is asked of it."""

    def __init__(self, *words: Any, **how: Any) -> None:  # noqa: ANN401
        self._words, self._how = words, how
        self._real: Any = None
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Make the debugger, if it wasn't yet, and return what it has."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._made(), name)

    def _made(self) -> Any:  # noqa: ANN401
        if self._real is None:
            self._real = _real_module().Debugger(*self._words, **self._how)
            if self._waiting:
                loop, future = self._waiting
                loop.call_soon_threadsafe(future.set_result, None)
        return self._real

    async def handle_stopped_event(self) -> None:
        """Wait for what a debugger may tell; asked for from the start, and no reason to make one."""
        if self._real is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop, loop.create_future()
            await self._waiting[1]
        await self._made().handle_stopped_event()


def _real_module() -> Any:  # noqa: ANN401
    if getattr(sys.modules.get(NAME), "Debugger", None) is LateDebugger:
        del sys.modules[NAME]
    return importlib.import_module(NAME)


def is_plain(kernel: Any) -> bool:  # noqa: ANN401
    """Whether a kernel has ipykernel's own debugger, which may come late in the next image."""
    kind = type(getattr(kernel, "debugger", None))
    return kind is LateDebugger or (kind.__module__, kind.__qualname__) == (NAME, "Debugger")


def stand_in() -> None:
    """Take the module's place, until a debugger is made."""
    module: Any = types.ModuleType(NAME)
    module.Debugger = LateDebugger
    module._is_debugpy_available = importlib.util.find_spec("debugpy") is not None  # noqa: SLF001  # its name
    module.__getattr__ = _of_real
    sys.modules[NAME] = module


def _of_real(name: str) -> Any:  # noqa: ANN401
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(_real_module(), name)
