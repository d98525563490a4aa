"""Buttons for a status line, as widgets of `ipywidgets`; they belong to the watch, and outlive the kernels that it has.

They are a display of their own after that of the line, and laid over its beginning. So the line never depends on them,
and neither is drawn anew for the other. Their comms have the name of the line: the next kernel goes on with these, and
a page keeps what it has. All is said in Jupyter widgets' messages (protocol 2), for which nothing has to be imported.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ipy_autorestart.protocol.messages import WATCH_COMM

if TYPE_CHECKING:
    from ipy_autorestart.client.supervisor import Supervisor

VIEW = "application/vnd.jupyter.widget-view+json"

#: What comms of widgets are opened for, and the version of their protocol.
TARGET, PROTOCOL = "jupyter.widget", {"version": "2.1.0"}

#: For what a page opens a comm that asks for all widgets.
CONTROL = "jupyter.widget.control"

#: Versions of the models in a page, by that of ipywidgets.
CONTROLS = {"8": "2.0.0"}

MODEL = ("name", "module", "module_version")

#: Class of a line that buttons are laid over, and of one whose target is paused.
ROOM, PAUSED = "ipy-autorestart-room", "ipy-autorestart-paused"

_OUTPUT = ".jp-OutputArea-child"
_LINE = f"{_OUTPUT}:has(.{ROOM})"
# Should a thread print something just there, it comes between, and is to be seen.
_LAID_OVER = f"{_LINE} + {_OUTPUT}:not(:has([data-mime-type*=std]))"
# Until the page has drawn them; what has a type there is in their place.
_BARE = f"{_LINE}:not(:has(+ {_OUTPUT} :is(button, [data-mime-type]))) .{ROOM}"
_SIGNS = {"refresh": "f021", "pause": "f04c", "play": "f04b"}
#: A button has a text for those who hear it, and a sign for those who see it. In front ends other than JupyterLab and
#: Notebook, where this has no effect, the buttons are a line below, with text.
STYLE = "".join(
    [
        # What follows a float begins where it begins.
        f"<style>\n{_LINE} {{ float: left; width: 100% }} {_LINE} ~ {_OUTPUT} {{ clear: both }}\n",
        f"{_LAID_OVER} {{ position: absolute; z-index: 1; animation: none; pointer-events: none; font-size: 0 }}\n",
        f"{_LAID_OVER} .widget-box {{ margin: 0; overflow: hidden }}\n",
        f"{_LAID_OVER} button {{ pointer-events: auto; flex: none; width: 28px; height: 22px; padding: 0;\n",
        "margin: 0 2px 0 0; font-size: 0; line-height: 22px }\n",
        f"{_LAID_OVER} i {{ font-size: 12px; line-height: 22px; margin: 0 }}\n",
        *(f'{_LAID_OVER} i.fa-{icon}::before {{ content: "\\{sign}" / "" }}\n' for icon, sign in _SIGNS.items()),
        f"{_OUTPUT} .{ROOM} {{ padding-left: 64px; position: relative }}\n",
        # The page draws the buttons a moment after the line: till then, the line has their likeness.
        f"@keyframes {ROOM} {{ to {{ visibility: hidden }} }}\n",
        f"{_BARE}::before, {_BARE}::after {{ position: absolute; top: 0; left: 0; width: 28px; height: 22px;\n",
        "font: 900 12px/22px 'Font Awesome 5 Free', FontAwesome; text-align: center; border-radius: 2px;\n",
        "background: var(--jp-layout-color2); color: var(--jp-ui-font-color1);\n",
        f"animation: {ROOM} 1s step-end forwards; content: '\\{_SIGNS['refresh']}' / '' }}\n",
        f"{_BARE}::after {{ left: 30px; content: '\\{_SIGNS['pause']}' / '' }}\n",
        f"{_BARE}.{PAUSED}::after {{ content: '\\{_SIGNS['play']}' / '' }}\n</style>",
    ]
)

#: Content of the message that ends a line with buttons, where another line follows: it takes no place.
BREAK: dict[str, Any] = {
    "data": {
        "text/html": f"<style>{_OUTPUT}:has(.{ROOM}-end) {{ clear: both; height: 0; overflow: hidden }}</style>"
        f'<div class="{ROOM}-end"></div>'
    },
    "metadata": {},
    "transient": {},
}


def can_be_made() -> bool:
    """Whether there is what they are made of: then the page can show them, too."""
    try:
        return importlib.metadata.version("ipywidgets").partition(".")[0] in CONTROLS
    except importlib.metadata.PackageNotFoundError:
        return False


class Publish(Protocol):
    """Function that publishes."""

    def __call__(self, kind: str, content: dict[str, Any], *, metadata: Mapping[str, str] | None = None) -> None:
        """Publish a message of this kind."""


class Widget:
    """One widget, and its comm, as ipykernel's comm manager calls it."""

    target_name = TARGET

    def __init__(
        self, comm_id: str, publish: Publish, *, on_click: Callable[[], object] = int, **state: object
    ) -> None:
        version = CONTROLS["8"]
        own = {"_model_module": "@jupyter-widgets/controls", "_model_module_version": version}
        view = {"_view_module": "@jupyter-widgets/controls", "_view_module_version": version}
        self.comm_id = comm_id
        self._publish = publish
        self._on_click = on_click
        self._state = {**own, **view, **state}

    @property
    def told(self) -> dict[str, Any]:
        """What a page is told of it that asks for all widgets."""
        return {**{f"model_{part}": self._state[f"_model_{part}"] for part in MODEL}, "state": self._state}

    def open(self) -> None:
        """Have pages make it."""
        content = {"comm_id": self.comm_id, "target_name": TARGET, "target_module": None}
        data = {"state": self._state, "buffer_paths": []}
        self._publish("comm_open", {**content, "data": data}, metadata=PROTOCOL)

    def update(self, **state: object) -> None:
        """Have pages show this, if it is new."""
        if not state.items() <= self._state.items():
            self._state.update(state)
            self._send(state)

    def _send(self, state: Mapping[str, object]) -> None:
        data = {"method": "update", "state": state, "buffer_paths": []}
        self._publish("comm_msg", {"comm_id": self.comm_id, "data": data})

    def end(self) -> None:
        """Have pages forget it."""
        self._publish("comm_close", {"comm_id": self.comm_id, "data": {}})

    def handle_msg(self, message: Mapping[str, Any]) -> None:
        """Take a click, or a question of a page that has just been opened."""
        match message["content"]["data"]:
            case {"method": "custom", "content": {"event": "click"}}:
                self._on_click()
            case {"method": "request_state"}:
                self._send(self._state)

    def handle_close(self, message: Mapping[str, Any]) -> None:
        """Do nothing: other pages have it still."""


