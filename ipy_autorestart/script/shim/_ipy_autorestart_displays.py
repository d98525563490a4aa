"""In a run that imports IPython or matplotlib: sends what it displays to the supervisor, through a pipe of its own.

Only plain data leaves: JSON of a MIME bundle. It is loaded by the audit hook of `sitecustomize` when the first of
these libraries is imported, or in the fork server if they are there; other runs don't have it.
"""

import _frozen_importlib
import _frozen_importlib_external
import os
import sys

if False:  # for type checkers only
    from collections.abc import Mapping
    from types import CodeType, ModuleType
    from typing import Any

#: Imported when `matplotlib` has read its configuration, and once more, for old ones, before `pyplot` needs a backend.
MATPLOTLIB = ("matplotlib.cm", "matplotlib._pylab_helpers")
IPYTHON = "IPython.core.display_functions"
NAMES = frozenset((*MATPLOTLIB, IPYTHON))

BACKEND = "_ipy_autorestart_figures"
#: What ipykernel tells matplotlib to draw with, of use in a kernel only: the script has not chosen it.
INLINE = ("inline", "module://matplotlib_inline.backend_inline")

#: More is not shown, as JSON.
BYTES_MAX = 16 << 20
#: Seconds that the supervisor has to read what was printed before.
DRAIN_MAX = 5.0

#: Of no use without a kernel that has the model.
NEEDS_A_KERNEL = ("application/vnd.jupyter.widget-view+json",)

MIME = {
    "png": "image/png",
    "retina": "image/png",
    "png2x": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
}


