"""Notice that git is in the middle of rewriting files."""

from __future__ import annotations

import os


def lock_of(folder: str) -> str | None:
    """Return where the repository that holds ``folder`` has its ``index.lock``, None if none does.

    It is there during the whole of a checkout, stash or merge and during each step of a rebase;
    ``rebase-merge`` would not do, as it outlives a conflict.
    """
    here = os.path.realpath(folder)
    while True:
        repository = os.path.join(here, ".git")
        if os.path.lexists(repository):
            return os.path.join(_resolved(repository), "index.lock")
        parent = os.path.dirname(here)
        if parent == here:
            return None
        here = parent


def _resolved(repository: str) -> str:
    """Follow the ``gitdir:`` line of a worktree or a submodule (gitrepository-layout(5))."""
    if os.path.isdir(repository):
        return repository
    try:
        with open(repository, encoding="utf-8", errors="surrogateescape") as file:
            line = file.readline().strip()
    except OSError:
        return repository
    return os.path.join(os.path.dirname(repository), line.removeprefix("gitdir:").strip())
