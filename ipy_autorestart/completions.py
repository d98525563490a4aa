"""What the Tab key offers behind ``%watch_restart``, ``%unwatch`` and ``%watch_status``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.options import each
from ipy_autorestart.request import Script

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: What ``%watch_restart`` does by hand, and what ``%watch_status`` shows besides.
ACTS, VIEWS = ("--now", "--pause", "--resume"), ("--json", "--why")


def offered(words: Sequence[str], symbol: str, *, targets: Iterable[str], listed: Iterable[str]) -> list[str]:
    """Return what may stand in a line of a magic; pure.

    Parameters
    ----------
    words
        Those before the cursor, the magic first, without the one that is half typed.
    symbol
        That one.
    targets
        Names of what is watched.
    listed
        Paths that begin with ``symbol``, folders with a slash at the end.
    """
    magic, *before = words
    last = before[-1].removesuffix("=") if before else ""
    if magic == "%watch_status":
        return list(VIEWS)
    if magic == "%unwatch" or set(before) & set(ACTS):
        return list(targets)
    if "--" in before:
        return [path for path in listed if path]
    options = [*each(), *each(Script)]
    if choices := next((option.choices for option in options if option.flag == last), ()):
        return list(choices)
    if symbol.startswith("-"):
        return [*ACTS, "-m", *(option.flag for option in options)]
    if last == "-m":
        return _modules(listed)
    return [path for path in listed if path.endswith(("/", ".py")) and (last != "--cwd" or path.endswith("/"))]


def _modules(listed: Iterable[str]) -> list[str]:
    names = [path.removesuffix("/").removesuffix(".py") for path in listed if path.endswith(("/", ".py"))]
    return [name for name in names if name.isidentifier()]


def listing(symbol: str) -> list[str]:
    """Return the paths that begin with ``symbol``; hidden ones only where it names them."""
    folder, start = os.path.split(symbol)
    try:
        with os.scandir(os.path.expanduser(folder) or os.curdir) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries]
    except OSError:
        return []
    return [
        os.path.join(folder, f"{name}/" if is_folder else name)
        for name, is_folder in sorted(found)
        if name.startswith(start) and (start or not name.startswith((".", "__pycache__")))
    ]


class Completions:
    """What is added to a shell's completer, until `remove`.

    Parameters
    ----------
    shell
        Whose completer.
    targets
        Returns the names of what is watched.
    """

    MAGICS = ("%watch_restart", "%unwatch", "%watch_status")

    def __init__(self, shell: InteractiveShell, targets: Callable[[], Iterable[str]]) -> None:
        self._targets = targets
        self._hooks: Mapping[str, Any] = shell.strdispatchers["complete_command"].strs
        for magic in self.MAGICS:
            shell.set_hook("complete_command", self._complete, str_key=magic)  # type: ignore[no-untyped-call]

    def remove(self) -> None:
        """Leave nothing behind."""
        for magic in self.MAGICS:
            self._hooks.pop(magic, None)  # type: ignore[attr-defined]  # a dict

    def _complete(self, _: object, event: Any) -> list[str]:  # noqa: ANN401  # IPython's
        before = event.text_until_cursor.removesuffix(event.symbol).split()
        words = [f"%{event.command.lstrip('%')}", *before[1:]]
        return offered(words, event.symbol, targets=self._targets(), listed=listing(event.symbol))
