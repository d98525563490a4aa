"""The kernel's new image runs the cells again, each as its original request, so that the output appears in the cell.

It relies, in ``ipykernel`` 6.29 to 7, on ``Kernel._publish_execute_input`` and ``Session.serialize``.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipy_autorestart.ipython.cells import Recorder
from ipy_autorestart.ipython.policy import Cell, Choice, Course, Rerun, chosen, marked_old, outcome, position, went_on
from ipy_autorestart.kernel.gate import OWN, Gate
from ipy_autorestart.protocol.messages import Record, Reran

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


_OLD = "old: this cell has not run again since files have changed"

OLD = {
    "data": {
        "text/plain": _OLD,
        "text/html": f'<div style="border-left: 2px solid #d9822b; padding-left: 0.8em; opacity: 0.7">{_OLD}</div>',
    },
    "metadata": {},
    "transient": {},
}
"""Content of the message that marks what a cell shows."""


class Replay:
    """Runs cells one after the other; cells that the user runs meanwhile wait.

    ``may_go_on`` returns whether another cell may begin: not while a restart is pending, for it starts all over.
    ``on_cleared`` is called with the id of a request whose cell has been cleared.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        gate: Gate,
        recorder: Recorder,
        *,
        may_go_on: Callable[[], bool],
        on_cleared: Callable[[str], object],
        report: Callable[[Record], None],
    ) -> None:
        self._kernel: Any = shell.kernel  # type: ignore[attr-defined]
        self._gate = gate
        self._recorder = recorder
        self._may_go_on = may_go_on
        self._on_cleared = on_cleared
        self._report = report
        self._interrupted = False

    async def run(self, rerun: Rerun) -> None:
        """Run them; in the end, or where it stops, the cells that wait may run."""

        def note_interrupt(*_: object) -> None:  # between two cells, where ipykernel ignores it
            self._interrupted = True

        previous = signal.signal(signal.SIGINT, note_interrupt)
        try:
            result = await self._run(chosen(self._recorder.ledger, rerun))
        finally:
            signal.signal(signal.SIGINT, previous)
            self._recorder.go_on_from(self._recorder.ledger.last_number + 1)
        self._report(Reran(result))
        await self._gate.let_cells(while_=self._may_go_on)

    async def _run(self, choice: Choice) -> str:
        """Run the cells and return how that went, or nothing if another replay follows."""
        began = time.monotonic()
        course = Course(choice)
        while cell := course.next:
            if not self._may_go_on():
                return ""
            if self._interrupted:
                course = course._replace(interrupted=True)
                break
            self._report(Reran(position(course), goes_on=True))
            try:
                error = await self._run_one(cell)
            except asyncio.CancelledError:  # the watch has ended; this cell goes on
                self._mark_old(went_on(course, None).stale)
                raise
            course = went_on(course, error)
        if self._may_go_on():
            self._mark_old(course.stale)
        return outcome(course, self._recorder.ledger, seconds=time.monotonic() - began)

    def _mark_old(self, cells: Sequence[Cell]) -> None:
        """Say below what cells show that it is old; when they run again, that is cleared with it."""
        for cell in cells:
            self._publish("display_data", OLD, {"header": cell.header})
        self._recorder.ledger = marked_old(self._recorder.ledger, cells)

    def _publish(self, kind: str, content: Mapping[str, Any], parent: Mapping[str, Any]) -> None:
        kernel = self._kernel
        kernel.session.send(kernel.iopub_socket, kind, content, parent=parent, ident=kind.encode())

    async def _run_one(self, cell: Cell) -> BaseException | None:
        """Run a cell, which is cleared between its `busy` and its `execute_input`."""
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
            self._publish("clear_output", {"wait": False}, parent)
            self._on_cleared(cell.header.get("msg_id", ""))
            original(cell.code, parent, count)

        with self._recorder.again(cell) as error:
            kernel._publish_execute_input = publish  # noqa: SLF001
            try:
                await self._gate.run([frames])
            finally:
                del kernel._publish_execute_input  # noqa: SLF001
        return error()
