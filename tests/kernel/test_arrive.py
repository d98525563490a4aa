"""What stands in for slow modules in a kernel's new image."""

import asyncio
import os
import sys
import types

import pytest

from ipy_autorestart.kernel import arrive
from ipy_autorestart.kernel.arrive import DEBUGGER, EMBED, LateDebugger


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


@pytest.fixture
def early(modules, monkeypatch):
    """As after the start of a kernel, the debugger of which has not been imported."""
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)
    monkeypatch.delenv("PYDEVD_USE_FRAME_EVAL", raising=False)
    monkeypatch.setattr(arrive.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(arrive.importlib, "import_module", lambda _: setattr(sys, "breakpointhook", len))
    arrive.stand_in_for_debugger()


def test_a_breakpoint_is_passed_over_until_there_is_a_debugger(early):
    breakpoint()
    assert sys.breakpointhook.__name__ == "debugpy_breakpointhook"
    assert os.environ["PYDEVD_USE_FRAME_EVAL"] == "NO"
    arrive._real(DEBUGGER)
    assert sys.breakpointhook is len


def test_a_late_debugger_leaves_the_users_hook_of_breakpoints_in_place(early):
    sys.breakpointhook = max
    arrive._real(DEBUGGER)
    assert sys.breakpointhook is max


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
