"""`--rerun`: after a restart the cells run again, and show what is new where they stand."""

import contextlib
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import documents
import pytest
from behind import without_checkpoints
from processes import supervisors
from shell import Shell
from waiting import DEADLINE, eventually, pass_time

pytestmark = pytest.mark.e2e

IMPORT = "import sys; sys.path.insert(0, 'src'); import a; print('value', a.V)"


class Notebook:
    """A kernel that watches, the cell that shows it, and all that the kernel has published."""

    def __init__(self, kernel, project, options="--rerun all"):
        self.kernel, self.project = kernel, project
        self.messages = []
        self.restarts = 0
        take = kernel._take

        def note(message):
            self.messages.append(message)
            take(message)

        kernel._take = note
        self.watching = kernel.run(f"%watch_restart src/ {options}", cell_id="watch")
        kernel.wait(lambda: "running" in self.watching.text)

    def run(self, code, cell_id="", **header):
        return self.kernel.run(code, cell_id=cell_id or f"cell-{len(self.kernel.cells)}", **header)

    def save(self, value, until="rerun in"):
        """Save a new value and wait until the cells have run again."""
        self.restarts += 1
        self.project.save("src/a.py", value if isinstance(value, str) else f"V = {value}\n")
        self.kernel.wait(lambda: re.search(rf"{until}.*· {self.restarts} restart", self.watching.text))

    def of(self, cell):
        """Return the kinds of messages that belong to a cell since the last restart."""
        own = [message for message in self.messages if message["parent_header"].get("msg_id") == cell.id]
        return [
            message["content"]["execution_state"] if message["msg_type"] == "status" else message["msg_type"]
            for message in own
        ]


@pytest.fixture
def notebook(kernel, project):
    return Notebook(kernel, project)


def test_every_cell_shows_what_is_new_where_it_stands(notebook, kernel):
    pid = kernel.pid
    stream, result = notebook.run(IMPORT), notebook.run("a.V * 10")
    rich = notebook.run("from IPython.display import HTML, display; display(HTML(f'<b>{a.V}</b>'))")
    nothing = notebook.run("if a.V == 1: print('only once')")
    for value in (2, 3):
        notebook.messages.clear()
        notebook.save(value)
        assert stream.streams() == f"value {value}\n"
        assert [output["data"]["text/plain"] for output in result.outputs] == [str(value * 10)]
        assert [output["data"]["text/html"] for output in rich.outputs] == [f"<b>{value}</b>"]
        assert nothing.outputs == []
        assert notebook.of(stream) == ["busy", "execute_input", "display_data", "clear_output", "stream", "idle"]
        replaced = ["display_data", "clear_output", "execute_result"]  # the first keeps its height
        assert notebook.of(result) == ["busy", "execute_input", *replaced, "idle"]
    assert "4 cells rerun" in notebook.watching.text
    assert notebook.run("import os; os.getppid()").text == str(pid)  # behind the process that the server knows


def test_cells_keep_their_numbers_and_the_history_has_them_once(notebook, kernel):
    notebook.run(IMPORT)
    notebook.run("'an unlikely word ' + str(a.V)", cell_id="word")
    notebook.run("'an unlikely word ' + str(a.V)", cell_id="word")
    notebook.save(2)
    numbers = [m["content"]["execution_count"] for m in notebook.messages if m["msg_type"] == "execute_input"]
    assert numbers[-2:] == [3, 5]
    cell = notebook.run("print(In[5], Out[5], _, sep='|')")
    assert cell.streams() == "'an unlikely word ' + str(a.V)|an unlikely word 2|an unlikely word 2\n"
    assert cell.reply["execution_count"] == 6
    assert notebook.run("print(In[6])").streams() == "print(In[5], Out[5], _, sep='|')\n"
    found = notebook.run("%history -g an unlikely word*")
    assert len(re.findall(r"'an unlikely word ' \+", found.streams())) == 2
    code = (
        "import sqlite3; print(sqlite3.connect(get_ipython().history_manager.hist_file)"
        ".execute(\"select count(*) from history where source like '%an unlikely word '' +%'\").fetchone())"
    )
    notebook.run("get_ipython().history_manager.writeout_cache()")
    assert notebook.run(code).streams() == "(2,)\n"


