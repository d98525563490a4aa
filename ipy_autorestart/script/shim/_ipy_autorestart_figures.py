"""The backend of matplotlib in a run: draws as Agg does, and shows figures where the run is shown.

They are closed when they have been shown, as in a notebook; those left at the end are shown then.
"""

import atexit
import os

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

if False:  # for type checkers only
    from typing import Any

displays: "Any" = globals()["DISPLAYS"]  # it is there before this is executed


def show(*args: "Any", **kwargs: "Any") -> None:  # noqa: ARG001  # block= is of no use here
    """Show all figures and close them."""
    managers = Gcf.get_all_fig_managers()
    try:
        for manager in managers:
            manager.show()
    finally:
        for manager in managers:
            Gcf.destroy(manager)


class FigureManager(FigureManagerBase):
    """One figure."""

    def show(self) -> None:
        """Show it."""
        if displays.is_open:
            displays.show_figure(self.canvas.figure)

    @classmethod
    def pyplot_show(cls, *args: "Any", **kwargs: "Any") -> None:
        """Do what `pyplot.show` does."""
        show(*args, **kwargs)


class FigureCanvas(FigureCanvasAgg):
    """Draws as Agg does."""

    manager_class = FigureManager


def flush(pid: int) -> None:
    """Show what is left, unless this is a child that has it from its parent."""
    if os.getpid() == pid:
        show()


atexit.register(flush, os.getpid())
