"""What of a process a copy can't have, seen in real processes; and what real copies do with the rest."""

import importlib.util
import os
import re
import sys

import pytest
from copies import Copies

from ipy_autorestart.kernel.trust import Trust

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is read in /proc")


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    one = Copies(tmp_path_factory.mktemp("copies"))
    yield one
    one.close()


#: Code, and what a copy says to it that has been made anew: each is ordinary work.
TRUSTED = {
    "nothing": ("", "True"),
    "file to read": ("open('t', 'w').write('ab'); f = open('t'); f.read(1)", "f.read() == 'b'"),
    "file by two descriptors, and another one to it": (
        "import os; open('d', 'w').write('abcdef'); f = os.open('d', os.O_RDONLY); os.read(f, 2); g = os.dup(f)\n"
        "h = os.open('d', os.O_RDONLY); os.read(h, 2)",
        "[os.read(one, 1) for one in (f, g, f, h)] == [b'c', b'd', b'e', b'c']",
    ),
    "log": (
        "import logging; h = logging.FileHandler('l.log'); log = logging.getLogger('q'); log.addHandler(h)\n"
        "log.warning('a'); h.stream.write('held back')",
        "log.warning('b') or open('l.log').read() == 'a\\nheld backb\\n'",
    ),
    "log that was begun anew": (
        "import logging; h = logging.FileHandler('w.log', 'w'); log = logging.getLogger('w'); log.addHandler(h)\n"
        "log.warning('a')",
        "log.warning('b') or open('w.log').read() == 'a\\nb\\n'",
    ),
    "log that is rotated": (
        "from logging.handlers import RotatingFileHandler as R; h = R('r.log', maxBytes=9, backupCount=3)\n"
        "import logging; log = logging.getLogger('r'); log.addHandler(h); log.warning('aaaaaa')",
        "log.warning('bbbbbb') or [open('r.log').read(), open('r.log.1').read()] == ['bbbbbb\\n', 'aaaaaa\\n']",
    ),
    "log that has nothing to say yet": (
        "import logging; h = logging.FileHandler('y.log', delay=True); log = logging.getLogger('y'); log.addHandler(h)",
        "log.warning('b') or open('y.log').read() == 'b\\n'",
    ),
    "log that was closed": ("import logging; h = logging.FileHandler('z.log'); h.stream.close()", "h.stream.closed"),
    "file that was written and closed": ("with open('c.txt', 'a') as f: f.write('a')", "f.closed"),
    "folder": ("import os; f = os.open('.', os.O_RDONLY)", "os.fstat(f) is not None"),
    "folder by its name only": ("import os; f = os.open('.', os.O_PATH)", "os.fstat(f) is not None"),
    "devices without state": ("fs = [open('/dev/' + name, 'r+b', 0) for name in ('null', 'zero', 'urandom')]", "True"),
    "memory map to read": (
        "import mmap; open('m', 'wb').write(b'ab'); f = open('m', 'rb'); m = mmap.mmap(f.fileno(), 0, prot=1)",
        "m[:] == b'ab'",
    ),
    "private memory map": (
        "import mmap; open('p', 'wb').write(b'ab'); f = open('p', 'rb'); m = mmap.mmap(f.fileno(), 0, access=3)",
        "m[:] == b'ab'",
    ),
    "sqlite in memory": (
        "import sqlite3; db = sqlite3.connect(':memory:'); db.execute('create table t as select 1 as a')",
        "db.execute('select a from t').fetchone() == (1,)",
    ),
    "finished program": ("import subprocess; p = subprocess.run(['true'])", "p.returncode == 0"),
    "program that has failed and was not asked": (
        "import os, subprocess; p = subprocess.Popen(['false']); os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)",
        "p.poll() == 1",
    ),
    "finished process": (
        "import multiprocessing as m; p = m.get_context('fork').Process(target=str); p.start(); p.join()",
        "p.exitcode == 0 and not p.is_alive() and p.join() is None",
    ),
    "finished process that was not joined": (
        "import multiprocessing as m, os; p = m.get_context('fork').Process(target=str); p.start()\n"
        "os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)",
        "p.join() is None and p.exitcode == 0",
    ),
    "process that was not started": (
        "import multiprocessing as m; p = m.get_context('fork').Process(target=str)",
        "(p.start(), p.join(), p.exitcode) == (None, None, 0)",
    ),
    "folder that multiprocessing removes at the end": (
        "import multiprocessing.util as u, os; d = u.get_temp_dir()",
        "u._run_finalizers(-100) is None and not os.path.exists(d)",
    ),
    "pool that was closed": (
        "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: r = p.map(str, [1, 2])\np.join()",
        "r == ['1', '2']",
    ),
    "pipe of its own": ("import os; r, w = os.pipe()", "os.write(w, b'a') and os.read(r, 9) == b'a'"),
    "pair of sockets": (
        "import multiprocessing as m; a, b = m.Pipe()",
        "a.send(1) or b.send(2) or (b.recv(), a.recv()) == (1, 2)",
    ),
    "answer of a finished process": (
        "import multiprocessing as m; a, b = m.Pipe(); p = m.get_context('fork').Process(target=b.send, args=(1,))\n"
        "p.start(); r = a.recv(); p.join()",
        "r == 1 and not a.poll()",
    ),
    "unread data in a pipe": (
        "import os; r, w = os.pipe(); os.write(w, b'a' * 65000)",
        "(os.write(w, b'b'), os.read(r, 99999)) == (1, b'a' * 65000 + b'b')",
    ),
    "unread output of a finished program": (
        "import subprocess; p = subprocess.Popen(['echo', 'a'], stdout=-1); p.wait()",
        "p.stdout.read() == b'a\\n'",
    ),
    "pipe whose writer has closed": ("import os; r, w = os.pipe(); os.close(w)", "os.read(r, 9) == b''"),
    "connection that the other has closed": (
        "import socket; l = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(l.getsockname())\n"
        "l.accept()[0].close(); l.close()",
        "c.recv(9) == b''",
    ),
    "unconnected socket": ("import socket; s = socket.socket()", "s.fileno() > 0"),
    "lock of processes": (
        "import multiprocessing as m; lock = m.get_context('fork').Lock()",
        "lock.acquire(block=False) and not lock.acquire(block=False)",
    ),
    "idle executor": (
        "from concurrent.futures import ThreadPoolExecutor as P; p = P(2); r = list(p.map(str, range(9)))",
        "p.submit(str, 5).result(5) == '5' and list(p.map(str, range(4))) == ['0', '1', '2', '3']",
    ),
    "executor with initializer": (
        "from concurrent.futures import ThreadPoolExecutor as P; import threading; t = threading.local()\n"
        "p = P(1, 'w', setattr, (t, 'a', 1)); p.submit(getattr, t, 'a').result()",
        "p.submit(getattr, t, 'a').result(5) == 1 and p.shutdown() is None",
    ),
    "asyncio.to_thread": (
        "import asyncio; loop = asyncio.new_event_loop(); r = loop.run_until_complete(asyncio.to_thread(str, 3))\n"
        "e = loop._default_executor; loop._default_executor = None; loop.close()",
        "e.submit(str, 5).result(5) == '5'",
    ),
    "in-memory database of sqlalchemy": (
        "import sqlalchemy as s; e = s.create_engine('sqlite://'); c = e.connect(); c.execute(s.text('select 1'))",
        "c.execute(s.text('select 2')).scalar() == 2",
    ),
    "numpy": (
        "import numpy as np; a = np.random.rand(800, 800); b = a @ a; np.random.seed(1)",
        "(a @ a == b).all() and round(np.random.rand(), 3) == .417",
    ),
    "numpy.memmap to read": (
        "import numpy as np; np.arange(9.).tofile('n'); m = np.memmap('n', mode='r'); n = np.memmap('n', mode='c')",
        "len(m) == len(n) == 72",
    ),
    "pandas": (
        "import pandas as pd; d = pd.DataFrame({'a': ['x', 'y'] * 50000, 'b': range(100000)})\n"
        "d.to_csv('d.csv'); e = pd.read_csv('d.csv'); g = d.groupby('a').b.sum()",
        "d.groupby('a').b.sum().equals(g)",
    ),
    "scikit-learn": (
        "import numpy as np; from sklearn.cluster import KMeans\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier as H\n"
        "X = np.random.rand(3000, 5); y = X[:, 0] > .5; KMeans(4, n_init=1).fit(X); H(max_iter=5).fit(X, y)",
        "H(max_iter=5).fit(X, y).score(X, y) > .5 and KMeans(4, n_init=1).fit(X).n_iter_ > 0",
    ),
    "pyarrow": (
        "import io, pyarrow as pa, pyarrow.csv as pc, pyarrow.parquet as pq\n"
        "t = pc.read_csv(io.BytesIO(b'a,b\\n' + b'1,2\\n' * 200000)); pq.write_table(t, 'x.pq')",
        "pq.read_table('x.pq').num_rows == pc.read_csv(io.BytesIO(b'a,b\\n' + b'1,2\\n' * 200000)).num_rows",
    ),
    "tqdm": (
        "import io; from tqdm import tqdm; out = io.StringIO()\nfor _ in tqdm(range(3), file=out): pass\n"
        "bar = tqdm(total=3, file=out)",
        "[*tqdm(range(2), file=out)] == [0, 1] and bar.update() is None and tqdm.monitor.is_alive()",
    ),
    "numexpr": (
        "import numpy as np, numexpr as ne; a = np.ones(2000000); b = ne.evaluate('a * 2 + a')",
        "ne.evaluate('a * 2 + a').sum().item() == 6000000",
    ),
    "executor of processes that was shut down": (
        "from concurrent.futures import ProcessPoolExecutor as P\nwith P(2) as p: r = list(p.map(abs, [-1, 1]))",
        "r == [1, 1]",
    ),
    "loky that was shut down": (
        "from joblib import Parallel, delayed; from joblib.externals.loky import get_reusable_executor as e\n"
        "r = Parallel(2)(delayed(abs)(i) for i in range(2)); e().shutdown(kill_workers=True)",
        "Parallel(2)(delayed(abs)(i) for i in range(2)) == [0, 1]",
    ),
    "torch": (
        "import torch; t = torch.ones(900, 900); u = t @ t; w = torch.ones(500, 500, requires_grad=True)\n"
        "(w * w).sum().backward()",
        "(t @ t)[0, 0].item() == 900 and ((w * w).sum().backward() or w.grad[0, 0].item() == 4)",
    ),
}

