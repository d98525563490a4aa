"""The magics: they parse a line, call the API, and show what becomes of it."""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import traitlets
from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.utils.text import DollarFormatter
from traitlets.config import Configurable

from ipy_autorestart import catalogue
from ipy_autorestart.client.screen import Screen
from ipy_autorestart.client.supervisor import Supervisor
from ipy_autorestart.cluster.where import where_of
from ipy_autorestart.completion import complete, list_folder
from ipy_autorestart.extension import ShellSession, session_of
from ipy_autorestart.pristine import time
from ipy_autorestart.protocol.options import BadInput, Option, Options, each
from ipy_autorestart.protocol.parse import BACK, HELPING, cell_of, parse, parser, without_comment
from ipy_autorestart.protocol.request import Kernel, Request, check_platform
from ipy_autorestart.show.cell import CellScreen, ConsoleScreen
from ipy_autorestart.show.tables import WIDE, as_json, overview, reasons
from ipy_autorestart.show.terminal import TerminalScreen
from ipy_autorestart.text import one_line, wrapped

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def _trait(option: Option) -> traitlets.TraitType[Any, Any]:
    if option.many:
        trait: traitlets.TraitType[Any, Any] = traitlets.List(traitlets.Unicode(), help=option.help)
    elif option.switch:
        trait = traitlets.Bool(option.default, help=f"False: {option.help}" if option.off else option.help)
    elif isinstance(option.default, float):
        trait = traitlets.Float(option.default, help=option.help)
    else:
        trait = traitlets.Unicode(option.default, help=option.help)
    return trait.tag(config=True)


