"""The one live display in the cell that started the watch, with buttons where `ipywidgets` is installed."""

from __future__ import annotations

import contextlib
import contextvars
import importlib.util
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ipy_autorestart.pristine import Event
from ipy_autorestart.protocol.messages import Clear, Display, State, Status
from ipy_autorestart.protocol.plain import from_json, to_json
from ipy_autorestart.show.status import as_html, bundle, is_later, status_line
from ipy_autorestart.show.terminal import News
from ipy_autorestart.show.tracebacks import Tracebacks, style_of
from ipy_autorestart.text import wrapped

if TYPE_CHECKING:
    from ipy_autorestart.client.supervisor import Supervisor


log = logging.getLogger(__name__)


class Buttons:
    """A line of HTML behind a button that restarts its target and one that pauses or resumes it.

    The line belongs to the request that has this header. As for all widgets, clicks are handled in the main thread.
    """

    def __init__(self, kernel: Any, header: Mapping[str, Any], target: Supervisor) -> None:  # noqa: ANN401
        self._context = _context(kernel, header)
        self._target = target
        self._is_paused = False
        self._run(self._make)

    @property
    def view(self) -> Mapping[str, Any]:
        """The widget view as a MIME bundle."""
        bundle = self._box._repr_mimebundle_()  # IPython's protocol
        return {kind: data for kind, data in bundle.items() if kind.startswith("application/vnd.jupyter.widget-view")}

    def show(self, line: str, *, paused: bool) -> None:
        """Show a line of HTML; in any thread."""

        def update() -> None:
            self._line.value = line
            if paused != self._is_paused:
                self._is_paused = paused
                look = ("play", "Resume") if paused else ("pause", "Pause: changes wait")
                self._hold.icon, self._hold.tooltip = look

        self._run(update)

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


class CellScreen:
    """Shows a target in one cell of a notebook, whatever cell runs meanwhile.

    It publishes under the header of the request that started the watch, by the session itself: where the output of
    threads goes by default differs between ipykernel 6.29, 7.0 and 7.4.

    Parameters
    ----------
    kernel, name
        The running ``ipykernel`` kernel, and the target's name.
    header
        Of the request that started the watch.
    display_id
        Of the status line; a new one by default.
    keep
        Keep what earlier runs have shown.
    displays
        Format of figures that scripts show: ``formats`` and ``options``; None to show none.
    status
        Shown last, as JSON.
    """

    takes_all = False  # the server and the page don't

    def __init__(
        self,
        kernel: Any,  # noqa: ANN401
        name: str,
        *,
        header: Mapping[str, Any],
        display_id: str = "",
        keep: bool = False,
        displays: Mapping[str, Any] | None = None,
        status: str = "",
    ) -> None:
        self.displays = displays
        self._clearing = False
        self._kernel = kernel
        self._name = name
        self._header = header
        self._display_id = display_id or uuid.uuid4().hex
        self._keep = keep
        self._is_mid_line = False  # of stdout
        self._status = from_json(Status, status) if status else Status()
        self._tracebacks = Tracebacks(lambda: style_of(kernel.shell))
        self._buttons: Buttons | None = None

    def control(self, target: Supervisor) -> None:
        """Have buttons beside the status line, if there can be any; in the main thread."""
        with self._or_no_buttons():
            if importlib.util.find_spec("ipywidgets") is None:
                return
            self._buttons = Buttons(self._kernel, self._header, target)
            _ = self._buttons.view
        self._update_buttons()  # which ends them if the target has ended meanwhile
        self._publish("update_display_data", self._status_content())

    @contextlib.contextmanager
    def _or_no_buttons(self) -> Iterator[None]:
        """Go on without buttons if the widgets fail, whatever is wrong with them."""
        try:
            yield
        except Exception:  # the border: they are somebody else's
            log.debug("no buttons for %s", self._name, exc_info=True)
            self._buttons = None

    def to_state(self) -> dict[str, Any]:
        """Return, as plain data, what a new screen for the same cell needs."""
        # The session has made a datetime of the date.
        plain = {key: each.isoformat() if isinstance(each, datetime) else each for key, each in self._header.items()}
        status = to_json(self._status, [])
        return {"header": plain, "display_id": self._display_id, "keep": self._keep, "status": status}

    def before_exec(self, status: Status) -> None:
        """Show the status without buttons: they end with this image, and would take the line with them."""
        self._flush_tracebacks()
        self._status, self._buttons = status, None
        self._publish("update_display_data", self._status_content())

    def go_on(self, status: Status) -> None:
        """Show the status with the buttons of this copy of the process; others may have been there meanwhile."""
        self._status = status
        self._tracebacks = Tracebacks(lambda: style_of(self._kernel.shell))
        self._clearing = self._is_mid_line = False
        self._update_buttons()
        self._publish("update_display_data", self._status_content())

    def flush(self) -> None:
        """Show the traceback that is held back until it is whole."""
        self._flush_tracebacks()

    @property
    def has_buttons(self) -> bool:
        """Whether there are buttons beside the line."""
        return self._buttons is not None

    def open(self) -> None:
        """Show the status line for the first time."""
        self._publish("display_data", self._status_content())

    def show_again(self, request_id: str) -> None:
        """Show the status line once more if this is the request that started the watch."""
        if self._header.get("msg_id") == request_id:
            self.open()

    def show(self, status: Status) -> None:
        """Update the status line, if it reads differently."""
        self._flush_tracebacks()
        before, self._status = self._status, status
        if status_line(self._name, status) == status_line(self._name, before):
            return
        if self._buttons:
            self._update_buttons()
            if is_later(status, before):
                return  # to draw the buttons anew each second would take them away from under the mouse
        self._publish("update_display_data", self._status_content())

    def _update_buttons(self) -> None:
        with self._or_no_buttons():
            if self._buttons and self._status.state is State.ENDED:
                self._buttons.close()
                self._buttons = None
            elif self._buttons:
                self._buttons.show(as_html(self._name, self._status), paused=self._status.paused)

    def begin(self, run: int) -> None:
        """Clear the cell for a new run, and put the status line back above it; or begin a new part."""
        self._flush_tracebacks()
        self._clearing = False
        if self._keep:
            line = "\n" if self._is_mid_line else ""
            self._add_text("stdout", f"{line}── run {run} ──\n")
        elif run > 1:
            self._clear()

    def _clear(self) -> None:
        self._clearing = False
        self._publish("clear_output", {"wait": True})
        self._publish("display_data", self._status_content())

    def write(self, stream: str, text: str) -> None:
        """Add what the run wrote."""
        self._add_text(stream, self._tracebacks.feed(text) if stream == "stderr" else text)

    def _flush_tracebacks(self) -> None:
        self._add_text("stderr", self._tracebacks.flush())

    def _add_text(self, stream: str, text: str) -> None:
        if text:
            self._add("stream", {"name": stream, "text": text})

    def display(self, shown: Display) -> None:
        """Add what the run displays; its names for displays are none that the notebook has otherwise."""
        self._flush_tracebacks()
        content: dict[str, Any] = {"data": shown.data, "metadata": shown.metadata, "transient": {}}
        if shown.display_id:
            content["transient"]["display_id"] = f"{self._display_id}-{shown.run}-{shown.display_id}"
        if shown.update:
            self._publish("update_display_data", content)
        else:
            self._add("display_data", content)

    def clear(self, cleared: Clear) -> None:
        """Clear what the run has shown, and leave the status line."""
        self._flush_tracebacks()
        if cleared.wait:
            self._clearing = True
        else:
            self._clear()

    def _add(self, kind: str, content: dict[str, Any]) -> None:
        if self._clearing:
            self._clear()
        self._is_mid_line = content.get("name") == "stdout" and not content["text"].endswith("\n")
        self._publish(kind, content)

    def _status_content(self) -> dict[str, Any]:
        data = {**bundle(self._name, self._status), **(self._buttons.view if self._buttons else {})}
        return {"data": data, "metadata": {}, "transient": {"display_id": self._display_id}}

    def _publish(self, kind: str, content: dict[str, Any]) -> None:
        session = self._kernel.session
        if session is not None:  # the kernel is closing
            session.send(self._kernel.iopub_socket, kind, content, parent={"header": self._header}, ident=kind.encode())


