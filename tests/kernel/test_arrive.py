"""What stands in for slow modules in a kernel's new image, and the wait for its clients."""

import asyncio
import sys
import time
import types

import pytest
import zmq

from ipy_autorestart.kernel import arrive
from ipy_autorestart.kernel.arrive import DEBUGGER, EMBED, Clients, LateDebugger
from ipy_autorestart.reexec.state import ListeningSocket


@pytest.fixture
def modules(monkeypatch):
    """The modules of this process, which are the same afterwards."""
    for name in (DEBUGGER, EMBED):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return sys.modules


def test_a_late_debugger_is_made_when_something_is_asked_of_it(modules):
    arrive.stand_in_for_debugger()
    debugger = modules[DEBUGGER].Debugger("a", b="b")
    assert isinstance(debugger, LateDebugger)
    assert arrive.has_plain_debugger(types.SimpleNamespace(debugger=debugger))
    made = []
    module = types.ModuleType(DEBUGGER)
    module.Debugger = lambda *args, **options: made.append((args, options)) or types.SimpleNamespace(started=True)
    modules[DEBUGGER] = module
    assert not hasattr(debugger, "__wrapped__")
    assert not made
    assert debugger.started
    assert debugger.started
    assert made == [(("a",), {"b": "b"})]


def test_to_wait_for_a_late_debugger_makes_none(modules):
    async def play():
        stopped = []

        async def handle_stopped_event():
            stopped.append(True)

        module = types.ModuleType(DEBUGGER)
        module.Debugger = lambda: types.SimpleNamespace(handle_stopped_event=handle_stopped_event, started=True)
        modules[DEBUGGER] = module
        debugger = LateDebugger()
        waiting = asyncio.create_task(debugger.handle_stopped_event())
        await asyncio.sleep(0)
        assert debugger._real is None
        assert debugger.started
        await waiting
        assert stopped == [True]

    asyncio.run(play())


def test_a_late_debugger_can_be_made_with_another_stream_and_socket(modules):
    made = []
    module = types.ModuleType(DEBUGGER)
    module.Debugger = lambda *args: made.append(args) or types.SimpleNamespace(started=True)
    modules[DEBUGGER] = module
    debugger = LateDebugger("log", "stream", "publish", "socket", "session")
    debugger.renew("new stream", "new socket")
    assert not made
    assert debugger.started
    assert made == [("log", "new stream", "publish", "new socket", "session")]


def test_a_debugger_can_use_another_stream_and_socket():
    real = types.SimpleNamespace(log="log", debugpy_client=FakeClient("log", "stream", print), stopped_queue=[1])
    real._handle_event = print
    debugger = LateDebugger()
    debugger._real = real
    debugger.renew("new stream", "new socket")
    assert real.debugpy_client.made_with == ("log", "new stream", print)
    assert (real.shell_socket, real.stopped_queue) == ("new socket", [])


class FakeClient:
    def __init__(self, *made_with):
        self.made_with = made_with


def test_what_is_asked_of_the_debuggers_module_comes_from_the_real_one(modules):
    arrive.stand_in_for_debugger()
    assert isinstance(modules[DEBUGGER]._is_debugpy_available, bool)
    assert modules[DEBUGGER].VariableExplorer.__module__ == DEBUGGER
    assert modules[DEBUGGER].Debugger is not LateDebugger


def test_a_late_embed_is_imported_when_it_is_used(modules):
    assert not arrive.is_embed_early()
    arrive.stand_in_for_embed()
    assert arrive.is_embed_early()
    late = modules[EMBED]
    assert late.InteractiveShellEmbed.__module__ == EMBED
    assert modules[EMBED] is not late


def test_a_debugger_of_somebody_elses_is_not_plain():
    assert not arrive.has_plain_debugger(types.SimpleNamespace(debugger=None))
    assert not arrive.has_plain_debugger(types.SimpleNamespace())


@pytest.fixture
def socket():
    """Make sockets, closed at the end."""
    made = []
    with zmq.Context() as context:

        def make(kind):
            made.append(context.socket(kind))
            return made[-1]

        yield make
        for one in made:
            one.close(linger=0)


def bind(socket, clients, port=1):
    """Bind a socket as the new image does, for one at this port, and return its address."""
    clients.watch(socket, port)
    return f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"


def test_it_waits_for_the_clients_that_were_there(socket):
    clients = Clients([ListeningSocket("shell", 1, 3, 1)])
    server, client = socket(zmq.ROUTER), socket(zmq.DEALER)
    client.connect(bind(server, clients))
    began = time.monotonic()
    clients.wait()
    assert time.monotonic() - began < arrive.CLIENTS_MAX
    client.send(b"x")
    assert server.recv_multipart()[1] == b"x"


def test_where_there_were_none_it_does_not_wait(socket):
    clients = Clients([ListeningSocket("shell", 1, 3, 0), ListeningSocket("hb", 2, 4, None)])
    bind(socket(zmq.ROUTER), clients)
    began = time.monotonic()
    clients.wait()
    assert time.monotonic() - began < arrive.CLIENTS_UNKNOWN


def test_it_waits_for_subscriptions_and_passes_each_on_once(socket):
    clients = Clients([ListeningSocket("iopub", 1, 3, 2)])
    bind(socket(zmq.XPUB), clients, port=0)  # nobody is counted who connects
    passed = []
    for frame in (b"\x01", b"\x01", b"\x00", b"\x00"):
        clients.note_subscriptions(lambda thread, frames: passed.extend(frames), None, [frame])
    assert passed == [b"\x01", b"\x00", b"\x00"]
    kernel = types.SimpleNamespace(iopub_thread=types.SimpleNamespace(schedule=lambda act: act()), dispatch_shell=None)
    clients.expect_late(kernel)
    assert kernel.dispatch_shell is None  # there is nobody to wait for


def test_the_first_request_waits_for_a_client_that_is_missing(socket):
    clients = Clients([ListeningSocket("iopub", 1, 3, 1)])
    bind(socket(zmq.XPUB), clients, port=0)  # nobody is counted who connects
    answered = []

    async def dispatch(message):
        answered.append(message)

    kernel = types.SimpleNamespace(
        iopub_thread=types.SimpleNamespace(schedule=lambda act: act()), dispatch_shell=dispatch
    )
    clients.expect_late(kernel)
    request = [types.SimpleNamespace(bytes=b"client"), types.SimpleNamespace(bytes=b"")]
    began = time.monotonic()
    clients.note_subscriptions(lambda thread, frames: None, None, [b"\x01"])
    asyncio.run(kernel.dispatch_shell(request))
    assert answered == [request]
    assert time.monotonic() - began < arrive.LATE_MAX