OLD = "out of date: this cell has not run since the files changed"


def test_an_error_stops_it_there_and_once_mended_all_run_again(notebook, kernel):
    first, second, third = notebook.run(IMPORT), notebook.run("print(1 / a.V)"), notebook.run("print('third', a.V)")
    for zero in (0, 0.0):
        notebook.save(zero, until="stopped at cell 4: ZeroDivisionError · cell 5 shows old output")
        kernel.wait(lambda: OLD in third.text)
        assert first.text == f"value {zero}\n"
        assert second.error.startswith("ZeroDivisionError")
        assert re.sub(r"\x1b\[[\d;]*m", "", second.text).count("1 / a.V") == 1
        assert third.text == f"third 1\n\n{OLD}"
    after = notebook.run("print('goes on', a.V)")
    assert after.streams() == "goes on 0.0\n"
    notebook.save(2)
    assert [cell.text for cell in (first, second, third)] == ["value 2\n", "0.5\n", "third 2\n"]
    assert after.streams() == "goes on 2\n"


def test_what_failed_runs_again_in_its_place(notebook, kernel):
    notebook.run(IMPORT)
    partly = notebook.run("import math\nmath.nothing")
    mended = notebook.run("print('new', a.NEW)")
    below = notebook.run("print(round(math.pi), a.V)")
    notebook.run("y = a.V", cell_id="edited")
    edited = notebook.run("y = a.V * 10\n1 / 0", cell_id="edited")
    last = notebook.run("print(y)")
    assert [bool(cell.error) for cell in (partly, mended, below, edited, last)] == [True, True, False, True, False]
    notebook.save("V = 2\nNEW = 7\n", until="6 cells rerun")
    assert (mended.text, below.text, last.text) == ("new 7\n", "3 2\n", "20\n")
    assert "failed as before: cells 4, 8" in notebook.watching.text
    assert (partly.error[:14], edited.error[:17]) == ("AttributeError", "ZeroDivisionError")
    notebook.save(3, until="stopped at cell 5: AttributeError · cells 6, 8–9 show old output")
    assert (below.streams(), last.streams()) == ("3 2\n", "20\n")


def test_what_a_cell_used_is_run_before_it(notebook, kernel):
    first = notebook.run("import sys; sys.path.insert(0, 'src')\nimport a", cell_id="first")
    cell = notebook.run("print('value', a.V, top)", cell_id="second")
    assert "NameError" in cell.error
    notebook.run("top = 'one'", cell_id="top")
    cell = notebook.run("print('value', a.V, top)", cell_id="second")
    first = notebook.run("import sys; sys.path.insert(0, 'src')\nimport a; print(top)", cell_id="first")
    notebook.save(2, until="3 cells rerun")
    assert (first.text, cell.text) == ("one\n", "value 2 one\n")


def test_without_ids_each_execution_runs_again(notebook, kernel):
    kernel.run(f"{IMPORT}\nn = 0")
    for _ in range(2):
        kernel.run("n += 1")
    kernel.run("n += 10")
    notebook.save(2, until="4 cells rerun")
    assert kernel.run("n").text == "12"


def test_interrupting_stops_it(notebook, kernel):
    notebook.run(IMPORT)
    slow = notebook.run("import time\nif a.V == 2: print('slow'); time.sleep(60)")
    last = notebook.run("print('last', a.V)")
    notebook.project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "slow" in slow.streams())
    kernel.manager.interrupt_kernel()
    kernel.wait(lambda: "stopped at cell 4: interrupted · cell 5 shows old output" in notebook.watching.text)
    assert "KeyboardInterrupt" in slow.error
    assert last.text == f"last 1\n\n{OLD}"


def test_what_a_restart_has_interrupted_runs_again(kernel, project):
    notebook = Notebook(kernel, project, "--rerun all --on-busy interrupt")
    long = kernel.send(f"{IMPORT}\nimport time\nif a.V == 1: time.sleep(60)", cell_id="long")
    kernel.wait(lambda: "value 1" in long.text)
    notebook.save(2, until="1 cell rerun")
    assert long.text == "value 2\n"