#: What a row needs besides the standard library.
NEEDED = {
    "numpy.memmap to read": "numpy",
    "scikit-learn": "sklearn",
    "in-memory database of sqlalchemy": "sqlalchemy",
    "polars": "polars",
    "loky": "joblib",
    "numba": "numba",
    "duckdb": "duckdb",
    "numexpr": "numexpr",
    "loky that was shut down": "joblib",
    **{name: name for name in ("numpy", "pandas", "pyarrow", "tqdm", "torch")},
}


def check_installed(name):
    if (needed := NEEDED.get(name)) and not importlib.util.find_spec(needed):
        pytest.skip(f"{needed} is not installed")


@pytest.mark.e2e
@pytest.mark.parametrize("name", TRUSTED)
def test_a_copy_of_ordinary_work_is_trusted_and_goes_on_and_can_be_copied(copies, name):
    check_installed(name)
    code, value = TRUSTED[name]
    answer = copies.play(code, value=f"[trust.doubts(), {value}]", patience=5)
    assert (answer["doubts"], answer["survivors"], answer["copy"]["repair"]) == ([], [], [])
    assert answer["copy"]["value"] == [[], True]
    assert answer["again"] == []


LIBC = "import ctypes, os; libc = ctypes.CDLL(None)\n"

#: Code, and the words for it.
UNTRUSTED = {
    "thread": (
        "import threading; e = threading.Event(); t = threading.Thread(target=e.wait, name='worker'); t.start()",
        [r"1 thread \(worker\)"],
    ),
    "threads": (
        "import threading; e = threading.Event()\nfor n in 'abcd': threading.Thread(target=e.wait, name=n).start()",
        [r"4 threads \(a, b, c, …\)"],
    ),
    "busy executor": (
        "from concurrent.futures import ThreadPoolExecutor as P; import threading; e = threading.Event()\n"
        "p = P(1, 'pool'); p.submit(e.wait)",
        [r"1 thread \(pool_0\)"],
    ),
    "executor with a queue": (
        "from concurrent.futures import ThreadPoolExecutor as P; import time\n"
        "p = P(1, 'pool'); p.submit(time.sleep, 99); p.submit(str)",
        [r"1 thread \(pool_0\)"],
    ),
    "child": ("import subprocess; p = subprocess.Popen(['sleep', '99'])", [r"1 child process \(sleep\)"]),
    "ended child of the user's own": (
        "import os; p = os.posix_spawn('/bin/true', ['true'], {})\nos.waitid(os.P_PID, p, os.WEXITED | os.WNOWAIT)",
        [r"1 ended child process not waited for \(true\)"],
    ),
    "timer": ("import signal; signal.setitimer(signal.ITIMER_REAL, 99)", ["a timer is set"]),
    "profiling timer": ("import signal; signal.setitimer(signal.ITIMER_PROF, 99)", ["a timer is set"]),
    "posix timer": (
        LIBC + "t = ctypes.c_void_p(); libc.timer_create(0, None, ctypes.byref(t))",
        ["a timer is set"],
    ),
    "blocked signal": (
        "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); os.kill(os.getpid(), 10)",
        ["a blocked signal waits"],
    ),
    "shared memory": (
        "from multiprocessing import shared_memory as s, resource_tracker as r\n"
        "m = s.SharedMemory(create=True, size=99); m.unlink(); r._resource_tracker._stop()",
        ["memory shared with other processes"],
    ),
    "anonymous shared memory": ("import mmap; m = mmap.mmap(-1, 99)", ["memory shared with other processes"]),
    "memory map to write": (
        "import mmap; f = open('m', 'w+b'); f.write(b'ab'); f.flush(); m = mmap.mmap(f.fileno(), 0); f.close()",
        ["m is open for writing"],
    ),
    "memory without a name": ("import os; f = os.memfd_create('a')", ["memory shared with other processes"]),
    "file open for writing": ("f = open('o.txt', 'w')", ["o.txt is open for writing"]),
    "file open for writing with others": ("f = open('o.txt', 'w+')", ["o.txt is open for writing"]),
    "file open to be continued": ("f = open('p.txt', 'a'); f.write('a'); f.flush()", ["p.txt is open for writing"]),
    "file open to be continued, with more to come": (
        "f = open('p.txt', 'a'); f.write('a')",
        ["p.txt is open for writing"],
    ),
    "file open to be continued and read": ("f = open('p.txt', 'a+b', 0)", ["p.txt is open for writing"]),
    "descriptor of a file that is continued": (
        "import os; f = os.open('p.txt', os.O_WRONLY | os.O_APPEND | os.O_CREAT)",
        ["p.txt is open for writing"],
    ),
    "table that grows": (
        "import csv; f = open('p.csv', 'a'); w = csv.writer(f); w.writerow([1])",
        ["p.csv is open for writing"],
    ),
    "log packed by a class of the user's": (
        "import gzip, logging; h = logging.StreamHandler(gzip.open('p.gz', 'at'))",
        ["p.gz is open for writing"],
    ),
    "temporary file": (
        "import tempfile; f = tempfile.NamedTemporaryFile(prefix='it', suffix='.x', delete=False)\n"
        "import os; os.rename(f.name, 'it.x')",
        ["it.x is open for writing"],
    ),
    "database": (
        "import sqlite3; db = sqlite3.connect('d.db'); db.execute('create table if not exists t(a)')",
        ["d.db is open for writing"],
    ),
    "locked log": (
        "import fcntl, logging; h = logging.FileHandler('k.log'); fcntl.flock(h.stream, fcntl.LOCK_EX)",
        ["k.log is locked"],
    ),
    "locked folder": (
        "import fcntl, os; os.mkdir('kept'); f = os.open('kept', os.O_RDONLY); fcntl.flock(f, fcntl.LOCK_EX)",
        ["kept is locked"],
    ),
    "connection": (
        "import socket; l = socket.create_server(('127.0.0.1', 0)); a = l.getsockname()\n"
        "c = socket.create_connection(a); l.accept()[0].detach(); l.close(); port = a[1]",
        [r"a connection to 127\.0\.0\.1:\d+", r"a connection to 127\.0\.0\.1:\d+"],
    ),
    "server": ("import socket; l = socket.create_server(('127.0.0.1', 0))", [r"a socket at 127\.0\.0\.1:\d+"]),
    "server of this machine": (
        "import socket; l = socket.socket(socket.AF_UNIX); l.bind('u.sock'); l.listen()",
        ["a socket at u.sock"],
    ),
    "datagrams": (
        "import socket; l = socket.socket(type=socket.SOCK_DGRAM); l.bind(('127.0.0.1', 0))",
        [r"a socket at 127\.0\.0\.1:\d+"],
    ),
    "unread data between sockets": (
        "import socket; a, b = socket.socketpair(); a.send(b'a')",
        ["2 connections to another process"],
    ),
    "named pipe": ("import os; os.mkfifo('q'); f = os.open('q', os.O_RDWR)", ["the pipe q is open"]),
    "event loop": (
        "import select; e = select.epoll()",
        ["an event loop"],
    ),
    "file watch": (LIBC + "libc.inotify_init1(0)", ["a descriptor of inotify"]),
    "signal descriptor": (
        LIBC + "libc.signalfd(-1, ctypes.create_string_buffer(128), 0)",
        ["a descriptor of signalfd"],
    ),
    "timer descriptor": (LIBC + "libc.timerfd_create(1, 0)", ["a timer is set"]),
    "event descriptor": ("import os; f = os.eventfd(1)", ["a descriptor of eventfd"]),
    "terminal": ("import os; a, b = os.openpty(); os.close(a)", ["/dev/pts/\\d+ is open"]),
    "thread of C": (
        "import faulthandler; faulthandler.dump_traceback_later(99)",
        ["1 thread"],
    ),
    "thread below threading": (
        "import _thread; lock = _thread.allocate_lock(); lock.acquire(); _thread.start_new_thread(lock.acquire, ())",
        ["1 thread"],
    ),
    "memory that is kept from copies": (
        "import mmap; m = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE); m.madvise(mmap.MADV_DONTFORK)",
        ["memory that is kept from copies"],
    ),
    "memory of System V": (
        LIBC + "i = libc.shmget(0, 4096, 0o1600); libc.shmat.restype = ctypes.c_void_p; a = libc.shmat(i, None, 0)\n"
        "libc.shmctl(i, 0, None)",
        ["memory shared with other processes"],
    ),
    "device": (
        "import os, stat; name = f'/dev/it-{os.getpid()}'; os.mknod(name, stat.S_IFCHR | 0o600, os.makedev(1, 3))\n"
        "f = os.open(name, os.O_RDWR); os.unlink(name)",
        [r"/dev/it-\d+ is open"],
    ),
    "tracer": (
        LIBC + "import signal; parent = os.getpid(); reader, writer = os.pipe()\n"
        "if not (child := os.fork()): libc.ptrace(0x4206, parent, None, None); os.close(writer); signal.pause()\n"
        "os.close(writer); os.read(reader, 1); os.close(reader)\ndef end(): os.kill(child, 9); os.waitpid(child, 0)",
        [r"1 child process \(python.*\)", "another program traces this process"],
    ),
    "numba": (
        "import numba, numpy as np\n@numba.njit(parallel=True)\ndef f(a):\n    s = 0.\n"
        "    for i in numba.prange(len(a)): s += a[i]\n    return s\nf(np.ones(100))",
        [".*numba.*"],
    ),
    "duckdb": (
        "import duckdb; db = duckdb.connect(); db.sql('select sum(i) from range(5000000) t(i)').fetchall()",
        [r"\d+ threads? of duckdb"],
    ),
    "loky": (
        "from joblib import Parallel, delayed; r = Parallel(2)(delayed(abs)(i) for i in range(2))",
        [r"2 threads \(.*\)", r"[23] child processes \(python.*\)", ".* pipes to other processes"],
    ),
    "polars": (
        "import polars as pl; d = pl.DataFrame({'a': range(200000)}); d.group_by('a').len()",
        ["\\d+ threads? of polars"],
    ),
}


