"""An asyncio program restarts when its loop is idle; decided by values, and tried with real loops."""

import pytest

from ipy_autorestart.program.idle import is_idle


@pytest.mark.parametrize(
    ("ready", "rounds", "waited", "idle"),
    [
        (0, 0, 0.0, True),
        (1, 5, 0.9, False),
        (1, 5, 1.0, True),
        (None, 0, 0.0, False),
        (None, 1, 0.0, False),
        (None, 2, 0.0, True),
    ],
)
def test_a_loop_is_idle_when_nothing_is_behind_or_after_a_second(ready, rounds, waited, idle):
    assert is_idle(ready=ready, rounds=rounds, waited=waited) is idle


BEGIN = """
import asyncio
restart_on_change("src", enabled=True)
say("value", a.V)
"""


@pytest.mark.e2e
def test_a_callback_is_finished_and_what_is_ready_behind_it_runs_first(start):
    code = BEGIN + (
        "async def work():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    end = time.monotonic() + 0.1\n"
        "    while time.monotonic() < end: pass\n"
        "    for number in range(5): await asyncio.sleep(0)\n"
        '    say("worked")\n'
        "    await asyncio.sleep(60)\n"
        "async def main():\n"
        '    if not os.path.exists("once"):\n'
        '        open("once", "w").close()\n'
        "        await asyncio.gather(work(), work(), asyncio.sleep(60))\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    program = start(code)
    program.wait("value 1", times=2)
    assert program.text.split() == ["value", "1", "worked", "worked", "value", "1"]


@pytest.mark.e2e
@pytest.mark.parametrize("hidden", [False, True])
def test_tasks_that_sleep_are_not_waited_for(start, hidden):
    # A loop that hides its queue stands for those which have none.
    hide = "class Loop(asyncio.SelectorEventLoop):\n    _ready = property(lambda self: self.__dict__['q'])\n"
    make = "asyncio.SelectorEventLoop()"
    if hidden:
        hide = (
            "class Loop(asyncio.SelectorEventLoop):\n"
            "    def __getattribute__(self, name):\n"
            '        if name == "_ready" and sys._getframe(1).f_globals["__name__"].startswith("ipy_autorestart"):\n'
            "            raise AttributeError(name)\n"
            "        return super().__getattribute__(name)\n"
        )
        make = "Loop()"
    program = start(BEGIN + (hide if hidden else "") + f"{make}.run_until_complete(asyncio.sleep(60))\n")
    program.wait("value 1")
    program.save(2)
    program.wait("value 2")


@pytest.mark.e2e
def test_a_loop_that_is_never_idle_is_left_all_the_same(start):
    code = BEGIN + "async def spin():\n    while True: await asyncio.sleep(0)\nasyncio.run(spin())\n"
    program = start(code)
    program.wait("value 1")
    program.save(2)
    program.wait("value 2")


@pytest.mark.e2e
def test_a_loop_that_ends_meanwhile_loses_no_restart(start):
    code = BEGIN + (
        "loop = asyncio.new_event_loop()\n"
        "def last():\n    os.kill(os.getpid(), signal.SIGHUP)\n    loop.stop()\n"
        'if not os.path.exists("once"):\n'
        '    open("once", "w").close()\n'
        "    loop.call_soon(last)\n"
        "    loop.run_forever()\n"
        "    loop.close()\n"
        "while True: time.sleep(0.02)\n"
    )
    program = start(code)
    program.wait("value 1", times=2)
