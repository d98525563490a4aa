"""The command line in a real terminal, and without one."""

import compileall
import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pexpect
import psutil
import pyte
import pytest
from hanging import hang_up
from processes import guardian_of, has_ended, is_parked, runners, words_of
from project import Project
from waiting import DEADLINE, eventually, pass_time

from ipy_autorestart.script.foreground import PLAIN_SCREEN

pytestmark = pytest.mark.e2e

PROGRAM = [sys.executable, "-m", "ipy_autorestart"]

MAIN = """
import os, sys, time
sys.path.insert(0, "src")
import a
print("value", a.V, flush=True)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    project = Project(tmp_path)
    project.save("src/a.py", "V = 1\n")
    project.script(MAIN + "time.sleep(100)\n")
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "COLUMNS", "LINES", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return project


class Session:
    """A terminal in which the program runs, and all that has been shown there."""

    def __init__(self, *words, program=PROGRAM):
        first, *rest = [*program, *words]
        self.child = pexpect.spawn(first, rest, timeout=DEADLINE, dimensions=(24, 100), env=dict(os.environ))
        self.pid = self.child.pid
        self.shown = b""

    @property
    def text(self):
        with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
            while True:
                self.shown += self.child.read_nonblocking(1 << 16, timeout=0)
        return self.shown.decode(errors="replace")

    def wait(self, *patterns, count=1):
        """Wait until each is shown so many times."""
        for pattern in patterns:
            eventually(
                lambda p=pattern: len(re.findall(p, self.text)) >= count, what=lambda p=pattern: f"{p}\n{self.text}"
            )

    def type(self, text):
        self.child.send(text)

    def end(self):
        """Wait for its end and return its exit status, negative for a signal."""
        eventually(lambda: self.text and not self.child.isalive(), what=lambda: f"its end\n{self.text}")
        return self.child.exitstatus if self.child.signalstatus is None else -self.child.signalstatus

    @property
    def screen(self):
        """What stands in the terminal."""
        page = pyte.Screen(100, 24)
        pyte.Stream(page).feed(self.text)
        return [line.rstrip() for line in page.display if line.strip()]


@pytest.fixture
def start(project):
    """Start the program in a terminal."""
    sessions = []

    def begin(*words, **how):
        sessions.append(Session(*words, **how))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.child.close(force=True)


def save(project, value):
    project.save("src/a.py", f"V = {value}\n")


def runs_of(session):
    """Return the processes that have the terminal, as no fork server or guardian has: the run, and one that waits."""
    terminal = os.readlink(f"/proc/{session.pid}/fd/1")
    return [one for one in psutil.Process(session.pid).children() if stdout_of(one) == terminal]


def stdout_of(process):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{process.pid}/fd/1")
    return ""


# -- in a terminal -----------------------------------------------------------------------------------------------------


def test_a_save_runs_it_again_and_a_line_says_why(start, project):
    session = start("src/", "main.py")
    session.wait("value 1", r"⟳ main.py · running for \S+ s · run 1\b")
    save(project, 2)
    session.wait("value 2", r"⟳ main.py · running · run 2 · src/a.py changed")
    save(project, "1 +")
    session.wait("⟳ main.py · syntax error at src/a.py:1")
    save(project, 3)
    session.wait("value 3")


ABOUT = """
import os, shutil, sys
print("ttys", [os.isatty(number) for number in range(3)], [one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr)])
print("size", shutil.get_terminal_size().columns, flush=True)
"""


@pytest.mark.parametrize("warmth", ["--cold", "--keep"])
def test_the_script_has_the_terminal(start, project, warmth):
    """Its kind, its width, and what is typed; forked ahead as well."""
    project.script(ABOUT + MAIN + "import json\nname = input('name? ')\nprint('hello', name)\n")
    session = start("src/", "main.py", warmth)
    for value in (1, 2):
        session.wait(r"ttys \[True, True, True\] \[True, True, True\]\r\nsize 100\r\n", r"name\? ", count=value)
        session.wait(f"value {value}")
        session.type(f"Ada{value}\n")
        session.wait(f"hello Ada{value}")
        session.wait("finished in", count=value)
        if warmth != "--cold":
            wait_until_warm(session.pid)
        save(project, value + 1)
    session.wait(r"ttys \[True, True, True\]", count=3)
    if warmth != "--cold":
        session.wait(r"restarted warm")


def wait_until_warm(pid):
    """Wait until a fork server has forked a run ahead."""
    eventually(lambda: any(is_parked(one) for one in forked(pid)))


def forked(pid):
    with contextlib.suppress(psutil.Error):
        return runners(psutil.Process(pid))
    return []


def test_a_module_that_asks_at_its_import_finds_a_terminal_when_it_is_imported_ahead(start, project):
    library = project / "lib/site-packages"
    library.mkdir(parents=True)
    (library / "colours.py").write_text("import os\nASKED = os.isatty(1), os.get_terminal_size().columns\n")
    project.script("import colours\nprint('asked', *colours.ASKED)\n" + MAIN)
    session = start("src/", "main.py", "--env", f"PYTHONPATH={library}")
    session.wait("asked True 100", "value 1")
    wait_until_warm(session.pid)
    save(project, 2)
    session.wait("value 2", r"restarted warm")
    session.wait("asked True 100", count=2)


def test_a_new_width_is_told(start, project):
    project.script(
        "import os, signal, time\n"
        "def tell(*_): os.write(1, f'now {os.get_terminal_size().columns}\\n'.encode())  # print may be at work\n"
        "signal.signal(signal.SIGWINCH, tell)\n"
        "print('ready', flush=True)\nwhile True: time.sleep(0.05)\n"
    )
    session = start("main.py")
    session.wait("ready")
    session.child.setwinsize(30, 77)
    session.wait("now 77")


def test_ctrl_c_is_the_scripts_and_a_second_one_ends_the_watch(start, project):
    session = start("src/", "main.py")
    for value in (1, 2):
        session.wait(f"value {value}")
        session.wait("⟳ main.py · running", count=value)
        session.type("\x03")
        session.wait("KeyboardInterrupt", "interrupted after", count=value)
        save(project, value + 1)  # it goes on
    session.wait("value 3")
    session.wait("⟳ main.py · running", count=3)
    session.type("\x03")
    session.wait("Ctrl-C again ends the watch", "interrupted after", count=3)
    session.type("\x03")
    assert session.end() == 0


@pytest.mark.parametrize("sleep", ["time.sleep(100)", "signal.signal(2, signal.SIG_DFL); time.sleep(100)"])
def test_a_ctrl_c_that_comes_before_the_run_is_listened_to_is_the_watchs_too(start, project, sleep):
    """The run sends it to its own group as a terminal does, before its first line can have been seen."""
    project.script(f"import os, signal, time\nos.killpg(0, 2)\n{sleep}\n")
    session = start("main.py")
    session.wait("Ctrl-C again ends the watch", "interrupted after")
    session.type("\x03")
    assert session.end() == 0


def test_a_script_that_lives_through_ctrl_c_gets_one(start, project):
    project.script(
        "import time\nprint('ready', flush=True)\n"
        "while True:\n    try: time.sleep(100)\n    except KeyboardInterrupt: print('not yet', flush=True)\n"
    )
    session = start("main.py")
    session.wait("ready", "running")
    session.type("\x03")
    session.wait("not yet", "Ctrl-C again ends the watch")
    session.type("\x03")
    assert session.end() == 0
    assert session.text.count("not yet") == 1


def test_a_third_ctrl_c_waits_for_nothing(start, project):
    project.script(
        "import signal, time\nfor number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
        "print('ready', flush=True)\nwhile True: time.sleep(1)\n"
    )
    session = start("main.py", "--stop-timeout=60")
    session.wait("ready", "running")
    session.type("\x03")
    session.wait("Ctrl-C again ends the watch")
    session.type("\x03")
    session.wait("Ctrl-C again ends it at once")
    session.type("\x03")
    assert session.end() == 0


def test_an_idle_watch_ends_at_the_first_ctrl_c(start, project):
    project.script("print('done')\n")
    session = start("main.py")
    session.wait("finished in")
    session.type("\x03")
    assert session.end() == 0


def test_ctrl_z_stops_both_and_what_changes_meanwhile_is_served_afterwards(start, project):
    project.script(MAIN + "while True: time.sleep(0.05); print('tick', flush=True)\n")
    session = start("src/", "main.py", "--cold")
    session.wait("tick", "running")
    [run] = runs_of(session)
    session.type("\x1a")
    eventually(lambda: psutil.Process(session.pid).status() == run.status() == psutil.STATUS_STOPPED)
    save(project, 2)
    os.kill(session.pid, signal.SIGCONT)
    session.wait("value 2")


def test_the_next_run_finds_the_terminal_as_the_first_did(start, project):
    """One that is stopped while it reads keys has no time to clean up."""
    mode = "import termios; print('echo', bool(termios.tcgetattr(0)[3] & termios.ECHO), flush=True)\n"
    raw = "import tty; tty.setraw(0); print('raw', flush=True)\nwhile True: time.sleep(1)\n"
    project.script(MAIN + mode + raw)
    session = start("src/", "main.py")
    session.wait("echo True", "raw")
    save(project, 2)
    session.wait("value 2")
    session.wait("echo (True|False)", count=2)
    assert "echo False" not in session.text


@pytest.mark.parametrize(("end", "first"), [("''", "half a line"), (r"'\n'", "a whole line")])
def test_the_line_stands_alone_in_a_terminal(start, project, end, first):
    """Where the script has left the cursor in the middle of one, and where it hasn't."""
    project.script(f"print({first!r}, end={end}, flush=True)\n")
    session = start("main.py")
    session.wait("finished in")
    session.type("\x03")
    session.end()
    assert first in session.screen
    assert any(line.startswith("⟳ main.py · finished in") for line in session.screen)


