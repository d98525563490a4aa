"""The kernel's new image runs the cells again, each as its original request, so that the output appears in the cell.

It relies, in ``ipykernel`` 6.29 to 7, on ``Kernel._publish_execute_input``, ``Kernel.shell_handlers`` and
``Session.serialize``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import StdinNotImplementedError

from ipy_autorestart import catalogue
from ipy_autorestart.ipython.cells import Recorder, replaced
from ipy_autorestart.ipython.ledger import (
    Cell,
    Choice,
    Course,
    Rerun,
    marked_old,
    outcome,
    position,
    stopped,
    went_on,
    without_deleted,
)
from ipy_autorestart.kernel.gate import Gate
from ipy_autorestart.pristine import RLock, time
from ipy_autorestart.protocol.messages import Record, Reran
from ipy_autorestart.protocol.page import keep_while, keeping
from ipy_autorestart.reexec.interrupts import Interrupts
from ipy_autorestart.wire.messages import OWN

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


_OLD, _MARK = catalogue.OUT_OF_DATE(), "border-left: 2px solid #c27a00; padding-left: 0.8em"

OLD = {
    "data": {
        "text/plain": _OLD,
        "text/html": f'<div style="{_MARK}"><span style="opacity: 0.7">{_OLD}</span></div>',
    },
    "metadata": {},
    "transient": {},
}
"""Content of the message that marks what a cell shows."""


#: Messages of which a front end makes an output.
SHOWN = frozenset({"stream", "display_data", "execute_result", "error"})


class InputNeeded(StdinNotImplementedError):  # noqa: N818  # read in the status: "stopped at cell 4: InputNeeded"
    """A cell that runs again asks for input, and no client waits for its reply that could answer."""

    def _render_traceback_(self) -> list[str]:  # as IPython calls it
        return [f"{type(self).__name__}: {self}"]


class Replay:
    """Runs cells one after the other; cells that the user runs meanwhile wait.

    ``may_go_on`` returns whether another cell may begin: not while a restart is pending, for it starts all over.
    ``between`` is called after each, and returns whether this has become another kernel.
    ``on_cleared`` is called with the id of a request whose cell is cleared, ahead of what comes there. ``interrupts``
    notes those that come outside of the cells' code, since the restart was asked for.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        gate: Gate,
        recorder: Recorder,
        *,
        may_go_on: Callable[[], bool],
        between: Callable[[], Awaitable[bool]],
        on_cleared: Callable[[str], object],
        report: Callable[[Record], None],
        interrupts: Interrupts,
    ) -> None:
        self._shell = shell
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]
        self._gate = gate
        self._recorder = recorder
        self._may_go_on = may_go_on
        self._between = between
        self._on_cleared = on_cleared
        self._report = report
        self._interrupts = interrupts

    async def run(self, rerun: Rerun) -> None:
        """Run them; in the end, or where it stops, the cells that wait may run."""
        try:
            result = await self._run(self._recorder.choose(rerun))
        except BaseException:
            self._end()
            raise
        if result is None:
            return
        self._end()
        self._report(result)
        await self._gate.let_cells(while_=self._may_go_on)

    def _end(self) -> None:
        if self._may_go_on():  # else it may be one that is to stop the next replay
            self._interrupts.forget()
        self._recorder.go_on_from(self._recorder.ledger.last_number + 1)

    async def _run(self, choice: Choice) -> Reran | None:
        """Run the cells and return how that went, without words if another replay follows.

        None in a kernel that has gone on from a checkpoint between two of them: there, another has begun.
        """
        began = time.monotonic()
        course = Course(choice)
        while cell := (course := await self._up_to_date(course)).next:
            if not self._may_go_on():
                return Reran("")
            if self._interrupts.noted:
                course = course._replace(interrupted=True)
                break
            self._report(Reran(position(course), goes_on=True))
            try:
                error = await self._run_one(cell)
            except asyncio.CancelledError:  # the watch has ended; this cell goes on
                self._mark_old(went_on(course, None).stale)
                raise
            course = went_on(course, error)
            if await self._between():
                return None
        if self._may_go_on():
            self._mark_old(course.stale)
        what = outcome(course, self._recorder.ledger, seconds=time.monotonic() - began)
        return Reran(what, stopped=stopped(course))

    async def _up_to_date(self, course: Course) -> Course:
        """Return the course without cells that the page has deleted: what came during the last cell may say so."""
        if course.next:
            await self._gate.take()
        return without_deleted(course, self._recorder.ledger)

    def _mark_old(self, cells: Sequence[Cell]) -> None:
        """Say below what cells show that it is old; when they run again, that is cleared with it."""
        for cell in cells:
            self._publish("display_data", OLD, {"header": cell.header})
        self._recorder.ledger = marked_old(self._recorder.ledger, cells)

    def _publish(self, kind: str, content: Mapping[str, Any], parent: Mapping[str, Any]) -> None:
        kernel = self._kernel
        kernel.session.send(kernel.iopub_socket, kind, content, parent=parent, ident=kind.encode())

    async def _run_one(self, cell: Cell) -> BaseException | None:
        """Run a cell, in whose place it shows what is new."""
        content = {
            "code": cell.code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,  # no client waits for the reply, so none would answer
            "stop_on_error": False,  # cells that the user runs meanwhile are not to be aborted with it
        }
        header = {key: value for key, value in cell.header.items() if key != "subshell_id"}
        message = {"header": header, "parent_header": {}, "metadata": cell.metadata, "content": content}
        kernel = self._kernel
        frames = kernel.session.serialize({**message, "msg_type": "execute_request"}, ident=OWN)
        original = kernel._publish_execute_input  # noqa: SLF001

        def publish(_: str, parent: Any, count: int) -> None:
            original(cell.code, parent, count)

        with (
            self._recorder.again(cell) as error,
            self._interrupts_noted(),
            self._shown_in_place(cell),
            self._replaced_in(cell, kernel, _publish_execute_input=publish, raw_input=_refuse, getpass=_refuse),
            self._replaced_in(cell, self._shell, debugger=_stay_out),
        ):
            await self._gate.run([frames])
        return error()

    def _replaced_in(
        self, cell: Cell, owner: Any, **methods: Callable[..., Any]
    ) -> contextlib.AbstractContextManager[None]:
        """Put functions in place of methods, as `replaced` does, for this cell alone: subshells run others."""

        def either(name: str, stand_in: Callable[..., Any]) -> Callable[..., Any]:
            original = getattr(owner, name)

            def call(*args: Any, **options: Any) -> Any:
                header = self._kernel.get_parent("shell").get("header", {})
                is_own = header.get("msg_id") == cell.header.get("msg_id")
                return (stand_in if is_own else original)(*args, **options)

            return call

        return replaced(owner, **{name: either(name, stand_in) for name, stand_in in methods.items()})

    @contextlib.contextmanager
    def _shown_in_place(self, cell: Cell) -> Iterator[None]:
        """Have the first that the cell shows replace what it has shown before; if it shows nothing, that ends with it.

        Cleared sooner, its place would shrink and grow again, and all below it move. It keeps its height for the rest.
        """
        session, number, lock = self._kernel.session, cell.header.get("msg_id", ""), RLock()
        original, is_cleared = session.send, False

        def clear(*, wait: bool) -> None:
            nonlocal is_cleared
            with lock:  # streams are sent in a thread of their own
                if not is_cleared:
                    is_cleared = True
                    if wait:
                        self._publish("display_data", keeping(keep_while(cell.seconds)), {"header": cell.header})
                    self._publish("clear_output", {"wait": wait}, {"header": cell.header})
                    self._on_cleared(number)

        def send(stream: Any, message: Any, content: Any = None, parent: Any = None, *args: Any, **options: Any) -> Any:
            kind, request = message, parent or {}
            if not isinstance(message, str):
                kind, request = message["header"]["msg_type"], message["parent_header"]
            header = request.get("header", request)  # of an error, ipykernel gives that alone
            if kind in SHOWN and header.get("msg_id") == number:
                clear(wait=True)
            return original(stream, message, content, parent, *args, **options)

        with replaced(session, send=send):
            try:
                yield
            finally:
                clear(wait=False)

    @contextlib.contextmanager
    def _interrupts_noted(self) -> Iterator[None]:
        """Note what interrupts a request just before the cell's code or after it: ipykernel drops it there."""
        handlers = self._kernel.shell_handlers
        execute = handlers["execute_request"]

        async def execute_or_note(*request: Any) -> None:
            try:
                await execute(*request)
            except KeyboardInterrupt:
                self._interrupts.note()

        handlers["execute_request"] = execute_or_note
        try:
            yield
        finally:
            handlers["execute_request"] = execute


def _refuse(*_: Any, **__: Any) -> NoReturn:
    """Stand in for ``input()``."""
    raise InputNeeded(catalogue.NO_INPUT())


def _stay_out(*_: Any, **__: Any) -> None:
    """Stand in for the debugger that ``%pdb on`` opens after an error: it would ask, and hide the error by its own."""