class Telling:
    """Tells pages that are opened later of our widgets: they ask `ipywidgets` for all, and that knows its own.

    Without `ipywidgets` they ask each comm that the kernel has.
    """

    def __init__(self, comms: Any) -> None:  # noqa: ANN401  # a CommManager
        self._comms = comms
        self._widgets: list[Widget] = []
        self._register = comms.register_comm

    @classmethod
    def of(cls, comms: Any) -> Telling:  # noqa: ANN401
        """Return the one for this manager."""
        known = vars(comms).get("register_comm")
        telling = getattr(known, "__self__", None)
        return telling if isinstance(telling, cls) else cls(comms)

    def add(self, widgets: Sequence[Widget]) -> None:
        """Tell of these, too."""
        self._widgets += widgets
        self._comms.register_comm = self._register_comm

    def remove(self, widgets: Sequence[Widget]) -> None:
        """Tell of these no more."""
        self._widgets = [one for one in self._widgets if one not in widgets]
        if not self._widgets and vars(self._comms).get("register_comm") == self._register_comm:
            del self._comms.register_comm

    def _register_comm(self, comm: Any) -> Any:  # noqa: ANN401
        if comm.target_name == CONTROL:
            send = comm.send

            def send_all(data: Any = None, *args: Any, **how: Any) -> None:  # noqa: ANN401
                if data and data.get("method") == "update_states":
                    data = {**data, "states": {**data["states"], **{one.comm_id: one.told for one in self._widgets}}}
                send(data, *args, **how)

            comm.send = send_all
        return self._register(comm)


class Buttons:
    """A button that restarts its target and one that pauses or resumes it.

    As for all widgets, clicks are handled in the main thread.

    Parameters
    ----------
    kernel, publish
        The ipykernel ``Kernel``, and what publishes messages.
    name
        Of the status line.
    label, target
        The target's name for people, and the target.
    paused
        Whether it is paused.
    """

    def __init__(
        self,
        kernel: Any,  # noqa: ANN401
        publish: Publish,
        name: str,
        label: str,
        target: Supervisor,
        *,
        paused: bool,
    ) -> None:
        self._label = label
        self._target = target
        self._is_paused = paused
        self._comms = kernel.comm_manager
        self._box_id = f"{WATCH_COMM}{name}-box"
        button = {"_model_name": "ButtonModel", "_view_name": "ButtonView"}
        words = _words("refresh", f"Restart {label} now")
        now = Widget(f"{WATCH_COMM}{name}-now", publish, on_click=lambda: self._target.restart(), **button, **words)
        self._hold = Widget(f"{WATCH_COMM}{name}-hold", publish, on_click=self._on_hold, **button, **self._hold_words)
        children = [f"IPY_MODEL_{each.comm_id}" for each in (now, self._hold)]
        box = Widget(self._box_id, publish, _model_name="HBoxModel", _view_name="HBoxView", children=children)
        self._widgets = (now, self._hold, box)
        for widget in self._widgets:
            self._comms.register_comm(widget)
        Telling.of(self._comms).add(self._widgets)

    def open(self) -> None:
        """Have pages make them; the next kernel doesn't."""
        for widget in self._widgets:
            widget.open()

    @property
    def view(self) -> Mapping[str, Any]:
        """The widget view as a MIME bundle."""
        return {VIEW: {"version_major": 2, "version_minor": 0, "model_id": self._box_id}}

    def show(self, *, paused: bool) -> None:
        """Show what the second one does now; in any thread."""
        self._is_paused = paused
        self._hold.update(**self._hold_words)

    def _on_hold(self) -> None:
        (self._target.resume if self._is_paused else self._target.pause)()

    @property
    def _hold_words(self) -> dict[str, str]:
        if self._is_paused:
            return _words("play", f"Resume {self._label}")
        return _words("pause", f"Pause {self._label}")

    def close(self) -> None:
        """Leave no widget behind."""
        Telling.of(self._comms).remove(self._widgets)
        for widget in reversed(self._widgets):
            widget.end()
            self._comms.unregister_comm(widget)


def _words(icon: str, words: str) -> dict[str, str]:
    return {"icon": icon, "description": words, "tooltip": words}
