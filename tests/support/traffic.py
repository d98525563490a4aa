"""Clients that send requests to a kernel all the time, and know what became of each."""

import collections
import contextlib
import itertools
import math
import queue
import threading
import time
from dataclasses import dataclass, field

import zmq
from jupyter_core.utils import ensure_event_loop


@dataclass
class Request:
    """One request and what came back: a cell that prints the request's name, or one of the control channel."""

    name: str
    sent: int
    kind: str = "execute"
    replies: list[str] = field(default_factory=list)
    output: str = ""
    idles: int = 0
    count: int = 0

    @property
    def expected(self):
        """What it is to print."""
        return self.name + "\n" if self.kind == "execute" else ""

    @property
    def is_answered(self):
        return bool(self.replies) and self.idles > 0 and self.output.endswith(self.expected)

    def faults(self):
        """Return what may have gone wrong with it, and whether it has."""
        return {
            "no reply": not self.replies,
            "several replies": len(self.replies) > 1,
            "not ok": any(status != "ok" for status in self.replies),
            "no idle": self.idles == 0,
            "several idles": self.idles > 1,
            "output": self.output != self.expected,
        }


class Client:
    """A client of its own, in a thread of its own, that sends a cell every few milliseconds.

    It sends nothing while ``owed_max`` requests are not answered. The messages have the sizes in turn; each ``control``
    cells are followed by a control request.
    """

    def __init__(self, manager, name, *, every=0.02, sizes=(0,), pieces=0, owed_max=math.inf, control=0):
        self.name = name
        self._every, self._owed_max, self._control = every, owed_max, control
        self._sizes = itertools.cycle(sizes)
        self._kinds = itertools.cycle(["usage", "kernel_info"])
        self._client = manager.blocking_client()
        self._context = self._client.context = zmq.Context()
        if pieces:  # so many bytes does the system take of a request at once
            self._context.sndbuf = pieces
        self._client.session.copy_threshold = 1 << 30  # pyzmq keeps a thread for ever for what isn't copied
        self._client.start_channels(hb=False)
        self._client.wait_for_ready(timeout=60)
        self._sends, self._hears = True, True
        self.requests = {}
        self.order = []
        self._thread = threading.Thread(target=self._run, name=f"client {name}")

    def start(self):
        """Begin, when all clients are ready: what others send would keep one from getting so."""
        self._thread.start()

    def _run(self):
        due = time.monotonic()
        while self._hears:
            if self._sends and time.monotonic() >= due and self.owed < self._owed_max:
                self._send()
                if self._control and len(self.requests) % (self._control + 1) == self._control:
                    self._send_control()
                due += self._every
            self._hear()
        ensure_event_loop().close()  # that which jupyter_client has made for this thread

    def _send(self):
        name = f"{self.name} {len(self.requests)}"
        content = {"code": f"print({name!r})", "silent": False, "store_history": False, "stop_on_error": False}
        message = self._client.session.msg("execute_request", content)
        message["metadata"] = {"padding": "x" * next(self._sizes)}
        self.requests[message["header"]["msg_id"]] = Request(name, len(self.requests))
        self._client.shell_channel.send(message)

    def _send_control(self):
        kind, name = next(self._kinds), f"{self.name} {len(self.requests)}"
        message = self._client.session.msg(f"{kind}_request", {})
        self.requests[message["header"]["msg_id"]] = Request(name, len(self.requests), kind)
        self._client.control_channel.send(message)

    def _hear(self):
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._client.get_iopub_msg(timeout=0.002)
                request = self.requests.get(message["parent_header"].get("msg_id", ""))
                if request and message["msg_type"] == "stream":
                    request.output += message["content"]["text"]
                elif request and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    request.idles += 1
        self._hear_replies(self._client.get_shell_msg)
        self._hear_replies(self._client.get_control_msg)

    def _hear_replies(self, get):
        with contextlib.suppress(queue.Empty):
            while True:
                reply = get(timeout=0)
                number = reply["parent_header"]["msg_id"]
                if number in self.requests:
                    request = self.requests[number]
                    request.replies.append(reply["content"].get("status", "ok"))  # no usage_reply has one
                    request.count = reply["content"].get("execution_count", 0)
                    self.order.append(number)

    @property
    def owed(self):
        """How many requests aren't answered yet."""
        return len(self.requests) - len(self.order)

    def counts(self):
        """Return how many requests of each kind were sent."""
        return dict(collections.Counter(request.kind for request in list(self.requests.values())))

    def finish(self, timeout=60):
        """Send no more, wait for what is owed, and return which requests went wrong, by what did."""
        self._sends = False
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not all(one.is_answered for one in list(self.requests.values())):
            time.sleep(0.01)
        self._hears = False
        self._thread.join()
        self._client.stop_channels()
        self._context.term()
        wrong = {}
        for request in self.requests.values():
            for what, is_so in request.faults().items():
                wrong.setdefault(what, []).extend([request.name] * is_so)
        for is_cell in (True, False):
            answered = [self.requests[number] for number in self.order]
            answered = [one for one in answered if (one.kind == "execute") is is_cell]
            late = [two.name for one, two in itertools.pairwise(answered) if one.sent > two.sent]
            wrong.setdefault("out of order", []).extend(late)
        return {what: names for what, names in wrong.items() if names}
