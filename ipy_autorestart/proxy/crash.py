"""Answer in the place of a kernel that has died."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

from ipy_autorestart import catalogue
from ipy_autorestart.proxy.book import EXECUTE, Book, Lost, Request
from ipy_autorestart.proxy.frontend import Frontend
from ipy_autorestart.wire.at_work import Work
from ipy_autorestart.wire.link import TakeOver
from ipy_autorestart.wire.messages import HEADER, METADATA, build, parse


class Crash:
    """The death of the live kernel, until the next one has taken over."""

    def __init__(self, frontend: Frontend, book: Book) -> None:
        self._frontend = frontend
        self._book = book
        self._word = TakeOver()

    def answer(self, status: int, work: Work | None) -> None:
        """Answer what the kernel can't any more.

        Parameters
        ----------
        status
            How it has ended, as ``Popen.returncode`` gives it.
        work
            What it was at work on, if it has told that.
        """
        lost = self._book.take_lost(*work) if work else self._book.take_lost()
        again = work is not None and any(work.begun.values())
        answer_lost(self._frontend, lost, status)
        is_to_blame = again and not lost.begun
        self._word = TakeOver(describe(status), gone=gone(lost), rerun=not is_to_blame)

    def word(self, *, interrupted: bool) -> TakeOver:
        """Return what the next kernel is told."""
        return replace(self._word, interrupted=interrupted)

    def forget(self) -> None:
        """Forget it: another kernel has taken over."""
        self._word = TakeOver()


def gone(lost: Lost) -> tuple[str, ...]:
    """Return the cells that are not to run again: what it died of, and what the page has deleted (it says so once)."""
    running = [_metadata(one) for one in lost.begun if one.kind == EXECUTE]
    others = [_metadata(one) for one in (*lost.ended, *lost.aborted) if one.kind == EXECUTE]
    first = [each.get("cellId") for each in running[:1]]
    said = (each.get("deletedCells") for each in (*running, *others))
    deleted = [key for each in said if isinstance(each, list) for key in each]
    return tuple(str(key) for key in (*first, *deleted) if key)


def _metadata(request: Request) -> dict[str, Any]:
    message = parse(request.frames)
    return message.part(METADATA) if message else {}


def describe(status: int) -> str:
    """Return how a process has ended, given its status as ``Popen.returncode`` gives it."""
    if status >= 0:
        return catalogue.ENDED_WITH(status=status)
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = catalogue.SIGNAL_NUMBER(number=-status)
    words = catalogue.MEMORY_FULL if status == -signal.SIGKILL else catalogue.ENDED_BY
    return words(signal=name)


def answer_lost(frontend: Frontend, lost: Lost, status: int) -> None:
    """Answer what is lost: errors say what happened, and cells that were to follow are aborted as after any error."""
    what = catalogue.KERNEL_DIED(how=describe(status))
    error = {"ename": "KernelDied", "evalue": what, "traceback": [f"KernelDied: {what}"]}
    for request in (*lost.ended, *lost.begun):
        _answer(frontend, request, {"status": "error", **error, "execution_count": 0}, error=error)
    for request in lost.aborted:
        _answer(frontend, request, {"status": "aborted"})
    for request in lost.answered:
        _answer(frontend, request, None)


def _answer(
    frontend: Frontend, request: Request, content: dict[str, Any] | None, *, error: dict[str, Any] | None = None
) -> None:
    message = parse(request.frames)
    if message is None:
        return
    parent = message.part(HEADER)
    if error and request.kind == EXECUTE:
        frontend.publish("error", error, parent=parent)
    if content and request.has_reply:
        kind = request.kind.removesuffix("_request") + "_reply"
        reply = build(frontend.key, kind, content, parent=parent, identities=message.identities)
        frontend.send(request.channel, reply)
    frontend.publish("status", {"execution_state": "idle"}, parent=parent)
