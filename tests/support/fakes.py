"""Stand-ins with the real signatures, for what would need a process or a kernel."""

from IPython.core.events import EventManager, available_events

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

    def send(self, record):
        self.reported.append(record)

    def show_again(self, request_id):
        self.shown.append(request_id)

    def detach(self):
        return None

    def stop(self):
        self.is_alive = False


class FakeShell:
    """An IPython in a terminal, as far as its events, its prompt and its cells go."""

    def __init__(self):
        self.events = EventManager(self, available_events)
        self.execution_count = 1
        self.history_manager = None
        self.starting_dir = "/"
        self.pt_app = None
        self.prompts = []
        self.next_input = None

    def run_cell(self, act):
        self.events.trigger("pre_execute")
        act()
        self.events.trigger("post_execute")

    def set_next_input(self, text):
        self.next_input = text

    def prompt_for_code(self):
        self.prompts.append(self.execution_count)
        return "typed"