@pytest.mark.parametrize("warmth", ["--cold", "--keep"])
def test_the_terminals_hang_up_ends_it(start, project, warmth):
    session = start("src/", "main.py", warmth)
    session.wait("value 1")
    runs = runs_of(session)
    assert runs
    hang_up(session.child)
    eventually(lambda: not any(run.is_running() for run in runs))


def test_the_terminals_hang_up_ends_it_where_nobody_passes_it_on(project):
    """The system tells only the leader of the session, here a shell without job control, and the foreground."""
    project.script(MAIN + "time.sleep(100)\n")
    shell = pexpect.spawn("sh", ["-c", f"{' '.join(PROGRAM)} src/ main.py; true"], timeout=DEADLINE, encoding="utf-8")
    shell.expect("value 1")
    processes = psutil.Process(shell.pid).children(recursive=True)
    assert processes
    shell.close(force=True)
    eventually(lambda: not any(process.is_running() for process in processes))


def test_in_the_background_it_takes_nothing_of_what_is_typed(project):
    project.script("import sys\nprint('read', repr(sys.stdin.read()), flush=True)\n")
    shell = pexpect.spawn("bash", ["--norc", "-i"], timeout=DEADLINE, encoding="utf-8")
    try:
        shell.sendline(f"{' '.join(PROGRAM)} main.py --quiet &")
        shell.expect("read ''")
        shell.sendline("echo still $((40 + 2))")
        shell.expect("still 42")
        shell.sendline("kill %1; wait; exit")
        shell.expect(pexpect.EOF)
    finally:
        shell.close(force=True)


