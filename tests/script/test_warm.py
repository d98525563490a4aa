"""Warm restarts: runs that were forked ahead, of a fork server that is made anew when it is out of date."""

import importlib.util
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from waiting import eventually, pass_time
from watching import package

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="fork servers are made on Linux only"),
]


#: A module that knows which process has imported it, and says in a run whether that was another one.
TELLS = "import os\nPID = os.getpid()\ndef ahead():\n    return PID != os.getpid()\n"


def test_the_second_run_is_warm_and_has_imported_nothing_itself(watch):
    slow = "import os\nPID = os.getpid()\nV = 1\n"
    watched = watch("import slow\nprint('first', slow.V)\n", {"slow": slow})
    assert watched.screen.status.warm is False
    watched.until_ready()
    code = "import os, sys\nprint('slow' in sys.modules)\nimport slow\nprint('second', slow.PID == os.getpid())\n"
    assert watched.next(code) == "False\nsecond False\n"
    assert watched.screen.status.warm is True
    assert re.search(r"\d+ modules imported ahead, \d+ MB", watched.screen.status.preloads)


def test_watched_code_is_never_imported_ahead(watch, project):
    project.save("mine.py", "print('mine is imported')\nV = 1\n")
    watched = watch("import lib, mine\nprint(mine.V)\n", {"lib": TELLS})
    watched.until_ready()
    assert watched.next("import lib\nprint(lib.ahead())\nimport mine\n") == "True\nmine is imported\n"
    project.save("mine.py", "V = 2\n")
    watched.until_ready()
    assert watched.next("import mine\nprint(mine.V)\n") == "2\n"
    assert watched.screen.status.warm is True


def test_what_a_new_interpreter_of_multiprocessing_reads_counts(watch, project):
    project.save("mine.py", "print('mine is imported')\n")
    code = (
        "import multiprocessing\ndef use(): import mine\nif __name__ == '__main__':\n"
        "    child = multiprocessing.get_context('spawn').Process(target=use)\n    child.start()\n    child.join()\n"
    )
    watched = watch(code)
    watched.until_ready()
    assert watched.next() == "mine is imported\n"
    assert watched.screen.status.warm is True
    project.save("mine.py", "print('mine is new')\n")
    eventually(lambda: watched.screen.text == "mine is new\n", what=lambda: watched.screen.status)


def test_watched_code_among_installed_packages_counts_and_is_not_imported_ahead(watch, project):
    ours = project.parent / "lib/site-packages/ours"
    ours.mkdir(parents=True, exist_ok=True)
    (ours / "__init__.py").write_text(TELLS + "V = 1\n")
    watched = watch("import json, ours\nprint(ours.ahead())\nprint(ours.V)\n", paths=[ours])
    watched.until_ready()
    assert watched.next() == "False\n1\n"
    watched.until_ready()
    (ours / "__init__.py").write_text(TELLS + "V = 2\n")
    eventually(lambda: watched.screen.text == "False\n2\n")
    assert watched.screen.status.warm is True


def test_packages_in_an_environment_of_the_project_are_imported_ahead(watch, project, monkeypatch):
    installed = project / ".venv/lib/site-packages"
    project.save(".venv/lib/site-packages/theirs.py", TELLS)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    watched = watch("import theirs\nprint(theirs.ahead())\n")
    watched.next()  # from the compiled form
    eventually(lambda: watched.is_ready() and watched.next() == "True\n")


PLUGIN = "import mine\nV = mine.V\n"


def test_what_must_not_be_imported_ahead_is_left_out_and_told(watch):
    watched = watch("import good, odd\nprint(odd.V)\n", {"odd": TELLS + "print('hello')\nV = 3\n", "good": TELLS})
    code = "import good, odd\nprint(odd.V, odd.ahead(), good.ahead())\n"
    for saved in (code, None):
        watched.until_ready()
        assert "not odd: it prints" in watched.screen.status.preloads
        assert watched.next(saved) == "hello\n3 False True\n"
        assert watched.screen.status.warm is True


def test_a_plugin_follows_the_code_that_it_imports(watch, project):
    project.save("src/mine.py", "V = 1\n")
    code = "import plugin\nprint(plugin.V)\n"
    watched = watch(code, {"plugin": PLUGIN})
    eventually(lambda: "not plugin" in watched.screen.status.preloads)
    watched.until_ready()
    run = watched.screen.run
    project.save("src/mine.py", "V = 2\n")
    eventually(lambda: watched.screen.run == run + 1 and watched.screen.text == "2\n")


