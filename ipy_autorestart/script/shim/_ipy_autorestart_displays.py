"""Sends what a run displays to the supervisor, through a pipe of its own; for runs that import IPython or matplotlib.

Only plain data leaves the run: the JSON of a MIME bundle. The audit hook of `sitecustomize` loads this module when the
first of these libraries is imported; a fork server loads it before it imports anything.
"""

import _frozen_importlib
import _frozen_importlib_external
import os
import posix
import sys

if False:  # for type checkers only
    from collections.abc import Mapping
    from types import CodeType, ModuleType
    from typing import Any

#: Imported when `matplotlib` has read its configuration, and once more, for old ones, before `pyplot` needs a backend.
MATPLOTLIB = ("matplotlib.cm", "matplotlib._pylab_helpers")
IPYTHON = "IPython.core.display_functions"
SHELL = "IPython.core.interactiveshell"

BACKEND = "_ipy_autorestart_figures"
#: The backends that ipykernel names to matplotlib. They need a kernel, and the script has not chosen them.
INLINE = ("inline", "module://matplotlib_inline.backend_inline")

#: A display with more bytes of JSON is left out.
BYTES_MAX = 16 << 20
#: Seconds that the supervisor has to read what was printed before.
DRAIN_MAX = 5.0

# Not the modules that the script shares: it may have replaced what waits, as gevent does, or the clock.
_spec: "Any" = _frozen_importlib.BuiltinImporter.find_spec("time") or __import__("time").__spec__
clock: "Any" = _frozen_importlib.module_from_spec(_spec)
_spec.loader.exec_module(clock)

#: Left out: these need a kernel that has the model.
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
    """The displays of a run.

    Parameters
    ----------
    settings
        JSON: the ``formats`` of figures, and ``options`` with which they are printed.
    """

    def __init__(self, settings: str) -> None:
        self._settings = settings
        self._fd = -1
        self._pipe: Any = None
        self._printed: list[tuple[int, os.stat_result]] = []
        self._serial = 0
        self._shell = Shell(self)
        self.clearings = 0

    def open(self, fd: int) -> None:
        """Display through a pipe from now on."""
        self._fd = fd
        self._pipe = posix.fstat(fd)
        for one in (1, 2):
            try:
                self._printed.append((one, posix.fstat(one)))
            except OSError:  # closed
                continue
        if self._shell in sys.meta_path:  # nothing imported ahead has asked for it
            sys.meta_path.remove(self._shell)
        if "matplotlib.cm" in sys.modules:
            self.before(MATPLOTLIB[0])

    @property
    def is_open(self) -> bool:
        """Whether the pipe is there: the script may have closed it, and opened something of its own."""
        try:
            return os.path.samestat(posix.fstat(self._fd), self._pipe)
        except OSError:
            return False

    def before(self, name: str) -> None:
        """Act before the import of a module of IPython's or matplotlib's."""
        if name == IPYTHON:
            sys.meta_path.insert(0, self._shell)
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
        head = b"D" + posix.getpid().to_bytes(4, "little") + self._serial.to_bytes(4, "little")
        # Each write is atomic, so that threads, forked children and signal handlers don't mix; no lock can be held.
        room = posix.fpathconf(self._fd, "PC_PIPE_BUF") - 12
        for start in range(0, len(data), room):
            part = data[start : start + room]
            last = start + room >= len(data)
            try:
                posix.write(self._fd, head + len(part).to_bytes(2, "little") + bytes([last]) + part)
            except OSError:  # nobody reads any more
                return

    def _let_be_read(self) -> None:
        """Wait until what was printed is read: the supervisor can't tell the order in which two pipes were filled."""
        import fcntl
        import termios

        for stream in (sys.__stdout__, sys.__stderr__, sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError):  # closed; the script will see for itself
                continue
        until = clock.monotonic() + DRAIN_MAX
        for fd, pipe in self._printed:
            try:
                while os.path.samestat(posix.fstat(fd), pipe) and clock.monotonic() < until:
                    if not any(fcntl.ioctl(fd, termios.FIONREAD, bytes(4))):
                        break
                    clock.sleep(0.0002)
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


class Builtins(dict):  # type: ignore[type-arg]  # not to be subscripted at run time
    """The builtins of IPython's module, whose import statements are ours; the script may change all else."""

    def __missing__(self, name: str) -> "Any":
        """Return what all modules have."""
        import builtins

        return vars(builtins)[name]


class Shell:
    """IPython's shell as its display functions find it in a script, which has none: formatter and publisher in one.

    These functions import the shell's class at each call, so it is enough to answer the import statements of their
    module. A finder does so when the module is made; the functions themselves are IPython's own, whoever has imported
    them, and ahead of the run, too.
    """

    def __init__(self, displays: Displays) -> None:
        self._displays = displays
        self.display_formatter = self.display_pub = self
        self._formatter: Any = None

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Find IPython's display functions, once, as the other finders do."""
        if name != IPYTHON:
            return None
        sys.meta_path.remove(self)
        specs = (finder.find_spec(name, path, target) for finder in list(sys.meta_path))
        spec = next(filter(None, specs), None)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: "ModuleType") -> None:
            del loader.exec_module
            vars(module)["__builtins__"] = Builtins(__import__=self._import)
            execute(module)

        loader.exec_module = exec_module
        return spec

    def _import(self, name: str, *args: "Any") -> "Any":
        if name == SHELL and self._displays.is_open:
            shell = getattr(sys.modules.get(SHELL), "InteractiveShell", None)
            if shell is None or not shell.initialized():  # the script has made none
                return self
        return __import__(name, *args)

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
        """Return the data and metadata of an object."""
        from IPython.core.formatters import DisplayFormatter

        if self._formatter is None:
            self._formatter = DisplayFormatter()
        figure = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
        if figure is not None:
            for form in self._displays.formats():
                formatter = self._formatter.formatters[MIME[form]]
                if figure not in formatter.type_printers:
                    formatter.for_type(figure, lambda one, form=form: self._displays.draw(one, form))
        return self._formatter.format(obj, include=include, exclude=exclude)

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
        """Run the backend's code, from the file beside this one."""
        path = os.path.dirname(os.path.abspath(__file__)) + "/" + BACKEND + ".py"
        code: CodeType | None = _frozen_importlib_external.SourceFileLoader(BACKEND, path).get_code(BACKEND)
        assert code is not None
        vars(module)["DISPLAYS"] = self._displays
        exec(code, vars(module))
