"""A fork server by itself: what it imports ahead, and the runs that it forks."""

import os
import socket
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

    def start(module, script, name="lib", more=(), **preloads):
        (library / "lib.py").write_text(module)
        (tmp_path / "main.py").write_text(script)
        variables = {"PYTHONPATH": os.pathsep.join([str(library), str(tmp_path / "src")])}
        what = program("main.py", env=variables, roots=[f"{tmp_path}/src/"])
        server = ForkServer(what, Preloads(names=(name, *more), **preloads))
        servers.append(server)
        eventually(lambda: server.read() or server.is_ready or server.is_following or not server.is_alive)
        return server

    def run(module, script):
        return finished(start(module, script))

    run.start = start
    yield run
    for server in servers:
        server.close()
        os.waitpid(server.pid, 0)  # as the supervisor does with any orphan


def finished(server):
    """Return the output and the displays of a run that is forked now."""
    run = server.go(lossless=False, within=5, guard=lambda pid: None)
    displays = []
    run.displays.on_display = lambda display, _: displays.append(display)
    eventually(lambda: run.drain() or not any(pipe.is_open for pipe in run.streams))
    text = "".join(stream.take(0, 1 << 20)[0] for stream in run.streams)
    run.close()
    return text, displays


def test_a_run_finds_imported_what_was_imported_ahead(fork):
    lib = "import os\nPID = os.getpid()\n"
    code = "import os, sys\nprint('lib' in sys.modules)\nimport lib\nprint(lib.PID == os.getpid(), __name__)\n"
    text, _ = fork(lib, code)
    assert text == "False\nFalse __main__\n"


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
    script = "import builtins, lib, os, sys\nbuiltins.print = lambda *_: sys.stdout.write('mine\\n')\nos.close(201)\n"
    assert fork(DISPLAY, script + "lib.display(1)\n") == ("mine\n", [])


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (
            "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
            "it starts threads",
        ),
        ("import socket\nheld = socket.socket()\n", "it opens socket:"),
        ("held = open('/dev/full')\n", "it opens /dev/full"),
        ("held = open(__file__)\n", "it opens "),
        ("print('hello')\n", "it prints"),
        ("import warnings\nwarnings.warn('old lib', FutureWarning)\n", "it prints"),
        ("import mine\n", "it imports watched code"),
        ("int(open('src/three').read())\n", "it reads watched files"),
        ("import tempfile\nheld = tempfile.TemporaryDirectory()\n", "it makes temporary files"),
        ("import mmap\nheld = mmap.mmap(-1, 4096)\n", "it shares memory"),
        ("import multiprocessing\nheld = multiprocessing.Lock()\n", "it "),
        ("import subprocess\nheld = subprocess.Popen(['sleep', '60'])\n", "it starts a program"),
        ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 999)\n", "it sets a timer"),
        ("import sys\nsys.path.append('/nowhere')\n", "it changes sys.path"),
        ("import os\nos.kill(os.getpid(), 11)\n", "its import ended the process"),
        ("import beside\n", "it imports beside, which the script has too"),
        ("import ipykernel, IPython\nimport colorsys\nIPython.get_ipython()\n", "it looks for the kernel's shell"),
    ],
)
def test_it_says_which_module_it_must_not_import_and_why(fork, tmp_path, module, why):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/mine.py").touch()
    (tmp_path / "src/three").write_text("3")
    (tmp_path / "lib/site-packages/beside.py").touch()
    server = fork.start(module, "", beside=("beside",))
    assert not server.is_alive
    name, told = server.unfit
    assert name == "lib"
    assert told.startswith(why)


def test_what_looks_for_a_shell_is_imported_ahead_of_a_script_which_has_none(fork):
    module = "import IPython\nimport colorsys\nFOUND = IPython.get_ipython()\n"
    assert fork(module, "import sys, lib\nprint(lib.FOUND)\n") == ("None\n", [])


def test_it_goes_on_without_a_module_that_is_not_there(fork):
    server = fork.start("", "", name="missing")
    assert server.failed == {"missing": "ModuleNotFoundError"}
    assert server.is_ready


MOMENTS = """
import datetime, logging, time
class Own(datetime.datetime): pass
KEPT = [time.time, time.time_ns, time.monotonic, time.monotonic_ns, datetime.datetime.now, Own.now]
KEPT.append(lambda: datetime.datetime.now(datetime.timezone.utc))
A, B, C, D, E, F, G = [clock() for clock in KEPT]
CHOSEN, LONG_AGO, NUMBER = 86400.0, datetime.datetime(1, 1, 1), 7
"""
SAYS_MOMENTS = """
import datetime, lib, logging
then = {}
kept = [getattr(lib, name) for name in "ABCDEFG"]
print([one >= two for one, two in zip(kept, then)], type(kept[5]), kept[6].tzinfo, logging._startTime > 1e9)
print([0 <= (clock() - one) / datetime.timedelta(seconds=1) for clock, one in zip(lib.KEPT[4:], kept[4:])])
print(lib.CHOSEN, lib.LONG_AGO.year, lib.NUMBER)
"""