STOP = """
import atexit, os, signal
def stop(when):
    if os.path.exists(when):
        os.remove(when)
        os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.timing
@pytest.mark.parametrize(
    ("options", "moments"),
    [
        ("--rerun all --cold", ("in the old image", "in the new image")),
        ("--rerun all", ("in the old image",)),  # behind a proxy, the next image starts before the restart
    ],
)
def test_the_stop_button_at_any_moment_of_a_restart_stops_the_rerun(project, start_kernel, options, moments):
    startup = Path(os.environ["IPYTHONDIR"], "profile_default/startup")
    startup.mkdir(parents=True)
    (startup / "stop.py").write_text(f"{STOP}\nstop('in the new image')\n")
    with start_kernel() as kernel:
        kernel.run("%load_ext ipy_autorestart")
        notebook = Notebook(kernel, project, options)
        notebook.run(IMPORT)
        notebook.run("atexit.register(stop, 'in the old image')")
        slow = notebook.run("import time\nif a.V > 1 and a.V < 9: time.sleep(5)")
        for value, moment in enumerate(moments, 2):
            (project / moment).touch()
            notebook.save(value, until="stopped before cell 3: interrupted · cells 3–5 show old output")
        os.kill(kernel.pid, signal.SIGINT)  # between the save and its SIGHUP
        notebook.save(4, until="stopped before cell 3: interrupted · cells 3–5 show old output")
        for place, delay in enumerate((0.0, 0.1, 0.3)):
            project.save(f"src/b{place}.py", "W = 1\n")
            pass_time(delay)
            kernel.manager.interrupt_kernel()
            notebook.restarts += 1
            kernel.wait(lambda: re.search(rf"interrupted.*· {notebook.restarts} restart", notebook.watching.text))
        assert "3 cells rerun" not in str(notebook.messages)
        notebook.save(9, until="3 cells rerun")
        assert slow.outputs == []
        ignored = "get_ipython().kernel.saved_sigint_handler is __import__('signal').SIG_IGN"
        assert notebook.run(f"%unwatch\n{ignored}").text == "True"


def test_a_change_meanwhile_stops_it_after_the_running_cell_and_begins_anew(notebook, kernel):
    first = notebook.run(IMPORT)
    code = "import os, time\nif a.V == 2:\n    print('slow')\n    while not os.path.exists('go'): time.sleep(0.01)"
    slow = notebook.run(f"{code}\n    print('to its end')")
    last = notebook.run("print('last', a.V)")
    notebook.project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "slow" in slow.streams())
    notebook.messages.clear()
    notebook.project.save("src/a.py", "V = 3\n")
    kernel.wait(lambda: "waiting for cell 4" in notebook.watching.text)
    (notebook.project / "go").touch()
    kernel.wait(lambda: re.search("3 cells rerun.*· 2 restart", notebook.watching.text))
    assert [cell.streams() for cell in (first, slow, last)] == ["value 3\n", "", "last 3\n"]
    assert "to its end\n" in [m["content"]["text"] for m in notebook.messages if m["msg_type"] == "stream"]
    assert notebook.of(last).count("execute_input") == 1  # never with the value between


def test_what_a_person_runs_meanwhile_waits_its_turn(notebook, kernel):
    notebook.run(IMPORT)
    slow = notebook.run("import time\nif a.V == 2: print('slow'); time.sleep(0.5)")
    notebook.run("late = a.V")
    notebook.project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "slow" in slow.streams())
    cells = [kernel.send(f"print({number}, late)", cell_id=f"late-{number}") for number in range(5)]
    kernel.client.kernel_info()  # is answered between them
    kernel.wait(lambda: all(cell.done for cell in cells))
    assert [cell.streams() for cell in cells] == [f"{number} 2\n" for number in range(5)]
    inputs = [m["parent_header"]["msg_id"] for m in notebook.messages if m["msg_type"] == "execute_input"]
    assert inputs[-5:] == [cell.id for cell in cells]


HELD = "import os, time\nwhile a.V == 2 and not os.path.exists('go'): time.sleep(0.01)"


def test_progress_is_told(notebook, kernel):
    notebook.run(IMPORT)
    slow = notebook.run(HELD)
    notebook.project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: re.search(r"rerunning cell 4 \(2 of 2\), [2-9]\.0 s", notebook.watching.text))
    (notebook.project / "go").touch()
    kernel.wait(lambda: re.search(r"2 cells rerun in \d\.\d s \(cell 4: \d\.\d s\)", notebook.watching.text))
    assert slow.outputs == []


def test_only_what_is_marked(kernel, project):
    notebook = Notebook(kernel, project, "--rerun marked")
    marked = notebook.run("#| rerun: true\n" + IMPORT)
    other = notebook.run("print('once', a.V)")
    notebook.save(2, until="1 cell rerun")
    assert marked.streams() == "value 2\n"
    assert other.streams() == "once 1\n"


def test_nothing_by_default(kernel, project):
    notebook = Notebook(kernel, project, "")
    cell = notebook.run(IMPORT)
    notebook.save(2, until="")
    assert notebook.run("'a' in globals(), len(In)").text == "(False, 2)"
    assert cell.streams() == "value 1\n"


@contextlib.contextmanager
def deleting(kernel, *keys):
    """Have what is sent say that the page has deleted these cells, as JupyterLab says it once, with any cell."""
    send = kernel.client.shell_channel.send

    def send_with_deleted(message):
        message["metadata"]["deletedCells"] = list(keys)
        send(message)

    kernel.client.shell_channel.send = send_with_deleted
    yield
    kernel.client.shell_channel.send = send


def test_what_was_deleted_or_interrupted_or_marked_is_left_out(notebook, kernel):
    notebook.run(IMPORT)
    notebook.run("deleted = 1", cell_id="deleted")
    notebook.run("#| rerun: false\nkept_out = 1")
    long = kernel.send("import time; interrupted = 1; print('long'); time.sleep(60)", cell_id="long")
    kernel.wait(lambda: "long" in long.streams())
    kernel.manager.interrupt_kernel()
    kernel.wait(lambda: long.done)
    # ipykernel 7 ends what awaits when the loop turns next, not sooner.
    waits = "import asyncio; print('waits'); [await asyncio.sleep(0.1) for _ in range(600)]"
    awaiting = kernel.send(waits, cell_id="awaiting")
    kernel.wait(lambda: "waits" in awaiting.streams())
    kernel.manager.interrupt_kernel()
    kernel.wait(lambda: awaiting.done)
    with deleting(kernel, "deleted"):
        notebook.run("print(2)")
    notebook.save(2, until="2 cells rerun")
    assert "left out: cells 6–7 (interrupted)" in notebook.watching.text
    assert long.text.endswith(OLD)
    names = "('deleted', 'kept_out', 'interrupted', 'a')"
    assert notebook.run(f"[name in globals() for name in {names}]").text == "[False, False, False, True]"


def test_a_cell_stays_deleted_though_the_one_that_said_so_was_aborted(notebook, kernel):
    notebook.run(IMPORT)
    notebook.run("deleted = 1", cell_id="deleted")
    error = kernel.send("import time; time.sleep(0.5); 1 / 0", cell_id="error", stop_on_error=True)
    with deleting(kernel, "deleted"):
        aborted = kernel.send("print('not run')", cell_id="aborted")
    kernel.wait(lambda: error.done and aborted.done)
    assert aborted.reply["status"] == "aborted"
    notebook.save(2, until="2 cells rerun")
    assert notebook.run("'deleted' in globals()").text == "False"


def test_a_cell_that_is_deleted_while_others_run_again_does_not_run_again(notebook, kernel):
    without_checkpoints(kernel)  # before one is made, all that has come is looked at anyway
    notebook.run(f"{IMPORT}\nimport os, time\nwhile a.V > 1 and not os.path.exists('go'): time.sleep(0.01)")
    notebook.run("deleted = 1", cell_id="deleted")
    notebook.project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "rerunning" in notebook.watching.text)
    with deleting(kernel, "deleted"):
        later = kernel.send("'deleted' in globals()", cell_id="later")
    pass_time(1)  # until it has come: it is held back, which nobody is told of
    notebook.project.save("go", "")
    kernel.wait(lambda: "1 cell rerun" in notebook.watching.text and later.done)
    assert later.text == "False"


def test_a_cell_that_watches_and_does_more_is_run_again_but_for_the_watching(kernel, project):
    cell = kernel.run(f"%watch_restart src/ --rerun all\n{IMPORT}", cell_id="both")
    kernel.wait(lambda: "running" in cell.text and "value 1" in cell.text)
    project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "1 cell rerun" in cell.text and "value 2" in cell.text)
    assert "value 1" not in cell.text
    assert len([output for output in cell.shown if output["kind"] == "display_data"]) == 1
    assert kernel.run("%watch_status").text.split("\n\n")[0].count("kernel") == 1


def test_this_projects_magics_do_nothing_while_cells_run_again(kernel, project):
    watching = kernel.run("watch_restart src/ --rerun all", cell_id="watch")  # by automagic
    kernel.wait(lambda: "running" in watching.text)
    lines = ("unwatch", "watch_restart src/", "unload_ext ipy_autorestart", "reload_ext ipy_autorestart")
    calls = [f"get_ipython().run_line_magic(*{line.partition(' ')[::2]})" for line in lines]
    cell = kernel.run(f"{IMPORT}\nif a.V > 1:\n    " + "\n    ".join(calls), cell_id="calls")
    for value in (2, 3):
        project.save("src/a.py", f"V = {value}\n")
        kernel.wait(lambda value=value: re.search(rf"· 1 cell rerun.*· {value - 1} restart", watching.text))
        assert cell.text == f"value {value}\n"
    assert len(supervisors(kernel.pid)) == 1


def test_a_cell_that_writes_what_is_watched_is_left_out_and_an_edit_stays(kernel, project):
    without_checkpoints(kernel)  # whatever the machine takes for a cell
    kernel.run("%%writefile src/early.py\nE = 1", cell_id="early")
    notebook = Notebook(kernel, project)
    notebook.run("from pathlib import Path", cell_id="import")
    cells = {  # each restarts the kernel, once
        "tool": "%%writefile src/tool.py\nT = 1",
        "shell": "!echo 'S = 1' > src/shell.py",
        "code": "Path('src/new.py').write_text('N = 1\\n')\nimport os; os.replace('src/new.py', 'src/code.py')",
        "data": "Path('src/data.csv').write_text('1')",
    }
    for cell_id, code in cells.items():
        notebook.run(code, cell_id=cell_id)
        notebook.restarts += cell_id != "data"
        kernel.wait(lambda: re.search(rf"rerun in.*· {notebook.restarts} restart", notebook.watching.text))
    (project / "src/data.csv").unlink()
    for name in ("early", "tool", "shell", "code"):
        notebook.restarts += 1
        project.save(f"src/{name}.py", "EDITED = 1\n")
        kernel.wait(lambda: re.search(rf"rerun in.*· {notebook.restarts} restart", notebook.watching.text))
    told = ", ".join(
        f"cell {n} (writes src/{name}.py)" for n, name in ((2, "early"), (5, "tool"), (6, "shell"), (7, "code"))
    )
    assert "2 cells rerun" in notebook.watching.text
    assert told in notebook.watching.text
    assert all(
        (project / f"src/{name}.py").read_text() == "EDITED = 1\n" for name in ("early", "tool", "shell", "code")
    )
    assert (project / "src/data.csv").read_text() == "1"


def test_cells_run_as_they_stand_in_the_saved_notebook_and_none_that_is_gone(project, start_kernel, monkeypatch):
    path = project / "live.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    with start_kernel() as kernel:
        kernel.run("%load_ext ipy_autorestart")
        notebook = Notebook(kernel, project)
        notebook.run(IMPORT, cell_id="stays")
        notebook.run("if a.V > 1: gone", cell_id="deleted")
        notebook.run("import os; print(os.environ.get('MODE'))", cell_id="shows")
        notebook.run("import os; os.environ['MODE'] = 'new'", cell_id="sets")  # put in above
        shows = notebook.run("import os; print(os.environ.get('MODE'))", cell_id="shows")
        path.write_text(json.dumps({"cells": [{"id": name} for name in ("stays", "sets", "shows")]}))
        later = time.time() + 10
        os.utime(path, (later, later))
        notebook.save(2, until="3 cells rerun")
        assert shows.text == "new\n"


def test_displays_and_widgets_of_its_own_work(notebook, kernel):
    notebook.run(IMPORT)
    shown = notebook.run("from IPython.display import display; handle = display('before', display_id=True)")
    notebook.run("handle.update(f'updated {a.V}')")
    kernel.wait(lambda: "updated 1" in shown.text)
    notebook.save(2)
    assert [output["data"]["text/plain"] for output in shown.outputs] == ["'updated 2'"]


def test_whatever_would_ask_says_so_in_one_line(notebook):
    notebook.run(IMPORT)
    # A line follows, as IPython's debugger fails where it stops in none.
    asking = notebook.run("import pdb\nif a.V == 2: input()\nif a.V == 4: pdb.set_trace()\nlast = 1")
    for value in (2, 4):
        notebook.save(value, until="stopped at cell 4: InputNeeded")
        notebook.kernel.wait(lambda: asking.error.startswith("InputNeeded: no input while cells run again"))
        assert asking.outputs[-1]["traceback"] == [asking.error]


def test_a_debugger_that_opens_after_errors_leaves_them_as_they_are(notebook):
    notebook.run(IMPORT)
    notebook.run("%pdb on")
    failing = notebook.run("1 / (a.V - 2)")
    notebook.save(2, until="stopped at cell 5: ZeroDivisionError")
    assert failing.error == "ZeroDivisionError: division by zero"
    assert [output["kind"] for output in failing.outputs] == ["error"]


def test_an_end_of_the_watch_meanwhile_leaves_a_kernel_that_answers(notebook, kernel):
    notebook.run(IMPORT)
    slow = notebook.run("import time\nif a.V == 2: print('slow'); time.sleep(1)")
    notebook.project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "slow" in slow.streams())
    supervisors(kernel.pid)[0].kill()
    assert notebook.run("print('alive')").streams() == "alive\n"


def test_a_cell_of_a_subshell_beside_it_is_left_alone(notebook, kernel):
    features = kernel.client.kernel_info(reply=True)["content"].get("supported_features", ())
    if "kernel subshells" not in features:
        pytest.skip("this ipykernel has no subshells")
    kernel.client.control_channel.send(kernel.client.session.msg("create_subshell_request"))
    subshell = kernel.client.get_control_msg(timeout=DEADLINE)["content"]["subshell_id"]
    notebook.run(IMPORT)
    slow = notebook.run("import time\nif a.V == 2: print('slow'); time.sleep(1)")
    notebook.project.save("src/a.py", "V = 2\n")
    kernel.wait(lambda: "slow" in slow.streams())
    other = kernel.send("print('beside')", subshell_id=subshell)
    kernel.wait(lambda: other.done and "2 cells rerun" in notebook.watching.text)
    assert list(dict.fromkeys(notebook.of(other))) == ["busy", "execute_input", "stream", "idle"]
    assert (other.streams(), slow.streams()) == ("beside\n", "slow\n")
    codes = [m["content"]["code"] for m in notebook.messages if m["msg_type"] == "execute_input"]
    assert codes[-1] == "print('beside')"


CANCEL = """
import asyncio
for task in asyncio.all_tasks():
    if task is not asyncio.current_task():
        task.cancel()
