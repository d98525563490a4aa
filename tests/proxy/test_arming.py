"""A running kernel goes behind a proxy in place: its memory, its watches and its clients stay."""

import re

import psutil
import pytest
from behind import live, until_armed
from patience import PATIENT
from play import Cell, until_ready
from processes import words_of
from traffic import Client
from waiting import DEADLINE, eventually, pass_time

pytestmark = pytest.mark.e2e

USE = "import sys; sys.path.insert(0, 'src'); import a; print('value', a.V)"


#: What libraries have open: SQLite opens its file in a way of its own, and a tracker lives as long as its pipe.
OTHERS = """
import sqlite3
from multiprocessing import resource_tracker
with sqlite3.connect("t.sqlite") as table:
    table.executescript("drop table if exists t; create table t (v); insert into t values (7)")
table.close()
table = sqlite3.connect("file:t.sqlite?mode=ro", uri=True)
assert table.execute("select * from t").fetchall() == [(7,)]
resource_tracker.ensure_running()
"""


def watch(kernel, options="--rerun all"):
    assert kernel.run("%load_ext ipy_autorestart").error == ""
    kernel.client.execute(PATIENT, silent=True, store_history=False)
    pass_time(0.05)  # files are older than the first cell
    cell = kernel.run(f"%watch_restart src/ {options}", cell_id="watch")
    kernel.wait(lambda: "running" in cell.text)
    return cell


#: The first cell of a notebook.
FIRST = f"%load_ext ipy_autorestart\n{PATIENT}"

LOAD = "with open('runs', 'a') as runs: print('load', file=runs)\nimport os, time; time.sleep(1.1); data = [7]"


def run_all(kernel, *codes):
    """Send cells at once, as a front end does: one that fails aborts those behind it."""
    cells = [Cell(kernel.client.execute(code), code) for code in codes]
    kernel.cells.update({cell.id: cell for cell in cells})
    return cells


def until_ended(kernel, *cells):
    kernel.wait(lambda: all(cell.done for cell in cells))


def save(kernel, project, watching, value, number):
    project.save("src/a.py", f"V = {value}\n")
    kernel.wait(lambda: re.search(rf"rerun in.*· {number} restart", watching.text))


def test_memory_outputs_and_watches_stay(kernel, project):
    kernel.run("data = list(range(5)); import os; f = open('src/a.py'); f.readline()")
    assert kernel.run(OTHERS).error == ""
    use = kernel.run(USE)
    watching = watch(kernel)
    until_armed(kernel)
    assert kernel.run("data, f.tell()").text == "([0, 1, 2, 3, 4], 6)"
    assert kernel.run("os.getppid()").text == str(kernel.pid)
    assert kernel.run("table.execute('select * from t').fetchall()").text == "[(7,)]"
    assert kernel.run("os.path.exists(f'/proc/{resource_tracker._resource_tracker._pid}')").text == "True"
    out = kernel.run("print('out', flush=True); os.system('echo child')")
    kernel.wait(lambda: out.streams() == "out\nchild\n")
    assert kernel.run("get_ipython().execution_count > 5").text == "True"
    save(kernel, project, watching, 2, 1)
    assert use.streams() == "value 2\n"
    assert kernel.run("data").text == "[0, 1, 2, 3, 4]"


def test_the_first_restart_after_it_is_by_the_proxy(kernel, project):
    watching = watch(kernel)
    use = kernel.run(USE)
    until_armed(kernel)
    first = live(kernel)
    for number in (1, 2):
        save(kernel, project, watching, number + 1, number)
        assert use.streams() == f"value {number + 1}\n"
    assert live(kernel) not in (first, kernel.pid)
    assert "by exec" not in watching.text


def test_no_request_is_lost(kernel, project):
    kernel.run(f"%load_ext ipy_autorestart\n{PATIENT}")
    clients = [Client(kernel.manager, name, every=0.02) for name in ("one", "two")]
    for client in clients:
        client.start()
    watches = "%watch_restart src/ --rerun all"
    *others, last = run_all(kernel, watches, LOAD, "os.getppid()")  # which waits for it, with what comes meanwhile
    until_ended(kernel, *others, last)
    assert last.text == str(kernel.pid)
    assert [client.finish() for client in clients] == [{}, {}]