def test_disowned_it_goes_on_when_the_terminal_is_closed_and_saves_are_served(project):
    shell = pexpect.spawn("bash", ["--norc", "-i"], timeout=DEADLINE, encoding="utf-8")
    out = project.with_name(project.name + ".out")
    shell.sendline(f"{' '.join(PROGRAM)} src/ main.py >{out} 2>&1 & pid=$!; disown; echo the pid is $pid")
    shell.expect(r"the pid is (\d+)")
    process = psutil.Process(int(shell.match.group(1)))
    eventually(lambda: out.exists() and "value 1" in out.read_text())
    shell.close(force=True)
    for value in (2, 3):
        save(project, value)
        eventually(lambda value=value: f"value {value}" in out.read_text())
    process.terminate()


# -- the script's own terminal -----------------------------------------------------------------------------------------

JOB = """
import os
with open("/dev/tty", "w") as tty:
    print("own", os.tcgetpgrp(tty.fileno()) == os.getpgrp(), flush=True)
"""


def test_the_terminal_is_the_scripts_own_cold_and_warm(start, project):
    project.script(JOB + "name = open('/dev/tty').readline()\nprint('hello', name)\n" + MAIN)
    session = start("src/", "main.py")
    for value in (1, 2):
        session.wait("own True", count=value)
        session.type(f"Ada{value}\n")
        session.wait(f"hello Ada{value}", f"value {value}")
        session.wait("finished in", count=value)
        wait_until_warm(session.pid)
        save(project, value + 1)
    session.wait("own True", count=3)
    session.wait("restarted warm")


