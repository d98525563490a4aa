"""What keeps a run's memory until it has ended, so that nobody waits for the system to take it back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import eventually

import ipy_autorestart

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="fork servers are made on Linux only"),
]

SHIM = Path(ipy_autorestart.__file__).parent / "script/shim"

# A parent, and a run whose memory is held: as with the supervisor, the holder is the parent's child.
PARENT = """
import ctypes, json, os, sys
sys.path.insert(0, {shim!r})
import _ipy_autorestart_memory as memory
memory.HEAD_START = {head_start}
{parent}
read, write = os.pipe()
run = os.fork()
if run == 0:
    {first}
    holder = memory.hold()
    os.write(write, b"%10d" % holder)
    {last}
    os._exit(0)
holder = int(os.read(read, 10))
found = dict(run=run, holder=holder)
{then}
print(json.dumps(found), flush=True)
"""


def held(*, first="pass", last="sys.stdin.read()", then="", parent="", head_start=0):
    """Have a run held, and return what its parent found; the run goes on until the parent's input ends."""
    code = PARENT.format(shim=str(SHIM), first=first, last=last, then=then, parent=parent, head_start=head_start)
    done = subprocess.run([sys.executable, "-c", code], input="", capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return json.loads(done.stdout)


LOOK = """
import select
assert os.waitpid(holder, os.WNOHANG) == (0, 0)
found.update(
    session=os.getsid(holder),
    descriptors=os.listdir(f"/proc/{holder}/fd"),
    same=open(f"/proc/{holder}/maps").read() == open(f"/proc/{run}/maps").read(),
)
"""


def test_it_shares_the_memory_and_nothing_else():
    found = held(last="import signal; signal.pause()", then=LOOK + "os.kill(run, 9)")
    assert found["same"]
    assert found["session"] == found["holder"]
    assert found["descriptors"] == []


TOLD = """
os.kill(run, 9)
os.waitpid(run, 0)
found.update(alive=os.waitpid(holder, os.WNOHANG) == (0, 0), kept=bool(open(f"/proc/{holder}/maps").read()))
os.waitpid(holder, 0)
"""


def test_the_end_is_told_while_the_memory_is_still_there():
    found = held(last="import signal; signal.pause()", then=TOLD, head_start=500_000)
    assert found["alive"]
    assert found["kept"]


@pytest.mark.parametrize(
    "last",
    [
        "os._exit(3)",
        "sys.exit(3)",
        "os.kill(os.getpid(), 9)",
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.kill(os.getpid(), 11)",
        "os.kill(os.getpid(), 6)",
        "os.execv('/bin/sleep', ['sleep', '0'])",
        "import threading; threading.Thread(target=os._exit, args=(0,)).start(); threading.Event().wait()",
    ],
)
def test_it_ends_with_the_run_however_that_ends(last):
    found = held(last=last, then="found['ended'] = os.waitpid(holder, 0)[1]; os.waitpid(run, 0)")
    assert found["ended"] == 0


def test_another_program_in_the_place_of_the_run_is_not_held():
    then = "found['ended'] = os.waitpid(holder, 0)[1]; found['runs'] = os.waitpid(run, os.WNOHANG) == (0, 0)"
    found = held(last="os.execv('/bin/sleep', ['sleep', '60'])", then=then + "; os.kill(run, 9)")
    assert found["ended"] == 0
    assert found["runs"]


def test_signals_that_a_process_can_block_do_not_end_it():
    each = "for one in (1, 2, 3, 10, 14, 15, 17): os.kill(holder, one)\n"
    found = held(last="import signal; signal.pause()", then=each + LOOK + "os.kill(run, 9)")
    assert found["same"]


def test_the_run_has_no_child_for_it():
    last = """
    try: os.write(write, str(os.wait()).encode())
    except ChildProcessError: os.write(write, b"none")
    """
    assert held(last=last, then="found['child'] = os.read(read, 100).decode()")["child"] == "none"


def test_what_the_run_blocks_is_as_it_was():
    first = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])"
    last = "os.write(write, str(signal.pthread_sigmask(signal.SIG_BLOCK, [])).encode())"
    found = held(first=first, last=last, then="found['mask'] = os.read(read, 100).decode()")
    assert found["mask"] == str({signal.SIGUSR1})


