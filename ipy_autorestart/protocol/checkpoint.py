"""Checkpoints as they are told: of which cells a kernel keeps the state, and why not of others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A parked copy of a kernel to which it can go back, or a cell after which there is none.

    Attributes
    ----------
    after
        The number of the cell after which it was made.
    seconds
        That the cells took which needn't run again after going back to it.
    memory_bytes
        Its own, which it doesn't share with the kernel or another checkpoint.
    why
        Why there is none: "5 threads of polars"; nothing if there is one.
    pid
        The process that the copy is, 0 if there is none.
    """

    after: int
    seconds: float = 0.0
    memory_bytes: int = 0
    why: str = ""
    pid: int = 0
