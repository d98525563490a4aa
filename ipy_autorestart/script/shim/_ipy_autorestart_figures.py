"""Backend of matplotlib in a run: draws as Agg does, and shows figures where the output of the run is shown.

As in a notebook, a figure is closed when it has been shown, and figures that are open at the end are shown then.
"""

import atexit
import itertools
import os

import matplotlib
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

if False:  # for type checkers only
    from typing import Any

displays: "Any" = globals()["DISPLAYS"]  # it is there before this is executed
numbers = itertools.count()


def show(*, block: "bool | None" = None, **_: "Any") -> None:
    """Show all figures, and close them unless the script goes on with them, as a window would stay then."""
    managers = Gcf.get_all_fig_managers()
    stay = matplotlib.is_interactive() if block is None else not block
    try:
        for manager in managers:
            manager.show()
    finally:
        for manager in [] if stay else managers:
            Gcf.destroy(manager)


class FigureManager(FigureManagerBase):
    """One figure; shown again, it replaces what was shown of it before."""

    _shown = ("", -1)

    def show(self) -> None:
        """Show the figure."""
        if displays.is_open:
            name, clearings = self._shown
            name = name or f"figure:{os.getpid()}:{next(numbers)}"
            update = clearings == displays.clearings
            self._shown = name, displays.clearings
            displays.show_figure(self.canvas.figure, display_id=name, update=update)

    @classmethod
    def pyplot_show(cls, **how: "Any") -> None:
        """Do what `pyplot.show` does."""
        show(**how)


class FigureCanvas(FigureCanvasAgg):
    """Draws as Agg does."""

    manager_class = FigureManager


def flush(pid: int) -> None:
    """Show the figures that are left, unless this is a forked child, which has them from its parent."""
    if os.getpid() == pid:
        show(block=True)


atexit.register(flush, os.getpid())