@pytest.mark.e2e
@pytest.mark.parametrize("name", UNTRUSTED)
def test_what_a_copy_cannot_have_is_told(copies, name):
    check_installed(name)
    code, reasons = UNTRUSTED[name]
    if "mknod" in code and os.geteuid():
        pytest.skip("who makes a device must be root")
    answer = copies.play(code)
    told = answer["doubts"] or answer["survivors"] or answer["copy"]["repair"]
    assert len(told) == len(reasons), told
    assert all(map(re.fullmatch, reasons, told)), told


@pytest.mark.parametrize(
    ("name", "call"),
    [("io_uring", "425, 8, ctypes.create_string_buffer(120)"), ("userfaultfd", "282 if arm else 323, 1")],
)
def test_what_not_every_system_allows_is_told(copies, name, call):
    arm = "import platform; arm = platform.machine() == 'aarch64'; "
    answer = copies.play(f"{arm}{LIBC}fd = libc.syscall({call})\ndef end(): return fd")
    if answer["later"] < 0:
        pytest.skip(f"{name} is not allowed here")
    assert answer["doubts"] == [f"a descriptor of {name}"]


def test_nothing_is_said_of_what_the_caller_knows(copies):
    code = (
        "import subprocess, threading; e = threading.Event(); t = threading.Thread(target=e.wait); t.start()\n"
        "p = subprocess.Popen(['sleep', '99']); f = open('o.txt', 'w')"
    )
    assert len(copies.play(code)["doubts"]) == 3
    answer = copies.play(code, threads="[t.native_id]", children="[p.pid]", fds="[f.fileno()]")
    assert answer["doubts"] == answer["survivors"] == []


