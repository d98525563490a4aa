"""The cells that a shell executes: those that run now, and those that the next image runs again."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import json
import logging
import operator
import sys
import types
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ipy_autorestart.ipython import ledger
from ipy_autorestart.ipython.document import saved_document
from ipy_autorestart.ipython.hooks import Hooks
from ipy_autorestart.ipython.ledger import Cell, Choice, Ledger, Rerun
from ipy_autorestart.ipython.names import Names, names_of
from ipy_autorestart.ipython.policy import Pace, begun
from ipy_autorestart.ipython.uses import Uses
from ipy_autorestart.ipython.writes import Audit, WatchedFiles, files_now_ns
from ipy_autorestart.pristine import RLock, get_ident, is_main_thread, time, wall_ns
from ipy_autorestart.protocol.request import Kernel, Request
from ipy_autorestart.reexec.start import from_here

if TYPE_CHECKING:
    from types import FrameType

    from IPython.core.interactiveshell import InteractiveShell


log = logging.getLogger(__name__)

#: The name by which `%load_ext` knows this project.
EXTENSION = "ipy_autorestart"


class Cells:
    """Counts the cells that run, in any thread; calls ``on_end`` there when one has ended, before its reply is sent."""

    def __init__(self, shell: InteractiveShell, *, on_end: Callable[[], None]) -> None:
        self._shell = shell
        self._on_end = on_end
        self._executing: collections.Counter[int] = collections.Counter()
        self.pace = Pace()
        frame: FrameType | None = sys._getframe()  # noqa: SLF001  # public but for its name
        while frame and frame.f_code.co_name != "run_cell_async":
            frame = frame.f_back
        if frame:  # in a cell, whose start is over, and whose end will be counted
            self._executing[get_ident()] = 1
        self._hooks = Hooks(
            shell,
            {
                "pre_execute": self._note_start,
                "post_execute": self._note_end,
                "pre_run_cell": self._note_pace,
                "post_run_cell": self._note_pace,
            },
        )

    @property
    def running(self) -> int:
        """The number of threads that execute a cell."""
        return len(self._executing)

    def describe(self) -> str:
        """Return what is running, or nothing."""
        return f"cell {self._shell.execution_count}" if self._executing else ""

    def _note_start(self) -> None:
        self._executing[get_ident()] += 1  # a cell may run another

    def _note_end(self) -> None:
        thread = get_ident()
        self._executing[thread] -= 1
        if self._executing[thread] <= 0:  # below: an empty cell ends without having begun
            del self._executing[thread]
        self._on_end()

    def _note_pace(self, what: Any) -> None:  # an ExecutionInfo or ExecutionResult, neither of a silent request
        now = time.monotonic()
        self.pace = self.pace._replace(ended=now) if hasattr(what, "info") else begun(self.pace, now)

    def close(self) -> None:
        """Unregister from the shell's events."""
        self._hooks.close()


class Bindings(NamedTuple):
    """What names are bound to, as numbers: objects would live on."""

    names: list[str]
    numbers: list[int]

    def since(self, before: Bindings) -> set[str]:
        """Return the names that are bound to something else than before; a long session has thousands of names."""
        count = len(before.names)
        if self.names[:count] == before.names:  # the order of a dict, unless some were deleted
            rebound = itertools.compress(self.names, map(operator.ne, self.numbers, before.numbers))
            return set(map(str, itertools.chain(rebound, self.names[count:])))
        known = dict(zip(*before, strict=True))
        return {str(name) for name, number in zip(*self, strict=True) if known.get(name) != number}


class Ended(NamedTuple):
    """A cell that has ended: what can't be found out later."""

    result: Any  # an ExecutionResult
    request: Mapping[str, Any]
    error: BaseException | None
    seconds: float
    wrote: tuple[str, ...]
    began_ns: int
    span: tuple[int, int] | None
    bound: tuple[Bindings, Bindings]


