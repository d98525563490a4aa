"""Loading, unloading, configuration and help, in real kernels."""

import subprocess
import sys

import pytest
from waiting import DEADLINE, eventually

pytestmark = pytest.mark.e2e

TRACES = """
import collections, contextlib, os, signal, threading
def files():
    found = []
    for number in os.listdir('/proc/self/fd'):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f'/proc/self/fd/{number}'))
    others = ('profile_default', '/proc/', 'eventfd')  # the history's, the listing's, libzmq's
    return collections.Counter(name.split(':')[0] for name in found if not any(word in name for word in others))
def traces():
    ip = get_ipython()
    return (
        sorted(open(f'/proc/self/task/{one}/comm').read() for one in os.listdir('/proc/self/task')),
        files(),
        signal.getsignal(signal.SIGHUP),
        {name: len(functions) for name, functions in ip.events.callbacks.items()},
        [name for name in ip.magics_manager.magics['line'] if 'watch' in name],
        [type(c).__name__ for c in ip.configurables if 'Watch' in type(c).__name__],
        [name for name in vars(ip) if 'autorestart' in name],
    )
"""


def until_as_before(kernel):
    """Wait until all traces were there before; a thread that has been told to end may take a moment."""
    kernel.run("differ = lambda: [pair for pair in zip(before, traces()) if pair[0] != pair[1]]")
    eventually(lambda: kernel.run("differ()").text == "[]", what=lambda: kernel.run("differ()").text)


def test_unloading_leaves_nothing_behind(kernel, project):
    kernel.run("%unload_ext ipy_autorestart")
    kernel.run(TRACES + "before = traces()")
    kernel.run("%load_ext ipy_autorestart")
    kernel.run("%watch_restart src/ main.py")
    kernel.run("%watch_restart src/")
    kernel.run("assert traces() != before")
    kernel.run("%unload_ext ipy_autorestart")
    until_as_before(kernel)


def test_reloading_and_loading_twice_doubles_nothing(kernel, project):
    kernel.run(TRACES)
    kernel.run("%load_ext ipy_autorestart")
    kernel.run("before = traces()")
    for line in ("%load_ext ipy_autorestart", "%reload_ext ipy_autorestart", "%reload_ext ipy_autorestart"):
        assert kernel.run(line).error == ""
    until_as_before(kernel)


def test_unloading_ends_what_runs(kernel, project):
    project.script("import time\nprint('up')\ntime.sleep(60)\n")
    cell = kernel.run("%watch_restart src/ main.py")
    kernel.wait(lambda: "up" in cell.text)
    kernel.run("%unload_ext ipy_autorestart")
    kernel.wait(lambda: "ended" in cell.text)
    assert "watch_status" in kernel.run("%watch_status").text  # no such magic any more


def test_options_can_be_configured(kernel, project):
    kernel.run("%config WatchRestart.pattern = ['*.toml']")
    kernel.run("%config WatchRestart.debounce = 7.5")
    kernel.run("%watch_restart src/ main.py --stop-timeout 3")
    cell = kernel.run(
        "supervisor = get_ipython()._ipy_autorestart.supervisors[0]\n"
        "o = supervisor.request.options; print(o.pattern, o.debounce, o.stop_timeout)"
    )
    assert cell.streams() == "('*.toml',) 7.5 3.0\n"
    assert "stop_signal" in kernel.run("%config WatchRestart").text


def test_the_help_shows_the_options(kernel, project):
    cell = kernel.run("print(get_ipython().find_line_magic('watch_restart').__doc__)")
    assert "--debounce SECONDS" in cell.streams()
    assert "%watch_restart src/ main.py" in cell.streams()


def test_it_loads_from_the_command_line_of_a_kernel(start_kernel, project):
    with start_kernel(extra_arguments=["--ext", "ipy_autorestart"]) as player:
        cell = player.run("%watch_restart src/")
        player.wait(lambda: "running" in cell.text)
        project.save("src/a.py", "V = 2\n")
        player.wait(lambda: "1 restart" in cell.text)
        assert player.run("%watch_status").text.split("\n\n")[0].count("kernel") == 1


@pytest.fixture
def subshell(kernel):
    if "subshell" not in str(kernel.client.kernel_info(reply=True)["content"].get("supported_features")):
        pytest.skip("this ipykernel has no subshells")
    control = kernel.client.control_channel
    control.send(kernel.client.session.msg("create_subshell_request"))
    return kernel.client.get_control_msg(timeout=DEADLINE)["content"]["subshell_id"]


def test_magics_work_from_a_subshell(kernel, project, subshell):
    script = kernel.send("%watch_restart src/ main.py", subshell_id=subshell)
    kernel.wait(lambda: "value 1" in script.text)
    cell = kernel.send("%watch_restart src/", subshell_id=subshell)
    kernel.wait(lambda: "running" in cell.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "1 restart" in cell.text and "value 2" in script.text)


def test_unwatch_works_from_a_subshell(kernel, project, subshell):
    kernel.run("%watch_restart src/")
    ended = kernel.send("%unwatch", subshell_id=subshell)
    kernel.wait(lambda: ended.done)
    kernel.run("import signal")

    def given_back():
        return kernel.run("print(signal.getsignal(signal.SIGHUP) == signal.SIG_DFL)").streams() == "True\n"

    eventually(given_back)


def test_a_terminal_ipython_runs_scripts(project):
    ended = "get_ipython()._ipy_autorestart.supervisors[0].status.exit_status is not None"
    wait = f"import time; any(time.sleep(0.01) or {ended} for _ in range(3000))"
    lines = f"%load_ext ipy_autorestart\n%watch_restart src/ main.py\n{wait}\n%unwatch\n"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt", "--colors=NoColor"],
        input=lines, capture_output=True, text=True, timeout=60, env=None,
    )  # fmt: skip
    assert "value 1" in done.stdout
    assert "· finished in" in done.stderr


def offered(kernel, code):
    """Return what a front end would put in place of what is typed."""
    content = kernel.client.complete(code, len(code), reply=True, timeout=DEADLINE)["content"]
    return [code[: content["cursor_start"]] + match for match in content["matches"]]


def test_the_tab_key_offers_paths_scripts_options_and_targets(kernel, project):
    assert offered(kernel, "%watch_restart ") == ["%watch_restart main.py", "%watch_restart src/"]
    assert offered(kernel, "x = 1\n%watch_restart src/ --rer") == ["x = 1\n%watch_restart src/ --rerun"]
    assert offered(kernel, "%watch_restart --on-busy=i") == ["%watch_restart --on-busy=interrupt"]
    assert offered(kernel, "%watch_restart -m ma") == ["%watch_restart -m main"]
    kernel.run("%watch_restart src/ -m main")
    assert offered(kernel, "%unwatch -m") == ["%unwatch -m main"]
    kernel.run("zebra = 1")
    assert "zebra" in offered(kernel, "zeb")
    kernel.run("%unload_ext ipy_autorestart")
    assert kernel.run("print(get_ipython().Completer.custom_matchers)").streams() == "[]\n"
