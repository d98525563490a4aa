"""A fork server by itself: what it imports ahead, and the runs that it forks."""

import os
import sys

import pytest
from starting import program
from waiting import eventually

from ipy_autorestart.script.forkserver import ForkServer, Preloads

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="fork servers are made on Linux only"),
]


@pytest.fixture
def fork(tmp_path, monkeypatch):
    """Have a module imported ahead, fork a run of a script, and return its output and displays."""
    monkeypatch.chdir(tmp_path)
    library = tmp_path / "lib/site-packages"
    library.mkdir(parents=True)
    servers = []

    def start(module, script, name="lib"):
        (library / "lib.py").write_text(module)
        (tmp_path / "main.py").write_text(script)
        server = ForkServer(program("main.py", env={"PYTHONPATH": str(library)}), Preloads(names=(name,)))
        servers.append(server)
        eventually(lambda: server.read() or server.is_ready or not server.is_alive, timeout=20)
        return server

    def run(module, script):
        run = start(module, script).go(lossless=False, within=5, guard=lambda pid: None)
        displays = []
        run.displays.on_display = lambda display, _: displays.append(display)
        eventually(lambda: run.drain() or not any(pipe.is_open for pipe in run.streams))
        text = "".join(stream.take(0, 1 << 20)[0] for stream in run.streams)
        run.close()
        return text, displays

    run.start = start
    yield run
    for server in servers:
        server.close()
        os.waitpid(server.pid, 0)  # as the supervisor does with any orphan


def test_a_run_finds_imported_what_was_imported_ahead(fork):
    text, _ = fork("V = 1\n", "import sys\nprint('lib' in sys.modules)\nimport lib\nprint(lib.V, __name__)\n")
    assert text == "True\n1 __main__\n"


DISPLAY = (
    "from IPython.display import clear_output, display\ndef show():\n    display(1)\n    clear_output(wait=True)\n"
)


def test_what_a_module_that_was_imported_ahead_has_by_name_displays_in_the_run(fork):
    script = "import sys\nprint([one for one in sys.meta_path if 'Shell' in repr(one)])\nimport lib\nlib.show()\n"
    text, displays = fork(DISPLAY, script)
    assert text == "[]\n"
    display, clear = displays
    assert display.data == {"text/plain": "1"}
    assert clear.wait is True


def test_a_run_that_imports_ipython_itself_displays_too(fork):
    assert fork("", "import sys\nassert 'IPython' not in sys.modules\n" + DISPLAY + "show()\n")[1][0].data


def test_the_script_may_change_the_builtins_that_display_uses(fork):
    script = "import builtins, os, sys\nbuiltins.print = lambda *_: sys.stdout.write('mine\\n')\nos.close(201)\n"
    assert fork(DISPLAY, script + "import lib\nlib.display(1)\n") == ("mine\n", [])


def test_it_says_which_module_it_must_not_import(fork):
    server = fork.start("print('hello')\n", "")
    assert not server.is_alive
    assert server.unfit == ("lib", "it prints")


def test_it_goes_on_without_a_module_that_is_not_there(fork):
    server = fork.start("", "", name="missing")
    assert server.failed == {"missing": "ModuleNotFoundError"}
    assert server.is_ready
