"""Answer in the place of a kernel that has died."""

from __future__ import annotations

import signal
from typing import Any

from ipy_autorestart.proxy.frontend import Frontend
from ipy_autorestart.proxy.policy import EXECUTE, Lost, Request
from ipy_autorestart.wire.messages import HEADER, build, parse


def describe(status: int) -> str:
    """Return how a process has ended, given its status as ``Popen.returncode`` gives it."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was ended by {name}" + (" (was the memory full?)" if status == -signal.SIGKILL else "")


def answer_lost(frontend: Frontend, lost: Lost, status: int) -> None:
    """Answer what is lost: errors say what happened, and cells that were to follow are aborted as after any error."""
    what = f"the kernel {describe(status)} while this ran; another has taken over, without what was in its memory"
    error = {"ename": "KernelDied", "evalue": what, "traceback": [f"KernelDied: {what}"]}
    for request in lost.begun:
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
        frontend.sockets[request.channel].send_multipart(reply)
    frontend.publish("status", {"execution_state": "idle"}, parent=parent)
