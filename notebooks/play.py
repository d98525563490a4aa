"""Run a notebook for real in a kernel and print what its cells show, as it comes.

    python notebooks/play.py notebooks/quickstart.ipynb [--into FOLDER]

With ``--into`` it is stored in that folder, with what its cells show in the end. A cell's metadata may say ``"until":
REGEX``: the next cell waits until the notebook shows that text somewhere, as a person would who watches a script run
again; and ``"pause": SECONDS``, that a person takes before running it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import queue
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

DEADLINE = 60.0


@dataclass
class Cell:
    """What one executed cell shows, as a notebook keeps it: outputs, display updates, `clear_output`."""

    id: str
    code: str
    outputs: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    idle: bool = False
    clearing: bool = False

    def take(self, kind: str, content: dict[str, Any]) -> None:
        """Apply one iopub message."""
        match kind:
            case "status":
                self.idle = self.idle or content["execution_state"] == "idle"
            case "clear_output":
                self.clearing = True
                if not content["wait"]:
                    self._clear()
            case "stream" | "display_data" | "execute_result" | "error":
                self._clear()
                if kind == "stream" and self.outputs and self.outputs[-1].get("name") == content["name"]:
                    content = {**content, "text": self.outputs.pop()["text"] + content["text"]}
                self.outputs.append({"kind": kind, **content})

    def _clear(self) -> None:
        if self.clearing:
            self.outputs.clear()
            self.clearing = False

    def update(self, content: dict[str, Any]) -> bool:
        """Replace what an earlier display with the same id showed; say whether there was one."""
        display_id = content["transient"]["display_id"]
        mine = [output for output in self.outputs if output.get("transient", {}).get("display_id") == display_id]
        for output in mine:
            output.update(content)
        return bool(mine)

    @property
    def done(self) -> bool:
        """Whether its reply is there and all that it shows: they come over two sockets, in either order."""
        return self.reply is not None and self.idle

    @property
    def text(self) -> str:
        """All that it shows, as text."""
        return "\n".join(map(_text, self.shown))

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The outputs that can be read or looked at: the buttons of a watch, a display of their own, have no text."""
        return [output for output in self.outputs if output.get("data", {}).get("text/plain") != ""]

    def streams(self, name: str = "stdout") -> str:
        """Return what was written to a stream."""
        return "".join(output["text"] for output in self.outputs if output.get("name") == name)

    @property
    def error(self) -> str:
        """The exception that it ended with, "" for none."""
        return next((f"{o['ename']}: {o['evalue']}" for o in self.outputs if o["kind"] == "error"), "")


def _text(output: dict[str, Any]) -> str:
    if output["kind"] == "error":
        return "\n".join(output["traceback"])
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


class Player:
    """A kernel and what its cells show."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.cells: dict[str, Cell] = {}
        self.others: list[dict[str, Any]] = []  # messages that belong to no cell
        self.comms: list[dict[str, Any]] = []  # what widgets say
        self.on_show: Callable[[Cell, str], None] | None = None  # called with each new output and its text

    @property
    def pid(self) -> int:
        """The kernel's process id."""
        provisioner: Any = self.manager.provisioner
        return int(provisioner.pid)

    def send(
        self,
        code: str,
        *,
        cell_id: str = "",
        allow_stdin: bool = False,
        stop_on_error: bool = False,
        **header: Any,  # noqa: ANN401
    ) -> Cell:
        """Send a cell to the kernel and return at once; ``cell_id`` and ``header`` go with the request."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        message = self.client.session.msg(
            "execute_request", {**content, "allow_stdin": allow_stdin, "stop_on_error": stop_on_error}
        )
        message["metadata"] = {"cellId": cell_id} if cell_id else {}
        message["header"].update(header)
        self.client.shell_channel.send(message)
        cell = self.cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"], code)
        return cell

    def run(self, code: str, *, cell_id: str = "", timeout: float = DEADLINE) -> Cell:
        """Send a cell and wait for its reply and its end."""
        cell = self.send(code, cell_id=cell_id)
        self.wait(lambda: cell.done, timeout=timeout, what=code)
        return cell

    def wait(self, until: Callable[[], object], *, timeout: float = DEADLINE, what: str = "") -> None:
        """Take messages until something holds; raises TimeoutError, with all that is shown, if it never does."""
        deadline = time.monotonic() + timeout
        while not until():
            if time.monotonic() > deadline:
                shown = "\n".join(f"--- {cell.code}\n{cell.text}" for cell in self.cells.values())
                raise TimeoutError(f"waited {timeout} s for {what or until}; the notebook shows\n{shown}")
            self.pump(0.05)

    def pump(self, timeout: float) -> None:
        """Take the messages that are there, waiting for one at most so long."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(self.client.get_iopub_msg(timeout=timeout))
                timeout = 0
        with contextlib.suppress(queue.Empty):
            while True:
                reply = self.client.get_shell_msg(timeout=0)
                cell = self.cells.get(reply["parent_header"].get("msg_id", ""))
                if cell:
                    cell.reply = reply["content"]

    def look_on(self, seconds: float) -> None:
        """Take messages for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.pump(left)

    def _take(self, message: dict[str, Any]) -> None:
        cell = self.cells.get(message["parent_header"].get("msg_id", ""))
        kind, content = message["msg_type"], message["content"]
        if kind.startswith("comm_"):
            self.comms.append(message)
        elif cell is None:
            self.others.append(message)
        elif kind == "update_display_data":
            for each in self.cells.values():
                if each.update(content) and self.on_show:
                    self.on_show(each, _text({"kind": kind, **content}))
        else:
            cell.take(kind, content)
            if self.on_show and kind in ("stream", "display_data", "execute_result", "error"):
                self.on_show(cell, _text({"kind": kind, **content}))


def until_ready(
    client: BlockingKernelClient, *, timeout: float = DEADLINE, is_alive: Callable[[], bool] = lambda: True
) -> None:
    """Wait until a kernel answers and is heard, whoever has started it; raises TimeoutError, or EOFError if it ends.

    Unlike ``wait_for_ready`` it doesn't listen to the heartbeat, which a kernel that is busy importing misses.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not is_alive():
            raise EOFError("the kernel has ended before it answered")
        number = client.kernel_info()
        with contextlib.suppress(queue.Empty):
            while client.get_shell_msg(timeout=1)["parent_header"].get("msg_id") != number:
                pass
            while not _is_idle(client.get_iopub_msg(timeout=1), number):
                pass
            return
    raise TimeoutError(f"waited {timeout} s for the kernel to answer")