def test_a_shell_in_the_script_has_job_control(start, project):
    project.script("import subprocess\nsubprocess.run(['bash', '--norc', '-i'])\nprint('left', flush=True)\n")
    session = start("main.py")
    session.wait(r"bash-\S+[#$] ")
    session.type("sleep 100\n")
    [job] = eventually(
        lambda: [
            one for one in psutil.Process(session.pid).children(recursive=True) if words_of(one) == ["sleep", "100"]
        ]
    )
    for count in (1, 2):
        session.type("\x1a")
        session.wait("Stopped", count=count)
        assert job.status() == psutil.STATUS_STOPPED
        session.type("fg\n")
        eventually(lambda: job.status() == psutil.STATUS_SLEEPING)  # then it has the keyboard again
    # Not by kill: a bash that learns of a job's end while it writes its prompt may forget to reap it.
    session.type("\x03")
    eventually(lambda: not job.is_running())
    session.type("exit\n")
    session.wait("left", "finished in")
    assert "no job control" not in session.text


def test_what_was_half_typed_is_not_the_next_runs(start, project):
    project.script(MAIN + "print('read', repr(input('name? ')), flush=True)\n")
    session = start("src/", "main.py")
    session.wait(r"name\? ")
    session.type("half")
    session.wait("half")
    save(project, 2)
    session.wait(r"name\? ", count=2)
    session.type("whole\n")
    session.wait("read 'whole'")


def test_a_file_as_input_is_each_runs_from_where_it_was(project):
    project.save("input.txt", "for the shell\nfor the run\n")
    project.script(MAIN + "print('read', sys.stdin.read(), end='', flush=True)\n")
    command = f"read line; exec {' '.join(PROGRAM)} src/ main.py -q"
    with (
        open("input.txt") as file,
        subprocess.Popen(["sh", "-c", command], stdin=file, stdout=subprocess.PIPE, text=True) as process,
    ):
        for value in (1, 2, 3):
            assert process.stdout.readline() + process.stdout.readline() == f"value {value}\nread for the run\n"
            save(project, value + 1)
        process.terminate()


FULL_SCREEN = """
import os, termios, time, tty
print("echo", bool(termios.tcgetattr(0)[3] & termios.ECHO), flush=True)
tty.setraw(0)
os.write(1, b"\\x1b[?1049h\\x1b[?25l\\x1b[?1000h\\x1b[?2004h\\x1b=full")
"""


def test_a_full_screen_program_that_is_killed_leaves_a_plain_screen(start, project):
    project.script(MAIN + FULL_SCREEN + "time.sleep(100)\n")
    session = start("src/", "main.py")
    session.wait("full")
    save(project, 2)
    session.wait("value 2", "echo (True|False)")
    between = session.shown.partition(b"full")[2].partition(b"value 2")[0]
    assert PLAIN_SCREEN in between
    assert "echo False" not in session.text


def test_one_that_ends_by_itself_is_left_its_screen(start, project):
    project.script("print('done')\n")
    session = start("main.py")
    session.wait("finished in")
    session.type("\x03")
    session.end()
    assert PLAIN_SCREEN not in session.shown


@pytest.mark.parametrize("stream", ["", "2>&1"])
def test_a_watch_whose_output_nobody_reads_ends_in_silence(project, stream):
    project.script(MAIN + "time.sleep(100)\n")
    command = f"{{ {' '.join(PROGRAM)} main.py {'-q' * bool(stream)}; echo $? >status; }} {stream} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=DEADLINE)
    assert done.stdout == "value 1\n"
    eventually(lambda: os.path.exists("status") and Path("status").read_text() == f"{128 + signal.SIGPIPE}\n")
    assert done.stderr == ""


@pytest.fixture
def shell(project):
    """An interactive shell in a terminal."""
    session = Session(program=["bash", "--norc", "-i"])
    session.type("PS1='> '; PROMPT_COMMAND=\n")
    session.wait("> ")
    yield session
    session.child.close(force=True)


def watch_of(session):
    """Return the process of the watch that a shell has started."""
    return eventually(
        lambda: next(
            (
                one
                for one in psutil.Process(session.pid).children(recursive=True)
                if "ipy_autorestart" in " ".join(words_of(one)) and one.ppid() == session.pid
            ),
            None,
        )
    )


def test_a_shell_can_stop_it_and_continue_it_in_the_background_and_foreground(shell, project):
    project.script(MAIN + "print('read', input('name? '), flush=True)\ntime.sleep(100)\n")
    shell.type(f"{' '.join(PROGRAM)} src/ main.py\n")
    shell.wait(r"name\? ")
    shell.type("\x1a")
    shell.wait("Stopped")
    shell.type("echo still $((40 + 2))\n")
    shell.wait("still 42")
    shell.type("fg\n")
    shell.wait("ipy_autorestart src/ main.py", count=2)
    shell.type("Ada\n")
    shell.wait("read Ada")
    shell.type("\x1a")
    shell.wait("Stopped", count=2)
    shell.type("bg\n")
    shell.wait("main.py &")
    save(project, 2)
    shell.wait("value 2")
    # It reads, which a job in the background may not; the shell says so before its next prompt.
    eventually(lambda: psutil.Process(watch_of(shell).pid).status() == psutil.STATUS_STOPPED)

    def is_told():
        shell.type("\n")  # once is not enough: a busy shell may learn of it behind its next prompt
        pass_time(0.1)
        return shell.text.count("Stopped") == 3

    eventually(is_told, what=lambda: shell.text)
    shell.type("fg\n")
    shell.wait("ipy_autorestart src/ main.py", count=4)
    shell.type("Bob\n")
    shell.wait("read Bob")
    shell.type("\x03")
    shell.wait("Ctrl-C again ends", "interrupted after")
    shell.type("\x03")
    shell.type("echo back $((41 + 2))\n")
    shell.wait("back 43")


def test_it_can_be_stopped_and_continued_within_a_script_of_the_shell(shell, project):
    """The shell takes the terminal as soon as its own child has stopped, and that isn't the watch."""
    project.script(MAIN + "print('read', input('name? '), flush=True)\ntime.sleep(100)\n")
    shell.type(f"sh -c '{' '.join(PROGRAM)} src/ main.py; true'\n")
    for count in (1, 2, 3):
        shell.wait(r"name\? ", "running")
        shell.type("\x1a")
        shell.wait("Stopped", count=count)
        shell.type(f"echo still $((40 + {count}))\n")
        shell.wait(f"still 4{count}")
        shell.type("fg\n")
        shell.wait("sh -c", count=count + 1)
    shell.type("Ada\n")
    shell.wait("read Ada")


def test_ctrl_backslash_ends_both(start, project):
    session = start("src/", "main.py")
    session.wait("value 1", "running")
    session.type("\x1c")
    assert session.end() == -signal.SIGQUIT


def test_in_a_pipeline_the_terminal_is_the_others_too(shell, project):
    project.script(MAIN + "print('read', input('name? '), flush=True)\n")
    shell.type(f"{' '.join(PROGRAM)} src/ main.py | (read first </dev/tty; echo other $first; cat)\n")
    shell.wait("running")
    shell.type("mine\n")
    shell.wait("other mine")
    shell.type("Ada\n")
    shell.wait("read Ada")
    shell.type("\x03")
    shell.wait("> ", count=3)


@pytest.mark.parametrize("moment", ["runs", "stopped"])
def test_the_terminal_comes_back_when_it_is_killed(start, project, moment):
    """Also to a shell that doesn't look after it, as one that runs a file of commands."""
    ready = "while [ ! -e ready ]; do sleep 0.01; done;"
    project.script(MAIN + FULL_SCREEN + "time.sleep(100)\n")
    session = start(program=["sh", "-c", f"{' '.join(PROGRAM)} src/ main.py; {ready} read line; echo got $line"])
    session.wait("full")
    watch = watch_of(session)
    if moment == "stopped":
        os.kill(watch.pid, signal.SIGSTOP)
    watch.kill()
    eventually(lambda: session.text and PLAIN_SCREEN in session.shown.partition(b"full")[2])
    project.save("ready", "")
    session.type("it\n")
    session.wait("got it")
    assert "it\r\ngot it" in session.text, "it was shown as it was typed"


# -- without a terminal ------------------------------------------------------------------------------------------------