"""


def test_a_cell_that_cancels_all_other_tasks_stops_nothing(notebook):
    notebook.run(IMPORT)
    cell = notebook.run(CANCEL + "print('cancelled', a.V)")
    last = notebook.run("print('last', a.V)")
    for value in (2, 3):
        notebook.save(value, until="3 cells rerun")
        assert (cell.streams(), last.streams()) == (f"cancelled {value}\n", f"last {value}\n")
        assert notebook.run("#| rerun: false\nprint('alive')", cell_id="alive").streams() == "alive\n"


def test_nbclient_executes_a_notebook_whose_kernel_runs_it_again(project):
    client = documents.client(
        project,
        "%load_ext ipy_autorestart",
        "%watch_restart src/ --rerun all",
        f"{IMPORT}\nopen(f'used-{{a.V}}', 'w').close()",
        "#| rerun: false\nopen('src/a.py', 'w').write('V = 2\\n')\nimport time; time.sleep(0.5); print('saved')",
        "print('now', a.V)",
    )
    with client.setup_kernel():
        for place, cell in enumerate(client.nb.cells):
            client.execute_cell(cell, place)
            if "saved" in str(cell.outputs):  # else the next one would belong to the same batch
                eventually((project / "used-2").exists)
    assert documents.texts(client)[2:] == ["value 1\n", "saved\n", "now 2\n"]


def test_the_console_shows_them_as_they_come(kernel, project):
    """With the option by which it reads at all while it prompts: else libzmq subscribes anew only at the next cell."""
    shell = Shell()
    try:
        option = "--ZMQTerminalInteractiveShell.include_other_output=True"
        shell.start_console(kernel.manager.connection_file, option)
        shell.run("%watch_restart src/ --rerun all", r"kernel · running[\s\S]*In \[\d+\]:")
        shell.run(IMPORT, r"value 1[\s\S]*In \[\d+\]:")
        kernel.pump(0.5)
        project.save("src/a.py", "V = 2\n")
        kernel.wait(lambda: "value 2" in str(kernel.others))
        shell.wait("value 2")
        shell.run("print('then', a.V)", "then 2")
    finally:
        shell.close()


def test_a_terminal_runs_them_before_its_first_prompt(project):
    startup = Path(os.environ["IPYTHONDIR"], "profile_default/startup")
    startup.mkdir(parents=True)
    (startup / "stop.py").write_text(f"{STOP}\nstop('in the new image')\n")
    shell = Shell()
    try:
        shell.shell.sendline(f"{sys.executable} -m IPython --no-banner --no-confirm-exit --colors=NoColor")
        shell.wait(r"In \[1\]:$")
        shell.run("%load_ext ipy_autorestart", r"In \[2\]:$")
        shell.run("%watch_restart src/ --rerun all", r"kernel · running[^⟳]*In \[3\]:$")
        shell.run(IMPORT, r"value 1\s+In \[4\]:$")
        shell.run("a.V *= 10", r"In \[5\]:$")
        shell.run("a.NEW", r"AttributeError[\s\S]*In \[6\]:$")
        shell.run("a.V *= 10", r"In \[7\]:$")
        shell.run("a.V", r"100\s+In \[8\]:$")
        shell.clear()
        project.save("src/a.py", "V = 2\n")
        first, twice, failed = r"In \[3\]: import sys[\s\S]*value 2", r"In \[4\]: a.V \*= 10", r"In \[5\]: a.NEW"
        last = r"In \[7\]: a.V[\s\S]*200"
        told = r"5 cells rerun in \S+ \S+ · failed as before: cell 5[\s\S]*In \[8\]:$"
        shell.wait(r"[\s\S]*".join([first, twice, failed, twice.replace("4", "6"), last, told]))
        shell.run("In[6], Out[7]", r"\('a.V \*= 10', 200\)")
        (project / "in the new image").touch()  # Ctrl-C while it starts
        shell.clear()
        project.save("src/a.py", "V = 3\n")
        shell.wait(r"stopped before cell 3: interrupted · cells 3–8 show old output[\s\S]*In \[9\]:$")
    finally:
        shell.close()


def test_the_cell_that_loads_the_extension_has_not_written_what_was_there_before(start_kernel, project):
    with start_kernel() as kernel:
        pass_time(0.1)  # the files are older than the cell
        kernel.run("%load_ext ipy_autorestart\nprint('loads')", cell_id="load")
        notebook = Notebook(kernel, project)
        notebook.run(IMPORT)
        notebook.save(2)
        assert "left out" not in notebook.watching.text