def test_nothing_is_said_of_native_threads_that_the_caller_knows(copies):
    code = (
        "import _thread, os; lock = _thread.allocate_lock(); lock.acquire()\n"
        "_thread.start_new_thread(lock.acquire, ())\n"
        "numbers = set(map(int, os.listdir('/proc/self/task'))) - {os.getpid()}"
    )
    assert copies.play(code)["survivors"] == ["1 thread"]
    assert copies.play(code, threads="numbers")["survivors"] == []


def test_nothing_is_said_of_this_projects_threads(copies):
    answer = copies.play(
        "from ipy_autorestart import pristine as p; begun, over = p.Event(), p.Event()\n"
        "t = p.Thread(lambda: (begun.set(), over.wait())); begun.wait()"
    )
    assert answer["doubts"] == answer["survivors"] == []


def test_a_thread_that_is_just_ending_does_not_count(copies):
    begin = "import sys, threading; e = threading.Event(); t = threading.Thread(target=e.wait); t.start(); looks = []\n"
    # It is asked to end at the first look, and has ended at the second.
    hear = (
        "def hear(event, args):\n    if event == 'sys._current_frames':\n        looks.append(t.is_alive())\n"
        "        e.set() if len(looks) == 1 else t.join()\nsys.addaudithook(hear)"
    )
    assert copies.play(begin)["doubts"]
    answer = copies.play(begin + hear, later="looks")
    assert answer["doubts"] == []
    assert answer["later"][0]