def test_a_client_that_looks_late_has_missed_nothing(kernel, project):
    """libzmq subscribes again only when the client's program looks at that socket: a busy server does so late."""
    kernel.run("%load_ext ipy_autorestart")
    late = kernel.manager.blocking_client()
    late.start_channels(shell=False, stdin=False, hb=False, control=False)
    eventually(lambda: kernel.run("1") and late.iopub_channel.msg_ready())
    watch(kernel)
    until_armed(kernel)
    cell = kernel.run("print('meanwhile')")
    pass_time(0.3)  # the proxy waits for nobody any more
    later = kernel.send("print('later')")
    heard = {cell.id: [], later.id: []}
    while "idle" not in heard[later.id]:
        message = late.get_iopub_msg(timeout=DEADLINE)
        kind, content = message["msg_type"], message["content"]
        heard.get(message["parent_header"].get("msg_id"), []).append(content.get("execution_state", kind))
    assert list(heard.values()) == [["busy", "execute_input", "stream", "idle"]] * 2
    kernel.wait(lambda: later.idle)
    assert [cell.streams(), later.streams()] == ["meanwhile\n", "later\n"]
    late.stop_channels()


#: Memory that is kept from copies, which only a copy notices; and nobody has to wait for children.
KEPT = """
import mmap, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
kept = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
kept.madvise(mmap.MADV_DONTFORK)
"""


@pytest.mark.parametrize(
    "what", ["import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", KEPT]
)
def test_what_a_copy_would_lack_puts_it_off_until_the_next_restart(kernel, project, what):
    kernel.run(what)
    watching = watch(kernel)
    kernel.run(USE)
    kernel.look_on(1.0)
    assert live(kernel) == kernel.pid
    save(kernel, project, watching, 2, 1)
    assert live(kernel) != kernel.pid


def runs_of(kernel, name):
    """Return the processes below a kernel that run a script; some may end meanwhile."""
    return {one.pid for one in psutil.Process(kernel.pid).children(recursive=True) if name in words_of(one)}


def test_a_script_that_is_watched_goes_on(kernel, project):
    project.script("import time; print('script'); time.sleep(600)")
    script = kernel.run("%watch_restart src/ main.py")
    kernel.wait(lambda: "script" in script.text)
    first = runs_of(kernel, "main.py")
    watch(kernel)
    until_armed(kernel)
    assert runs_of(kernel, "main.py") & first
    kernel.run("%watch_restart --now main.py")
    kernel.wait(lambda: "asked by hand" in script.text)
    eventually(lambda: runs_of(kernel, "main.py") - first)


def test_another_client_gets_through(kernel, project):
    watch(kernel)
    until_armed(kernel)
    other = kernel.manager.blocking_client()
    other.start_channels(hb=True)
    until_ready(other)
    assert other.is_alive()
    other.stop_channels()
    other.context.destroy()


def test_cells_that_are_all_sent_at_once_are_behind_a_proxy_as_soon_as_something_is_loaded(start_kernel, project):
    watches = "%watch_restart src/ --rerun all"
    fails = "time.sleep(0.3); 1/0"  # those behind it have been read by then
    with start_kernel() as kernel:
        cells = run_all(kernel, FIRST, watches, LOAD, f"{USE}; print(data, os.getppid())", fails, "print('never')")
        until_ended(kernel, *cells)
        assert [cell.reply["status"] for cell in cells] == ["ok", "ok", "ok", "ok", "error", "aborted"]
        assert [cell.reply.get("execution_count") for cell in cells] == [1, 2, 3, 4, 5, None]
        assert cells[3].streams() == f"value 1\n[7] {kernel.pid}\n"
        kernel.wait(lambda: "running" in cells[1].text)
        save(kernel, project, cells[1], 2, 1)
        assert cells[3].streams() == f"value 2\n[7] {kernel.pid}\n"
        assert "back to cell 3" in cells[1].text
        assert (project / "runs").read_text() == "load\n"


def test_so_are_cells_of_which_each_is_sent_after_the_reply_to_the_one_before(start_kernel, project):
    with start_kernel() as kernel:
        _, watching, _, use = (kernel.run(code) for code in (FIRST, "%watch_restart src/ --rerun all", LOAD, USE))
        kernel.wait(lambda: "running" in watching.text)
        until_armed(kernel)
        save(kernel, project, watching, 2, 1)
        assert use.streams() == "value 2\n"
        assert (project / "runs").read_text() == "load\n"


@pytest.mark.parametrize("options", ["--rerun all", "--checkpoints"])
def test_an_interrupt_meanwhile_is_for_the_cell_that_waits(start_kernel, project, options):
    with start_kernel() as kernel:
        cells = run_all(kernel, FIRST, f"%watch_restart src/ {options}", LOAD, "time.sleep(60)")
        eventually(lambda: any("proxy" in word for word in words_of(psutil.Process(kernel.pid))))
        kernel.manager.interrupt_kernel()
        until_ended(kernel, *cells)
        assert [cell.reply["status"] for cell in cells] == ["ok", "ok", "ok", "error"]
        assert cells[3].error == "KeyboardInterrupt: "
        assert kernel.run("data, os.getppid()").text == f"([7], {kernel.pid})"
