"""What this process does, by its audit events (PEP 578): one hook for all who listen, as Python keeps each for good."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any

#: Is called by the hook with an event and its arguments, in whichever thread that happens.
Listener = Callable[[str, tuple[Any, ...]], None]

_listeners: dict[str, tuple[weakref.WeakMethod[Listener], ...]] = {}
_hooks: list[Listener] = []


def listen(events: Iterable[str], listener: Listener) -> Callable[[], None]:
    """Have a method called at each of these events from now on; return what ends that, as its object's end does.

    A cell that does nothing has 40 other events: for those the hook must be quick, and is there once.
    """
    heard = frozenset(events)

    def end(_: object = None) -> None:
        for event in heard:
            left = tuple(one for one in _listeners.get(event, ()) if one is not reference)
            if left:
                _listeners[event] = left
            else:
                _listeners.pop(event, None)

    reference = weakref.WeakMethod(listener, end)
    for event in heard:
        _listeners[event] = (*_listeners.get(event, ()), reference)
    if not _hooks:
        _hooks.append(_new_hook())
        sys.addaudithook(_hooks[0])
    return end


def _new_hook() -> Listener:
    listeners = _listeners  # at the interpreter's end a module's own names may be gone

    def hook(event: str, args: tuple[Any, ...]) -> None:
        for reference in listeners.get(event, ()):
            if (listener := reference()) is not None:
                listener(event, args)

    return hook