def test_a_thread_that_has_survived_a_fork_is_told_before_the_next(copies):
    answer = copies.play("import faulthandler; faulthandler.dump_traceback_later(99)")
    assert answer["doubts"] == []
    assert answer["again"] == answer["survivors"] != []


def test_the_live_process_keeps_what_its_copy_gets_anew(copies):
    """An executor, a file, a pipe with data in it, a pair and a lock go on, whatever the copy does with its own."""
    answer = copies.play(
        "import multiprocessing as m, os; from concurrent.futures import ThreadPoolExecutor as P\n"
        "p = P(1); p.submit(str).result(); r, w = os.pipe(); os.write(w, b'a'); a, b = m.Pipe(); lock = m.Lock()\n"
        "open('t', 'w').write('a' * 99999); f = open('t'); f.read(1)",
        patience=5,
        value="(p.submit(str, 1).result(), os.read(r, 9), os.write(w, b'x'), a.send(1), lock.acquire(), len(f.read()))",
        later="(p.submit(str, 2).result(5), os.read(r, 9), b.poll(), lock.acquire(block=False), len(f.read()))",
    )
    assert answer["copy"]["value"] == ["1", "b'a'", 1, None, True, 99998]
    assert answer["later"] == ["2", "b'a'", False, True, 99998]