def test_moments_that_a_module_keeps_of_its_import_are_of_the_runs_begin(fork, tmp_path):
    server = fork.start(MOMENTS, "")
    names = {}
    exec(MOMENTS, names)
    then = [clock() for clock in names["KEPT"]]
    said = repr(then).replace("Own(", "datetime.datetime(")
    (tmp_path / "main.py").write_text(SAYS_MOMENTS.format(said))
    assert finished(server)[0] == (f"{[True] * 7} <class 'lib.Own'> UTC True\n{[True] * 3}\n86400.0 1 7\n")


def test_it_imports_what_a_run_imports_and_is_ready_when_that_was_all(fork, tmp_path):
    library = tmp_path / "lib/site-packages"
    for name in ("second", "third"):
        (library / f"{name}.py").write_text(f"import lib\nlib.SEEN.append({name!r})\n")
    script = "import second, third, lib\nprint(lib.SEEN)\n"
    server = fork.start("SEEN = []\n", script, follows=True, more=("absent",))
    eventually(lambda: server.read() or server.is_following)
    assert not server.is_ready
    assert not server.is_awaited
    server.follow([f"{library}/{name}.py" for name in ("second", "not_there")])
    assert server.is_awaited
    server.complete()  # too early, and so without effect
    server.follow([f"{library}/third.py"])
    eventually(lambda: server.read() or server.is_following)
    server.complete()
    eventually(lambda: server.read() or server.is_ready)
    assert {f"{library}/second.py", f"{library}/third.py"} <= {*server.asked} <= {*server.files}
    assert server.failed == {"absent": "ModuleNotFoundError"}
    assert finished(server) == ("['second', 'third']\n", [])


def test_more_is_imported_than_a_message_holds(fork, tmp_path):
    library = tmp_path / "lib/site-packages"
    server = fork.start("", "import last\nprint(last.__name__)\n", follows=True)
    (library / "last.py").touch()
    many = [f"{library}/{'long' * 60}{number}.py" for number in range(2000)]
    server.follow([*many, f"{library}/last.py"])
    eventually(lambda: server.read() or server.is_following)
    server.complete()
    eventually(lambda: server.read() or server.is_ready)
    assert server.asked == (f"{library}/last.py",)


def test_what_patches_others_leaves_all_to_the_runs(fork, tmp_path):
    library = tmp_path / "lib/site-packages"
    (library / "gevent.py").parent.mkdir(parents=True, exist_ok=True)
    (library / "gevent.py").touch()
    server = fork.start("", "", follows=True)
    server.follow([f"{library}/gevent.py"])
    eventually(lambda: server.read() or not server.is_alive)
    assert server.unfit == ("gevent", "what it patches was imported before")
    again = fork.start(
        "", "import sys\nprint('lib' in sys.modules)\n", paths=(f"{library}/gevent.py",), unfit=("gevent",)
    )
    assert again.asked == ()


def test_names_that_differ_within_a_process_alone_may_be_drawn_ahead(fork, tmp_path):
    context = tmp_path / "lib/site-packages/opentelemetry/context/__init__.py"
    context.parent.mkdir(parents=True)
    context.write_text(
        "import uuid\ndef create_key(name):\n    return name + str(uuid.uuid4())\nKEY = create_key('a')\n"
    )
    lib = "from opentelemetry.context import KEY, create_key\nMINE = create_key('b')\n"
    text, _ = fork(lib, "import lib\nprint(lib.KEY[0], lib.MINE[0], lib.create_key('c') == lib.create_key('c'))\n")
    assert text == "a b False\n"
    server = fork.start("import uuid\nMINE = uuid.uuid4()\n", "")
    assert server.unfit == ("lib", "it draws random numbers")


@pytest.mark.parametrize("follows", [True, False])
def test_it_ends_with_the_supervisor_whatever_that_has_not_read_yet(tmp_path, monkeypatch, follows):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text("open('ran', 'w')\n")
    server = ForkServer(program("main.py"), Preloads(names=("colorsys",), follows=follows))
    server._socket.settimeout(30)
    last = b"imported" if follows else b"ready"
    while server._socket.recv(100, socket.MSG_PEEK) != last:  # which is left unread
        server._socket.recv(100)
    server._socket.close()
    assert os.waitpid(server.pid, 0)[0] == server.pid
    assert not (tmp_path / "ran").exists()
    server._plan.close()
