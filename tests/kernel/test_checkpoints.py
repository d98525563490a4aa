"""A kernel goes back to what it was before a file was used, and runs again only what came after."""

import contextlib
import os
import re
import signal
from pathlib import Path

import length
import psutil
import pytest
from checkpointed import SLOW, WATCH, Checkpointed
from play import kernel as real_kernel
from project import Project
from surroundings import SHARED_PORTS, environment
from waiting import DEADLINE, eventually, pass_time

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("checkpoints")]

#: What tests save, each its own: they share a kernel.
MODULES = (
    "kept",
    "early",
    "late",
    "program",
    "crash",
    "parked",
    "chance",
    "comms",
    "child",
    "thread",
    "quick",
    "undone",
    "moments",
)

#: Saves at moments that are spread over what a save leads to.
MOMENTS = length.restarts(8)


@pytest.fixture(scope="module")
def whole_life(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    project = Project(folder / "project")
    for name in MODULES:
        project.save(f"src/{name}.py", "V = 1\n")
    variables = {**environment(), "IPYTHONDIR": str(folder / "ipython")}
    with real_kernel(cwd=str(project), env=variables) as player:
        ports = {port for name, port in player.manager.get_connection_info().items() if name.endswith("_port")}
        SHARED_PORTS.update(ports)
        player.client.session.copy_threshold = 1 << 30  # pyzmq keeps a thread for ever for what isn't copied
        life = Checkpointed(player, project)
        life.until_armed()
        yield life
        SHARED_PORTS.difference_update(ports)


@pytest.fixture
def life(whole_life):
    """One kernel for all tests, and a page without the cells of the tests before."""
    for key in list(whole_life.shown):
        if key not in ("extension", "watch", "set up"):
            whole_life.delete(key)
    (whole_life.project / "runs").write_text("")
    return whole_life


def test_what_was_loaded_is_kept_and_what_has_seen_the_change_runs_again(life):
    life.do("mark", "#| rerun: false\nmarked = [1]")
    life.load("load", "loaded = object(); first = id(loaded)")
    life.do("use", "import kept; print(kept.V)")
    life.noted("other", "print(id(loaded) == first, marked)")
    lives, number = {life.live}, life.ask("get_ipython().execution_count")
    for value in (2, 3):
        life.save("src/kept.py", f"V = {value}\n")
        assert life.shows("use") == f"{value}\n"
        assert life.shows("other") == "True [1]\n"
        assert re.search(r"· back to cell \d+ in .*, saved .* · 2 cells rerun", life.status)
        assert life.ask("get_ipython().execution_count") == number
        lives.add(life.live)
    assert len(lives) == 3
    assert (life.runs("load"), life.runs("other")) == (1, 3)


def test_a_file_that_was_used_earlier_goes_further_back(life):
    life.load("first")
    life.do("early", "import early; print(early.V)")
    life.load("second", "before = early.V")
    life.do("late", "import late; print(before, late.V)")
    for value in (2, 3):
        life.save("src/late.py", f"V = {value}\n")
        assert life.shows("late") == f"1 {value}\n"
    assert life.runs("second") == 1
    life.save("src/early.py", "V = 2\n")
    assert life.shows("early") == "2\n"
    assert life.shows("late") == "2 3\n"
    assert (life.runs("first"), life.runs("second")) == (1, 2)
    life.save("src/late.py", "V = 4\n")  # by a checkpoint that was made as the cells ran again
    assert life.shows("late") == "2 4\n"
    assert (life.runs("first"), life.runs("second")) == (1, 2)


def test_a_cell_that_starts_a_program_may_have_used_anything(life):
    life.load("load")
    life.noted("program", "import subprocess; subprocess.run(['true'])")
    life.load("more")
    life.do("use", "import program; print(program.V)")
    life.save("src/program.py", "V = 2\n")
    assert life.shows("use") == "2\n"
    assert (life.runs("load"), life.runs("program"), life.runs("more")) == (1, 2, 2)
    life.delete("program")
    life.do("use", "import program; print(program.V)")
    life.save("src/program.py", "V = 3\n")
    life.save("src/program.py", "V = 4\n")
    assert life.shows("use") == "4\n"
    assert (life.runs("load"), life.runs("more")) == (1, 3)


READS = """
import ctypes
sys.modules["h5py"] = ctypes  # stands for a library that opens files by itself
fd = ctypes.CDLL(None).open(b"data/table.txt", os.O_RDONLY)
table = os.read(fd, 99).decode(); os.close(fd)
"""


def test_what_c_code_may_have_read_before_goes_back_to_before_that(start_kernel, project):
    """Python hears nothing of its first use, but of the second."""
    project.save("data/table.txt", "1")
    with start_kernel() as player:
        life = Checkpointed(player, project)
        life.until_armed()
        life.load("first")
        life.load("read", READS)
        life.load("look", "print(len(open('data/table.txt').read()))")
        life.do("use", "print(table)")
        life.save("data/table.txt", "2")
        assert life.shows("use") == "2\n"
        assert (life.runs("first"), life.runs("read")) == (1, 2)


def test_a_save_right_after_a_reply_is_not_missed(life):
    life.load("load")
    for value in range(2, 7):
        life.do("use", "import quick; print(quick.V)", until="reply")
        life.save("src/quick.py", f"V = {value}\n")
        life.wait(lambda value=value: life.shows("use") == f"{value}\n")


def test_a_save_at_any_moment_of_a_restart_a_rerun_and_a_checkpoint_is_not_missed(life):
    life.load("load")
    life.do("use", "import moments; print(moments.V)")
    life.load("long", "print(moments.V)")  # after which there is a checkpoint in each rerun
    for number in range(1, MOMENTS + 1):
        life.ask("get_ipython()._ipy_autorestart.supervisors[0].resume()")
        life.project.save("src/moments.py", f"V = {10 * number}\n")
        pass_time(number * 0.067 % 0.55)
        life.project.save("src/moments.py", f"V = {10 * number + 1}\n")
        new = f"{10 * number + 1}\n"
        life.wait(lambda new=new: life.shows("use") == life.shows("long") == new, what=new)
    life.restarts = int(re.search(r"(\d+) restart", life.status)[1])
    assert life.runs("load") == 1


def test_chance_and_places_in_open_files_are_those_of_then(life):
    (life.project / "lines").write_text("one\ntwo\nthree\nfour\n")
    life.do("open", "import random; random.seed(7); file = open('lines'); print(file.readline().strip())")
    life.load("load", "env = os.environ['NB_X'] = 'x'; os.chdir('data'); rolled = [random.random()]")
    life.do("use", "import chance; print(chance.V)")
    code = (
        "print(file.readline().strip(), random.random(), os.environ['NB_X'], os.getcwd())\n"
        "os.environ['NB_X'] += 'y'; os.chdir('/')"
    )
    life.do("go on", code)
    expected = life.shows("go on")
    assert expected.startswith("two 0.")
    assert expected.split()[2:] == ["x", str(life.project / "data")]
    for value in (2, 3):
        life.save("src/chance.py", f"V = {value}\n")
        assert life.shows("use") == f"{value}\n"
        assert life.shows("go on") == expected
    life.do("back", "file.close(); os.chdir('..'); os.chdir(" + repr(str(life.project)) + ")")


COMM = """
from comm import create_comm
{name} = create_comm(target_name="page", data={{}})
{name}_heard = []
{name}.on_msg(lambda message: {name}_heard.append(message["content"]["data"]))
"""


def test_comms_of_then_go_on_and_those_made_since_are_closed(life):
    life.do("one", COMM.format(name="one"))
    life.load("load")
    life.do("use", "import comms; print(comms.V)")
    life.do("two", "#| rerun: false\n" + COMM.format(name="two"))
    one, two = life.ask("one.comm_id"), life.ask("two.comm_id")
    life.comms.clear()
    life.save("src/comms.py", "V = 2\n")
    life.wait(lambda: any(message["msg_type"] == "comm_close" for message in life.comms))
    closed = [message["content"]["comm_id"] for message in life.comms if message["msg_type"] == "comm_close"]
    assert closed == [two]
    life.client.shell_channel.send(life.client.session.msg("comm_msg", {"comm_id": one, "data": {"value": 5}}))
    assert life.ask("one_heard") == [{"value": 5}]
    life.comms.clear()
    life.do("say", "one.send({'value': 6})")
    life.wait(lambda: {"comm_id": one, "data": {"value": 6}} in [message["content"] for message in life.comms])


INTERRUPTED = """
count = 0
for _ in range(2):
    try:
        print("sleeps", flush=True); time.sleep(0.5 if count else 30)
    except KeyboardInterrupt:
        count += 1
print("interrupts", count)
"""


def was_interrupted(pid):
    """Whether a process was sent a SIGINT that it has not taken."""
    pending = re.findall(r"(?:SigPnd|ShdPnd):\s(\w+)", Path(f"/proc/{pid}/status").read_text())
    return any(int(mask, 16) & 1 << signal.SIGINT - 1 for mask in pending)


def test_an_interrupt_reaches_the_live_kernel_alone(life):
    life.load("load")
    life.do("use", "import parked; print(parked.V)")
    life.save("src/parked.py", "V = 2\n")
    assert life.parked
    parked = life.parked
    cell = life.begin("interrupted", INTERRUPTED)
    life.wait(lambda: "sleeps" in cell.text)
    life.manager.interrupt_kernel()
    life.until_idle()
    assert cell.streams() == "sleeps\nsleeps\ninterrupts 1\n"
    assert not any(map(was_interrupted, parked))


LOOK = """
import psutil
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("none")
print(psutil.Process().children(recursive=True))
"""


def test_processes_that_make_and_are_checkpoints_are_none_of_the_users(life):
    life.load("load")
    life.do("use", "import parked; print(parked.V)")
    life.save("src/parked.py", "V = 3\n")
    assert life.do("look", LOOK).streams() == "none\n[]\n"
    assert life.parked
    assert all(psutil.Process(pid).ppid() == life.pid for pid in [*life.parked, life.live])


def test_what_cleans_up_at_the_end_of_the_kernel_is_not_kept_from_its_own(life):
    life.load("load", "from multiprocessing import resource_tracker; resource_tracker.ensure_running()")
    assert life.parked
    stop = "resource_tracker._resource_tracker._stop()"  # as it does itself in newer Pythons: it waits for its end
    assert life.do("end", stop).error == ""


def test_its_history_goes_on(life):
    life.load("load")
    life.do("use", "import parked; print(parked.V)")
    life.do("before", "'in the history before'")
    life.save("src/parked.py", "V = 4\n")
    life.do("then", "'in the history then'")
    assert "'in the history then'" in life.do("show", "%history -l 2").streams()
    manager = "get_ipython().history_manager"
    twice = f"list({manager}.db.execute('select count(*) n from history group by session, line having n > 1'))"
    assert life.ask(twice) == []
    assert "in the history before" in life.do("search", "%history -g in the history").streams()


def test_what_exit_functions_would_remove_is_kept_and_what_was_started_since_ends(life):
    life.do(
        "folder", "import atexit, tempfile; folder = tempfile.TemporaryDirectory(); atexit.register(os.mkdir, 'ended')"
    )
    life.load("load")
    life.do("use", "import child; print(child.V, os.path.isdir(folder.name))")
    life.do(
        "child", "#| rerun: false\nimport subprocess; sleeper = subprocess.Popen(['sleep', '1000']); print(sleeper.pid)"
    )
    child = psutil.Process(int(life.shows("child")))
    life.save("src/child.py", "V = 2\n")
    assert life.shows("use") == "2 True\n"
    assert not (life.project / "ended").exists()
    eventually(lambda: not child.is_running(), what="the end of what the kernel before has started")
    life.do("clean", "atexit.unregister(os.mkdir); folder.cleanup()")


SHARED = """
import child
from multiprocessing.shared_memory import SharedMemory
shared = [SharedMemory(create=True, size=1, name=f"{name}-{{number}}") for number in range({count})]
print(child.V)
"""


def test_shared_memory_that_was_made_since_is_given_back_before_cells_run_again(life):
    name, count = f"it-{os.getpid()}", 300
    life.load("load")
    life.do("share", SHARED.format(name=name, count=count))
    for value in (3, 4):
        life.save("src/child.py", f"V = {value}\n")
        assert "back to" in life.status
        assert life.shows("share") == f"{value}\n"
    assert len(list(Path("/dev/shm").glob(f"{name}-*"))) == count
    life.do("end", "for one in shared: one.close(); one.unlink()")


def test_there_is_none_after_what_a_copy_cannot_carry_and_the_status_says_why(life):
    life.load("load")
    made = life.noted(
        "thread", "import threading; stop = threading.Event(); mine = threading.Thread(target=stop.wait); mine.start()"
    )
    assert made.error == ""
    life.noted("more", SLOW)
    life.do("use", "import thread; print(thread.V)")
    assert re.search(r"no checkpoint after cell \d+: 1 thread", life.do("why", "%watch_status").text)
    life.save("src/thread.py", "V = 2\n")
    assert life.shows("use") == "2\n"
    assert (life.runs("load"), life.runs("thread"), life.runs("more")) == (1, 2, 2)
    life.do("end", "stop.set(); mine.join()")
    assert life.ask("mine.is_alive()") is False


def test_a_checkpoint_that_was_killed_is_done_without(life):
    life.load("first")
    life.load("second")
    life.do("use", "import late; print(late.V)")
    newest = life.parked[-1]
    os.kill(newest, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(newest))
    life.save("src/late.py", "V = 7\n")
    assert life.shows("use") == "7\n"
    assert life.runs("second") == 2


def test_a_person_can_go_back_before_a_cell_that_has_spoilt_something(life):
    life.load("load", "values = [1]")
    number = life.ask("get_ipython().execution_count")
    life.noted("spoil", "values.clear()")
    life.noted("look", "print(values)")
    life.do("back", f"%watch_restart --back {number}")
    life.until_restarted()
    assert re.search(rf"back to cell \d+ in .*, as asked; cells {number}–{number + 1} are undone", life.status)
    assert life.ask("values") == [1]
    assert (life.runs("load"), life.runs("spoil"), life.runs("look")) == (1, 1, 1)
    assert life.do("look", "print(values)").streams() == "[1]\n"


def test_going_back_is_forgotten_with_the_watch_that_ends_before(life):
    life.load("load")
    life.do("use", "import undone; print(undone.V)")
    life.watching = life.do("watch", f"%watch_restart --back\n{WATCH} --rerun all")
    life.wait(lambda: "running" in life.status)
    life.restarts = 0
    life.save("src/undone.py", "V = 2\n")
    assert life.shows("use") == "2\n"
    assert "as asked" not in life.status


def test_the_start_is_the_last_resort(life):
    life.load("load")
    life.do("use", "import late; print(late.V)")
    life.save("data/never_opened.txt", "1")
    assert "back to" not in life.status
    assert life.runs("load") == 2
    os.kill(life.pid, signal.SIGHUP)  # of somebody else
    life.until_restarted()
    assert "back to" not in life.status
    assert life.runs("load") == 3
    life.save("src/late.py", "V = 8\n")
    assert life.shows("use") == "8\n"
    assert life.runs("load") == 3


@pytest.mark.parametrize("how", ["by a cell", "while idle"])
def test_a_crash_goes_back_to_the_newest(start_kernel, project, how):
    with start_kernel() as player:
        life = Checkpointed(player, project)
        life.until_armed()
        life.load("load")
        life.do("x", "x = 5")
        if how == "by a cell":
            life.noted("deleted", "import a")
            life.delete("deleted")
            cell = life.begin("crash", "os.kill(os.getpid(), 9)")
            life.wait(lambda: cell.done)
            assert cell.error.startswith("KernelDied")
        else:
            os.kill(life.live, signal.SIGKILL)
        life.until_restarted()
        assert re.search(r"the kernel was ended by SIGKILL .*; back to cell \d+", life.status)
        assert life.ask("x") == 5
        life.do("use", "import a; print(a.V)")
        life.save("src/a.py", "V = 2\n")
        assert life.shows("use") == "2\n"
        assert (life.runs("load"), life.runs("deleted")) == (1, how == "by a cell")


def processes(pid):
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def test_nothing_outlives_the_proxy(start_kernel, project):
    with start_kernel() as player:
        life = Checkpointed(player, project)
        life.until_armed()
        life.load("load")
        life.do("use", "import a; print(a.V)")
        life.save("src/a.py", "V = 2\n")

        def with_checkpoints():  # on a busy machine there is one more behind a cell that was slow
            parked, ours = life.parked, processes(life.pid)
            return ours if set(parked) < {one.pid for one in ours} else None

        ours = eventually(with_checkpoints)
        os.kill(life.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(ours[1:], timeout=DEADLINE)
        assert alive == []


#: Bytes of a control group's memory, and how many are left where memory is short: less than a twentieth.
MOST, LITTLE = 600 << 20, 28 << 20

#: It is looked at once a second; what is ended meanwhile leaves more again.
HOLD = f"""
held = []
while any(os.path.exists("/proc/" + str(pid)) for pid in {{parked}}):
    while {MOST} - int(open({{usage!r}}).read()) > {LITTLE}:
        held.append(b"x" * (2 << 20))
    time.sleep(1.1)
"""


class Group:
    """A control group of processes, which have so much memory together (cgroups(7))."""

    def __init__(self):
        places = (("/sys/fs/cgroup/memory", "limit_in_bytes", "usage_in_bytes"), ("/sys/fs/cgroup", "max", "current"))
        for top, limit, usage in places:
            self._folder = Path(top, f"it-{os.getpid()}")
            self.usage = str(self._folder / f"memory.{usage}")
            with contextlib.suppress(OSError):
                self._folder.mkdir()
                if (self._folder / f"memory.{limit}").exists():
                    (self._folder / f"memory.{limit}").write_text(str(MOST))
                    return
                self._folder.rmdir()
        pytest.skip("no control group with a limit of memory can be made")

    def add(self, pid):
        (self._folder / "cgroup.procs").write_text(str(pid))

    def close(self):
        eventually(lambda: not (self._folder / "cgroup.procs").read_text())
        self._folder.rmdir()


@pytest.fixture
def group():
    group = Group()
    yield group
    group.close()


def test_where_a_control_group_comes_near_its_limit_checkpoints_go_and_the_kernel_stays(start_kernel, project, group):
    with start_kernel() as player:
        life = Checkpointed(player, project)
        life.until_armed()
        for one in processes(life.pid):
            group.add(one.pid)
        life.load("load")
        life.do("use", "import a; print(a.V)")
        live, parked = life.live, life.parked
        assert parked
        assert life.do("hold", HOLD.format(parked=parked, usage=group.usage)).error == ""
        assert life.ask("sum(map(len, held))") > MOST / 2
        assert life.live == live
        life.delete("hold")
        life.do("free", "globals().pop('held', None);")
        life.save("src/a.py", "V = 2\n")
        assert life.shows("use") == "2\n"
        assert life.runs("load") == 2


def test_without_rerun_the_state_goes_back_and_the_cells_are_named(start_kernel, project):
    with start_kernel() as player:
        life = Checkpointed(player, project, "--checkpoints")
        life.until_armed()
        life.load("load", "loaded = 1")
        life.do("use", "import a; print(a.V)")
        life.save("src/a.py", "V = 2\n")
        assert re.search(r"back to cell \d+ in .*, saved .*cell \d+ is to be run again", life.status)
        assert life.shows("use") == "1\n"
        assert life.ask("loaded, 'a' in globals()") == (1, False)
        assert life.do("use", "import a; print(a.V)").streams() == "2\n"


def test_what_was_put_back_counts_if_it_was_used_in_between(start_kernel, project):
    extra, data = project / "src/extra.py", project / "data/one.txt"
    data.parent.mkdir()
    data.write_text("as it was")
    missed = "try:\n    import extra\n    print(extra.V)\nexcept ImportError:\n    print('none')"
    read = f"print(open({str(data)!r}).read())"
    with start_kernel() as player:
        life = Checkpointed(player, project, "--rerun all --debounce 1.5")
        life.until_armed()
        for key, code, shown in (("missed", missed, "none\n"), ("read", read, "as it was\n")):
            assert life.do(key, code).streams() == shown
        extra.write_text("V = 2\n")
        assert life.do("missed", missed).streams() == "2\n"
        extra.unlink()
        life.until_restarted()
        assert life.shows("missed") == "none\n"
        data.write_text("otherwise")
        assert life.do("read", read).streams() == "otherwise\n"
        data.write_text("as it was")
        life.until_restarted()
        assert life.shows("read") == "as it was\n"


def test_cold_makes_none(start_kernel, project):
    with start_kernel() as player:
        life = Checkpointed(player, project, "--rerun all --cold")
        life.noted("load", SLOW)
        life.do("use", "import a; print(a.V)")
        life.save("src/a.py", "V = 2\n")
        assert "back to" not in life.status
        assert life.runs("load") == 2
