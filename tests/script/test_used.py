"""What counts because a run has used it, and what counts though nothing tells that it was used."""

import time

import pytest
from compiling import WAYS, library, replaced
from screens import Screen
from waiting import eventually

from ipy_autorestart import Options, Script, Supervisor

pytestmark = pytest.mark.e2e

IN_C = """
import ctypes
c = ctypes.CDLL(None)
c.fopen.restype = ctypes.c_void_p
text = ctypes.create_string_buffer(10)
c.fgets(text, 10, ctypes.c_void_p(c.fopen(b"src/model.dat", b"r")))
print(text.value.decode())
"""


def test_a_file_that_only_c_reads_counts_where_a_pattern_names_it(watch, project):
    project.save("src/model.dat", "1")
    watched = watch(IN_C, pattern=("*.dat",))
    assert watched.screen.text == "1\n"
    project.save("src/model.dat", "2")
    eventually(lambda: watched.screen.text == "2\n")


SEEKS = """
import os, sys, time
sys.path.insert(0, "src")
while os.path.exists("wait"):
    time.sleep(0.001)
try:
    import a
except ImportError as error:
    print(error, flush=True)
    while True:
        time.sleep(0.05)
print("found", a.V, flush=True)
"""


@pytest.mark.parametrize("warm", [True, False])
def test_a_module_that_was_gone_as_it_was_imported_counts_when_it_is_back(watch, project, warm):
    """As it is for a moment while an editor saves it by renames: there was one before, and there is one after."""
    watched = watch(SEEKS, warm=warm)
    (project / "wait").touch()
    watched.supervisor.restart()
    eventually(lambda: watched.screen.status.runs == 2)
    (project / "src/a.py").rename(project / "away")
    (project / "wait").unlink()
    eventually(lambda: watched.screen.text == "No module named 'a'\n")
    project.save("src/a.py", "V = 2\n")
    eventually(lambda: watched.screen.text == "found 2\n")


IMPORTED = "import sys\nsys.path.insert(0, 'src')\nimport ext\nprint(ext.V)\n"
LOADED = (
    "import ctypes\nlib = ctypes.CDLL('./src/ext.so')\nlib.get.restype = ctypes.c_char_p\nprint(lib.get().decode())\n"
)


@pytest.mark.parametrize("code", [IMPORTED, LOADED], ids=["imported", "loaded"])
def test_compiled_code_counts_however_it_is_written_and_only_when_it_is_whole(watch, project, code):
    (project / "src/ext.so").write_bytes(library("0"))
    watched = watch(code)
    assert watched.screen.text == "0\n"
    watched.until_ready()
    for number, write in enumerate(WAYS, 1):
        write(project / "src/ext.so", str(number))
        eventually(lambda runs=number + 1: watched.screen.status.runs == runs and watched.screen.run == runs)
        eventually(lambda number=number: watched.screen.text == f"{number}\n")
        assert watched.screen.status.warm is True
        eventually(lambda: len(watched.processes) >= 3)
    assert watched.screen.printed == "0\n1\n2\n3\n"
    assert watched.screen.status.runs == 4
    (project / "src/ext.so").write_bytes(library("3"))
    (project / "src/other.so").write_bytes(library("4"))  # a new one may have been looked for
    eventually(lambda: watched.screen.status.runs == 5)
    assert watched.screen.status.cause.changes[0].path == "src/other.so"


def test_a_library_that_another_one_loads_counts_while_the_script_runs(watch, project):
    (project / "src/ext.so").write_bytes(library("1"))
    unheard = (
        "import ctypes, time\nc = ctypes.CDLL(None)\nc.dlopen.restype = ctypes.c_void_p\n"
        "assert c.dlopen(b'./src/ext.so', 2)\nprint('loaded', flush=True)\n"
    )
    watched = watch(unheard)
    project.script(unheard + "while True: time.sleep(0.05)\n")
    eventually(lambda: watched.screen.status.exit_status is None and watched.screen.text == "loaded\n")
    replaced(project / "src/ext.so", "2")
    eventually(lambda: "src/ext.so" in str(watched.screen.status.cause))


def test_a_package_that_loads_a_watched_library_is_not_imported_ahead(watch, project):
    (project / "src/ext.so").write_bytes(library("1"))
    watched = watch("import odd\nprint(odd.V)\n", {"odd": LOADED.replace("print(", "V = (")})
    eventually(lambda: watched.is_ready() and "not odd: it loads watched code" in watched.screen.status.preloads)
    replaced(project / "src/ext.so", "2")
    eventually(lambda: watched.screen.text == "2\n")


