"""Every option once: name, default, check and help, for the magics, the command line, the API and the README."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ipy_autorestart import catalogue
from ipy_autorestart.decide.timing import OnBusy, Rerun, Timing
from ipy_autorestart.pristine import os, signal
from ipy_autorestart.text import one_line

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


class BadInput(ValueError):  # noqa: N818  # it is shown to the user, who made no "error"
    """A mistake of the user's. The message is one line that says what is wrong and how to fix it.

    Examples
    --------
    >>> try:
    ...     Options(debounce=-1)
    ... except BadInput as mistake:
    ...     print(mistake)
    --debounce: expected seconds, a number from 0 to 3600 such as 0.5, got -1
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def seconds(text: str | float) -> float:
    """Return a duration; raises `BadInput` unless it is a number from 0 to 3600."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 3600:
        raise BadInput(catalogue.BAD_SECONDS(value=text))
    return number


def signal_name(text: str) -> str:
    """Return the name of a signal; "INT" and "sigint" will do; raises `BadInput` for no signal."""
    name = str(text).upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signal.Signals.__members__:
        raise BadInput(catalogue.BAD_SIGNAL(value=text))
    return name


def can_be_passed_on(text: object) -> bool:
    """Whether another program can be told this, or a file be named so: as text without NUL that can be encoded."""
    try:
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def glob(text: str) -> str:
    """Return a glob; raises `BadInput` for an empty one, and for a bracket that isn't closed."""
    if not text or not can_be_passed_on(text):
        raise BadInput(catalogue.BAD_GLOB(value=text))
    if "[" in text and "]" not in text[text.index("[") + 2 :]:
        raise BadInput(catalogue.OPEN_BRACKET(value=text))
    return text


class OneOf:
    """Check of a choice; raises `BadInput` for anything else."""

    def __init__(self, choices: Iterable[str]) -> None:
        self.choices = tuple(map(str, choices))

    def __call__(self, text: str) -> str:
        """Return the choice."""
        if text not in self.choices:
            *most, last = self.choices
            raise BadInput(catalogue.BAD_CHOICE(most=", ".join(most), last=last, value=text))
        return text


def assignment(text: str) -> str:
    """Return an environment variable with its value; raises `BadInput` for anything else."""
    name, sign, _ = text.partition("=") if can_be_passed_on(text) else ("", "", "")
    if not (name and sign):
        raise BadInput(catalogue.BAD_VARIABLE(value=text))
    return text


def address(text: str) -> str:
    """Return an address as HOST:PORT, by default of this machine alone; raises `BadInput` for anything else."""
    host, colon, port = text.rpartition(":") if can_be_passed_on(text) else ("", "", "")
    inner = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    is_host = bool(inner) if colon else not host
    if not (
        is_host and port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16 and ("[" in host) == (":" in inner)
    ):
        raise BadInput(catalogue.BAD_ADDRESS(value=text))
    return f"{host or LOCAL}:{int(port)}"


#: The host where none is given.
LOCAL = "127.0.0.1"


def modules(text: str) -> str:
    """Return names of modules, separated by commas; raises `BadInput` for anything else."""
    names = text.split(",") if isinstance(text, str) else [""]
    if not all(part.isidentifier() for name in names for part in name.strip().split(".")):
        raise BadInput(catalogue.BAD_MODULES(value=text))
    return ",".join(name.strip() for name in names)


def path_or_name(text: str) -> str:
    """Return a path or a name; raises `BadInput` for anything but text."""
    if not can_be_passed_on(text):
        raise BadInput(catalogue.BAD_PATH(value=text))
    return text


def flag(value: object) -> bool:
    """Return whether something is switched on; raises `BadInput` for anything but True and False."""
    if not isinstance(value, bool):
        raise BadInput(catalogue.BAD_FLAG(value=value))
    return value


def option(
    default: T,
    *,
    check: Callable[[Any], Any],
    metavar: str = "",
    off: str = "",
    only: str = "",
    help: str,  # noqa: A002  # as argparse has it
) -> T:
    """Make a field of a dataclass an option of the magic and the command line; `each` finds it again.

    What is on by default is switched ``off`` by a flag of its own. ``only`` names the kind of target that it is for.
    """
    metadata = {"check": check, "metavar": metavar, "off": off, "only": only, "help": help}
    return dataclasses.field(default=default, metadata=metadata)


