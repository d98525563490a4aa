"""The status line as a widget with buttons, where `ipywidgets` is installed (extra ``widgets``).

Two buttons are all that is needed, and its own do: `anywidget`, which imports `ipywidgets` itself, would ask for a
script in the page besides.
"""

from __future__ import annotations

import contextvars
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Controlled(Protocol):
    """What the buttons control."""

    def restart(self) -> None:
        """Restart it without a change."""

    def pause(self) -> None:
        """Hold restarts back."""

    def resume(self) -> None:
        """Let them go on."""


def are_possible() -> bool:
    """Whether `ipywidgets` is installed."""
    return importlib.util.find_spec("ipywidgets") is not None


class Buttons:
    """A line of HTML behind a button that restarts and one that pauses or resumes.

    Parameters
    ----------
    kernel
        The running ``ipykernel`` kernel.
    header
        Of the request that the line belongs to.
    target
        What they control; called in the main thread, as for all widgets.
    """

    def __init__(self, kernel: Any, header: Mapping[str, Any], target: Controlled) -> None:  # noqa: ANN401
        self._context = _context(kernel, header)
        self._target = target
        self._is_paused = False
        self._run(self._make)

    @property
    def view(self) -> Mapping[str, Any]:
        """What shows it, as a MIME bundle."""
        bundle = self._box._repr_mimebundle_()  # IPython's protocol
        return {kind: data for kind, data in bundle.items() if kind.startswith("application/vnd.jupyter.widget-view")}

    def show(self, line: str, *, paused: bool) -> None:
        """Show a line of HTML; in any thread."""
        self._run(lambda: self._update(line, paused=paused))

    def close(self) -> None:
        """Leave no widget behind."""
        for widget in (self._box, *self._box.children):
            for part in (widget, widget.layout, getattr(widget, "style", None)):
                if part is not None:
                    self._run(part.close)

    def _run(self, act: Callable[[], None]) -> None:
        self._context.copy().run(act)  # a copy: two threads can't be in one context

    def _make(self) -> None:
        import ipywidgets  # type: ignore[import-untyped]  # it has no types

        square = {"width": "2em", "height": "1.7em", "padding": "0", "margin": "0 2px 0 0", "flex": "0 0 auto"}
        self._now = ipywidgets.Button(icon="refresh", tooltip="Restart now", layout=square)
        self._hold = ipywidgets.Button(icon="pause", tooltip="Pause: changes wait", layout=square)
        self._now.on_click(lambda _: self._target.restart())
        self._hold.on_click(lambda _: self._target.resume() if self._is_paused else self._target.pause())
        self._line = ipywidgets.HTML(layout={"margin": "0 0 0 4px"})
        self._box = ipywidgets.HBox([self._now, self._hold, self._line], layout={"align_items": "flex-start"})

    def _update(self, line: str, *, paused: bool) -> None:
        self._line.value = line
        if paused != self._is_paused:
            self._is_paused = paused
            self._hold.icon, self._hold.tooltip = ("play", "Resume") if paused else ("pause", "Pause: changes wait")


def _context(kernel: Any, header: Mapping[str, Any]) -> contextvars.Context:  # noqa: ANN401
    """Return a context in which widgets find the request that they belong to; since ipykernel 7 they look there."""
    context = contextvars.copy_context()

    def find() -> None:
        try:
            kernel.get_parent()
        except LookupError:  # nothing was asked of this kernel yet
            kernel.set_parent([], {"header": dict(header)})

    context.run(find)
    return context