def test_a_log_is_gone_on_with_where_another_process_has_left_it(copies):
    answer = copies.play(
        "import logging; logs = logging.getLogger('a'), logging.getLogger('w')\n"
        "for log in logs: log.addHandler(logging.FileHandler('of ' + log.name, log.name)); log.warning('one')",
        value="[log.warning('two') for log in logs]",
        later="[log.warning('three') or open('of ' + log.name).read().split() for log in logs]",
    )
    assert answer["later"] == [["one", "two", "three"]] * 2


def test_a_folder_that_is_listed_is_listed_on_in_each_process(copies):
    answer = copies.play(
        "import os; os.mkdir('many')\n"
        "for n in range(3000): open(f'many/a_rather_long_name_of_a_file_{n:05}', 'w').close()\n"
        "listed = os.scandir('many'); seen = {next(listed).name for _ in range(9)}",
        value="len(seen | {one.name for one in listed})",
        later="len(seen | {one.name for one in listed})",
    )
    assert (answer["copy"]["value"], answer["later"]) == (3000, 3000)


def test_a_copy_of_the_copy_begins_where_the_copy_did(copies):
    answer = copies.play(
        "import os; r, w = os.pipe(); os.write(w, b'a'); open('t', 'w').write('a' * 99999); f = open('t'); f.read(1)\n"
        "def act(trust):\n"
        "    told, tell = os.pipe()\n"
        "    if not (pid := os.fork()):\n"
        "        os.write(tell, repr((trust.repair(), os.read(r, 9), len(f.read()))).encode()); os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    return os.read(told, 999), os.read(r, 9), len(f.read())\n",
        value="act(trust)",
        later="(os.read(r, 9), len(f.read()))",
    )
    assert answer["copy"]["value"] == ["b\"((), b'a', 99998)\"", "b'a'", 99998]
    assert answer["later"] == ["b'a'", 99998]


