"""Clients that send requests to a kernel all the time, and know what became of each."""

import collections
import contextlib
import itertools
import queue
import threading
import time
from dataclasses import dataclass, field

import zmq
from jupyter_core.utils import ensure_event_loop


@dataclass
class Request:
    """One request and what came back."""

    text: str
    sent: int
    replies: list[str] = field(default_factory=list)
    output: str = ""
    idles: int = 0
    count: int = 0

    @property
    def is_answered(self):
        return bool(self.replies) and self.idles > 0 and self.output.endswith("\n")


class Client:
    """A client of its own, in a thread of its own, that sends a cell every few milliseconds.

    One that is patient sends nothing before all that it has sent is answered.
    """

    def __init__(self, manager, name, *, every=0.02, padding=0, pieces=0, patient=False):
        self.name = name
        self._every, self._padding, self._patient = every, padding, patient
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
            if self._sends and time.monotonic() >= due and not (self._patient and self.owed):
                self._send()
                due += self._every
            self._hear()
        ensure_event_loop().close()  # that which jupyter_client has made for this thread

    def _send(self):
        text = f"{self.name} {len(self.requests)}"
        content = {"code": f"print({text!r})", "silent": False, "store_history": False, "stop_on_error": False}
        message = self._client.session.msg("execute_request", content)
        message["metadata"] = {"padding": "x" * self._padding}
        self.requests[message["header"]["msg_id"]] = Request(text, len(self.requests))
        self._client.shell_channel.send(message)

    def _hear(self):
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._client.get_iopub_msg(timeout=0.002)
                request = self.requests.get(message["parent_header"].get("msg_id", ""))
                if request and message["msg_type"] == "stream":
                    request.output += message["content"]["text"]
                elif request and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    request.idles += 1
        with contextlib.suppress(queue.Empty):
            while True:
                reply = self._client.get_shell_msg(timeout=0)
                number = reply["parent_header"]["msg_id"]
                if number in self.requests:
                    self.requests[number].replies.append(reply["content"]["status"])
                    self.requests[number].count = reply["content"]["execution_count"]
                    self.order.append(number)

    @property
    def owed(self):
        """How many requests aren't answered yet."""
        return len(self.requests) - len(self.order)

    def finish(self, timeout=30):
        """Send no more, wait for what is owed, and return what went wrong, by kind."""
        self._sends = False
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not all(one.is_answered for one in list(self.requests.values())):
            time.sleep(0.01)
        self._hears = False
        self._thread.join()
        self._client.stop_channels()
        self._context.term()
        wrong = collections.Counter()
        for request in self.requests.values():
            wrong["no reply"] += not request.replies
            wrong["several replies"] += len(request.replies) > 1
            wrong["not ok"] += any(status != "ok" for status in request.replies)
            wrong["no idle"] += request.idles == 0
            wrong["output"] += request.output != request.text + "\n"
        sent = [self.requests[number].sent for number in self.order]
        wrong["out of order"] += sum(one > other for one, other in itertools.pairwise(sent))
        return {kind: count for kind, count in wrong.items() if count}