def test_what_reads_a_variable_that_the_script_changes_is_imported_by_the_run(watch):
    reads = TELLS + "V = os.environ.get('THREADS', 'none')\n"
    copies = TELLS + "V = dict(os.environ)\n"
    asks = "from functools import lru_cache\n" + TELLS + "@lru_cache\ndef ask():\n    return os.getenv('THREADS')\n"
    code = "import os\nos.environ['THREADS'] = '1'\nimport asks, asking, copies, other, reads\n"
    code += "print(reads.V, reads.ahead(), copies.V['THREADS'], copies.ahead(), asks.ask(), other.ahead())\n"
    packages = {"reads": reads, "copies": copies, "asks": asks, "asking": "import asks\nasks.ask()\n", "other": TELLS}
    watched = watch(code, packages)
    for _ in range(2):
        watched.until_ready()
        assert watched.next() == "1 False 1 False 1 True\n"
        assert watched.screen.status.warm is True


def test_what_tells_the_local_time_is_imported_by_the_run_if_the_script_changes_that(watch):
    tells = TELLS + "import time\nclass A:\n    NAME = time.tzname[0]\n"
    calls = (
        TELLS + "import datetime\ndef find():\n    return str(datetime.datetime.now().astimezone())[-6:]\nV = find()\n"
    )
    may_call = TELLS + "import time\ndef find():\n    return time.localtime()\n"
    code = "import os, time\nos.environ['TZ'] = 'XYZ-5'\ntime.tzset()\nimport calls, may_call, tells\n"
    code += "print(tells.A.NAME, tells.ahead(), calls.V, calls.ahead(), may_call.ahead())\n"
    watched = watch(code, {"tells": tells, "calls": calls, "may_call": may_call})
    watched.until_ready()
    assert watched.next() == "XYZ False +05:00 False True\n"
    assert watched.screen.status.warm is True


def test_of_what_is_imported_after_a_change_of_the_environment_compiled_code_is_not_imported_ahead(watch):
    if importlib.util.find_spec("numpy") is None:
        pytest.skip("numpy is not installed")
    code = "import before, os\nos.environ['THREADS'] = '1'\nimport late, arrays\n"
    code += "print(before.ahead(), late.ahead(), arrays.ahead(), arrays.numpy.arange(2))\n"
    watched = watch(code, {"before": TELLS, "late": TELLS, "arrays": TELLS + "import numpy\n"})
    told = "not what is imported after THREADS is set, from the first compiled module on"
    eventually(lambda: told in watched.screen.status.preloads, what=lambda: watched.screen.status.preloads)
    for _ in range(2):
        watched.until_ready()
        assert watched.next() == "True True False [0 1]\n"
        assert watched.screen.status.warm is True


#: Before the import of a package with compiled code of its own, which can't be imported twice in a process.
CHANGES = "import os\nos.environ['MPLBACKEND'] = 'svg'\nprint('once')\n"


def test_a_run_that_changes_what_an_import_meets_is_a_cold_one_instead(watch):
    pytest.importorskip("matplotlib")
    code = "import lib, matplotlib\nprint(lib.ahead(), matplotlib.rcParams['backend'])\n"
    watched = watch(code, {"lib": TELLS})
    watched.until_ready()
    assert watched.next(CHANGES + code) == "once\nFalse svg\n"
    assert watched.screen.status.warm is False
    watched.until_ready()
    assert "not matplotlib: the environment is changed before its import" in watched.screen.status.preloads
    assert watched.next() == "once\nTrue svg\n"
    assert watched.screen.status.warm is True


#: As torch's does with cuda.pathfinder: asks ldconfig, and makes up a module with the path of none. Has settings, as
#: Django has them, that are loaded when they are asked for anything, their class included.
ASKS = (
    TELLS
    + """import subprocess, sys, types
if os.path.exists('/sbin/ldconfig'):
    subprocess.run(['/sbin/ldconfig', '-p'], stdout=subprocess.DEVNULL)
sys.modules['made_up'] = types.ModuleType('made_up')
sys.modules['made_up'].__file__ = 'main.py'
class Settings:
    @property
    def __class__(self):
        raise RuntimeError('there are no settings')
settings = Settings()
"""
)


def test_what_a_package_asks_the_system_makes_up_and_puts_off_is_no_hindrance(watch):
    watched = watch("import lib\nprint(lib.ahead())\n", {"lib": ASKS})
    watched.until_ready()
    assert watched.next() == "True\n"