@pytest.fixture
def piped(project):
    """Start the program with pipes."""
    started = []

    def begin(*words, **how):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **how}
        started.append(subprocess.Popen([*PROGRAM, *words], **options))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_without_a_terminal_there_are_plain_pipes(piped, project):
    project.script("import sys\nprint('read', sys.stdin.readline(), *sys.argv[1:], flush=True)\n")
    process = piped("main.py", "--", "--port", "80")
    process.stdin.write("a line\n")
    process.stdin.flush()
    assert process.stdout.readline() + process.stdout.readline() == "read a line\n --port 80\n"
    assert re.fullmatch(r"⟳ main.py --port 80 · finished in .*\n", process.stderr.readline())
    process.terminate()
    assert process.wait(DEADLINE) == -signal.SIGTERM


def test_quiet_says_nothing(piped, project):
    process = piped("src/", "main.py", "--quiet")
    assert process.stdout.readline() == "value 1\n"
    save(project, 2)
    assert process.stdout.readline() == "value 2\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=DEADLINE)[1] == ""


def test_interrupts_without_a_terminal_end_it_with_0(piped, project):
    process = piped("src/", "main.py")
    assert process.stdout.readline() == "value 1\n"
    eventually(lambda: b"running" in os.read(process.stderr.fileno(), 1000))
    process.send_signal(signal.SIGINT)
    eventually(lambda: b"interrupted after" in os.read(process.stderr.fileno(), 10_000))
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE) == 0


def test_hangups_restart(piped, project):
    process = piped("src/", "main.py")
    for _ in range(3):
        assert process.stdout.readline() == "value 1\n"
        process.send_signal(signal.SIGHUP)


