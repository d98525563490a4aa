"""Ask ``.gitignore`` files whether a path counts; only when the user wishes so.

Generated code is often ignored by git and imported all the same. The files are read once, when a path in
their folder is first met.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


def gitignore(roots: Iterable[str]) -> Callable[[str, bool], bool]:
    """Make the predicate that a ``Filter`` takes as ``excluded``.

    Files that apply to the whole machine (``core.excludesFile``) are left alone: they would make the same
    project behave differently elsewhere.

    Raises
    ------
    ModuleNotFoundError
        If ``pathspec`` is not installed; the message says how to get it.
    """
    try:
        from pathspec import GitIgnoreSpec
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--gitignore needs pathspec: pip install pathspec") from error

    roots = tuple(roots)
    tops = {_top(root) for root in roots}
    known: dict[str, GitIgnoreSpec] = {}

    def spec(folder: str) -> GitIgnoreSpec:
        if folder not in known:
            lines = _lines(os.path.join(folder, ".gitignore"))
            if folder in tops:  # first, so that the folder's own file can overrule it
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

    # What the user named counts, though git ignores all of it.
    tops.update([root for root in roots if root not in tops and excluded(root, True)])  # noqa: FBT003 - see above
    return excluded


def _top(root: str) -> str:
    """Find the folder of the repository that holds ``root``, or ``root`` itself."""
    here = root
    while not os.path.lexists(os.path.join(here, ".git")):
        here, below = os.path.dirname(here), here
        if here == below:
            return root
    return here


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []
