"""Whatever is killed at a random moment while people edit, the last content runs last."""

import contextlib
import random
import signal
import sys
import threading
import time

import length
import psutil
import pytest
import writers
from checkpointed import Checkpointed
from processes import runners, supervisors, words_of
from screens import Screen
from waiting import eventually

from ipy_autorestart import Options, Script, Supervisor

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="fork servers are Linux's"),
]

SECONDS = length.seconds(1.5)

#: A supervisor's own: on SIGUSR1 the observer's thread raises where it wakes next, whatever it holds.
SITE = """
import ctypes, random, signal, sys, threading

def kill(*_):
    threads = [one for one in threading.enumerate() if one.name == "ipy-autorestart-observer"]
    if threads:
        chosen = ctypes.c_ulong(random.choice(threads).ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(chosen, ctypes.py_object(RuntimeError))

if "--link" in sys.orig_argv:
    signal.signal(signal.SIGUSR1, kill)
"""


def fork_server(supervisor, run):
    """The oldest of those below the supervisor but the run: what is parked was forked of it, and is adopted."""
    return next((process for process in runners(supervisor) if process.pid != run), None)


def end(process):
    """Kill a process, and wait until it is dead: what is saved next is behind its end."""
    process.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        eventually(lambda: process.status() == psutil.STATUS_ZOMBIE)


def kill(what, supervisor, status):
    """Kill what is there of it, and say whether anything was."""
    try:
        match what:
            case "fork server":
                server = fork_server(supervisor, status.pid)
                if server is not None:
                    end(server)
                return server is not None
            case "run":
                if status.pid:
                    end(psutil.Process(status.pid))
                return bool(status.pid)
            case "observer":
                supervisor.send_signal(signal.SIGUSR1)
                return True
            case "anything":
                victims = supervisor.children(recursive=True)
                for victim in random.sample(victims, min(1, len(victims))):
                    end(victim)
                return bool(victims)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.timeout(120 + SECONDS)
@pytest.mark.parametrize("what", ["fork server", "run", "observer", "anything"])
def test_the_last_content_runs_last_whatever_was_killed(project, modules, seed, monkeypatch, what):
    site = project.parent / f"{project.name}-site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    project.script(writers.program(modules) + "import time\ntime.sleep(600)\n")
    screen, kills, rng = Screen(keep=2), 0, random.Random(seed)
    with Supervisor(Script("main.py"), ["src/"], screen=screen, options=Options()) as supervisor:
        eventually(lambda: screen.text.startswith("values"))
        [process] = psutil.Process().children()
        with writers.editing(project, seed) as people:
            end = threading.Event()
            timer = threading.Timer(SECONDS, end.set)
            timer.start()
            while not end.wait(rng.uniform(0, 0.6)):
                kills += kill(what, process, supervisor.status)
            timer.join()
            kills = kills or eventually(lambda: kill(what, process, supervisor.status), what="something to kill")
        project.save("src/shared_0.py", writers.text(writers.FIRST))  # who killed a run ended it for good
        expected = writers.on_disk(project, modules) + "\n"
        eventually(
            lambda: screen.text == expected,
            timeout=writers.SETTLED,
            what=lambda: f"{expected!r} after {writers.last_edits(people)}; {supervisor.status}\n{screen.texts}",
        )
        sys.stdout.write(f"{kills} kills, {supervisor.status.runs} runs\n")
        assert process.is_running()
    assert not psutil.Process().children()


#: Seconds between deaths of live kernels: three in a row, of which none has answered for 5 s, are the end of it.
APART = 6.0


def kill_one(proxy, live, rng, *, may_be_live):
    """Kill one process of those behind a proxy, but for supervisors, and say which."""
    victims = []
    for one in proxy.children():
        if "--link" not in words_of(one) and (may_be_live or one.pid != live):
            victims.append(one)
    if not victims:
        return 0
    victim = rng.choice(victims)
    with contextlib.suppress(psutil.NoSuchProcess):
        victim.kill()
    return victim.pid


@pytest.mark.timeout(180 + 2 * SECONDS)
def test_a_kernel_shows_the_last_content_whichever_process_behind_its_proxy_was_killed(
    start_kernel, project, modules, seed
):
    with start_kernel() as player:
        life = Checkpointed(player, project)
        life.until_armed()
        life.load("load")
        life.do("use", writers.program(modules))
        proxy, rng, kills, killed_at = psutil.Process(life.pid), random.Random(seed), 0, float("-inf")
        with writers.editing(project, seed) as people:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                life.look_on(rng.uniform(0, 0.5))
                live, now = life.live, time.monotonic()
                killed = kill_one(proxy, live, rng, may_be_live=now > killed_at + APART)
                kills += bool(killed)
                killed_at = now if killed == live else killed_at
        project.save("src/shared_0.py", writers.text(writers.LAST))  # what killed a cell that ran again ended that
        expected = writers.on_disk(project, modules) + "\n"
        life.wait(
            lambda: life.shows("use") == expected,
            timeout=writers.SETTLED,
            what=f"{expected!r} after {writers.last_edits(people)}",
        )
        sys.stdout.write(f"{kills} kills: {life.status}\n")
        assert proxy.is_running()


def test_a_kernel_tells_that_its_supervisor_was_killed_and_can_be_watched_again(kernel, project):
    cell = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in cell.text)
    [supervisor] = supervisors(kernel.pid)
    supervisor.kill()
    kernel.wait(lambda: "the supervisor has ended; nothing is watched any more" in cell.text)
    assert "watch ended ·" in cell.text
    assert kernel.run("1 + 1").text == "2"
    again = kernel.run("%watch_restart src/")
    kernel.wait(lambda: "running" in again.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "src/a.py changed" in again.text and "· 1 restart" in again.text)