LAZY = """\
import importlib.util, sys
spec = importlib.util.find_spec("part")
spec.loader = importlib.util.LazyLoader(spec.loader)
part = sys.modules["part"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(part)
"""


def test_what_a_package_puts_off_the_run_imports_if_it_uses_it(watch):
    watched = watch("import lazy\n", {"lazy": TELLS + LAZY, "part": "print('part is imported')\n" + TELLS})
    watched.until_ready()
    code = "import lazy\nprint(lazy.ahead(), type(lazy.part).__name__)\n"
    assert watched.next(code) == "True _LazyModule\n"
    assert watched.next(code + "print(lazy.part.ahead())\n") == "True _LazyModule\npart is imported\nFalse\n"
    assert watched.screen.status.warm is True


def test_what_a_package_sets_at_its_import_is_no_hindrance(watch):
    text = TELLS + "os.environ.setdefault('LIB_SETS', '1')\n"
    watched = watch("import lib, other\n", {"lib": text, "other": TELLS})
    watched.until_ready()
    code = "import os\ng = os.environ.get\nprint(g('LIB_SETS'))\nimport lib, other\n"
    assert watched.next(code + "print(lib.ahead(), other.ahead(), g('LIB_SETS'))\n") == "None\nTrue True 1\n"


def test_each_run_has_its_own_random_state_and_clock(watch):
    code = (
        "import logging, os, random, tempfile, threading, uuid\n"
        "record = logging.LogRecord('a', 20, '', 1, '', (), None)\n"
        "print(random.random(), uuid.uuid4(), os.getpid(), tempfile.mktemp(), record.relativeCreated < 5000,\n"
        " threading.main_thread().native_id == os.getpid())\n"
    )
    watched = watch(code)
    watched.until_ready()
    seen = []
    for _ in range(3):
        seen.append(watched.next().split())
        assert watched.screen.status.warm is True
        watched.until_ready()
    for one, two in itertools.pairwise(seen):
        assert [a == b for a, b in zip(one, two, strict=True)] == [False, False, False, False, True, True]
        assert one[4:] == ["True", "True"]


DRAWS = {
    "generators": TELLS + "import random\nfrom os import urandom\nDRAWN, SEEDED = random.Random(), random.Random(7)\n"
    "class Own(random.Random): pass\nOWN = Own()\n",
    "arrays": TELLS + "from numpy.random import RandomState, default_rng\n"
    "DRAWN, OLD, SEEDED = default_rng(), RandomState(), default_rng(7)\n",
    "tokens": TELLS + "import secrets, uuid\nID, KEY = uuid.uuid4(), secrets.token_hex()\n",
}
PRINTS_DRAWN = """\
import arrays, generators, multiprocessing, os, random, tokens
print(generators.DRAWN.random(), generators.OWN.random(), arrays.DRAWN.random(), arrays.OLD.rand(),
    arrays.DRAWN.bit_generator.seed_seq.entropy, tokens.ID, tokens.KEY,
    multiprocessing.current_process().authkey.hex(), generators.SEEDED.random(),
    arrays.SEEDED.random(), generators.ahead(), arrays.ahead(), tokens.ahead(),
    os.urandom is generators.urandom, type(os.urandom).__name__, random.Random.seed.__module__)
"""


def test_what_libraries_draw_at_their_import_is_each_runs_own(watch):
    if importlib.util.find_spec("numpy") is None:
        pytest.skip("numpy is not installed")
    watched = watch(PRINTS_DRAWN, DRAWS)
    seen = []
    for _ in range(7):
        watched.until_ready()
        seen.append(watched.next().split())
    for one, two in itertools.pairwise(seen[1:]):  # what isn't to be imported ahead is known by then
        assert [a == b for a, b in zip(one, two, strict=True)] == [False] * 8 + [True] * 8
        assert one[10:] == ["True", "True", "False", "True", "builtin_function_or_method", "random"]


def test_an_edited_or_upgraded_package_is_new_in_the_next_run(watch, project):
    code = "import lib\nprint(lib.V)\n"
    watched = watch(code, {"lib": "V = 1\n"})
    watched.until_ready()
    package(project, "lib", "V = 1 + 1\n")
    assert watched.next() == "2\n"
    watched.until_ready()
    assert watched.next() == "2\n"
    assert watched.screen.status.warm is True


def test_what_a_package_reads_of_the_users_is_new_in_the_next_run(watch, tmp_path_factory):
    settings, absent = (tmp_path_factory.mktemp("home") / name for name in ("librc", "more"))
    settings.write_text("1")
    read = TELLS + f"from pathlib import Path\nV = Path({str(settings)!r}).read_text()\n"
    read += f"try:\n    V += open({str(absent)!r}).read()\nexcept OSError: pass\n"
    watched = watch("import lib\nprint(lib.ahead(), lib.V)\n", {"lib": read})
    watched.until_ready()
    assert watched.next() == "True 1\n"
    settings.write_text("2")
    assert watched.next() == "False 2\n"
    watched.until_ready()
    assert watched.next() == "True 2\n"
    absent.write_text("3")
    assert watched.next() == "False 23\n"
    watched.until_ready()
    assert watched.next() == "True 23\n"


def test_a_package_that_is_installed_later_makes_a_new_fork_server(watch, project):
    watched = watch("import lib\n", {"lib": ""})
    watched.until_ready()
    old = watched.fork_server
    package(project, "new", "V = 5\n")
    eventually(lambda: not old.is_running())  # it is reaped: a zombie runs, for psutil
    watched.until_ready()
    assert watched.next("import new\nprint(new.V)\n") == "5\n"


def test_a_file_beside_the_script_goes_before_what_was_imported_ahead(watch, project):
    code = "import json\nprint(getattr(json, 'MINE', 0))\n"
    watched = watch(code)
    watched.until_ready()
    assert watched.next() == "0\n"
    project.save("json.py", "MINE = 1\n")
    eventually(lambda: watched.screen.text == "1\n")
    watched.until_ready()
    assert watched.next() == "1\n"
    (project / "json.py").unlink()
    eventually(lambda: watched.screen.text == "0\n")


def test_a_new_module_is_found_by_a_run_that_was_forked_before_it(watch, project):
    watched = watch("import json\n")
    for number in range(5):
        watched.until_ready()
        project.save(f"new{number}.py", f"V = {number}\n")
        assert watched.next(f"import new{number}\nprint(new{number}.V)\n") == f"{number}\n"


def test_a_killed_fork_server_costs_one_cold_run(watch):
    watched = watch("import json\nprint('ran')\n")
    watched.until_ready()
    watched.fork_server.kill()
    assert watched.next("print('after')\n") == "after\n"
    watched.until_ready()
    assert watched.next("print('warm again')\n") == "warm again\n"
    assert watched.screen.status.warm is True


def test_a_killed_fork_server_does_not_take_the_run_along(watch, project):
    watched = watch("import json\n")
    watched.until_ready()
    project.script("import time\nprint('goes on')\ntime.sleep(60)\n")
    eventually(lambda: watched.screen.text == "goes on\n")
    assert watched.screen.status.warm is True
    run = psutil.Process(watched.screen.status.pid)
    watched.fork_server.kill()
    watched.until_ready()
    assert run.is_running()
    assert watched.screen.status.state == "running"


def test_a_stopped_fork_server_delays_nothing(watch):
    watched = watch("import json\nprint('ran')\n")
    watched.until_ready()
    watched.fork_server.suspend()
    for number in range(2):  # the first is parked already, the second can't be
        assert watched.next(f"print({number})\n") == f"{number}\n"
    assert watched.screen.status.warm is False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_parked_run_that_does_not_wake_loses_no_change(watch, how):
    watched = watch("import json\nprint('ran')\n")
    watched.until_ready()
    eventually(lambda: len(watched.processes) == 3)  # the supervisor, the fork server, and what is parked
    watched.processes[2].send_signal(how)
    assert watched.next("print('served')\n") == "served\n"
    assert watched.screen.status.runs == 2


@pytest.mark.timing
def test_a_save_shortly_before_a_fork_server_is_ready_waits_for_it(watch):
    watched = watch("import slow\nprint('first')\n", {"slow": "import time\ntime.sleep(1.5)\n"})
    eventually(lambda: "being made" in watched.screen.status.preloads)
    pass_time(1.2)
    assert watched.next("import slow\nprint('second')\n") == "second\n"
    assert watched.screen.status.warm is True
    assert watched.screen.status.took < 1.0


def test_cold_is_cold(watch):
    watched = watch("import json\nprint('ran')\n", warm=False)
    assert watched.next() == "ran\n"
    assert watched.screen.status.warm is False
    assert watched.screen.status.preloads == ""
    assert len(watched.processes) == 1


def test_more_can_be_imported_ahead(watch):
    watched = watch("print('ran')\n", {"lib": TELLS, "other": TELLS}, preload=("lib,other",))
    watched.until_ready()
    assert watched.next("import lib, other\nprint(lib.ahead(), other.ahead())\n") == "True True\n"


def test_a_script_that_imports_more_and_more_gets_a_new_fork_server(watch):
    watched = watch("import lib\n", {"lib": "", "late": TELLS})
    watched.until_ready()
    watched.next("import lib, late\n")
    eventually(lambda: "being made" in watched.screen.status.preloads or watched.is_ready())
    watched.until_ready()
    eventually(lambda: watched.next("import late\nprint(late.ahead())\n") == "True\n")


def test_a_restart_under_way_many_times_leaves_one_of_each(watch):
    watched = watch("import json\nprint('ran')\n")
    watched.until_ready()
    for number in range(30):
        assert watched.next() == "ran\n", number
    watched.until_ready()
    eventually(lambda: len(watched.processes) == 3)  # the supervisor, the fork server, and what is parked
    assert psutil.STATUS_ZOMBIE not in [process.status() for process in watched.processes]
    assert watched.processes[0].num_fds() < 40


BOTH = """
import os, signal, sys, time
from ipy_autorestart import Options, Script, Supervisor
class Screen:
    takes_all = True
    def show(self, status): self.status = status
    def begin(self, run): pass
    def write(self, stream, text): pass
    def to_state(self): return {}
screen = Screen()
supervisor = Supervisor(Script("main.py"), screen=screen)
supervisor.start()
while not os.path.exists("up") or "imported ahead" not in screen.status.preloads:
    time.sleep(0.01)
time.sleep(0.1)
print(screen.status.pid, flush=True)
supervisor._process.kill()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_outlives_a_kernel_and_a_supervisor_that_are_killed_at_once(project):
    project.script(
        "import json, signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen(['sleep', '60'])\nopen('up', 'w').close()\ntime.sleep(60)\n"
    )
    front = subprocess.run([sys.executable, "-c", BOTH], stdout=subprocess.PIPE, text=True)
    pid = int(front.stdout)

    def group():
        found = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, ProcessLookupError):
                continue
        return found

    eventually(lambda: not group())


def test_saves_at_any_moment_after_a_start_are_all_served(watch):
    watched = watch("import json\nprint(0)\n")
    watched.until_ready()
    for number in range(60):
        code = f"print({number + 1})\n"
        watched.project.script(code)
        threading.Event().wait(number % 30 / 1000)
    eventually(lambda: watched.screen.text == "60\n")


def test_what_changes_while_a_fork_server_imports_it_is_new_in_the_next_run(watch, project):
    held, waits = (project.parent / f"{project.name}-{name}" for name in ("held", "waits"))  # where nothing is watched
    wait = f"open({str(waits)!r}, 'w').close(); time.sleep(0.01)"
    slow = f"import os, time\nwhile os.path.exists({str(held)!r}): {wait}\n"
    code = f"import lib, slow\nprint(lib.V)\nopen({str(held)!r}, 'w').close()\n"
    watched = watch(code, {"lib": "V = 1\n", "slow": slow})
    eventually(waits.exists)
    package(project, "lib", "V = 1 + 1\n")
    held.unlink()
    watched.until_ready()
    assert watched.next() == "2\n"


def test_a_folder_of_data_beside_the_script_hides_no_package(watch, project):
    (project / "json").mkdir()
    watched = watch("import json\nprint(json.dumps(1))\n")
    watched.until_ready()
    assert watched.next() == "1\n"
    assert watched.screen.status.warm is True


def test_a_module_that_a_package_meets_on_the_scripts_path_is_met_warm_too(watch, project):
    project.save("vendor/dep.py", "")
    code = "import os, sys\nsys.path.insert(0, 'vendor')\nimport lib\nprint('vendor' in lib.dep.__file__)\n"
    watched = watch(code, {"lib": "import dep\n", "dep": ""})
    for _ in range(2):
        watched.until_ready()
        assert watched.next() == "True\n"


def test_streams_and_clock_are_as_in_a_fresh_start(watch):
    code = (
        "import logging, sys, time\nrecord = logging.LogRecord('a', 20, '', 1, '', (), None)\n"
        "print(sys.stdout.seekable(), sys.stderr.seekable(), record.relativeCreated < 1000)\n"
    )
    watched = watch(code)
    watched.until_ready()
    eventually(lambda: time.time() - watched.fork_server.create_time() > 1.1)
    assert watched.next() == "False False True\n"
    assert watched.screen.status.warm is True
