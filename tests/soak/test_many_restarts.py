"""Restarts without number leave everything as it was when a fifth of them was over."""

import os
import re
import subprocess
import sys

import length
import psutil
import pytest
from behind import without_checkpoints
from checkpointed import Checkpointed
from processes import guardian_of, runners, supervisors
from resources import Plateau
from screens import Screen
from waiting import eventually

from ipy_autorestart import Options, Script, Supervisor
from ipy_autorestart.proxy.backend import KINDS

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="what processes hold is told by proc(5)"),
]

RESTARTS, SWITCHES = length.restarts(12), length.restarts(6)

#: An even number, after which a run goes on.
FIFTH = max(RESTARTS // 5, 4) // 2 * 2

#: What the allocator's habits may add to a process that has come to rest.
GROWTH_MAX = 1.1

#: Modules that are saved in turn: the same few files, right after each start, would be taken for a loop, and wait.
NAMES = "abcde"
USE = "import sys; sys.path.insert(0, 'src'); import a, b, c, d, e; values = [one.V for one in (a, b, c, d, e)]"
MAIN = f"""\
import json, time
{USE}
print("value", *values, flush=True)
if max(values) % 10 != 3: time.sleep(600)
"""


def printed(values):
    return f"value {' '.join(map(str, values))}\n"


@pytest.fixture
def save(project):
    """Save the restart's number in one module after the other; return what a run prints of it."""
    for name in NAMES:
        project.save(f"src/{name}.py", "V = 0\n")
    project.script(MAIN)
    values = dict.fromkeys(NAMES, 0)

    def save(number):
        name = NAMES[number % len(NAMES)]
        values[name] = number
        project.save(f"src/{name}.py", f"V = {number}\n")
        return printed(values.values())

    return save


def restart_again_and_again(restart, processes, restarts=RESTARTS, *, besides=()):
    """Restart so many times, and compare the end, but for some, with what was when a fifth of it was over."""
    plateau = None
    for number in range(1, restarts + 1):
        restart(number)
        if number == FIFTH:
            plateau = Plateau(processes, besides=besides)
    eventually(lambda: not plateau.more(), what=plateau.more)
    sys.stdout.write(f"after {restarts} restarts: {plateau.held}, memory {plateau.memory}, grown {plateau.growth()}\n")
    assert max(plateau.growth().values()) < GROWTH_MAX, plateau.growth()


@pytest.mark.timeout(120 + RESTARTS)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a_script_may_be_restarted_without_number(project, save, warm):
    if warm and sys.platform != "linux":
        pytest.skip("fork servers are made on Linux only")
    screen, warmths = Screen(keep=1), []

    def restart(number):
        expected = save(number)
        eventually(lambda: screen.text == expected, what=lambda: f"{expected!r}, not {screen.text!r}")
        eventually(lambda: screen.status.runs == number + 1)
        warmths.append(screen.status.warm)
        if warm:
            eventually(lambda: "imported ahead" in screen.status.preloads and len(processes()) == 2)
        if warm and number == FIFTH:  # the guardian, the fork server, the run, and what is parked
            eventually(lambda: len(processes()["the supervisor"].children()) == 4)

    def processes():
        [supervisor] = psutil.Process().children()
        # The fork server has forked what is parked, and is older.
        servers = [one for one in runners(supervisor) if one.pid != screen.status.pid]
        return {"the supervisor": supervisor, **({"the fork server": servers[0]} if servers else {})}

    with Supervisor(Script("main.py"), ["src/"], screen=screen, options=Options(warm=warm)):
        eventually(lambda: screen.text == printed([0] * len(NAMES)))
        restart_again_and_again(restart, processes)
    assert warmths.count(warm) > 0.7 * RESTARTS, warmths


@pytest.mark.timeout(120 + RESTARTS)
def test_the_command_line_may_restart_without_number(project, save):
    shown = project.parent / f"{project.name}.out"
    with shown.open("wb") as file:
        words = [sys.executable, "-m", "ipy_autorestart", "--quiet", "src/", "main.py"]
        program = psutil.Popen(words, stdout=file, stderr=subprocess.DEVNULL)

    def restart(number):
        expected = save(number)
        eventually(lambda: shown.read_text().endswith(expected), what=lambda: f"{expected!r}")
        if number == FIFTH:
            eventually(lambda: len(program.children()) >= 4)  # the guardian, the run, a fork server, and what is parked

    try:
        eventually(lambda: shown.read_text() == printed([0] * len(NAMES)))
        restart_again_and_again(restart, lambda: {"the program": program})
    finally:
        program.terminate()
        program.wait()


#: The second fork server, ten seconds after the first, has imported more, and watches more folders for that.
LATER = () if SWITCHES >= 300 else ("the proxy's watches",)


def links(proxy):
    """Count the kernels that are connected to a proxy: a standby is, as soon as it is ready."""
    paths = [one.laddr for one in proxy.net_connections("unix")]
    return sum(path.endswith("/link") for path in paths) - 1


@pytest.mark.skipif(sys.platform != "linux", reason="there are proxies on Linux only")
@pytest.mark.timeout(120 + 4 * SWITCHES)
def test_a_kernel_behind_a_proxy_may_be_restarted_without_number(start_kernel, save):
    with start_kernel() as kernel:
        assert kernel.run("%load_ext ipy_autorestart").error == ""
        without_checkpoints(kernel)
        watching = kernel.run("%watch_restart src/ --rerun all", cell_id="watch")
        kernel.wait(lambda: "running" in watching.text)
        use = kernel.run(f"{USE}; print('value', *values)", cell_id="use")
        proxy = psutil.Process(kernel.pid)
        [supervisor] = supervisors(proxy.pid)

        def restart(number):
            expected = save(number)
            again = rf"rerun in.* · {number} restart"
            kernel.wait(lambda: use.streams() == expected and re.search(again, watching.text))
            if number == FIFTH:  # guardian, supervisor, fork server, what is parked, standby and the live one
                eventually(lambda: len(proxy.children(recursive=True)) == 6 and links(proxy) == 2, what=proxy.children)
            kernel.cells = {cell.id: cell for cell in (watching, use)}

        def processes():
            live = psutil.Process(int(kernel.run("__import__('os').getpid()").text))
            others = set(proxy.children()) - {live, supervisor, guardian_of(proxy)}
            server = min(others, key=psutil.Process.create_time)  # which has forked the standby and what is parked
            return {"the proxy": proxy, "the kernel": live, "the fork server": server, "the supervisor": supervisor}

        restart_again_and_again(restart, processes, SWITCHES, besides=LATER)


#: Kernels at rest: the live one, one that is started ahead, and one that is made ahead of a checkpoint.
KERNELS = 3

#: A checkpoint is made when the data is there and none after that, however long cells take on a busy machine.
ONE = "checkpoint_policy.is_worth = lambda *_: 'big' in globals() and 'a' not in sys.modules"


def connections(proxy):
    """Count the connections of kernels to a proxy's sockets, with its ends that listen."""
    paths = [str(one.laddr) for one in proxy.net_connections("unix")]
    return sum(path.endswith(tuple(f"-{channel}" for channel in KINDS)) for path in paths)


@pytest.mark.skipif(sys.platform != "linux", reason="there are proxies on Linux only")
@pytest.mark.timeout(90 + 3 * SWITCHES)
def test_a_kernel_may_go_back_without_number(start_kernel, project):
    project.save("src/a.py", "V = 0\n")
    with start_kernel() as player:
        life = Checkpointed(player, project, "--rerun all --debounce 0.01")
        life.until_armed()
        life.do("one", ONE)
        life.load("load", "big = bytearray(10**7)")
        proxy, checkpoint = psutil.Process(life.pid), psutil.Process(life.parked[-1])
        life.do("use", "import a; print(a.V)")
        life.do("plot", "big[::4096] = bytes(len(big[::4096])); display({'text/plain': 'x' * 10**5}, raw=True)")

        def are_all_there():
            # Guardian, supervisor, fork server and what is parked of that; a slow start is worth a checkpoint, too.
            children = 4 + len(life.parked) + KERNELS
            ends = (len(proxy.children(recursive=True)), links(proxy), connections(proxy))
            return ends == (children, 1, 2 * len(KINDS) * KERNELS)

        def restart(number):
            life.save("src/a.py", f"V = {number}\n", again=True)
            assert life.shows("use") == f"{number}\n"
            if number == FIFTH:
                eventually(are_all_there, what=lambda: (proxy.children(recursive=True), connections(proxy)))

        def processes():
            return {"the proxy": proxy, "the kernel": psutil.Process(life.live), "the checkpoint": checkpoint}

        restart_again_and_again(restart, processes, SWITCHES, besides=LATER)
        assert life.runs("load") == 1
        assert life.parked[-1] == checkpoint.pid
