"""The one live display in the cell that started the watch, with buttons where `ipywidgets` is installed."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ipy_autorestart.pristine import Event, RLock
from ipy_autorestart.protocol.messages import Clear, Display, State, Status
from ipy_autorestart.protocol.page import MOMENT, keep_height, keep_while
from ipy_autorestart.protocol.plain import from_json, to_json
from ipy_autorestart.show.buttons import BREAK, Buttons, can_be_made
from ipy_autorestart.show.status import bundle, is_past_the_start, status_line
from ipy_autorestart.show.terminal import News
from ipy_autorestart.show.tracebacks import Tracebacks, style_of
from ipy_autorestart.text import wrapped

if TYPE_CHECKING:
    from ipy_autorestart.client.supervisor import Supervisor


#: Seconds that a kernel's restart amid a run's output should take at most.
RESTART = 10.0

#: Outputs that are shown again where another screen clears the cell.
MOST = 1000


class Showing:
    """The screens of a session, of which one shows or clears something at a time.

    A clear takes all that is in a cell, and lines are shown by more than one thread: the last is to be what is true.
    """

    def __init__(self, screens: Callable[[], Iterable[object]] = tuple) -> None:
        self.screens = screens
        self.lock = RLock()


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
    buttons
        Whether the page has buttons beside the line, of a kernel before.
    new_run
        Number of the run that has begun, while the cell shows what an earlier one has shown; else 0.
    clearing
        Whether that goes with the next output.
    showing
        Of the session, of which several screens may be in one cell.
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
        buttons: bool = False,
        new_run: int = 0,
        clearing: bool = False,
        showing: Showing | None = None,
    ) -> None:
        self.displays = displays
        self._new_run, self._clearing = new_run, clearing
        self._showing = showing or Showing()
        self._shown: deque[tuple[str, dict[str, Any]]] = deque(maxlen=MOST)
        self._kernel = kernel
        self._name = name
        self._header = header
        self._display_id = display_id or uuid.uuid4().hex
        self._keep = keep
        self._is_mid_line = False  # of stdout
        self._lasted = 0.0  # the last run that ended by itself
        self._status = from_json(Status, status) if status else Status()
        self._tracebacks = Tracebacks(lambda: style_of(kernel.shell))
        self._has_room = buttons  # for them, also when they have ended
        self._buttons: Buttons | None = None

    def add_buttons(self, target: Supervisor) -> None:
        """Have buttons beside the line if there can be any, before it is shown."""
        self._has_room = can_be_made()
        self.control(target)
        if self._buttons:
            self._buttons.open()

    def control(self, target: Supervisor) -> None:
        """Have the buttons that the page has, if there are any, act on this target."""
        if self._has_room:
            paused = self._status.paused
            self._buttons = Buttons(self._kernel, self._publish, self._display_id, self._name, target, paused=paused)

    def to_state(self) -> dict[str, Any]:
        """Return, as plain data, what a new screen for the same cell needs."""
        # The session has made a datetime of the date.
        plain = {key: each.isoformat() if isinstance(each, datetime) else each for key, each in self._header.items()}
        status = to_json(self._status, [])
        own = {"header": plain, "display_id": self._display_id, "keep": self._keep, "status": status}
        return {**own, "buttons": self._has_room, "new_run": self._new_run, "clearing": self._clearing}

    def before_exec(self, status: Status) -> None:
        """Show the status; the buttons stay for the new image."""
        self.show(status)
        self._keep_height(RESTART)

    def arrive(self, target: Supervisor) -> None:
        """Go on in the new image."""
        self.control(target)
        self._keep_height(MOMENT)

    def _keep_height(self, seconds: float) -> None:
        """Have the cell keep its height so long, if it shows the beginning of a run's output."""
        with self._showing.lock:
            if self._status.warm is not None and not is_past_the_start(self._status, self._status.runs):
                self._publish("update_display_data", self._status_content(keeps=seconds))

    def go_on(self, status: Status, state: Mapping[str, Any]) -> None:
        """Show the status as this copy of the process does; others may have been there meanwhile."""
        self._status = status
        self._tracebacks = Tracebacks(lambda: style_of(self._kernel.shell))
        self._new_run, self._clearing, self._is_mid_line = state["new_run"], state["clearing"], False
        self._update()

    def flush(self) -> None:
        """Show the traceback that is held back until it is whole."""
        self._flush_tracebacks()
        self._keep_height(RESTART)

    def open(self) -> None:
        """Show the status line for the first time; or anew, with what stood below."""
        if self._screens[0] is not self:
            self._publish("display_data", BREAK)
        self._publish("display_data", self._status_content())
        if self._has_room:
            self._publish("display_data", self._buttons_content())
        for kind, content in self._shown:
            self._publish(kind, content)

    def show_again(self, request_id: str) -> None:
        """Show the status line once more if this is the request that started the watch."""
        if self.request_id == request_id:
            with self._showing.lock:
                self._new_run, self._clearing = 0, False
                self._shown.clear()
                self.open()

    def show(self, status: Status) -> None:
        """Update the status line, if it reads differently."""
        self._flush_tracebacks()
        with self._showing.lock:
            before, self._status = self._status, status
            if status.state in (State.FINISHED, State.CRASHED):
                self._lasted = status.lasted or 0.0
            if self._new_run and is_past_the_start(status, self._new_run):
                self._clear()
            elif status_line(self._name, status) != status_line(self._name, before):
                self._update()

    def _update(self) -> None:
        if self._buttons and self._status.state is State.ENDED:
            ended, self._buttons = self._buttons, None
            self._publish("update_display_data", self._buttons_content())
            ended.close()
        elif self._buttons:
            self._buttons.show(paused=self._status.paused)
        self._publish("update_display_data", self._status_content())

    def begin(self, run: int) -> None:
        """Dim what the cell shows until a new run's output takes its place; or begin a new part."""
        self._flush_tracebacks()
        self._clearing = False
        if self._keep:
            line = "\n" if self._is_mid_line else ""
            self._add_text("stdout", f"{line}── run {run} ──\n")
        elif run > 1:
            with self._showing.lock:
                self._new_run = run
                self._update()

    def _clear(self) -> None:
        """Clear the cell, which keeps its height a while, and put its line back above what comes.

        With it goes what other screens show there, so they show it again.
        """
        with self._showing.lock:
            screens = self._screens
            self._new_run, self._clearing = 0, False
            self._shown.clear()
            self._publish("update_display_data", self._status_content(keeps=keep_while(self._lasted)))
            self._publish("clear_output", {"wait": True})
            for screen in screens:
                screen.open()

    @property
    def request_id(self) -> str:
        """Id of the request that started the watch."""
        return str(self._header.get("msg_id", ""))

    @property
    def _screens(self) -> list[CellScreen]:
        """All screens of this cell, in their order."""
        all_of = [one for one in self._showing.screens() if isinstance(one, CellScreen)]
        screens = [one for one in all_of if one.request_id == self.request_id]
        return screens if self in screens else [*screens, self]  # it has left the session when its target has ended

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
        if not shown.update:
            self._add("display_data", content)
            return
        with self._showing.lock:
            for _, earlier in self._shown:
                if earlier.get("transient") == content["transient"]:
                    earlier |= content
            self._publish("update_display_data", content)

    def clear(self, cleared: Clear) -> None:
        """Clear what the run has shown, and leave the status line."""
        self._flush_tracebacks()
        if cleared.wait or self._new_run:
            self._clearing = True
        else:
            self._clear()

    def _add(self, kind: str, content: dict[str, Any]) -> None:
        with self._showing.lock:
            if self._new_run or self._clearing:
                self._clear()
            self._is_mid_line = content.get("name") == "stdout" and not content["text"].endswith("\n")
            if len(self._screens) > 1:
                self._shown.append((kind, content))
            self._publish(kind, content)

    def _status_content(self, *, keeps: float = 0.0) -> dict[str, Any]:
        is_old = self._new_run > 0 and len(self._screens) == 1  # else it isn't known whose output is
        data = bundle(self._name, self._status, old=is_old, room=self._has_room)
        if keeps:  # first, as a last element has a margin
            data["text/html"] = keep_height(keeps) + data["text/html"]
        return {"data": data, "metadata": {}, "transient": {"display_id": self._display_id}}

    def _buttons_content(self) -> dict[str, Any]:
        data = {"text/plain": "", "text/html": "", **(self._buttons.view if self._buttons else {})}
        return {"data": data, "metadata": {}, "transient": {"display_id": f"{self._display_id}-buttons"}}

    def _publish(self, kind: str, content: dict[str, Any], *, metadata: Mapping[str, str] | None = None) -> None:
        session = self._kernel.session
        if session is not None:  # the kernel is closing
            parent, topic = {"header": self._header}, kind.encode()
            session.send(self._kernel.iopub_socket, kind, content, parent=parent, ident=topic, metadata=metadata)


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

    def add_buttons(self, target: Supervisor) -> None:
        """Do nothing: there are no buttons."""

    def before_exec(self, status: Status) -> None:
        """Show what is held back: what becomes of the restart has its own line."""
        self.flush()
        self._status = status

    def go_on(self, status: Status, state: Mapping[str, Any]) -> None:  # noqa: ARG002  # as `LeavingScreen` has it
        """Go on, in an older copy of the process, from what has been shown last."""
        self._tracebacks = Tracebacks(lambda: style_of(self._kernel.shell))
        self._news = News(self._name, status)
        self._is_mid_line = False

    def _keep_height(self, seconds: float) -> None:
        """Do nothing: what was printed stays."""

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
        """Do nothing, likewise."""

    def clear(self, cleared: Clear) -> None:
        """Do nothing, likewise."""