class Recorder:
    """Keeps the ledger of one shell, given what is watched there.

    Attributes
    ----------
    settles_later
        Whether the cell that has ended last comes into the ledger when somebody asks for that, at the latest before the
        next one: its client waits for the reply as it ends.
    """

    def __init__(self, shell: InteractiveShell, requests: Callable[[], Iterable[Request]] = tuple) -> None:
        self._shell = shell
        self._requests = requests
        self._audit: Audit | None = None
        # Of the cell that loads this, as far as it has had the time to write.
        self._began_ns, self._writes_from_ns = wall_ns(), files_now_ns()
        self._ledger = Ledger(unknown=max(0, shell.execution_count - 2))  # the cell that loads this runs by now
        self._ended: Ended | None = None
        self._settling = RLock()
        self.settles_later = False
        self._began = time.monotonic()
        self._again: Cell | None = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[Any] | None = None
        self._restart_interrupts = False
        self._before = self._bindings()
        self._hooks = Hooks(shell, {"pre_run_cell": self._note_start, "post_run_cell": self._note_end})
        self._watched_for: tuple[Request, ...] = ()
        self._watched = WatchedFiles(())
        # What cells use, in a kernel, which alone can go back to what it was before that.
        self.uses = Uses(is_fresh=self._is_fresh) if getattr(shell, "kernel", None) is not None else None

    def close(self) -> None:
        """Unregister from the shell's events, and hear no more of what is used."""
        self._hooks.close()
        if self.uses:
            self.uses.close()

    @property
    def _is_fresh(self) -> bool:
        """Whether no cell has run before this, nor anything in the cell that loads this."""
        code = str(self._request.get("content", {}).get("code", ""))
        first = next(
            (line for line in map(str.strip, code.splitlines()) if line and not line.startswith("#")), "%load_ext"
        )
        return not self.ledger.unknown and first.startswith(("%load_ext", "%reload_ext"))

    def _note_start(self, info: Any) -> None:  # an ExecutionInfo
        if self._is_cell(info):
            self._began, self._began_ns = time.monotonic(), wall_ns()
            self._writes_from_ns = files_now_ns()
            self._task = _current_task()
            self._restart_interrupts = False
            if self._audit is None and self._reruns:
                self._audit = Audit()
            if self._audit:
                self._audit.begin()
            self._before = self._bindings()

    def expect_interrupt(self) -> None:
        """Know, in a signal handler too, that it is a restart that interrupts the running cell, not the person."""
        self._restart_interrupts = True

    def _is_cell(self, info: Any) -> bool:
        """Return whether the user has run this, and not a cell's own code or a subshell."""
        if not is_main_thread() or not info.store_history or info.silent:
            return False
        request = self._request
        return not request or request.get("content", {}).get("code") == info.raw_cell

    @property
    def _request(self) -> Mapping[str, Any]:
        """The request in progress, empty outside a kernel."""
        kernel = getattr(self._shell, "kernel", None)
        return kernel.get_parent("shell") if kernel is not None else {}

    def _note_end(self, result: Any) -> None:  # an ExecutionResult
        if result is None:  # ipykernel has none if the cell was interrupted at once
            self._error = KeyboardInterrupt()
            return
        if not self._is_cell(result.info):
            return
        seconds = time.monotonic() - self._began
        wrote, is_all = self._audit.end() if self._audit else ((), False)
        span = None if is_all else (self._writes_from_ns, wall_ns())
        error = result.error_before_exec or result.error_in_exec
        if isinstance(error, asyncio.CancelledError) and self._task and self._task.cancelling():
            error = KeyboardInterrupt()  # it awaited something, and ipykernel interrupts that by cancelling
        self.settle()  # what has run in a shell that has no requests
        if self._again is not None:
            self._error = error
            self.ledger = ledger.ran_again(
                self.ledger, self._again.key, seconds, failed=error is not None, wrote=wrote, span=span
            )
            self._attribute()
            return
        if self._restart_interrupts and isinstance(error, KeyboardInterrupt):
            error = None
        bound = self._before, self._bindings()
        self._ended = Ended(result, self._request, error, seconds, wrote, self._began_ns, span, bound)
        if not self.settles_later:
            self.settle()

    @property
    def ledger(self) -> Ledger:
        """What has run."""
        self.settle()
        return self._ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def settle(self) -> None:
        """Put the cell that has ended last into the ledger."""
        with self._settling:
            ended, self._ended = self._ended, None
            if ended is not None:
                try:
                    self._enter(ended)
                except Exception:  # the border: the next request may be what waits for this
                    log.exception("a cell could not be noted, and will not run again")

    def _enter(self, ended: Ended) -> None:
        result, request = ended.result, ended.request
        metadata = request.get("metadata", {})
        if isinstance(deleted := metadata.get("deletedCells"), list):  # before anything watched the kernel's requests
            self.forget(deleted)
        python = self._python(result)
        names = names_of(python, shows=result.result is not None) if python else Names()
        cell = Cell(
            key=metadata.get("cellId") or "",
            number=result.execution_count or self._shell.execution_count,
            code=result.info.raw_cell,
            header=_plain(request.get("header", {})),
            metadata=_plain(metadata),
            seconds=ended.seconds,
            error=type(ended.error).__name__ if ended.error else "",
            made=self._made(names, *ended.bound),
            own=ledger.is_own(python),
            began_ns=ended.began_ns,
            wrote=ended.wrote,
            span=ended.span,
        )
        self.ledger = ledger.ran(self.ledger, cell, used=names.used)
        self._attribute()

    @property
    def _reruns(self) -> bool:
        """Whether cells are to run again."""
        return any(isinstance(one.target, Kernel) and one.options.rerun != "none" for one in self._requests())

    def _attribute(self) -> None:
        """Find out which watched files cells have changed that nobody heard of."""
        spans = [cell.span for cell in self.ledger.cells if cell.span]
        if spans and self._reruns:
            changed = WatchedFiles(self._requests()).changed_since(min(began for began, _ in spans))
            self.ledger = ledger.attributed(self.ledger, changed)

    def forget(self, keys: Collection[str]) -> None:
        """Forget cells that were deleted."""
        with self._settling:
            self.ledger = ledger.without(self.ledger, keys)

    def choose(self, rerun: Rerun) -> Choice:
        """Return what is to be run again, but for cells that the page doesn't have any more."""
        document = saved_document()
        if document:
            self.ledger = ledger.without_unsaved(self.ledger, document.ids, document.saved_ns)
        watched = WatchedFiles(self._requests())
        writers = {cell.key: path for cell in self.ledger.cells for path in cell.wrote if watched.counts(path)}
        named = {key: from_here(path) for key, path in writers.items()}
        return ledger.chosen(self.ledger, rerun, named, document.ids if document else ())

    def _python(self, result: Any) -> str:  # an ExecutionResult
        """Return what IPython has made of an execution's code, nothing if it didn't come to run."""
        if result.error_before_exec:
            return ""
        code, number = result.info.raw_cell, result.execution_count
        python = getattr(result.info, "transformed_cell", None)  # since IPython 9
        if python is None and (history := self._shell.history_manager) is not None:
            with contextlib.suppress(IndexError, TypeError):  # the history was emptied; there is no number
                if history.input_hist_raw[number] == code.rstrip("\n"):
                    python = history.input_hist_parsed[number]
        if python is None:  # at last, since the user's own transformers run once more
            with contextlib.suppress(Exception):
                python = self._shell.transform_cell(code)  # type: ignore[no-untyped-call]  # of IPython
        return str(python or "")

    def _bindings(self) -> Bindings:
        """Return what global names are bound to now."""
        names = dict(self._shell.user_ns)  # a copy: threads may bind
        # Not `id`, each call of which is an audit event, and heard.
        return Bindings(list(names), list(map(object.__hash__, names.values())))

    def _made(self, names: Names, before: Bindings, after: Bindings) -> frozenset[str]:
        """Return the global names that the execution has bound, by magics or imports of ``*`` too, or changed."""
        bound = after.since(before)
        namespace = self._shell.user_ns
        # Not `isinstance`: what is asked for its class may be a proxy of what is gone, or is not to be made yet.
        changed = {name for name in names.changed if not issubclass(type(namespace.get(name)), types.ModuleType)}
        history = {name for name in bound if name.startswith("_i")}
        return frozenset(bound - history | {name for name in names.bound | changed if name in namespace})

    def to_plain(self) -> dict[str, Any]:
        """Return what the next image needs to run the cells again."""
        return ledger.to_plain(self.ledger)

    def places(self) -> set[int]:
        """Return the places of the first uses of watched files, as `Uses` has them."""
        requests = tuple(self._requests())
        if requests != self._watched_for:
            self._watched_for, self._watched = requests, WatchedFiles(requests)
        watched = self._watched
        return self.uses.places(watched.counts_by_name, only_code=watched.only_code) if self.uses else set()

    # -- running again -------------------------------------------------------------------------------------------------

    @property
    def is_running_again(self) -> bool:
        """Whether the code that runs is a cell run again: what this project's magics began in it goes on by itself."""
        return self._again is not None

    @contextlib.contextmanager
    def again(self, cell: Cell) -> Iterator[Callable[[], BaseException | None]]:
        """Treat the code that runs inside as this cell: it keeps its number, and is not added to the history's file.

        Yields a function that returns the exception that has ended it, if any.
        """
        self._again, self._error = cell, None
        self.go_on_from(cell.number)
        history: Any = self._shell.history_manager
        original: Any = getattr(history, "store_inputs", None)

        def store(number: int, source: str, raw: str | None = None) -> None:
            if not is_main_thread():  # a subshell's
                original(number, source, raw)
                return
            with history.db_input_cache_lock:
                waiting, history.db_input_cache = history.db_input_cache, []
            size, history.db_cache_size = history.db_cache_size, sys.maxsize  # else a thread would write at once
            try:
                original(number, source, cell.code)
            finally:
                with history.db_input_cache_lock:
                    history.db_input_cache = waiting
                history.db_cache_size = size

        try:
            with contextlib.ExitStack() as stack:
                if history is not None:
                    stack.enter_context(replaced(history, store_inputs=store))
                stack.enter_context(_extension_stays(self._shell))
                yield lambda: self._error
        finally:
            self._again = None

    def go_on_from(self, number: int) -> None:
        """Give the next cell this number, and fill ``In`` up to it."""
        self._shell.execution_count = number
        history = self._shell.history_manager
        if history is not None:
            for known in (history.input_hist_parsed, history.input_hist_raw):
                known.extend([""] * (number - len(known)))


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # there is no loop, as in a terminal
        return None