#: Columns of a front end's terminal, which the kernel doesn't know.
COLUMNS = 80


class ConsoleScreen(CellScreen):
    """Shows a target in a front end that only prints, such as `jupyter console`: in lines, as IPython in a terminal.

    What is published meanwhile is printed with the next cell.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  # those of `CellScreen`
        super().__init__(*args, **options)
        self._news = News(self._name, self._status, tells_first=True)  # the cell that has begun the watch waits for it
        self._told = Event()

    def to_state(self) -> dict[str, Any]:
        """Return, as plain data, what a new screen for the same front end needs."""
        return {**super().to_state(), "prints": True}

    def control(self, target: Supervisor) -> None:
        """Do nothing: there are no buttons."""

    def before_exec(self, status: Status) -> None:
        """Show what is held back: what becomes of the restart has its own line."""
        self.flush()
        self._status = status

    def go_on(self, status: Status) -> None:
        """Go on, in an older copy of the process, from what has been shown last."""
        self._tracebacks = Tracebacks(lambda: style_of(self._kernel.shell))
        self._news = News(self._name, status)
        self._is_mid_line = False

    def open(self) -> None:
        """Do nothing: the first line comes with the first news."""

    def wait(self, seconds: float) -> None:
        """Wait for the first line, so that it is printed with the cell that has begun the watch."""
        self._told.wait(seconds)

    def show(self, status: Status) -> None:
        """Print a line, if there is news."""
        self.flush()
        self._status = status
        if line := self._news.line(status):
            end = "\n" if self._is_mid_line else ""
            self._publish("stream", {"name": "stderr", "text": f"{end}{wrapped(line, COLUMNS)}\n"})
            self._is_mid_line = False
            self._told.set()

    def begin(self, run: int) -> None:
        """Do nothing: what was printed stays."""

    def clear(self, cleared: Clear) -> None:
        """Do nothing, likewise."""
