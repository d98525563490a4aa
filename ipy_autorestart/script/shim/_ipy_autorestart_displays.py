"""In a run that imports IPython or matplotlib: sends what it displays to the supervisor, through a pipe of its own.

Only plain data leaves: JSON of a MIME bundle. It is loaded by the audit hook of `sitecustomize` when the first of
these libraries is imported, or in the fork server if they are there; other runs don't have it.
"""

import _frozen_importlib
import _frozen_importlib_external
import os
import sys

if False:  # for type checkers only
    from collections.abc import Callable, Mapping
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
        self.formatter: Any = None
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
            Shell(self).enter(sys.modules[IPYTHON])

    def before(self, name: str) -> None:
        """Act before the import of one of `NAMES`."""
        if name == IPYTHON:
            sys.meta_path.insert(0, Once(name, Shell(self).enter))
            return
        parameters = getattr(sys.modules.get("matplotlib"), "rcParams", None)
        if parameters is None:  # too early
            return
        chosen = dict.__getitem__(parameters, "backend")
        if not isinstance(chosen, str) or chosen in INLINE:  # nobody has chosen
            parameters["backend"] = "module://" + BACKEND
            sys.meta_path.append(Backend(self))

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


class Once:
    """Finds one module as the others would, and calls back when it has been executed."""

    def __init__(self, name: str, then: "Callable[[ModuleType], None]") -> None:
        self._name = name
        self._then = then

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Find it, once."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        for finder in list(sys.meta_path):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        execute = spec.loader.exec_module  # type: ignore[union-attr]  # if it has none, it can't be imported at all

        def exec_module(module: "ModuleType") -> None:
            del spec.loader.exec_module  # type: ignore[union-attr]
            execute(module)
            self._then(module)

        spec.loader.exec_module = exec_module  # type: ignore[union-attr,method-assign]
        return spec


def _forward(*args: "Any", _to: "Any", **kwargs: "Any") -> "Any":
    return _to(*args, **kwargs)


class Shell:
    """What IPython's own `display` finds where it looks for its shell, which a script doesn't have."""

    def __init__(self, displays: Displays) -> None:
        self._displays = displays
        self.display_formatter = self.display_pub = self

    def enter(self, module: "Any") -> None:
        """Redirect the functions by which scripts display; others may have imported them already."""
        for name in ("display", "publish_display_data", "clear_output"):
            self._redirect(getattr(module, name))

    def _redirect(self, function: "Any") -> None:
        make = type(function)
        how = (function.__name__, function.__defaults__, function.__closure__)
        original = make(function.__code__, function.__globals__, *how)
        builtins = function.__globals__["__builtins__"]
        builtins = dict(builtins if isinstance(builtins, dict) else vars(builtins), __import__=self._import)
        here = make(function.__code__, {**function.__globals__, "__builtins__": builtins}, *how)
        original.__kwdefaults__ = here.__kwdefaults__ = function.__kwdefaults__
        displays = self._displays

        def to(*args: "Any", **kwargs: "Any") -> "Any":
            shell = getattr(sys.modules.get("IPython.core.interactiveshell"), "InteractiveShell", None)
            own = shell is not None and shell.initialized()
            return (here if displays.is_open and not own else original)(*args, **kwargs)

        function.__code__ = _forward.__code__
        function.__defaults__ = None
        function.__kwdefaults__ = {"_to": to}
        function.__wrapped__ = original  # by which `inspect` finds the signature

    def _import(self, name: str, *args: "Any") -> "Any":
        return self if name == "IPython.core.interactiveshell" else __import__(name, *args)

    @property
    def InteractiveShell(self) -> "Shell":  # noqa: N802  # the name it is looked for by
        """The class, whose one instance is this."""
        return self

    def initialized(self) -> bool:
        """Say that there is a shell."""
        return True

    def instance(self) -> "Shell":
        """Return it."""
        return self

    def format(self, obj: "Any", include: "Any" = None, exclude: "Any" = None) -> "Any":
        """Return what an object looks like: data and metadata."""
        from IPython.core.formatters import DisplayFormatter

        displays = self._displays
        if displays.formatter is None:
            displays.formatter = DisplayFormatter()
        figure = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
        if figure is not None:
            for form in displays.formats():
                formatter = displays.formatter.formatters[MIME[form]]
                if figure not in formatter.type_printers:
                    formatter.for_type(figure, lambda one, form=form: displays.draw(one, form))
        return displays.formatter.format(obj, include=include, exclude=exclude)

    def publish(
        self, data: "Any", metadata: "Any" = None, transient: "Any" = None, *, update: bool = False, **_: "Any"
    ) -> None:
        """Show a MIME bundle."""
        display_id = (transient or {}).get("display_id")
        how = {"display_id": None if display_id is None else str(display_id), "update": update}
        self._displays.show(data, metadata or {}, **how)

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002  # IPython's signature
        """Clear what the run has shown."""
        self._displays.clearings += 1
        self._displays.send({"kind": "clear", "wait": bool(wait)})