_TIMING = Timing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All settings of a watch. Each has a default.

    A setting is a keyword here, an option with dashes in ``%watch_restart`` and on the command line, and a trait of
    ``c.WatchRestart``. Durations are in seconds.

    Raises
    ------
    BadInput
        If an option can't have such a value.

    Examples
    --------
    >>> options = Options(pattern=["*.toml"], debounce=0.2)
    >>> options.pattern, options.debounce, options.stop_timeout
    (('*.toml',), 0.2, 5.0)
    """

    pattern: tuple[str, ...] = option(
        (), check=glob, metavar="GLOB", help="restart for these files, too, not only for Python; may be repeated"
    )
    ignore: tuple[str, ...] = option(
        (), check=glob, metavar="GLOB", help="never restart for these files and folders; may be repeated"
    )
    gitignore: bool = option(
        default=False, check=flag, help="never restart for what .gitignore names (which may include generated code)"
    )
    all: bool = option(default=False, check=flag, help="also restart for files that the last run has not used")
    strict: bool = option(default=False, check=flag, help="also restart for changes of comments and layout")
    poll: float = option(
        0.0, check=seconds, metavar="SECONDS", help="look for changes this often; 0: only where the system reports none"
    )
    debounce: float = option(
        _TIMING.quiet,
        check=seconds,
        metavar="SECONDS",
        help="changes closer together than this are one restart; one file alone waits less",
    )
    stop_signal: str = option(
        "SIGTERM", check=signal_name, metavar="SIGNAL", only="script", help="signal that asks a script to end"
    )
    stop_timeout: float = option(
        _TIMING.stop_timeout,
        check=seconds,
        metavar="SECONDS",
        only="script",
        help="time that a script has to end, before it is killed",
    )
    overlap: bool = option(
        default=False,
        check=flag,
        only="script",
        help="start the next run while the old one finishes its answers, within the stop timeout",
    )
    leave_daemons: bool = option(
        default=False,
        check=flag,
        only="script",
        help="don't end processes that made a session of their own: a browser, a daemon",
    )
    socket: tuple[str, ...] = option(
        (),
        check=address,
        metavar="[HOST:]PORT",
        only="script",
        help="keep this port open and pass it to each run as systemd does (LISTEN_FDS); may be repeated",
    )
    restart_on_exit: bool = option(
        _TIMING.restart_on_exit,
        check=flag,
        only="script",
        help="run a script again when it ends by itself: after 0.1 s, then 0.2, 0.4 … up to a minute",
    )
    on_busy: str = option(
        OnBusy.WAIT.value,
        check=OneOf(choice.value for choice in OnBusy),
        metavar="HOW",
        only="kernel",
        help="what to do with running cells when the kernel has to restart: wait, or interrupt them",
    )
    busy_timeout: float = option(
        300.0,
        check=seconds,
        metavar="SECONDS",
        only="kernel",
        help="longest wait for queued cells; for the running one it always waits",
    )
    rerun: str = option(
        Rerun.NONE.value,
        check=OneOf(choice.value for choice in Rerun),
        metavar="CELLS",
        only="kernel",
        help="cells to run again after a restart of the kernel: none, marked (#| rerun: true) or all",
    )
    checkpoints: bool = option(
        default=False,
        check=flag,
        only="kernel",
        help="keep what cells made before any of them used the changed file; --rerun does so, too",
    )
    cluster: str = option(
        "",
        check=path_or_name,
        metavar="ADDRESS",
        help="bring the code to this cluster's workers first: a variable with a client, an address or a file",
    )
    cluster_timeout: float = option(
        60.0,
        check=seconds,
        metavar="SECONDS",
        help="longest wait until all workers have the code; after that nothing runs",
    )
    lose_data: bool = option(
        default=False,
        check=flag,
        help="restart workers even if they have the only copies of published or others' data",
    )
    keep: bool = option(default=False, check=flag, only="script", help="keep the output of earlier runs")

    warm: bool = option(
        default=True,
        check=flag,
        off="--cold",
        help="start a fresh interpreter each time, with nothing imported or started ahead",
    )
    preload: tuple[str, ...] = option(
        (),
        check=modules,
        metavar="MODULE,…",
        only="script",
        help="import these modules ahead, too",
    )

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether a kernel keeps copies of itself, to which it goes back rather than to its start."""
        return self.warm and (self.checkpoints or self.rerun != Rerun.NONE.value)

    def __post_init__(self) -> None:
        """Check each value, wherever it comes from."""
        check(self)


@dataclass(frozen=True, slots=True)
class Option:
    """One option, as parsers, traits and tables need it."""

    name: str
    default: Any
    check: Callable[[Any], Any]
    metavar: str
    off: str
    only: str
    help: str

    @property
    def flag(self) -> str:
        """As it is written: ``--stop-timeout``."""
        return self.off or "--" + self.name.replace("_", "-")

    @property
    def switch(self) -> bool:
        """Whether it takes no value."""
        return isinstance(self.default, bool)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it can have, where they are few."""
        if self.check is signal_name:
            return tuple(name for name in signal.Signals.__members__ if "RT" not in name)
        return self.check.choices if isinstance(self.check, OneOf) else ()

    @property
    def many(self) -> bool:
        """Whether it may be given again."""
        return isinstance(self.default, tuple)


def each(of: DataclassInstance | type[DataclassInstance] = Options) -> Iterator[Option]:
    """Yield the options of a dataclass in their order."""
    for field in dataclasses.fields(of):
        if metadata := field.metadata:
            yield Option(field.name, field.default, **metadata)


def check(values: DataclassInstance) -> None:
    """Replace each option's value by its checked one; raises `BadInput` that names the option."""
    for option in each(values):
        value = getattr(values, option.name)
        try:
            checked = tuple(map(option.check, value)) if option.many else option.check(value)
        except BadInput as error:
            raise BadInput(f"{option.flag}: {error}") from None
        object.__setattr__(values, option.name, checked)
