"""Every option once: name, default, check and help, for the magics, the command line, the API and the README."""

from __future__ import annotations

import dataclasses
import math
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


class BadInput(ValueError):  # noqa: N818  # it is shown to the user, who made no "error"
    """A user's mistake, as one line that names the thing and the fix."""


def seconds(text: str | float) -> float:
    """Return a duration; raises `BadInput` unless it is a number from 0 to 3600."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 3600:
        raise BadInput(f"expected seconds, a number from 0 to 3600, got {text!r}")
    return number


def signal_name(text: str) -> str:
    """Return the name of a signal; "INT" and "sigint" will do; raises `BadInput` for no signal."""
    name = str(text).upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signal.Signals.__members__:
        raise BadInput(f"expected a signal such as SIGTERM or SIGINT, got {text!r}")
    return name


def glob(text: str) -> str:
    """Return a glob; raises `BadInput` for an empty one."""
    if not isinstance(text, str) or not text:
        raise BadInput(f"expected a glob such as '*.toml', got {text!r}")
    return text


def flag(value: object) -> bool:
    """Return whether something is switched on; raises `BadInput` for anything but True and False."""
    if not isinstance(value, bool):
        raise BadInput(f"expected True or False, got {value!r}")
    return value


def _option(default: Any, *, check: Callable[[Any], Any], metavar: str = "", help: str) -> Any:  # noqa: A002, ANN401
    return dataclasses.field(default=default, metadata={"check": check, "metavar": metavar, "help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What can be said about a watch, with defaults that need nothing said.

    Each field is a keyword here, ``--with-dashes`` in `%watch_restart` and on the command line, and a trait of
    ``c.WatchRestart``. Durations are seconds.

    Raises
    ------
    BadInput
        For a value that the option can't have.
    """

    pattern: tuple[str, ...] = _option(
        (), check=glob, metavar="GLOB", help="files that count too, besides Python sources; may be given again"
    )
    ignore: tuple[str, ...] = _option(
        (), check=glob, metavar="GLOB", help="files and folders that never count; may be given again"
    )
    gitignore: bool = _option(
        False,  # noqa: FBT003  # a default
        check=flag,
        help="leave out what .gitignore files name; generated code is often among it",
    )
    all: bool = _option(
        False,  # noqa: FBT003
        check=flag,
        help="restart for files, too, that the last run had no use for",
    )
    strict: bool = _option(
        False,  # noqa: FBT003
        check=flag,
        help="restart for comments and layout too",
    )
    poll: float = _option(
        0.0, check=seconds, metavar="SECONDS", help="look at intervals, not for events; 0: where events are missing"
    )
    debounce: float = _option(0.05, check=seconds, metavar="SECONDS", help="quiet that ends a burst of changes")
    stop_signal: str = _option(
        "SIGTERM", check=signal_name, metavar="SIGNAL", help="asks a script to end before it runs again"
    )
    stop_timeout: float = _option(5.0, check=seconds, metavar="SECONDS", help="from the stop signal to SIGKILL")

    def __post_init__(self) -> None:
        """Check each value, wherever it comes from."""
        for option in each():
            value = getattr(self, option.name)
            try:
                checked = tuple(map(option.check, value)) if option.many else option.check(value)
            except BadInput as error:
                raise BadInput(f"{option.flag}: {error}") from None
            object.__setattr__(self, option.name, checked)

    def to_argv(self) -> list[str]:
        """Return the words that say the same on a command line."""
        words = []
        for option in each():
            value = getattr(self, option.name)
            if value is True:
                words.append(option.flag)
            elif value != option.default:
                words += [f"{option.flag}={item}" for item in (value if option.many else (value,))]
        return words


@dataclass(frozen=True, slots=True)
class Option:
    """One option, as parsers, traits and tables need it."""

    name: str
    default: Any
    check: Callable[[Any], Any]
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """As it is written: ``--stop-timeout``."""
        return "--" + self.name.replace("_", "-")

    @property
    def switch(self) -> bool:
        """Whether it takes no value."""
        return isinstance(self.default, bool)

    @property
    def many(self) -> bool:
        """Whether it may be given again."""
        return isinstance(self.default, tuple)


def each() -> Iterator[Option]:
    """Yield every option in the order of `Options`."""
    for field in dataclasses.fields(Options):
        metadata = field.metadata
        yield Option(field.name, field.default, metadata["check"], metadata["metavar"], metadata["help"])
