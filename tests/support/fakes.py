"""Stand-ins with the real signatures, for what would need a process or a kernel."""

import asyncio
import collections
import contextlib
import socket

from IPython.core.events import EventManager, available_events

from ipy_autorestart.decide.change import Found
from ipy_autorestart.decide.events import Exited
from ipy_autorestart.decide.use import Used
from ipy_autorestart.ipython.policy import Pace
from ipy_autorestart.protocol.messages import Status
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.request import Kernel, Request


class FakeSupervisor:
    """A supervisor's handle that keeps what is reported to it."""

    def __init__(self, **options):
        self.request = Request(Kernel(), ("/",), Options(**options), "/")
        self.status = Status()
        self.is_alive = True
        self.reported = []
        self.shown = []
        self.hung_up = False

    def send(self, record):
        self.reported.append(record)

    def show_again(self, request_id):
        self.shown.append(request_id)

    def has_hung_up(self):
        hung_up, self.hung_up = self.hung_up, False
        return hung_up

    def detach(self):
        return None

    def stop(self):
        self.is_alive = False


class FakeExtensions:
    """The extension manager of a shell; it keeps what it is asked for."""

    def __init__(self):
        self.asked = []

    def load_extension(self, name):
        self.asked.append(name)

    unload_extension = reload_extension = load_extension


class FakeShell:
    """An IPython in a terminal, as far as its events, its prompt and its cells go."""

    def __init__(self):
        self.events = EventManager(self, available_events)  # type: ignore[arg-type]  # enough of a shell
        self.execution_count = 1
        self.history_manager = None
        self.starting_dir = "/"
        self.pt_app = None
        self.prompts = []
        self.next_input = None
        self.user_ns = {}
        self.extension_manager = FakeExtensions()

    def transform_cell(self, code):
        return code

    def run_cell(self, act):
        self.events.trigger("pre_execute")
        act()
        self.events.trigger("post_execute")

    def set_next_input(self, text):
        self.next_input = text

    def prompt_for_code(self):
        self.prompts.append(self.execution_count)
        return "typed"


class ClosingGate:
    """A gate in front of no kernel, whose closing takes until it is let; it notes whether it is open."""

    running, pace = 0, Pace()

    def __init__(self):
        self.is_open, self.begun, self.closed = True, asyncio.Event(), asyncio.Event()

    def shut(self):
        self.is_open = False

    async def close(self):
        self.shut()
        self.begun.set()
        await self.closed.wait()

    def reopen(self):
        self.is_open = True

    def remove(self):
        pass


class FakeTarget:
    """A target whose runs are numbers; each turn of the engine's loop calls the next of some functions."""

    def __init__(self, *turns):
        self.turns = collections.deque(turns)
        self.calls = []
        self.pid = 0
        self.is_warm = None
        self.begun_at = None
        self.ended = None
        self.error = None
        self.use = Used()
        self.ahead = None

    def launch(self, changed, number):
        self.calls.append(("launch", *changed))
        if self.error:
            raise self.error
        self.pid, self.is_warm = len(self.calls), False

    def send_signal(self, signum):
        self.calls.append(("send_signal", signum))

    def terminate(self):
        self.calls.append(("terminate",))
        self.ended = Exited(-15)

    def release(self):
        self.calls.append(("release",))

    def kill(self):
        self.calls.append(("kill",))
        self.ended = Exited(-9)

    def poll(self, now):
        if self.turns:
            self.turns.popleft()()
        ended, self.ended = self.ended, None
        if ended:
            self.pid = 0
        return ended

    def poll_at(self):
        return 0.0 if self.turns or self.ended else None

    def used(self):
        return self.use

    def close(self):
        self.calls.append(("close",))

    def streams(self):
        return ()

    def output_at(self):
        return None

    def send_output(self, now):
        if self.pid and ("send_output", self.pid) not in self.calls:
            self.calls.append(("send_output", self.pid))

    def preloading(self):
        return self.ahead

    def notes(self):
        return ()

    def preloads(self):
        return ""


class FakeLink:
    """A front that keeps what is reported, and says what it is told to."""

    def __init__(self):
        self.sent = []
        self.backlog = 0
        self.is_gone = False
        self._said = []
        self._read, self._write = socket.socketpair()

    def fileno(self):
        return self._read.fileno()

    def send(self, record):
        self.sent.append(record)

    def flush(self):
        pass

    def say(self, *records):
        """Let the engine receive records in its next turn."""
        self._said += records
        self._write.send(b"\0")

    def leave(self):
        """Be there no more."""
        self.is_gone = True
        self._write.send(b"\0")

    def receive(self):
        if self.is_gone:
            raise EOFError
        with contextlib.suppress(BlockingIOError):  # it was only that it can be written to
            self._read.recv(1 << 16, socket.MSG_DONTWAIT)
        said, self._said = self._said, []
        return said

    def close(self):
        self._read.close()
        self._write.close()

    @property
    def statuses(self):
        return [record for record in self.sent if isinstance(record, Status)]


class FakeWatch:
    """Files of which is known what differs."""

    def __init__(self):
        self.found = Found()
        self.commits = 0
        self.changed = ()
        self.put_back = ()
        self.settled = []
        self.uses = []
        self.ignored = []

    def look(self):
        return self.found

    judge = look

    def commit(self):
        self.commits += 1
        self.found = Found()

    def take_changed(self):
        taken, self.changed, self.put_back = (self.changed, self.put_back), (), ()
        return taken

    def settle(self, paths):
        self.settled += paths

    def passed_over(self):
        ignored, self.ignored = self.ignored, []
        return ignored

    @property
    def has_passed_over(self):
        return bool(self.ignored)

    def used(self, paths, *, written, sought, since_ns):
        self.uses.append((paths, written, sought))


class FakeTerminal:
    """A terminal that keeps how often its modes were restored, and what was typed forgotten."""

    def __init__(self):
        self.is_gone = False
        self.restored = self.forgot = 0

    def restore(self):
        self.restored += 1

    def forget_input(self):
        self.forgot += 1


class FakeKernel:
    """An ipykernel that keeps what is published."""

    iopub_socket = shell = None

    def __init__(self):
        self.published = []
        self.session = self

    def send(self, stream, kind, content, *, parent, ident, metadata=None):
        assert stream is self.iopub_socket
        assert ident == kind.encode()
        self.published.append((parent["header"]["msg_id"], kind, content))