def test_a_file_that_a_run_tried_to_open_counts_when_it_comes(watch, project):
    code = (
        "for name in ('a.toml', 'conf/b.toml'):\n"
        "    try: print(open(name).read())\n    except FileNotFoundError: print('none')\n"
    )
    watched = watch(code)
    assert watched.screen.text == "none\nnone\n"
    project.save("conf/b.toml", "1")
    eventually(lambda: watched.screen.text == "none\n1\n")
    project.save("a.toml", "2")
    eventually(lambda: watched.screen.text == "2\n1\n")


@pytest.mark.parametrize("warm", [True, False])
def test_a_release_that_a_symlink_leads_to_is_run_and_watched(project, warm):
    """The script itself is the same in both."""
    for release in ("r1", "r2"):
        project.save(f"{release}/pkg/__init__.py", "")
        project.save(f"{release}/pkg/m.py", f"V = '{release}'\n")
        project.save(f"{release}/main.py", "import pkg.m\nprint(pkg.m.V)\n")
    (project / "current").symlink_to("r1")
    screen = Screen()
    with Supervisor(Script("current/main.py"), ["current"], screen=screen, options=Options(warm=warm)) as supervisor:
        eventually(lambda: screen.text == "r1\n" and screen.status.exit_status == 0)
        eventually(lambda: supervisor.status.preloads or not warm)
        (project / "next").symlink_to("r2")
        (project / "next").rename(project / "current")
        eventually(lambda: screen.text == "r2\n" and screen.status.exit_status == 0)
        project.save("current/pkg/m.py", "V = 'mended'\n")
        eventually(lambda: screen.text == "mended\n")


LATE = """
import time
time.sleep(0.1)
print(open("src/data.csv").read(), flush=True)
"""


def test_a_data_file_that_is_saved_costs_one_run_though_it_is_read_late(watch, project):
    project.save("src/data.csv", "0")
    watched = watch(LATE)
    watched.until_ready()
    runs = watched.screen.status.runs
    for number in range(1, 6):
        project.save("src/data.csv", str(number))
        eventually(lambda number=number: watched.screen.text == f"{number}\n")
        time.sleep(1.0)
    assert watched.screen.status.runs == runs + 5
    assert not watched.screen.status.polling


ASKED = """
import os, time
print("up", flush=True)
while not os.path.exists("go"):
    time.sleep(0.005)
print(open("src/data.csv").read(), flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("act", ["save", "delete"])
def test_a_data_file_counts_from_the_moment_in_which_it_is_read(watch, project, act):
    """A server reads it for a request, a second before somebody saves or deletes it."""
    project.save("src/data.csv", "1")
    watched = watch("print(0)")
    project.script(ASKED)
    eventually(lambda: watched.screen.text == "up\n")
    time.sleep(1.5)  # no look is due
    (project / "go").touch()
    eventually(lambda: watched.screen.text == "up\n1\n")
    if act == "save":
        project.save("src/data.csv", "2")
    else:
        (project / "src/data.csv").unlink()
    eventually(lambda: watched.screen.status.runs == 3, timeout=10)
    assert watched.screen.status.cause.changes[0].path == "src/data.csv"


CLEANS = """
import os, shutil, time
print(open("src/work/x.csv").read() if os.path.exists("src/work/x.csv") else "gone", flush=True)
time.sleep(0.5)
shutil.rmtree("src/work", ignore_errors=True)
print("done", flush=True)
time.sleep(600)
"""
RENAMES = """
import os, shutil, sys, time
if os.path.exists("src/gen"):
    shutil.rmtree("src/gen")
os.makedirs("src/gen.new")
with open("src/gen.new/g.py", "w") as file:
    file.write(f"V = {time.time_ns()}")
os.rename("src/gen.new", "src/gen")
sys.path.insert(0, "src")
import gen.g
print("done", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("code", [CLEANS, RENAMES], ids=["removes a folder", "renames a folder"])
def test_what_a_run_does_to_folders_does_not_restart_it(watch, project, code):
    watched = watch("print(0)")
    project.save("src/work/x.csv", "1")
    project.script(code)
    eventually(lambda: watched.screen.text.endswith("done\n"))
    time.sleep(1.5)
    assert watched.screen.status.runs == 2