def test_under_nohup_a_hangup_means_nothing_and_saves_are_served(project):
    project.script(MAIN + "import signal\nprint(signal.getsignal(signal.SIGHUP), flush=True)\ntime.sleep(100)\n")
    process = subprocess.Popen(["nohup", *PROGRAM, "src/", "main.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        try:
            for value in (1, 2, 3):
                assert process.stdout.readline() == f"value {value}\n".encode()
                assert process.stdout.readline() == f"{signal.SIG_IGN!s}\n".encode()  # as without us
                process.send_signal(signal.SIGHUP)
                save(project, value + 1)
        finally:
            process.terminate()


def test_a_module_runs_as_with_m(piped, project):
    project.save("app.py", "import sys; print(__name__, sys.argv[1:], flush=True)\n")
    process = piped("src/", "-m", "app", "--quiet", "--", "x")
    assert process.stdout.readline() == "__main__ ['x']\n"


def test_an_installed_package_that_runs_as_a_module_is_left_to_the_run(piped, project):
    """Python warns of one that is imported before it runs."""
    served = project / "lib/site-packages/served"
    served.mkdir(parents=True)
    (served / "__init__.py").write_text("")
    (served / "more.py").write_text("")
    (served / "__main__.py").write_text(
        "import served.more\nif __name__ == '__main__':\n" + textwrap.indent(MAIN, "    ")
    )
    compileall.compile_dir(served, quiet=1)  # as installing it does
    process = piped("src/", "-m", "served", "--env", f"PYTHONPATH={served.parent}", stderr=subprocess.STDOUT)
    shown = iter(process.stdout.readline, "")
    for value in (1, 2):
        before = "".join(itertools.takewhile(lambda line: "finished" not in line, shown))
        assert f"value {value}" in before
        assert "Warning" not in before
        eventually(lambda: any(is_parked(one, "served") for one in forked(process.pid)))
        save(project, value + 1)
    assert "value 3" in "".join(itertools.takewhile(lambda line: "restarted warm" not in line, shown))


def test_it_runs_what_python_runs_and_again_with_new_code_warm(piped, project):
    project.save("tool", "#!/usr/bin/env python3\nprint('tool 1')\n")
    project.save("app/__main__.py", "import sys, b\nprint('app', b.V, *sys.argv[1:])\n")
    project.save("app/b.py", "V = 1\n")
    project.save("packed/__main__.py", "print('packed 1')\n")
    pack = [sys.executable, "-m", "zipapp", "packed", "-p", "/usr/bin/env python3"]
    subprocess.run([*pack, "-o", "packed.pyz"], check=True)

    def save_tool():
        project.save("tool", "#!/usr/bin/env python3\nprint('tool 2')\n")

    def save_app():
        project.save("app/b.py", "V = 2\n")

    def save_packed():
        project.save("packed/__main__.py", "print('packed 2')\n")
        subprocess.run([*pack, "-o", "packed.pyz"], check=True)

    cases = {
        "./tool": (save_tool, "tool", ""),
        "app/": (save_app, "app", " x"),
        "packed.pyz": (save_packed, "packed", ""),
    }
    started = {name: piped(name, "--quiet", "--", "x") for name in cases}
    for name, (save, said, more) in cases.items():
        process = started[name]
        assert process.stdout.readline() == f"{said} 1{more}\n"
        eventually(lambda p=process, n=name: any(is_parked(one, n) for one in forked(p.pid)))
        save()
        assert process.stdout.readline() == f"{said} 2{more}\n"


def test_thousands_of_files_may_be_named_as_a_shell_does_it(piped, project):
    names = [f"src/module_with_a_long_name_{number}.py" for number in range(3000)]
    for name in names:
        project.save(name, "V = 1\n")
    project.script("import sys\nsys.path.insert(0, 'src')\nimport module_with_a_long_name_2999 as m\nprint(m.V)\n")
    process = piped(*names, "main.py", "--quiet")
    assert process.stdout.readline() == "1\n"
    wait_until_warm(process.pid)
    project.save(names[-1], "V = 2\n")
    assert process.stdout.readline() == "2\n"


def test_a_limit_that_it_meets_at_its_start_is_one_line(project):
    command = 'ulimit -n 5; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", command, "sh", *PROGRAM, "main.py"], capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ipy-autorestart: can't go on: [Errno 24] Too many open files")
    assert done.stderr.count("\n") == 1


HELPER = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("warm", [False, True])
def test_nothing_outlives_it(piped, project, ends, warm):
    project.script(MAIN + HELPER + "print('helped', flush=True)\ntime.sleep(100)\n")
    process = piped("src/", "main.py", *([] if warm else ["--cold"]))
    assert process.stdout.readline() + process.stdout.readline() == "value 1\nhelped\n"
    if warm:
        wait_until_warm(process.pid)
        save(project, 2)
        assert process.stdout.readline() + process.stdout.readline() == "value 2\nhelped\n"
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 3  # the script, its helper, the guardian
    process.send_signal(ends)
    assert process.wait(DEADLINE) == -ends
    eventually(lambda: all(has_ended(one) for one in family))


def test_nothing_outlives_it_though_its_guardian_was_killed(piped, project):
    process = piped("src/", "main.py", "--cold")
    assert process.stdout.readline() == "value 1\n"
    watch = psutil.Process(process.pid)
    first = guardian_of(watch)
    first.kill()
    eventually(lambda: guardian_of(watch) not in (None, first))
    family = watch.children()
    process.kill()
    process.wait(DEADLINE)
    eventually(lambda: not any(one.is_running() for one in family))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected a script to run, such as: src/ main.py or src/ -m app"),
        (("src/",), "src/: this is not a script or a folder with __main__.py; name a script, as in: src/ main.py"),
        (("src/", "tool"), "tool: there is no such file or folder in"),
        (("src/", "nope.py"), "nope.py: there is no such script in"),
        (("main.py", "--dobounce", "1"), "did you mean --debounce?"),
        (("main.py", "--poll"), "--poll: expected a value, got none; write --poll=SECONDS"),
        (("-m",), "-m: expected the name of a module"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(project, words, message):
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, timeout=DEADLINE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ipy-autorestart: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_and_version_need_no_script(project):
    shown = subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True, timeout=DEADLINE)
    assert shown.returncode == 0
    for word in (
        "ipy-autorestart [PATH ...] [SCRIPT | -m MODULE]",
        "--debounce",
        "--quiet",
        "Ctrl-C",
        "src/ main.py",
    ):
        assert word in shown.stdout
    version = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, timeout=DEADLINE)
    assert re.fullmatch(r"ipy-autorestart \d+\.\d+\.\d+\n", version.stdout)


def test_the_installed_command_is_the_same(project):
    command = Path(sys.executable).with_name("ipy-autorestart")
    assert subprocess.run([command, "--version"], capture_output=True, timeout=DEADLINE).returncode == 0


def test_words_after_the_dashes_are_the_scripts(piped, project):
    project.script("import sys; print(sys.argv[1:], flush=True)\n")
    process = piped("main.py", "--quiet", "--", "--help", "--quiet", "-m")
    assert process.stdout.readline() == "['--help', '--quiet', '-m']\n"


def test_nothing_of_jupyter_is_imported(project):
    names = "{'IPython', 'zmq', 'traitlets', 'ipykernel'}"
    code = f"import sys, ipy_autorestart.cli\nprint(sorted({names} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
