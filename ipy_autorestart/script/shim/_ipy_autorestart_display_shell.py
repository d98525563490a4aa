"""In a run that imports IPython: what `display` finds where it looks for a shell, which a script doesn't have."""

import sys

if False:  # for type checkers only
    from types import ModuleType
    from typing import Any

displays: "Any" = globals()["DISPLAYS"]  # it is there before this is executed
NAME = "IPython.core.display_functions"


def _forward(*args: "Any", _to: "Any", **kwargs: "Any") -> "Any":
    return _to(*args, **kwargs)


class Shell:
    """Shell, formatter and publisher in one, and the finder that is there when IPython's functions are imported."""

    def __init__(self) -> None:
        self.display_formatter = self.display_pub = self
        self._formatter: Any = None

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Find the functions as the other finders do, once, and enter them when they have been executed."""
        if name != NAME:
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
            execute(module)
            self.enter(module)

        loader.exec_module = exec_module
        return spec

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

        if self._formatter is None:
            self._formatter = DisplayFormatter()
        figure = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
        if figure is not None:
            for form in displays.formats():
                formatter = self._formatter.formatters[displays.mime(form)]
                if figure not in formatter.type_printers:
                    formatter.for_type(figure, lambda one, form=form: displays.draw(one, form))
        return self._formatter.format(obj, include=include, exclude=exclude)

    def publish(
        self, data: "Any", metadata: "Any" = None, transient: "Any" = None, *, update: bool = False, **_: "Any"
    ) -> None:
        """Show a MIME bundle."""
        display_id = (transient or {}).get("display_id")
        how = {"display_id": None if display_id is None else str(display_id), "update": update}
        displays.show(data, metadata or {}, **how)

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002  # IPython's signature
        """Clear what the run has shown."""
        displays.clearings += 1
        displays.send({"kind": "clear", "wait": bool(wait)})
