"""A save passes few modules and rooms until its output stands in the cell: traced in the kernel and the supervisor.

`python -m pytest -rP tests/test_path_of_a_save.py` prints them in the order in which they are passed.
"""

import json
import time

import pytest
from processes import until_warm

TRACER = """
import atexit, json, os, sys, threading, time

package, seen = os.sep + "ipy_autorestart" + os.sep, {}

def note(frame, event, _):
    file = frame.f_code.co_filename
    if event == "call" and package in file:
        seen.setdefault(file.rpartition(package)[2], []).append(time.time())

def write():
    with open(os.path.join(FOLDER, f"{os.getpid()}.json"), "w") as file:
        json.dump(seen, file)

atexit.register(write)
sys.setprofile(note)
threading.setprofile(note)
"""

#: What goes on in the run itself, inside `import site`, before anything could trace it.
IN_THE_RUN = {"script/shim/sitecustomize.py", "script/shim/_ipy_autorestart_forkserver.py"}


@pytest.mark.e2e
def test_a_save_passes_few_modules_and_rooms(start_kernel, project, monkeypatch):
    traces, tracer = project / "traces", project / "tracer"
    traces.mkdir()
    tracer.mkdir()
    (tracer / "sitecustomize.py").write_text(f"FOLDER = {str(traces)!r}\n{TRACER}")
    monkeypatch.setenv("PYTHONPATH", str(tracer))
    with start_kernel() as player:
        player.run("%load_ext ipy_autorestart")
        watching = player.run("%watch_restart src/ main.py")
        player.wait(lambda: "finished" in watching.text)
        until_warm(player.pid)
        saved = time.time()
        project.save("src/a.py", "V = 2\n")
        player.wait(lambda: "value 2" in watching.text)
        shown = time.time()
        player.wait(lambda: "warm" in watching.text)
        player.run("%unwatch")
    passed = {}
    for path in traces.iterdir():
        for module, moments in json.loads(path.read_text()).items():
            if within := [moment for moment in moments if saved <= moment <= shown]:
                passed[module] = min(within[0], passed.get(module, shown))
    modules = sorted(passed, key=passed.get)
    rooms = dict.fromkeys(module.partition("/")[0].removesuffix(".py") for module in modules)
    print(len(modules), "modules:", *modules)
    print(len(rooms), "rooms:", *rooms)
    assert {"decide/step.py", "script/run.py"} <= set(modules)
    assert len({*modules, *IN_THE_RUN}) <= 46
    assert len(rooms) <= 8
