"""A plain program restarts itself: a save or a signal, and the same process runs the new code as it was started."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys

import length
import pexpect
import psutil
import pytest
from hanging import hang_up
from waiting import DEADLINE, eventually

pytestmark = pytest.mark.e2e

RESTARTS = length.restarts(12)

WATCH = 'watch = restart_on_change("src", enabled=True)\n'
STAY = "while True: time.sleep(0.02)\n"
VALUE = WATCH + 'say("value", a.V)\n' + STAY


def test_a_save_restarts_it_as_it_was_started(start, project):
    facts = (
        "import json\n"
        + WATCH
        + 'os.environ["LATE"] = "1"\n'
        + 'cmdline = open("/proc/self/cmdline").read()\n'
        + "facts = [os.getpid(), sys.argv, sys.orig_argv, sys.warnoptions, sys.flags.dev_mode, os.getcwd(), cmdline]\n"
        + 'say(json.dumps([a.V, *facts, {**os.environ, "LATE": ""}, "IPY_AUTORESTART_STATE" in os.environ]))\n'
        + 'os.chdir("/")\n'
        + STAY
    )
    program = start(facts, ["-X", "dev", "-W", "error", "main.py", "-v", "two words"], env={"OF_THE_START": "ä"})
    before = json.loads(program.wait(r"^\[1.*").group())
    program.save(2)
    after = json.loads(program.wait(r"^\[2.*").group())
    assert after[1:] == before[1:]
    assert "OF_THE_START" in after[-2]
    assert after[-2]["LATE"] == ""
    assert program.wait_told("⟳ main.py · running · 1 restart · src/a.py changed · restarted in .*\n")


@pytest.mark.parametrize("name", ["python", os.path.relpath(sys.executable)])
def test_the_interpreter_keeps_the_name_by_which_it_was_called(start, project, name):
    if os.sep in name:
        name = os.path.relpath(sys.executable, project)
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    program = start(
        WATCH + "say(a.V, sys.orig_argv, sys.executable, sys.prefix)\n" + STAY, name=name, env={"PATH": path}
    )
    before = program.wait("^1 (.*)").group(1)
    assert before.startswith(f"['{name}', 'main.py']")
    program.save(2)
    assert program.wait("^2 (.*)").group(1) == before


def test_it_finds_its_folder_though_it_went_elsewhere_before_it_could_be_asked(start):
    code = (
        'import os, sys, time\nstarted = os.getcwd()\nos.chdir("/")\nfrom ipy_autorestart import restart_on_change\n'
        'restart_on_change(os.path.dirname(__file__) + "/src", enabled=True)\nprint("in", started, flush=True)\n'
    )
    program = start(code + STAY, head="")
    program.wait("^in .*")
    program.save(2)
    assert program.wait("^in (.*)", times=2).group(1) == str(program.folder)


def test_a_hangup_restarts_it(start):
    program = start(VALUE)
    program.wait("value 1")
    program.hang_up()
    program.wait("value 1", times=2)
    program.wait_told("SIGHUP received")


def test_a_syntax_error_is_held_back_until_it_is_mended(start):
    program = start(VALUE)
    program.wait("value 1")
    program.save("")
    program.wait_told(r"syntax error at src/a.py:1 .* the old code keeps running\n    V = \n")
    program.hang_up()  # not even by hand
    program.wait_told(r"running · .*syntax error at src/a.py:1: invalid syntax")
    program.save(2)
    program.wait("value 2")
    assert program.text.count("value 1") == 1


def test_it_may_be_a_module(start, project):
    project.save("app/__init__.py", "")
    project.save("app/__main__.py", "from app.part import run\nrun()\n")
    part = (
        "import sys, time\nfrom ipy_autorestart import restart_on_change\ndef run():\n    restart_on_change()\n"
        "    print('{value}', sys.argv[1:], __import__('__main__').__spec__.name, flush=True)\n    time.sleep(60)\n"
    )
    project.save("app/part.py", part.format(value="first"))
    program = start(None, ["-m", "app", "-x"], env={"IPY_AUTORESTART": "on"})
    program.wait(r"first \['-x'\] app.__main__")
    project.save("app/part.py", part.format(value="second"))
    program.wait(r"second \['-x'\] app.__main__")
    program.wait_told("⟳ -m app · running · . restarts? · app/part.py changed")


def test_asked_restarts_only_where_the_program_says_so(start, project):
    code = (
        'restart_on_change("src", enabled=True, when="asked")\n'
        'restart_if_changed()\nsay("value", a.V)\n'
        'while not os.path.exists("go"): time.sleep(0.01)\n'
        'for _ in range(500):\n    restart_if_changed()\n    time.sleep(0.01)\nsay("not restarted")\n'
    )
    program = start(code)
    program.wait("value 1")
    program.save(2)
    program.hang_up()
    supervisor = program.supervisor()
    eventually(lambda: supervisor.status() == "sleeping")
    program.hang_up()
    assert "value 2" not in program.text
    (project / "go").touch()
    program.wait("value 2")


def test_exit_functions_run_and_what_is_printed_arrives_each_once(start):
    code = (
        'atexit.register(lambda: sys.stdout.write("left\\n"))\n' + WATCH + 'sys.stdout.write("buffered\\n")\n'
        'open("ready", "a").write("x")\n' + STAY
    )
    program = start(code)
    ready = program.folder / "ready"
    for number in (1, 2, 3):
        eventually(lambda number=number: ready.exists() and len(ready.read_text()) == number)
        program.hang_up()
    program.wait("left", times=3)
    assert program.text.replace("\n", " ").split() == ["buffered", "left"] * 3


def test_a_write_that_waits_for_its_reader_is_finished(start):
    code = (
        WATCH + 'sys.stderr.write("begun\\n")\nsys.stdout.write("x" * 300_000 + "end\\n")\nsys.stdout.flush()\n' + STAY
    )
    reader, writer = os.pipe()
    program = start(code, stdout=writer)
    os.close(writer)
    with open(reader, "rb") as output:
        program.wait_told("begun")
        for _ in range(3):
            program.hang_up()
        line = output.readline()
        assert line == b"x" * 300_000 + b"end\n"
        assert output.readline() == line  # of the new image


def test_a_burst_of_hangups_is_survived(start):
    program = start(VALUE)
    program.wait("value 1")
    for _ in range(50):
        program.hang_up()
    program.wait("value 1", times=2)
    program.save(2)
    program.wait("value 2")


def test_hangups_in_each_moment_of_a_start_are_survived(start):
    program = start(VALUE)
    program.wait("value 1")
    for _ in range(150):
        program.hang_up()
        with pytest.raises(subprocess.TimeoutExpired):
            program.process.wait(0.001)
    program.save(2)
    program.wait("value 2")


def test_a_forked_child_goes_as_ever(start):
    code = (
        WATCH + "child = os.fork()\n"
        "if not child:\n"
        '    say("child", os.getpid())\n'
        "    while True: time.sleep(0.01)\n"
        "_, status = os.waitpid(child, 0)\n"
        'say("child ended by", -os.waitstatus_to_exitcode(status), watch.is_active)\n' + STAY
    )
    program = start(code)
    os.kill(int(program.wait(r"^child (\d+)").group(1)), signal.SIGHUP)
    program.wait("child ended by 1 True")


def test_a_forked_child_that_exits_leaves_the_watch_alone(start):
    code = WATCH + 'if not os.fork(): sys.exit()\nos.wait()\nsay("value", a.V)\n' + STAY
    program = start(code)
    program.wait("value 1")
    program.save(2)
    program.wait("value 2")


def test_the_end_of_the_context_ends_everything(start):
    code = (
        "def handler(*_): say('own handler')\nsignal.signal(signal.SIGHUP, handler)\n"
        'with restart_on_change("src", enabled=True) as watch:\n    say("inside", watch.is_active, a.V)\n'
        '    while not os.path.exists("go"): time.sleep(0.01)\n'
        'say("outside", watch.is_active, signal.getsignal(signal.SIGHUP) is handler, threading.active_count())\n' + STAY
    )
    program = start(code)
    program.wait("inside True 1")
    program.save(2)
    program.wait("inside True 2")
    (program.folder / "go").touch()
    program.wait("outside False True 1")
    assert not program.children()
    program.hang_up()
    program.wait("own handler")


def test_it_ends_in_order_when_it_has_done_its_work(start):
    program = start(WATCH + 'say("value", a.V)\nsys.exit(3)\n')
    assert program.process.wait(DEADLINE) == 3
    assert program.told == ""


def test_threads_that_go_on_when_the_main_one_is_through_are_restarted_too(start):
    code = WATCH + 'threading.Thread(target=lambda: (say("value", a.V), time.sleep(60))).start()\n'
    program = start(code)
    program.wait("value 1")
    program.save(2)
    program.wait("value 2")


def test_a_hangup_while_exit_functions_run_changes_nothing(start):
    code = 'atexit.register(lambda: say("exits"))\n' + WATCH
    code += (
        'atexit.register(lambda: (os.kill(os.getpid(), signal.SIGHUP), time.sleep(0.1), say("first")))\nsys.exit(4)\n'
    )
    program = start(code)
    assert program.process.wait(DEADLINE) == 4
    assert program.text.split() == ["first", "exits"]


def test_the_supervisor_ends_with_a_program_that_is_killed(start):
    program = start(VALUE)
    program.wait("value 1")
    supervisor = program.supervisor()
    os.kill(program.pid, signal.SIGKILL)
    program.process.wait()
    eventually(lambda: not supervisor.is_running())


def test_it_goes_on_without_its_supervisor_and_gets_another_at_the_next_restart(start):
    program = start(VALUE)
    program.wait("value 1")
    program.supervisor().kill()
    program.wait_told("the supervisor has ended")
    program.hang_up()
    program.wait("value 1", times=2)
    program.save(2)
    program.wait("value 2")


def test_a_restart_that_cannot_be_is_declined(start, project):
    program = start(VALUE)
    program.wait("value 1")
    (project / "main.py").rename(project / "moved.py")
    program.hang_up()
    program.wait_told(r"main.py' is gone or can't be read")
    (project / "moved.py").rename(project / "main.py")
    program.hang_up()
    program.wait("value 1", times=2)


@pytest.mark.timeout(120 + RESTARTS)
def test_resources_stay_flat(start):
    program = start(VALUE)
    process, seen = psutil.Process(program.pid), []

    def grows():
        """Return what it holds more of than after the third restart, but for what it does just now."""
        now = (process.num_fds(), process.num_threads(), program.supervisor().num_fds())
        seen.append(now)
        return any(count > least for count, least in zip(now, first, strict=True))

    first = (math.inf,) * 3
    for number in range(1, RESTARTS + 1):
        program.wait("value 1", times=number)
        program.hang_up()
        program.wait("value 1", times=number + 1)
        eventually(lambda: len(program.children()) == 1)
        eventually(lambda: not grows(), what=lambda: seen)
        if number == 3:
            first = seen[-1]


def test_a_closed_terminal_ends_it(project):
    project.script(
        'import time\nfrom ipy_autorestart import restart_on_change\nrestart_on_change("src", enabled=True)\n'
        'print("ready")\nwhile True: time.sleep(0.02)\n'  # a signal just before a long sleep waits for its end
    )
    terminal = pexpect.spawn(sys.executable, ["main.py"], cwd=str(project), timeout=DEADLINE)
    terminal.expect("ready")
    terminal.kill(signal.SIGHUP)
    terminal.expect("ready")
    processes = [psutil.Process(terminal.pid), *psutil.Process(terminal.pid).children()]
    hang_up(terminal)
    assert terminal.signalstatus == signal.SIGHUP
    eventually(lambda: not any(process.is_running() for process in processes))


def test_what_was_half_typed_is_not_the_new_images(project):
    project.script(
        'import sys\nsys.path.append("src")\nimport a\nfrom ipy_autorestart import restart_on_change\n'
        'restart_on_change("src", enabled=True)\nsys.stdout.write(f"value {a.V}\\n")\n'
        'print("read", repr(input("name? ")))\n'
    )
    terminal = pexpect.spawn(sys.executable, ["main.py"], cwd=str(project), timeout=DEADLINE)
    terminal.expect(r"(?s)value 1\r\n.*name\? ")
    terminal.send("half")
    terminal.expect("half")
    project.save("src/a.py", "V = 2\n")
    terminal.expect(r"(?s)value 2\r\n.*name\? ")  # the status may come between
    terminal.send("whole\n")
    terminal.expect("read 'whole'")
    terminal.close(force=True)


def test_a_job_in_the_background_outlives_the_shell_in_between(project):
    project.script(
        'import os, time\nfrom ipy_autorestart import restart_on_change\nimport sys\nsys.path.append("src")\nimport a\n'
        'restart_on_change("src", enabled=True)\nprint(f"value {a.V} {os.getpid()}")\ntime.sleep(60)\n'
    )
    terminal = pexpect.spawn("bash", ["--norc", "-i"], cwd=str(project), timeout=DEADLINE)
    terminal.sendline(f"({sys.executable} main.py &)")
    terminal.expect(r"value 1 (\d+)")
    project.save("src/a.py", "V = 2\n")
    try:
        terminal.expect("value 2 " + terminal.match.group(1).decode())
    finally:
        os.kill(int(terminal.match.group(0).split()[2]), signal.SIGKILL)
        terminal.close(force=True)


def test_disowned_it_goes_on_when_the_terminal_is_closed_and_saves_are_served(project):
    project.script(
        'import os, sys, time\nsys.path.append("src")\nimport a\nfrom ipy_autorestart import restart_on_change\n'
        'restart_on_change("src", enabled=True)\nprint(f"value {a.V}", os.getpid(), flush=True)\ntime.sleep(60)\n'
    )
    out = project.with_name(project.name + ".out")
    shell = pexpect.spawn("bash", ["--norc", "-i"], cwd=str(project), timeout=DEADLINE)
    shell.sendline(f"{sys.executable} main.py >{out} & disown; echo disowned $((40 + 2))")
    shell.expect("disowned 42")  # as which it isn't typed
    pid = eventually(lambda: out.exists() and out.read_text()).split()[2]
    shell.close(force=True)
    for value in (2, 3):
        project.save("src/a.py", f"V = {value}\n")
        eventually(lambda value=value: f"value {value} {pid}\n" in out.read_text())
    os.kill(int(pid), signal.SIGKILL)


def test_under_nohup_a_hangup_means_nothing_and_saves_are_served(start):
    code = WATCH + 'say("value", a.V)\nos.kill(os.getpid(), signal.SIGHUP)\ntime.sleep(0.05)\nsay("goes on")\n' + STAY
    program = start(code, [sys.executable, "main.py"], name="nohup", executable=shutil.which("nohup"))
    for value in (1, 2, 3):
        program.wait(f"value {value}\ngoes on")
        program.save(value + 1)
    program.wait("value 4\ngoes on")
    assert program.text.count("value") == 4


def test_signals_and_descriptors_are_as_at_the_start(start, project):
    code = (
        'restart_on_change("src", enabled=True)\n'
        "ignored = sorted(n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN)\n"
        "blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
        "files = [os.read(n, 99) for n in map(int, sys.argv[1:])]\n"
        'say("image", a.V, list(map(int, ignored)), list(map(int, blocked)), files)\n'
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])\n"
        "for n in map(int, sys.argv[1:]): os.lseek(n, 0, 0); os.set_inheritable(n, False)\n"
        'leaked = os.open("main.py", os.O_RDONLY); os.set_inheritable(leaked, True)\n'
        "signal.setitimer(signal.ITIMER_REAL, 60)\n" + STAY
    )
    project.save("given", "given")
    with (project / "given").open() as given:
        number = given.fileno()
        program = start(code, ["main.py", str(number)], pass_fds=[number])
    first = program.wait(r"image 1 (.*)").group(1)
    program.save(2)
    assert program.wait(r"image 2 (.*)").group(1) == first
    assert first.endswith("[b'given']")


def test_children_are_left_alone_and_leave_no_zombies(start):
    code = (
        WATCH + "import subprocess\n"
        'child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])\n'
        'ended = subprocess.Popen(["true"])\n'
        'say("value", a.V, child.pid)\n' + STAY
    )
    program = start(code)
    first = psutil.Process(int(program.wait(r"value 1 (\d+)").group(1)))
    eventually(lambda: any(child.status() == "zombie" for child in program.children()))
    program.save(2)
    second = int(program.wait(r"value 2 (\d+)").group(1))
    assert first.is_running()
    eventually(lambda: len(program.children()) == 4)  # these two, the supervisor, and the new zombie
    first.kill()
    os.kill(second, signal.SIGKILL)


def test_a_new_image_that_wants_another_watch_gets_it(start, project):
    (project / "lib").mkdir()
    program = start(VALUE)
    program.wait("value 1")
    first = program.supervisor().pid
    source = (project / "main.py").read_text()
    project.script(source.replace('change("src"', 'change("lib"'))
    program.wait("value 1", times=2)
    eventually(lambda: program.supervisor().pid != first)
    project.script(source.replace("enabled=True", "enabled=False"))
    program.wait("value 1", times=3)
    eventually(lambda: not program.children())
    program.hang_up()
    assert program.process.wait(DEADLINE) == -signal.SIGHUP


def test_a_change_before_the_watch_stands_is_not_lost(start, project):
    program = start('say("imported")\nwhile not os.path.exists("go"): time.sleep(0.01)\n' + VALUE)
    program.wait("imported")
    program.save(2)
    (project / "go").touch()
    program.wait("value 2")


def test_only_what_is_worth_a_line_is_told(start):
    program = start(WATCH.replace("enabled", "quiet=True, enabled") + 'say("value", a.V)\n' + STAY)
    program.wait("value 1")
    program.save(2)
    program.wait("value 2")
    assert re.findall("⟳", program.told) == []


def test_shared_memory_of_one_image_does_not_meet_the_next(start):
    name = f"psm_test_{os.getpid()}"
    code = (
        "from multiprocessing.shared_memory import SharedMemory\n"
        f'segment = SharedMemory("{name}", create=True, size=100)\n' + VALUE
    )
    program = start(code)
    for number in (1, 2, 3):
        program.wait(f"value {number}")
        program.save(number + 1)
    program.wait("value 4")
    assert "Traceback" not in program.told
    program.process.terminate()
    program.process.wait()
    eventually(lambda: not os.path.exists(f"/dev/shm/{name}"))


def test_it_may_use_more_than_its_first_limits_allow_and_close_its_streams(start):
    code = (
        WATCH + "import resource\n"
        "say('image', a.V, resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        "os.close(0)\n"
        "files = [os.open(os.devnull, os.O_RDONLY) for _ in range(150)]\n" + STAY
    )
    few = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200)); "
    program = start(code, ("-c", few + "os.execv(sys.executable, [sys.executable, 'main.py'])"))
    for value in (1, 2):
        program.wait(f"image {value} 100")
        program.save(value + 1)
    program.wait("image 3 100")


def test_its_surroundings_are_those_of_its_start(start):
    code = (
        WATCH + "import resource\n"
        'say("asked")\n'
        'say("image", a.V, os.umask(0o077), os.nice(0), resource.getrlimit(resource.RLIMIT_AS), sys.stdin.read(1))\n'
        "os.set_blocking(0, False)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))\n" + STAY
    )
    reader, writer = os.pipe()
    program = start(code, stdin=reader)
    program.wait("asked")
    os.write(writer, b"x")
    first = program.wait("image 1 (.*)").group(1)
    program.save(2)
    program.wait("asked", times=2)
    os.write(writer, b"x")
    assert program.wait("image 2 (.*)").group(1) == first
    os.close(reader)
    os.close(writer)