class Displays:
    """Where a run displays.

    Parameters
    ----------
    number
        The pipe to write to.
    settings
        JSON: the ``formats`` of figures, and ``options`` with which they are printed.
    """

    def __init__(self, number: int, settings: str) -> None:
        self._number = number
        self._settings = settings
        self._pipe = os.fstat(number)
        self._printed = [(fd, os.fstat(fd)) for fd in (1, 2) if _is_open(fd)]
        self._serial = 0
        self.clearings = 0

    @property
    def is_open(self) -> bool:
        """Whether the pipe is there: the script may have closed it, and opened something of its own."""
        try:
            return os.path.samestat(os.fstat(self._number), self._pipe)
        except OSError:
            return False

    def look(self) -> None:
        """Take up what has been imported ahead."""
        if "matplotlib.cm" in sys.modules:
            self.before(MATPLOTLIB[0])
        if IPYTHON in sys.modules:
            self._shell().enter(sys.modules[IPYTHON])

    def before(self, name: str) -> None:
        """Act before the import of one of `NAMES`."""
        if name == IPYTHON:
            sys.meta_path.insert(0, self._shell())
            return
        parameters = getattr(sys.modules.get("matplotlib"), "rcParams", None)
        if parameters is None:  # too early
            return
        chosen = dict.__getitem__(parameters, "backend")
        if not isinstance(chosen, str) or chosen in INLINE:  # nobody has chosen
            parameters["backend"] = "module://" + BACKEND
            sys.meta_path.append(Backend(self))

    def _shell(self) -> "Any":
        names: dict[str, Any] = {"DISPLAYS": self}
        exec(load("_ipy_autorestart_display_shell"), names)
        return names["Shell"]()

    # -- the pipe ------------------------------------------------------------------------------------------------------

    def send(self, message: "Mapping[str, Any]") -> None:
        """Send a message, behind all that was printed before it."""
        import json

        data = json.dumps(message, ensure_ascii=False, default=repr).encode("utf-8", "replace")
        if len(data) > BYTES_MAX:
            note = "… a display of " + format(len(data) / 1e6, ".1f") + " MB left out …"
            data = json.dumps({**message, "data": {"text/plain": note}, "metadata": {}}).encode()
        self._let_be_read()
        self._serial += 1
        head = b"D" + os.getpid().to_bytes(4, "little") + self._serial.to_bytes(4, "little")
        # Each write is atomic, so that threads, forked children and signal handlers don't mix; no lock can be held.
        room = os.fpathconf(self._number, "PC_PIPE_BUF") - 12
        for start in range(0, len(data), room):
            part = data[start : start + room]
            last = start + room >= len(data)
            try:
                os.write(self._number, head + len(part).to_bytes(2, "little") + bytes([last]) + part)
            except OSError:  # nobody looks any more
                return

    def _let_be_read(self) -> None:
        """Wait until what was printed is read: the supervisor can't tell the order in which two pipes were filled."""
        import fcntl
        import termios
        import time

        for stream in (sys.__stdout__, sys.__stderr__, sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError):  # closed; the script will see for itself
                continue
        until = time.monotonic() + DRAIN_MAX
        for number, pipe in self._printed:
            try:
                while os.path.samestat(os.fstat(number), pipe) and time.monotonic() < until:
                    if not any(fcntl.ioctl(number, termios.FIONREAD, bytes(4))):
                        break
                    time.sleep(0.0002)
            except OSError:  # closed
                continue

    def show(self, data: "Mapping[str, Any]", metadata: "Mapping[str, Any]", **how: "Any") -> None:
        """Send a MIME bundle; pictures go as base64."""
        import binascii

        plain = {
            mime: binascii.b2a_base64(value, newline=False).decode() if isinstance(value, bytes) else value
            for mime, value in data.items()
            if mime not in NEEDS_A_KERNEL
        }
        if plain or not data:
            self.send({"kind": "display", "data": plain, "metadata": metadata, **how})

    # -- figures -------------------------------------------------------------------------------------------------------

    def formats(self) -> "list[str]":
        """Return the formats that figures are shown in."""
        import json

        return [one for one in json.loads(self._settings)["formats"] if one in MIME]

    def mime(self, form: str) -> str:
        """Return the type of a format."""
        return MIME[form]

    def draw(self, figure: "Any", form: str) -> "Any":
        """Return a figure in a format, with its size if it is of double density, as `IPython.core.pylabtools` does."""
        import io
        import json

        if not figure.axes and not figure.lines:
            return None
        double = form in ("retina", "png2x")
        options = {
            "format": "png" if double else form,
            "facecolor": figure.get_facecolor(),
            "edgecolor": figure.get_edgecolor(),
            "dpi": figure.dpi * 2 if double else figure.dpi,
            "bbox_inches": "tight",
            **json.loads(self._settings)["options"],
        }
        file = io.BytesIO()
        figure.canvas.print_figure(file, **options)
        data = file.getvalue()
        if form == "svg":
            return data.decode()
        if not double:
            return data
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))  # of the header of a PNG
        return data, {"width": width // 2, "height": height // 2}

    def show_figure(self, figure: "Any", **how: "Any") -> None:
        """Show a figure as a cell of a notebook would."""
        data, metadata = {"text/plain": repr(figure)}, {}
        for form in self.formats():
            drawn = self.draw(figure, form)
            if isinstance(drawn, tuple):
                drawn, metadata[MIME[form]] = drawn
            if drawn is not None:
                data[MIME[form]] = drawn
        self.show(data, metadata, **how)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def load(name: str) -> "CodeType":
    """Return the code of a module beside this one."""
    path = os.path.dirname(os.path.abspath(__file__)) + "/" + name + ".py"
    code = _frozen_importlib_external.SourceFileLoader(name, path).get_code(name)
    assert code is not None
    return code


class Backend:
    """Finds matplotlib's backend, once; finder and loader in one."""

    def __init__(self, displays: Displays) -> None:
        self._displays = displays

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":  # noqa: ARG002  # a protocol
        """Return how to load the backend."""
        if name != BACKEND:
            return None
        sys.meta_path.remove(self)
        return _frozen_importlib.ModuleSpec(name, self)  # type: ignore[arg-type]  # it is one

    def create_module(self, spec: "Any") -> None:
        """Let the import system make it."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run the backend's code."""
        vars(module)["DISPLAYS"] = self._displays
        exec(load(BACKEND), vars(module))