@pytest.mark.parametrize(
    "first",
    [
        "del sys.modules['ctypes']",
        "memory.FUTEX.clear()",
        "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)); os.getuid() or os.setuid(65534)",
    ],
)
def test_where_there_can_be_none_the_run_goes_on_without(first):
    then = "found['status'] = os.waitpid(run, 0)[1]"
    assert held(first=first, last="pass", then=then) | {"run": 0} == {"run": 0, "holder": 0, "status": 0}


CHECK = """
from ipy_autorestart.script.holder import Holder
keeper = Holder(holder)
os.write(go, b"g")
os.read(done, 1)
END = lambda: (os.kill(run, 9), os.waitpid(run, 0))
{order}
try: found["kept"] = os.waitpid(holder, os.WNOHANG) == (0, 0)
except ChildProcessError: found["kept"] = False
keeper.check()  # nothing more to do, and nobody else's process is touched
keeper.close()
"""


@pytest.mark.parametrize("order", ["keeper.check(); END()", "END(); keeper.check()"])
@pytest.mark.parametrize(
    ("act", "kept"),
    [
        ("pass", True),
        ("held = bytearray(b'x' * 10_000_000)", True),
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", True),
        ("held = bytearray(b'x' * 300_000_000)", False),
        ("import mmap; held = mmap.mmap(-1, 4096)", False),
        ("import mmap; held = mmap.mmap(os.open(sys.executable, os.O_RDONLY), 0, prot=mmap.PROT_READ)", False),
    ],
)
def test_memory_that_others_may_notice_is_given_back_before_the_next_run_begins(act, kept, order):
    parent = "goes, go = os.pipe(); done, tells = os.pipe()"
    last = f"os.read(goes, 1); {act}; os.write(tells, b'd'); import signal; signal.pause()"
    found = held(parent=parent, last=last, then=CHECK.format(order=order), head_start=900_000)
    assert found["kept"] is kept


def test_memory_that_is_being_given_back_is_waited_for():
    parent = "goes, go = os.pipe(); done, tells = os.pipe()"
    last = (
        "os.read(goes, 1); held = bytearray(b'x' * 200_000_000); os.write(tells, b'd'); import signal; signal.pause()"
    )
    order = "END()\nwhile open(f'/proc/{holder}/statm').read()[:2] != '0 ': pass\nkeeper.check()"
    assert held(parent=parent, last=last, then=CHECK.format(order=order))["kept"] is False


LOCKS = """
import ctypes, fcntl, mmap, time
file = open("lock", "w+b")
try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("free")
except BlockingIOError:
    print("locked by the run before")
file.truncate(4096)
held = mmap.mmap(file.fileno(), 4096)
time.sleep(60)
"""


def test_the_next_run_finds_what_the_last_one_had_locked_free(watch):
    watched = watch("import ctypes, fcntl, mmap, time\n")
    watched.until_ready()
    for number in range(5):
        runs = watched.screen.status.runs
        (watched.project / "main.py").write_text(f"{LOCKS}NUMBER = {number}\n")
        eventually(lambda runs=runs: watched.screen.status.runs > runs and "\n" in watched.screen.text)
        assert watched.screen.text == "free\n"
        assert watched.screen.status.warm is True


def holders(watched):
    """Return the supervisor's children that have no descriptors."""
    found = []
    for child in watched.processes[0].children():
        try:
            found += [] if os.listdir(f"/proc/{child.pid}/fd") else [child]
        except OSError:
            continue
    return found


def test_as_many_are_there_as_runs_that_were_forked_ahead(watch):
    watched = watch("import ctypes, time\n")
    watched.until_ready()
    for number in range(3):
        runs = watched.screen.status.runs
        (watched.project / "main.py").write_text(
            f"import time\nprint('on', flush=True)\ntime.sleep(60)\nN = {number}\n"
        )
        eventually(lambda runs=runs: watched.screen.status.runs > runs and watched.screen.text == "on\n")
        eventually(lambda: len(holders(watched)) == 2, what="that of the run and that of what is parked")
