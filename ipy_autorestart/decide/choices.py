"""Choices that a user has; `protocol.options` offers them by their values."""

from __future__ import annotations

from enum import Enum


class OnBusy(Enum):
    """The fate of a restart while the kernel is busy."""

    WAIT = "wait"
    INTERRUPT = "interrupt"


class Rerun(Enum):
    """Which cells are run again."""

    NONE = "none"
    MARKED = "marked"
    ALL = "all"
