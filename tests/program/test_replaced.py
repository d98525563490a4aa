"""A program may replace what waits, as gevent and eventlet do, or the clock: it is restarted all the same."""

import pytest

pytestmark = pytest.mark.e2e

#: What gevent replaces, by functions that fail where it would fail in a signal handler, and a clock that stands still.
REPLACE = """
import select, _thread
def broken(*_, **__): raise RuntimeError("replaced")
def replace():
    for module, names in {
        os: ["read", "fork", "waitpid", "posix_spawn"],
        select: ["poll", "select"],
        socket: ["socket", "socketpair"],
        _thread: ["start_new_thread"],
        threading: ["_start_new_thread"],
    }.items():
        for name in names: setattr(module, name, broken)
    time.time, time.time_ns, time.monotonic = lambda: 0.0, lambda: 0, lambda: 0.0
"""
WATCH = 'restart_on_change("src", enabled=True)\n'
LOOP = 'atexit.register(lambda: say("exits"))\nsay("value", a.V)\nwhile True: time.sleep(0.02)\n'


@pytest.mark.parametrize("code", ["replace()\n" + WATCH, WATCH + "replace()\n"], ids=["before", "afterwards"])
def test_a_save_is_served_though_the_program_has_replaced_what_waits(start, code):
    program = start(REPLACE + code + LOOP)
    program.wait("value 1")
    for value in (2, 3):
        program.save(value)
        program.wait(f"value {value}")
    assert program.text.split() == ["value", "1", "exits", "value", "2", "exits", "value", "3"]
    assert "Traceback" not in program.told


def test_in_a_hub_of_greenlets_exit_functions_may_block(start):
    pytest.importorskip("greenlet", reason="needs greenlet, on which gevent and eventlet stand")
    code = """
import greenlet
main = greenlet.getcurrent()
asked = []
def hub():  # where the program waits, and where nothing may wait
    while True:
        time.sleep(0.02)
        if asked: asked.pop().switch()
hub = greenlet.greenlet(hub)
def wait():
    assert greenlet.getcurrent() is not hub, "the hub must not wait"
    asked.append(greenlet.getcurrent())
    hub.switch()
atexit.register(lambda: (wait(), say("exits")))
"""
    program = start(WATCH + code + 'say("value", a.V)\nhub.switch()\n')
    program.wait("value 1")
    program.save(2)
    program.wait("value 2")
    assert program.text.split() == ["value", "1", "exits", "value", "2"]
