"""A user's mistake gets one clear line, and what was running goes on."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e

MISTAKES = {
    "%watch_restart nowhere/ main.py": "nowhere/: there is no such file or folder in",
    "%watch_restart zzz/ main.py": "check its name, or make it first",
    "%watch_restart zzz/yyy/ main.py": "either: check the path",
    "%watch_restart scr/ main.py": "did you mean src?",
    "%watch_restart ./src/b.py/ main.py": "did you mean ./src/a.py?",
    "%watch_restart src/ nope.py": "nope.py: there is no such script in",
    "%watch_restart src/ mian.py": "did you mean main.py?",
    "%watch_restart src/ main.py --cwd scr": "--cwd: there is no folder",
    "%watch_restart src/ --cwd src mein.py": "mein.py: there is no such script in",
    "%watch_restart": "expected a folder to watch or a script to run, such as: src/ or src/ main.py",
    "%watch_restart src/ main.py --dobounce 1": "--dobounce: there is no such option; did you mean --debounce?",
    "%watch_restart src/ main.py --port 80": "--port: there is no such option; put arguments of main.py after --",
    "%watch_restart src/ main.py --debounce soon": "a number from 0 to 3600 such as 0.5, got 'soon'",
    "%watch_restart src/ main.py --debounce -1": "--debounce: expected",
    "%watch_restart src/ main.py --stop-timeout": "expected a value, got none; write --stop-timeout=SECONDS",
    "%watch_restart src/ main.py --stop-signal SIGNOPE": "--stop-signal: expected a signal such as SIGTERM or SIGINT",
    "%watch_restart src/ main.py --all=1": "--all: expected no value, got '1'; write --all alone",
    "%watch_restart src/ -m": "-m: expected the name of a module, got none; write -m MODULE",
    "%watch_restart src/ -- x": "x: it needs a script to run, such as main.py",
    "%watch_restart 'src": "no closing quotation in: 'src; close it, or escape it with a backslash",
    "%watch_restart src/ main.py --ignore '['": "--ignore: expected a glob such as '*.[ch]', with its bracket closed",
    "%watch_restart src/ main.py --preload nosuch": "--preload: there is no module nosuch; install it, or check",
    "%watch_restart src/ main.py --preload jsn": "--preload: there is no module jsn; did you mean json?",
    "%watch_restart src/ main.py --pause": "--pause: src/ main.py: no such target; did you mean main.py?",
    "%unwatch main": "main: no such target; did you mean main.py?",
    "%unwatch nothing.py": "nothing.py: no such target; name one of those watched: main.py",
    "%watch_restart --back": "--back: the kernel is not watched; start with %watch_restart src/ --checkpoints",
    "%watch_restart --back now": "--back: expected the number of a cell, as in its brackets, got 'now'; write --back",
    "%watch_restart --back 999": "--back: there is no cell 999; the last are ",
    "%watch_status now": "expected nothing, --why or --json, got 'now'",
}


def test_mistakes_are_one_line_and_end_nothing(kernel, project):
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(lambda: "value 1" in cell.text)
    for line, message in MISTAKES.items():
        wrong = kernel.run(line)
        assert message in wrong.text, line
        assert len(wrong.text.strip().splitlines()) == 1, wrong.text
        assert "Traceback" not in wrong.text
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "value 2" in cell.text)


def test_help_is_shown(kernel):
    for line in ("%watch_restart --help", "%watch_restart src/ main.py -h"):
        text = kernel.run(line).text
        assert "Examples:" in text
        assert "--debounce SECONDS" in text
    assert "nothing is watched" in kernel.run("%watch_status").text


def test_a_default_that_an_option_cannot_have_is_refused_where_it_is_set(kernel):
    cell = kernel.run("%config WatchRestart.rerun = 'some'")
    assert "rerun: expected none, marked or all, got 'some'" in cell.text
    assert kernel.run("get_ipython().magics_manager.registry['WatchMagics'].defaults.rerun").text == "'none'"


def test_a_folder_that_was_deleted_is_told_so(kernel):
    kernel.run("import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')")
    for line in ("%watch_restart main.py", "%watch_restart ."):
        assert "%watch_restart: the current folder has been deleted; change to one that exists" in kernel.run(line).text


def test_a_platform_without_sighup_is_told_so(start_kernel):
    with start_kernel() as player:
        player.run("import signal; del signal.SIGHUP")
        assert player.run("%load_ext ipy_autorestart").error == ""
        assert "this platform has no SIGHUP" in player.run("%watch_restart src/ main.py").text


def test_a_kernel_target_in_a_shell_that_another_program_embeds_is_refused(project):
    done = subprocess.run(
        [sys.executable, "-c", "from IPython import embed; embed(colors='NoColor')"],
        input="%load_ext ipy_autorestart\n%watch_restart src/\n", capture_output=True, text=True, timeout=60,
        env={**os.environ, "IPY_TEST_SIMPLE_PROMPT": "1"},
    )  # fmt: skip
    assert "only a Jupyter kernel" in done.stdout + done.stderr