def _check(_: Configurable, proposal: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Refuse a value that the option can't have where it is set, not where it is used."""
    option = next(one for one in each() if one.name == proposal["trait"].name)
    try:
        for value in proposal["value"] if option.many else [proposal["value"]]:
            option.check(value)
    except BadInput as error:
        raise traitlets.TraitError(f"{option.name}: {error}") from None
    return proposal["value"]


WatchRestart: type[Configurable] = type(
    "WatchRestart",
    (Configurable,),
    {
        "__doc__": "Defaults of `%watch_restart`'s options.",
        "_check": traitlets.validate(*(option.name for option in each()))(_check),
        **{option.name: _trait(option) for option in each()},
    },
)
"""Traits that ``c.WatchRestart`` and ``%config WatchRestart`` set, made from the options."""


#: So much alike are a name and the target that was meant by it, and so many targets are named.
NEAR_TARGET, NAMED = 0.65, 8


#: Seconds in which a cell waits for the first line of a watch where it would come too late otherwise.
FIRST_LINE = 2.0

EXAMPLES = """Examples:
  %watch_restart src/ main.py               run main.py, and again on a change
  %watch_restart src/ -m app -- --port 80   a module, with its arguments
  %watch_restart src/                       restart this kernel, in place
  %watch_restart src/ --checkpoints         the same, and keep loaded data
  %watch_restart src/ --rerun all           the same, and run cells again
By hand, for one TARGET or all:
  %watch_restart --now [TARGET]             restart without a change
  %watch_restart --pause [TARGET]           don't restart, until --resume [TARGET]
  %watch_restart --back [CELL]              back to before a cell, or the last

"""


def help_of_watch_restart(columns: int) -> str:
    """Return the help in lines that are no longer, where words allow it."""
    return EXAMPLES + parser("%watch_restart", columns=columns).format_help()


@magics_class
class WatchMagics(Magics):
    """``%watch_restart``, ``%unwatch`` and ``%watch_status`` of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.defaults = WatchRestart(parent=shell)
        session_of(shell)  # early, for it records what the process was started with
        shell.Completer.custom_matchers.append(self.match)
        shell.configurables.append(self.defaults)  # type: ignore[arg-type]  # typed too narrowly; %config looks there

    @property
    def _session(self) -> ShellSession:
        assert self.shell is not None
        return session_of(self.shell)

    @no_var_expand
    @needs_local_scope
    @line_magic
    def watch_restart(self, line: str, local_ns: Mapping[str, Any] | None = None) -> None:
        """See `parser`, of which the help is made."""
        if self._session.recorder.is_running_again:  # what this line has begun goes on
            return
        try:
            check_platform()
            argv = _split("%watch_restart", self._expanded(line, local_ns or {}))
            if HELPING.intersection(argv[: argv.index("--") if "--" in argv else None]):
                self._show({"text/plain": help_of_watch_restart(self._columns)})
                return
            if BACK in argv:
                self._go_back([one for one in argv if one != BACK])
                return
            if act := next((one for one in argv if one in BY_HAND), None):
                for supervisor in self._chosen(f"%watch_restart {act}", [one for one in argv if one != act]):
                    BY_HAND[act](supervisor)
                return
            request = self._with_cluster(parse(argv, defaults=_options(self.defaults)))
            screen = self._screen(request)
            executed = self._request
            assert self.shell is not None
            execution = executed.get("header", {}).get("msg_id") or str(self.shell.execution_count)
            cell = executed.get("metadata", {}).get("cellId", "")
            supervisor = Supervisor.of(request, screen=screen, label=label_of(cell or execution, execution))
            _stop([old for old in list(self._session.supervisors) if gives_way(old, supervisor)])
            if isinstance(screen, CellScreen):
                screen.add_buttons(supervisor)
                screen.open()
            supervisor.start()
            if isinstance(screen, ConsoleScreen):
                screen.wait(FIRST_LINE)
            elif (
                isinstance(screen, CellScreen) and not cell
            ):  # as of nbclient, which reads what comes while a cell runs
                supervisor.wait_until_told(FIRST_LINE)
        except BadInput as error:
            raise self._refusal(f"%watch_restart: {error}") from None

    @property
    def _columns(self) -> int:
        """Columns of what shows text; a page has any number."""
        return shutil.get_terminal_size().columns if self._session.lines else WIDE

    def _refusal(self, text: str) -> UsageError:
        """Return an error that IPython shows in a line, which breaks between words where that is a terminal's."""
        if not self._session.lines:
            return UsageError(text)
        before = f"{UsageError.__name__}: "
        return UsageError(wrapped(before + text, shutil.get_terminal_size().columns).removeprefix(before))

    def _with_cluster(self, request: Request) -> Request:
        """Return the request with the address of a cluster in place of the variable that has a client of it."""
        name = request.options.cluster
        assert self.shell is not None
        if name not in self.shell.user_ns:
            return request
        return replace(request, options=replace(request.options, cluster=where_of(name, self.shell.user_ns[name])))

    def _go_back(self, words: Sequence[str]) -> None:
        """Go back to before a cell; raises `BadInput`."""
        session = self._session
        cell = cell_of(words, [cell.number for cell in session.recorder.ledger.cells])
        if not any(isinstance(one.request.target, Kernel) for one in session.supervisors) or session.restarter is None:
            raise BadInput(catalogue.KERNEL_NOT_WATCHED())
        session.restarter.go_back(cell)

    def _expanded(self, line: str, local_ns: Mapping[str, Any]) -> str:
        """Expand variables in a line as IPython does, but don't look for them in vain.

        Its regular expression looks from each place of a line to the end: a hundred thousand characters take minutes.
        """
        assert self.shell is not None
        if "$" in line or "{" in line:
            with contextlib.suppress(Exception):  # as there: what can't be expanded stays
                return str(DollarFormatter().vformat(line, (), {**self.shell.user_ns, **local_ns}))
        return line

    @property
    def _request(self) -> Mapping[str, Any]:
        """The request that is being executed, empty outside a kernel."""
        kernel = getattr(self.shell, "kernel", None)
        return kernel.get_parent("shell") if kernel is not None else {}

    def _screen(self, request: Request) -> Screen:
        name = request.target.label
        if self._session.lines:
            return TerminalScreen(self._session.lines, name, self.shell)
        prints = self._session.consoles.has_sent(self._request)
        return (ConsoleScreen if prints else CellScreen)(
            getattr(self.shell, "kernel", None),
            name,
            header=self._request.get("header", {}),
            keep=request.options.keep,
            displays=_displays(self.shell),
            showing=self._session.showing,
        )

    @line_magic
    def unwatch(self, line: str) -> None:
        """End what is watched: all of it, or the target that is named.

        Usage: ``%unwatch [TARGET]``; a target is named as in ``%watch_status``: a script, ``-m MODULE`` or
        ``kernel``; its arguments may be left out.
        """
        if self._session.recorder.is_running_again:  # what this line has ended isn't there any more
            return
        argv = _split("%unwatch", line)
        _stop(self._chosen("%unwatch", argv) if argv else self._session.supervisors)

    def _chosen(self, magic: str, argv: Sequence[str]) -> list[Supervisor]:
        """Return what is watched and named so, all if nothing is named."""
        wanted = " ".join(argv)
        quoted = shlex.join(argv)  # as titles are
        supervisors = list(self._session.supervisors)
        chosen = [
            one for one in supervisors if quoted == one.request.target.title or wanted in ("", one.request.target.name)
        ]
        if not chosen:
            if not supervisors:
                raise self._refusal(f"{magic}: {catalogue.NOTHING_WATCHED()}")
            names = list(dict.fromkeys(one.request.target.title for one in supervisors))
            near = difflib.get_close_matches(wanted, names, n=1, cutoff=NEAR_TARGET)
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            named = f"{', '.join(names[:NAMED])}{more}"
            hint = catalogue.DID_YOU_MEAN(near=near[0]) if near else catalogue.NAME_A_TARGET(names=named)
            raise self._refusal(f"{magic}: {catalogue.NO_SUCH_TARGET(word=one_line(wanted), hint=hint)}")
        return chosen

    @line_magic
    def watch_status(self, line: str) -> None:
        """Show what is watched: targets, their latest runs, and what is imported ahead for the next.

        Usage: ``%watch_status [--why | --json]``; ``--why`` shows the latest twenty decisions of each: why it restarted
        and why it didn't; ``--json`` all that is known, for programs (in code: ``Supervisor.statistics()``).
        """
        kinds: Mapping[str, Callable[..., dict[str, Any]]] = {
            "": functools.partial(overview, at=time.time()),
            "--why": reasons,
            "--json": as_json,
        }
        shows = kinds.get(without_comment(line).strip())
        if shows is None:
            raise UsageError(catalogue.BAD_VIEW(value=line.strip()))
        every = [one.statistics() for one in list(self._session.supervisors)]
        self._show(shows(every, width=self._columns))

    def _show(self, data: Mapping[str, Any]) -> None:
        assert self.shell is not None
        self.shell.display_pub.publish(data)

    @context_matcher(identifier="ipy_autorestart", priority=100.0)  # type: ignore[untyped-decorator]  # is untyped
    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete the words of these magics."""
        line = context.text_until_cursor.rpartition("\n")[2]
        targets = [one.request.target.title for one in self._session.supervisors]
        cells = sorted(cell.number for cell in self._session.recorder.ledger.cells)
        found = complete(line, listing=list_folder, targets=targets, cells=cells)
        if found is None:
            return {"completions": []}
        words = [SimpleCompletion(word) for word in found.words]
        return {"completions": words, "matched_fragment": found.fragment, "suppress": bool(words), "ordered": True}

    def close(self) -> None:
        """End what is watched and leave nothing in the shell."""
        assert self.shell is not None
        _stop(self._session.supervisors)
        self.shell.Completer.custom_matchers.remove(self.match)
        self._session.close()
        for configurable in (self, self.defaults):  # Magics.__init__ has put itself there
            self.shell.configurables.remove(configurable)  # type: ignore[arg-type]  # as above
        magics = self.shell.magics_manager.magics["line"]
        for name in self.magics["line"]:
            if getattr(magics.get(name), "__self__", None) is self:
                del magics[name]
        self.shell.magics_manager.registry.pop(type(self).__name__, None)


WatchMagics.watch_restart.__doc__ = help_of_watch_restart(WIDE)


def label_of(cell: str, execution: str) -> str:
    """Return what a watch is known by: the cell that begins it, and which execution of the cell that was."""
    return f"{execution}\n{cell}"


def gives_way(old: Supervisor, new: Supervisor) -> bool:
    """Whether a watch ends for a new one: it is of the same target, or of the same cell, which is executed again.

    The new one's label is from `label_of`; the old one's may be any text, as users make watches of their own.
    """
    execution, _, cell = new.label.partition("\n")
    old_execution, *old_cell = old.label.split("\n", 1)
    return old.request.target == new.request.target or (old_cell == [cell] and old_execution != execution)


def _split(magic: str, line: str) -> list[str]:
    try:
        return shlex.split(without_comment(line))
    except ValueError as error:
        trouble = str(error)
        trouble = f"{trouble[:1].lower()}{trouble[1:]}"
        raise UsageError(catalogue.UNCLOSED(magic=magic, trouble=trouble, line=one_line(line))) from None


def _displays(shell: Any) -> Mapping[str, Any]:  # noqa: ANN401  # an InteractiveShell
    """Return how the notebook shows figures, as ``InlineBackend`` is configured by now, or will be."""
    section: Mapping[str, Any] = shell.config.get("InlineBackend", {})
    formats, options = section.get("figure_formats") or section.get("figure_format"), section.get("print_figure_kwargs")
    module = sys.modules.get("matplotlib_inline.config")  # not imported here: matplotlib comes with it
    if module is not None and module.InlineBackend.initialized():
        inline = module.InlineBackend.instance()
        formats, options = inline.figure_formats, inline.print_figure_kwargs
    names = [formats] if isinstance(formats, str) else formats
    plain = {}
    for name, value in options.items() if isinstance(options, dict) else ():
        with contextlib.suppress(TypeError, ValueError):  # what JSON doesn't know stays here
            json.dumps(value)
            plain[name] = value
    return {
        "formats": sorted(map(str, names)) if isinstance(names, set | list | tuple) else ["png"],
        "options": plain,
    }


def _stop(supervisors: Sequence[Supervisor]) -> None:
    for supervisor in list(supervisors):
        supervisor.stop()


def _options(defaults: Configurable) -> Options:
    traits = defaults.trait_values(config=True).items()
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in traits}
    return Options(**values)


BY_HAND: Mapping[str, Callable[[Supervisor], None]] = {
    "--now": Supervisor.restart,
    "--pause": Supervisor.pause,
    "--resume": Supervisor.resume,
}
"""Acts of ``%watch_restart`` on watches that there are, instead of beginning one."""