@contextlib.contextmanager
def replaced(owner: Any, **methods: Callable[..., Any]) -> Iterator[None]:
    """Put functions in place of methods of an object for a while."""
    before = {name: vars(owner)[name] for name in methods if name in vars(owner)}
    for name, method in methods.items():
        setattr(owner, name, method)
    try:
        yield
    finally:
        for name in methods:
            if name in before:
                setattr(owner, name, before[name])
            else:
                delattr(owner, name)


def interrupted(shell: InteractiveShell) -> contextlib.AbstractContextManager[None]:
    """Have what the main thread executes end as what is interrupted in its first line does."""
    original: Callable[..., Awaitable[bool]] = shell.run_code

    async def run_code(code: types.CodeType, result: Any = None, *, async_: bool = False) -> bool:
        if is_main_thread():
            code, async_ = compile("raise KeyboardInterrupt", code.co_filename, "exec"), False
        return await original(code, result, async_=async_)

    return replaced(shell, run_code=run_code)


def _extension_stays(shell: InteractiveShell) -> contextlib.AbstractContextManager[None]:
    """Keep the shell from loading or unloading this extension, whose watches go on."""

    def but_not_ours(act: Callable[[str], Any]) -> Callable[[str], Any]:
        return lambda name: None if name == EXTENSION else act(name)

    manager = shell.extension_manager
    names = ("load_extension", "reload_extension", "unload_extension")
    return replaced(manager, **{name: but_not_ours(getattr(manager, name)) for name in names})


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a request as plain data again: the kernel's session has made datetimes of dates."""

    def text(value: Any) -> str:
        return str(value.isoformat() if hasattr(value, "isoformat") else value)

    found: dict[str, Any] = json.loads(json.dumps(dict(data), default=text))
    return found
