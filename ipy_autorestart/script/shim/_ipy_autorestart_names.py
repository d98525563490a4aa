"""What a module has, without running anything of it: to ask one that is imported lazily would import it now."""

if False:  # for type checkers only
    from typing import Any


def names_of(module: "Any") -> "dict[str, Any]":  # noqa: ANN401  # whatever stands in the place of one
    """Return the names of a module and their values; none if it isn't one."""
    try:
        found: dict[str, Any] = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}
    return found if found.__class__ is dict else {}


def file_of(module: "Any") -> str:  # noqa: ANN401  # as above
    """Return the file of a module; empty if there is none."""
    file = names_of(module).get("__file__")
    return file if isinstance(file, str) else ""
