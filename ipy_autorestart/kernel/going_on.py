"""The way of a kernel that was made of a checkpoint: it becomes the live one, in the state that it had then."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ipy_autorestart.ipython.ledger import Ledger, from_plain, gone_back, went_back, without
from ipy_autorestart.kernel.parked import Turn
from ipy_autorestart.kernel.standby import begin_turn
from ipy_autorestart.pristine import os, time
from ipy_autorestart.reexec.state import Carried, KernelState
from ipy_autorestart.wire.link import ATTRIBUTE, Link, TookOver


def rehearsal(kernel: Any, carried: Carried) -> Callable[[], None]:
    """Return what does much of what a kernel does first in its turn, to no effect, with a state such as it will get.

    A forked process copies each page of memory when it first writes to it, be it but to count references. What has been
    done once while it waited, which nobody feels, takes half as long in its turn.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    def rehearse() -> None:
        carrier = os.memfd_create("ipy_autorestart")
        carried.write(carrier)
        own = Carried.read(carrier).own
        if isinstance(own, KernelState) and own.cells:
            ledger = from_plain(own.cells)
            gone_back(ledger, ledger)
        importlib.invalidate_caches()
        kernel.session.serialize({part: {} for part in ("header", "parent_header", "metadata", "content")})
        kernel.iopub_thread.schedule(lambda: None)  # which makes this thread's way to that one
        compile(TransformerManager().transform_cell("0"), "", "exec")  # type: ignore[no-untyped-call]  # of IPython

    return rehearse


class GoingOn:
    """What such a kernel is told by the one that has ended, and what it tells.

    Attributes
    ----------
    link
        To the proxy.
    carried, own
        What the other one has carried over, and what of it is the kernel's.
    """

    def __init__(self, turn: Turn) -> None:
        began = time.monotonic()
        carrier, *rest = turn.fds
        self.link: Link = turn.link
        self.carried = Carried.read(carrier).renumbered(rest)
        self.carried.keep_from_children()
        assert isinstance(self.carried.own, KernelState)
        self.own = self.carried.own
        self._word = turn.word
        self._since = began if turn.word.died else self.own.left_at

    @property
    def is_interrupted(self) -> bool:
        """Whether a SIGINT has come meanwhile, for what follows."""
        return self._word.interrupted

    @property
    def may_rerun(self) -> bool:
        """Whether the cells behind the checkpoint may run again."""
        return self._word.rerun and not self.own.undoes

    def begin(self, kernel: Any, subshells: list[str]) -> None:
        """Be the live kernel, for its clients."""
        setattr(kernel, ATTRIBUTE, self.link)
        begin_turn(kernel, self.link, self.own, subshells=subshells)

    def told(self, ledger: Ledger) -> Ledger:
        """Return what is known of all cells by now, given what was then."""
        if not self.own.cells:
            return ledger
        return without(gone_back(from_plain(self.own.cells), ledger), self._word.gone)

    def take_over(self) -> None:
        """Have the proxy send requests from now on."""
        self.link.send(TookOver())

    def describe(self, ledger: Ledger, *, after: int, runs_again: bool) -> str:
        """Tell people what is kept; the checkpoint was made after the cell with that number."""
        left = [] if runs_again else [cell for cell in ledger.cells if not cell.last]
        took = time.monotonic() - self._since
        return went_back(after, ledger.kept, took, died=self._word.died, asked=self.own.undoes, left=left)