def test_a_held_lock_is_held_in_the_copy_too(copies):
    answer = copies.play(
        "import multiprocessing as m; lock = m.Lock(); lock.acquire()",
        value="lock.acquire(block=False)",
        later="lock.release() or lock.acquire(block=False)",
    )
    assert answer["copy"]["value"] is False
    assert answer["later"] is True


@pytest.mark.parametrize("code", ["f = open('o.txt', 'w')", "import mmap; m = mmap.mmap(-1, 99)"])
def test_what_was_given_to_the_process_is_excused(copies, code):
    assert copies.play("", before=code)["doubts"] == []
    assert len(copies.play(code, before="g = open('g.txt', 'w')")["doubts"]) == 1


def test_neither_threads_nor_children_are_excused_by_when_they_were_there(copies):
    code = (
        "import subprocess, threading; e = threading.Event(); t = threading.Thread(target=e.wait); t.start()\n"
        "p = subprocess.Popen(['sleep', '99'])"
    )
    assert len(copies.play("", before=code)["doubts"]) == 2


def test_a_look_leaves_nothing_open():
    reader, writer = os.pipe()
    os.write(writer, b"a")
    found = Trust()
    found.look(thorough=True)
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        found.look(thorough=True)
    assert os.listdir("/proc/self/fd") == before
    assert os.read(reader, 9) == b"a"
    os.close(reader)
    os.close(writer)


@pytest.mark.e2e
def test_a_pool_is_told_by_the_library_that_has_started_it(copies):
    check_installed("numpy")
    if os.cpu_count() == 1:
        pytest.skip("there is no pool on one CPU")
    code = (
        "import os; import numpy as np; a = np.ones((500, 500)); b = a @ a\n"
        "from ipy_autorestart.kernel import proc\n"
        "found = [proc.Maps().library_of(task, 1) for task in proc.tasks() if task != os.getpid()]"
    )
    answer = copies.play(code, value="(a @ a == b).all().item()", later="found")
    assert answer["later"]
    assert all("openblas" in path for path in answer["later"])
    assert (answer["doubts"], answer["survivors"], answer["copy"]["value"]) == ([], [], True)


@pytest.mark.e2e
def test_a_library_is_told_though_its_thread_has_the_stack_of_one_of_python_that_has_ended(copies):
    check_installed("pyarrow")
    code = (
        "import os, threading; barrier = threading.Barrier(5)\n"
        "threads = [threading.Thread(target=barrier.wait) for _ in range(5)]\n"
        "for each in threads: each.start()\n"
        "for each in threads: each.join()\n"
        "import pyarrow.csv; open('x.csv', 'w').write('a\\n1\\n'); t = pyarrow.csv.read_csv('x.csv')\n"
        "from ipy_autorestart.kernel import proc\n"
        "found = [proc.Maps().library_of(task, 1) for task in proc.tasks() if task != os.getpid()]"
    )
    answer = copies.play(code, patience=5, later="found")
    assert answer["later"]
    assert all(re.search("libarrow|openblas", path) for path in answer["later"]), answer["later"]
    assert answer["survivors"] == answer["again"] == []
