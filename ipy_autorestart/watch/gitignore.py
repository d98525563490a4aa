"""Ask ``.gitignore`` files whether a path counts, if the user wishes so.

Generated code is often ignored by git and imported all the same. Each file is read once, for the first path in its
folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ipy_autorestart import catalogue
from ipy_autorestart.watch.filesystem import repository

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


def gitignore(roots: Iterable[str]) -> Callable[[str, bool], bool]:
    """Return the predicate that a ``Filter`` takes as ``excluded``.

    A file that applies to the whole machine (``core.excludesFile``) is not asked: the same project would behave
    differently elsewhere.

    Raises
    ------
    ModuleNotFoundError
        If ``pathspec`` is not installed; the message says how to get it.
    """
    try:
        from pathspec import GitIgnoreSpec
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(catalogue.NO_PATHSPEC()) from error

    roots = tuple(roots)
    tops = {repository(root) or root for root in roots}
    known: dict[str, GitIgnoreSpec] = {}

    def spec(folder: str) -> GitIgnoreSpec:
        if folder not in known:
            lines = _lines(os.path.join(folder, ".gitignore"))
            if folder in tops:  # first, so that the folder's own file overrules it
                lines = [*_lines(os.path.join(folder, ".git", "info", "exclude")), *lines]
            known[folder] = GitIgnoreSpec.from_lines(lines)
        return known[folder]

    def excluded(path: str, folder: bool) -> bool:  # noqa: FBT001 - a predicate of the pair
        above = path
        while above not in tops and above != (above := os.path.dirname(above)):
            verdict = spec(above).check_file(os.path.relpath(path, above) + "/" * folder).include
            if verdict is not None:
                return verdict
        return False

    # A root counts even if git ignores all of it: the user named it.
    tops.update([root for root in roots if root not in tops and excluded(root, True)])  # noqa: FBT003 - see above
    return excluded


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []
