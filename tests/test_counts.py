"""How often a running script is restarted, and with what content: the whole way from the disk to the run."""

import itertools
import os
import sys
import time

import pytest
from acts import AT_ONCE, FILES, IN_STEPS, NEVER, ONCE, write
from screens import Screen
from waiting import eventually

from ipy_autorestart import Files, Options, Script, Supervisor

pytestmark = pytest.mark.e2e

MAIN = """\
import sys, time
sys.path.insert(0, "src")
import a, pkg.m
print(f"run {a.V} {pkg.m.V}")
if "config.toml" in sys.argv: print("config", open("src/config.toml").read())
if "gen" in sys.argv: open("src/gen.py", "w").write(f"NOW = {time.time()}")
if "idle" not in sys.argv: time.sleep(600)
"""


class Watched:
    """A script that runs, and what becomes of it."""

    def __init__(self, folder, screen, supervisor):
        self.folder, self.screen, self.supervisor = folder, screen, supervisor
        self.poll = supervisor.request.options.poll
        self._spare = itertools.cycle(["src/spare.py", "src/other_spare.py"])

    def settle(self):
        """Wait until nothing more comes of what was done: longer than a burst lasts, and than scans are apart."""
        quiet = 0.5 + 4 * self.poll
        begun = time.monotonic()
        eventually(lambda: time.monotonic() - max(begun, self.screen.at) > quiet, timeout=30)

    def until_looked(self):
        """Wait until what was done has been looked at: as has, by then, a later change of a file that is not used."""
        path, before = next(self._spare), len(self.screen.statuses)
        write(path, f"AT = {before}\n")

        def unused():
            later = list(self.screen.statuses)[before:]
            return [told for status in later if status.unused for told in status.unused.paths]

        eventually(lambda: path in unused(), what=lambda: f"{path} in {unused()}, {self.supervisor.statistics()}")

    @property
    def restarts(self):
        """Restarts seen so far; the first run is none."""
        return len(self.screen.texts) - 1

    @property
    def last(self):
        return self.screen.text


#: The file is replaced, at one moment; of all others there is something to be seen between their beginning and end.
IN_ONE_STEP = [how for how in AT_ONCE if how.startswith("atomic") or how in ("sed -i", "older mtime")]
TIMED = [how for how in ONCE if how not in IN_ONE_STEP]

#: To a scan all others are one of these; what it makes of their ends is told by watch/test_saves.py.
SCANNED = ["plain write", *(how for how in IN_STEPS if "package" not in how and "root" not in how)]

#: Seconds between two scans, 0.0 for events.
WAYS = {"events": 0.0, "polling": 0.1}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def watch(request, tmp_path, monkeypatch):
    """Start a script, with options and arguments, in a project of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src/pkg").mkdir(parents=True)
    for name, text in {**FILES, "main.py": MAIN}.items():
        (tmp_path / name).write_text(text)
    started = []

    def start(*args, **options):
        screen = Screen()
        supervisor = Supervisor(
            Script("main.py", args=args), ["src/"], screen=screen, options=Options(poll=request.param, **options)
        )
        started.append(supervisor)
        supervisor.start()
        eventually(lambda: "\n" in screen.text and (sys.platform != "linux" or "ahead" in screen.status.preloads))
        return Watched(tmp_path, screen, supervisor)

    yield start
    for supervisor in started:
        supervisor.stop()


@pytest.mark.parametrize(
    ("watch", "how"),
    [
        *(pytest.param(WAYS["events"], how, id=f"events-{how}") for how in IN_ONE_STEP),
        *(pytest.param(WAYS["events"], how, id=f"events-{how}", marks=pytest.mark.timing) for how in TIMED),
        *(pytest.param(WAYS["polling"], how, id=f"polling-{how}", marks=pytest.mark.timing) for how in SCANNED),
    ],
    indirect=["watch"],
)
def test_a_save_restarts_once_with_the_final_content(watch, how):
    watched = watch()
    ONCE[how]()
    eventually(lambda: "run 2" in watched.last, what="the new content to run")
    watched.settle()
    seen = watched.screen.texts
    # A put-back or half-written state in between may have been acted on at once: then it was superseded unseen.
    assert watched.restarts == 1, seen


def test_what_changes_no_code_in_use_restarts_nothing(watch):
    watched = watch()
    for how, act in NEVER.items():
        act()
        watched.until_looked()
        assert watched.restarts == 0, (how, watched.screen.texts)
    watched.settle()
    watched.settle()
    assert watched.restarts == 0, watched.supervisor.statistics()
    assert watched.supervisor.status.state == "running"


@pytest.mark.timing
def test_a_change_that_is_put_back_at_once_restarts_nothing(watch):
    watched = watch()
    write("src/a.py", "V = 5\n")
    write("src/a.py", "V = 1\n")
    watched.settle()
    watched.settle()
    assert watched.restarts == 0, watched.screen.texts
    assert watched.supervisor.status.state == "running"


def test_a_syntax_error_is_held_back_with_one_message_and_mending_it_restarts_once(watch):
    watched = watch()
    pid = watched.supervisor.status.pid
    write("src/a.py", "V = (\n")
    eventually(lambda: watched.supervisor.status.state == "broken")
    broken = watched.supervisor.status.broken
    assert (broken.path, broken.line) == ("src/a.py", 1)
    assert "was never closed" in broken.message
    watched.settle()
    assert watched.restarts == 0
    assert watched.supervisor.status.pid == pid
    assert {status.broken for status in watched.screen.statuses} == {None, broken}
    write("src/a.py")
    eventually(lambda: "run 2" in watched.last)
    watched.settle()
    assert watched.restarts == 1
    eventually(lambda: watched.supervisor.status.state != "broken")


def test_a_syntax_error_put_back_is_no_change(watch):
    watched = watch()
    write("src/a.py", "V = (\n")
    eventually(lambda: watched.supervisor.status.state == "broken")
    write("src/a.py", "V = 1\n")
    eventually(lambda: watched.supervisor.status.broken is None)
    watched.settle()
    assert watched.restarts == 0


def test_why_nothing_was_restarted_is_told(watch):
    watched = watch()
    write("src/unused.py")
    eventually(lambda: watched.supervisor.status.unused == Files(("src/unused.py",)))
    write("src/a.py", "# why\nV = 1\n")
    eventually(lambda: watched.supervisor.status.alike == Files(("src/a.py",)))


def test_all_and_strict_restart_for_what_else_would_not(watch):
    watched = watch(all=True, strict=True)
    write("src/unused.py")
    eventually(lambda: watched.restarts == 1)
    watched.settle()
    write("src/a.py", "# why\nV = 1\n")
    eventually(lambda: watched.restarts == 2)


def test_a_data_file_that_the_run_read_restarts_it(watch):
    watched = watch("config.toml")
    write("src/config.toml", "two")
    eventually(lambda: "config two" in watched.last)
    watched.settle()
    assert watched.restarts == 1


def test_patterns_and_ignores_add_to_what_counts(watch):
    watched = watch(pattern=("*.toml",), ignore=("pkg/",), all=True)
    write("src/pkg/m.py")
    watched.settle()
    assert watched.restarts == 0
    write("src/other.toml", "two")
    eventually(lambda: watched.restarts == 1)


def test_a_script_that_writes_into_its_own_tree_is_told_so_and_does_not_loop(watch):
    watched = watch("gen")
    eventually(lambda: watched.supervisor.status.written == Files(("src/gen.py",)))
    write("src/a.py")
    eventually(lambda: "run 2" in watched.last)
    watched.settle()
    watched.settle()
    assert watched.restarts == 1


@pytest.mark.timing
def test_what_another_program_writes_for_the_script_does_not_loop_endlessly(watch):
    write("main.py", MAIN + "import subprocess; subprocess.run('echo NOW=$(date +1%N) > src/gen.py', shell=True)\n")
    watched = watch("idle")
    eventually(lambda: watched.supervisor.status.looping == Files(("src/gen.py",)))
    assert watched.restarts <= 8


@pytest.mark.timing
def test_a_file_that_something_else_appends_to_all_the_time_is_told_so(watch):
    watched = watch("config.toml")

    for number in itertools.count(1):
        with open("src/config.toml", "a") as file:
            file.write("x")
        content = f"config one{'x' * number}"
        if eventually(lambda text=content: text in watched.last or watched.supervisor.status.looping) is not True:
            break
    assert watched.supervisor.status.looping == Files(("src/config.toml",))
    assert watched.restarts <= 8


def test_who_saves_after_each_end_is_never_held_up(watch):
    watched = watch("idle")
    for number in range(2, 14):
        write("src/a.py", f"V = {number}\n")
        eventually(lambda number=number: f"run {number}" in watched.last)
        eventually(lambda: watched.supervisor.status.state == "finished")
    assert not any(status.looping for status in watched.screen.statuses)


def test_after_a_failure_everything_counts(watch):
    write("src/a.py", "import unused\nV = unused.W\n")
    screen = Screen()
    options = Options()
    with Supervisor(Script("main.py"), ["src/"], screen=screen, options=options) as supervisor:
        eventually(lambda: supervisor.status.state == "crashed")
        write("src/unused.py", "W = 2\n")
        eventually(lambda: "run 2" in screen.text)


def test_a_stale_compiled_module_does_not_hide_new_code(watch):
    watched = watch("idle")
    for number in range(2, 7):  # same size, and mostly the same second
        write("src/a.py", f"V = {number}\n")
        eventually(lambda number=number: f"run {number}" in watched.last)


def test_a_module_imported_late_is_used_from_then_on(watch):
    late = "import os\nwhile not os.path.exists('go'): time.sleep(0.01)\nimport unused\nprint('late', unused.V)\n"
    write("main.py", MAIN.replace('if "idle"', late + 'if "idle"'))
    watched = watch()
    write("src/unused.py", "V = 5\n")
    watched.settle()
    assert watched.restarts == 0
    write("go", "")
    eventually(lambda: "late 5" in watched.last)
    watched.settle()
    assert watched.restarts == 0
    os.unlink("go")
    write("src/unused.py", "V = 6\n")
    eventually(lambda: watched.restarts == 1)