def _is_idle(message: dict[str, Any], number: str) -> bool:
    return bool(
        message["parent_header"].get("msg_id") == number and message["content"].get("execution_state") == "idle"
    )


@contextlib.contextmanager
def kernel(*, manager: KernelManager | None = None, **options: Any) -> Iterator[Player]:  # noqa: ANN401
    """Start a kernel, with options of ``KernelManager.start_kernel``; it is shut down at the end."""
    manager = manager or KernelManager()
    manager.start_kernel(**options)
    client = manager.blocking_client()
    client.start_channels(hb=False)  # whose thread opens a new socket after each late answer
    try:
        until_ready(client, is_alive=manager.is_alive)
        yield Player(manager, client)
    finally:
        client.stop_channels()
        if manager.has_kernel:  # it may have been shut down already
            # As shutdown_kernel does, which looks for its end ten times a second only.
            manager.interrupt_kernel()
            manager.request_shutdown()
            manager.finish_shutdown(pollinterval=0.005)
        manager.cleanup_resources()
        # jupyter_client leaves its context to the garbage collector.
        manager.context.destroy()


def play(path: Path, player: Player, *, paced: bool = False) -> list[Cell]:
    """Run a notebook's cells one after the other, each as soon as what the one before waits for is shown.

    ``paced``: and not before a person would.
    """
    import nbformat  # takes over a second

    notebook = nbformat.read(path, as_version=4)
    cells = []
    for source in notebook.cells:
        if source.cell_type != "code":
            continue
        if paced:
            player.look_on(source.metadata.get("pause", 0))
        cells.append(player.run(source.source, cell_id=source.id))
        if until := source.metadata.get("until"):
            player.wait(functools.partial(_any_shows, cells, until), what=until)
    return cells


def with_outputs(path: Path, cells: Sequence[Cell]) -> Any:  # noqa: ANN401  # nbformat has no types
    """Return a notebook with what its played code cells show in the end."""
    import nbformat

    notebook, played = nbformat.read(path, as_version=4), iter(cells)
    for number, source in enumerate((one for one in notebook.cells if one.cell_type == "code"), start=1):
        source.execution_count = number
        for output in next(played).outputs:
            kind, content = output["kind"], {key: value for key, value in output.items() if key not in NOT_STORED}
            if kind == "stream":
                content["text"] = OVERWRITTEN.sub("", content["text"])
            source.outputs.append(nbformat.v4.new_output(kind, **content))
    nbformat.validate(notebook)
    return notebook


#: Of a message, what a notebook doesn't keep.
NOT_STORED = frozenset({"kind", "transient"})

#: What a carriage return has the cursor go back over, as a progress bar does.
OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n)")


def _any_shows(cells: list[Cell], pattern: str) -> bool:
    return any(re.search(pattern, cell.text) for cell in cells)


def main() -> int:
    """Play a notebook in a terminal."""
    parser = argparse.ArgumentParser(description="run a notebook in a kernel and print what its cells show")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="store it there with what its cells show")
    path, into = (given := parser.parse_args()).notebook, given.into
    with kernel(cwd=str(path.parent), extra_arguments=["--log-level=ERROR"]) as player:

        def show(cell: Cell, text: str) -> None:
            number = list(player.cells).index(cell.id) + 1
            late = number < len(player.cells)
            where = f"cell {number} shows anew" if late else f"cell {number}"
            sys.stdout.write(textwrap.indent(text.rstrip(), f"  {where} │ ") + "\n")
            sys.stdout.flush()

        player.on_show = show
        send = player.send

        def announce(code: str, **how: Any) -> Cell:  # noqa: ANN401
            sys.stdout.write(f"\n[{len(player.cells) + 1}] " + textwrap.indent(code, "    ").lstrip() + "\n")
            sys.stdout.flush()
            return send(code, **how)

        player.send = announce  # type: ignore[method-assign]
        cells = play(path, player, paced=True)
    failed = [cell for cell in cells if cell.error]
    if into and not failed:
        import nbformat

        nbformat.write(with_outputs(path, cells), into / path.name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
