"""Code in a user's process relies on nothing that the user may have replaced."""

import ast
import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from processes import our_threads
from waiting import DEADLINE, eventually

import ipy_autorestart
from ipy_autorestart import pristine
from ipy_autorestart.pristine import attribute_of

ROOT = Path(ipy_autorestart.__file__).parent

#: Modules whose functions wait, tell the time, or act on processes.
REPLACED = {"_thread", "os", "posix", "select", "signal", "socket", "subprocess", "threading", "time"}

#: What runs in a user's process: a kernel, an IPython in a terminal, or a program that restarts itself.
USERS = ("client", "ipython", "kernel", "program", "protocol", "reexec", "show", "wire")
DOORS = ("completion.py", "extension.py", "magics.py", "memory.py")

#: What takes some from where all do, and why.
EXCEPTIONS = {
    "kernel/copy.py": {"threading"},  # tells it what number its main thread has
    "kernel/machinery.py": {"threading"},  # makes anew what ipykernel has made of it
    "kernel/mend.py": {"threading"},  # makes anew what a library has made of it
    "kernel/trust.py": {"threading"},  # asks it for its threads
    "program/kept.py": {"socket"},  # what is kept is the program's own, of the class that sockets have there
    "program/ports.py": {"socket"},  # its class is what the program binds with
    "program/restarter.py": {"threading"},  # asks how far the interpreter's end has come, which is known there alone
    "program/waiting.py": {"os", "signal", "socket", "time"},  # no program runs in this image
    "reexec/bootstrap.py": {"os", "signal"},  # the first file of a new image: nothing was replaced yet
}


def users_files():
    return [*(ROOT / name for name in DOORS), *(path for name in USERS for path in (ROOT / name).glob("*.py"))]


def imported(node):
    """Return the modules that are imported below a node, inside functions too, but not for type checkers."""
    match node:
        case ast.If(test=ast.Name("TYPE_CHECKING")):
            return set()
        case ast.Import(names):
            return {alias.name.partition(".")[0] for alias in names}
        case ast.ImportFrom(module):
            return {module.partition(".")[0]}
    return set().union(*map(imported, ast.iter_child_nodes(node)))


@pytest.mark.parametrize("path", users_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_in_a_users_process_takes_no_function_that_may_be_replaced(path):
    exceptions = EXCEPTIONS.get(path.relative_to(ROOT).as_posix(), set())
    assert imported(ast.parse(path.read_text())) & REPLACED == exceptions


REPLACE = """
def broken(*_, **__): raise RuntimeError("replaced")

def replace():
    import os, select, socket, threading, time, _thread
    time.monotonic = time.time = time.time_ns = time.sleep = broken
    select.poll = os.read = os.write = os.kill = os.pipe = os.fork = broken
    _thread.start_new_thread = threading._start_new_thread = broken
    socket.socket = socket.socketpair = broken
"""

USE = """
from ipy_autorestart.pristine import Event, Thread, Timer, get_ident, is_main_thread, os, select, socket, time, wall_ns
replace()
main, happened, other, mains = get_ident(), Event(), [], []

def act():
    other.append(get_ident())
    mains.append(is_main_thread())
    happened.set()

since, began = time.monotonic(), wall_ns()
thread = Thread(act)
assert happened.wait(10)
thread.join(10)
assert not thread.is_alive
later, never = Event(), Event()
Timer(0.01, later.set).start()
cancelled = Timer(0.3, never.set)
cancelled.start()
cancelled.cancel()
assert later.wait(10) and not never.wait(0.5)
assert (other != [main], mains, is_main_thread(), thread.is_current) == (True, [False], True, False)
assert time.monotonic() - since > 0.05 and wall_ns() - began > 5e7
reader, writer = os.pipe()
waiting = select.poll()
waiting.register(reader, select.POLLIN)
assert waiting.poll(0) == []
os.write(writer, b"x")
assert waiting.poll(0) and os.read(reader, 9) == b"x"
one, other = socket.socketpair()
one.send(b"y")
assert other.recv(9) == b"y"
one.close(), other.close()
"""


@pytest.mark.e2e
@pytest.mark.parametrize("early", [False, True], ids=["replaced afterwards", "replaced before"])
def test_nothing_is_heard_of_what_was_replaced(early):
    subprocess.run([sys.executable, "-c", REPLACE + ("replace()\n" if early else "") + USE], check=True)


class FakeTimeMachine:
    """As time_machine is, where it has changed the clock's own code."""

    escape_hatch = types.SimpleNamespace(is_travelling=lambda: True, time=types.SimpleNamespace(time_ns=lambda: 7))


def test_time_machine_is_asked_for_the_time_of_files(monkeypatch):
    monkeypatch.setitem(sys.modules, "time_machine", FakeTimeMachine)
    assert pristine.wall_ns() == 7


def test_an_event_is_over_once_and_for_all():
    event = pristine.Event()
    assert not event.wait(0)
    event.set()
    event.set()
    assert event.wait(0)
    assert event.wait()


def test_a_thread_ends_though_its_function_fails(monkeypatch):
    failures = []
    monkeypatch.setattr(sys, "unraisablehook", failures.append)

    def fail():
        raise RuntimeError("no room")

    thread = pristine.Thread(fail)
    thread.join(DEADLINE)
    assert not thread.is_alive
    eventually(lambda: [str(failure.exc_value) for failure in failures] == ["no room"])


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs threads with names in /proc")
def test_the_system_knows_our_threads_by_name():
    ended = pristine.Event()
    thread = pristine.Thread(ended.wait)
    eventually(lambda: our_threads() == 1)
    ended.set()
    thread.join(10)


def test_a_module_is_looked_at_without_running_anything_of_it():
    class Odd:
        def __getattribute__(self, name):
            raise ReferenceError

    odd = Odd()
    object.__getattribute__(odd, "__dict__")["__file__"] = "/odd.py"
    spec = importlib.util.find_spec("this")  # which prints
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lazy)
    assert attribute_of(odd, "__file__") == "/odd.py"
    assert attribute_of(lazy, "__file__") == spec.origin
    assert type(lazy).__name__ == "_LazyModule"  # not imported by that
    assert attribute_of(None, "__file__") is attribute_of(os, "nothing") is None
