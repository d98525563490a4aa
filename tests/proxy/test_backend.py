"""A kernel as its proxy has it."""

import os
import signal
import subprocess
import sys

import pytest
import zmq
from waiting import eventually

from ipy_autorestart.proxy.backend import Backend
from ipy_autorestart.reexec.commandline import BOOTSTRAP
from ipy_autorestart.script.program import Program
from ipy_autorestart.script.run import start_cold

pytestmark = pytest.mark.e2e


@pytest.fixture
def backend(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/used.py").write_text("V = 1\n")
    (tmp_path / "sockets").mkdir()
    code = f"import sys; sys.path.insert(0, '{tmp_path}/src'); import used; input()"
    program = Program(
        python=sys.executable,
        argv=("-c", code),
        cwd=str(tmp_path),
        environment={},
        roots=(f"{tmp_path}/src/",),
        stdio=(os.open("/dev/zero", 0), 1, 2),
    )
    with zmq.Context() as context:
        backend = Backend(context, str(tmp_path / "sockets"), 1, start_cold(program), None)
        yield backend
        backend.kill()
        os.waitpid(backend.pid, 0)
        os.close(program.stdio[0])


def test_it_is_stale_when_what_it_has_used_has_changed(backend, tmp_path):
    assert backend.is_stale  # nothing is known yet

    def read():
        backend.read_reports()
        return any(path.endswith("used.py") for path in backend.run.reports.read_below)

    eventually(read)
    assert not backend.is_stale
    (tmp_path / "src/other.py").write_text("")
    assert not backend.is_stale
    (tmp_path / "src/used.py").write_text("V = 22\n")
    assert backend.is_stale
    (tmp_path / "src/used.py").unlink()
    assert backend.is_stale


def test_signals_that_it_does_not_handle_are_the_next_ones_but_for_an_interrupt_that_it_has_told_of(backend):
    os.kill(backend.pid, signal.SIGSTOP)
    assert backend.pending_signals() == []
    for signum in (signal.SIGHUP, signal.SIGINT):
        os.kill(backend.pid, signum)
    assert backend.pending_signals() == [signal.SIGINT, signal.SIGHUP]
    backend.interrupt_is_told = True
    assert backend.pending_signals() == [signal.SIGHUP]


#: A start that reads what isn't watched, and looks for what isn't there; what it reads later doesn't matter.
START = """
import os, sys
open("read"), os.listdir("folder")
try: open("absent")
except OSError: sys.path.insert(0, "lib"); import module
sys.audit("ipy_autorestart.looks_for", "wanted")
sys.audit("ipy_autorestart.started")
open("later"), print("started", flush=True), input()
"""


def test_it_is_stale_when_its_start_would_read_something_else(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "lib", "sockets"):
        (tmp_path / folder).mkdir()
    for name in ("read", "later", "lib/module.py"):
        (tmp_path / name).write_text("")
    read, write = os.pipe()
    program = Program(
        python=sys.executable,
        argv=("-c", START, BOOTSTRAP),
        cwd=str(tmp_path),
        environment={},
        roots=(f"{tmp_path}/src/",),
        stdio=(read, 1, 2),
    )
    started = []
    with zmq.Context() as context:
        backend = Backend(context, str(tmp_path / "sockets"), 1, start_cold(program), None)
        eventually(lambda: started.append(capfd.readouterr().out) or "started" in "".join(started))
        backend.read_reports()
        (tmp_path / "later").write_text("changed")
        assert not backend.is_stale
        for name in ("read", "absent", "wanted", "folder/new", "lib/module.py"):
            path = tmp_path / name
            before = path.read_bytes() if path.exists() else None
            times = (path if before is not None else path.parent).stat()
            path.write_text("changed")
            assert backend.is_stale, name
            if before is None:
                path.unlink()
            else:
                path.write_bytes(before)
            os.utime(path if before is not None else path.parent, ns=(times.st_atime_ns, times.st_mtime_ns))
            assert not backend.is_stale, name
        backend.kill()
        os.waitpid(backend.pid, 0)
    os.close(read)
    os.close(write)


def test_what_is_sent_to_one_that_is_gone_is_lost_and_holds_nobody_up(backend):
    backend.send("shell", [b"anything"])
    backend.signal(9)
    backend.signal(2)


#: A kernel that reads nothing any more, and ends with the proxy.
DEAF = """
import sys, zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.rcvhwm = 1
socket.connect(sys.argv[1])
socket.send(b"")
sys.stdin.read()
"""

#: A proxy that kills kernels to which large requests are half sent.
KILLER = """
import os, subprocess, sys
import zmq
from ipy_autorestart.proxy.backend import Backend
from ipy_autorestart.reexec.commandline import BOOTSTRAP
from ipy_autorestart.script.pipes import Ends
from ipy_autorestart.script.run import Run

folder, deaf = sys.argv[1:]
context = zmq.Context()
for number in range(40):
    words = [sys.executable, "-c", deaf, f"ipc://{folder}/{number}-shell"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
    run = Run(process.pid, Ends(outputs=(), reports=os.open("/dev/null", os.O_RDONLY), displays=None), lossless=False)
    backend = Backend(context, folder, number, run, None)
    assert backend.sockets["shell"].poll(10_000)
    for _ in range(3):
        backend.send("shell", [b"", b"x" * 3_000_000, b"x" * 3_000_000])
    backend.sockets["stdin"].poll(20)  # in which a part leaves
    backend.kill()
    process.wait()
context.term()
"""


def test_one_that_is_killed_while_a_large_request_is_half_sent_does_not_end_the_proxy(tmp_path):
    words = [sys.executable, "-c", KILLER, str(tmp_path), DEAF]
    assert subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
