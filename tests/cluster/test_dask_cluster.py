"""What is said of clusters that can't be pushed to."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import pytest
from started_clusters import Colleague, DaskProcesses, Pushing, can_part
from waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dask")]


@pytest.fixture
def src(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/only_here.py").write_text("V = 1\n")
    return tmp_path / "src"


# A module that can be imported by a worker, but not ahead: there it ends the process.
NOT_AHEAD = "import os, sys\nif 'multiprocessing.forkserver' in ' '.join(sys.orig_argv): os._exit(3)\n"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages/not_ahead.py").write_text(NOT_AHEAD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site-packages"))
    (tmp_path / "cluster").mkdir()
    cluster = DaskProcesses(tmp_path / "cluster", workers=0)
    yield cluster
    cluster.close()


@pytest.fixture
def pushing(cluster, src):
    pushing = Pushing(cluster, src)
    yield pushing
    pushing.close()


@pytest.fixture
def colleague(cluster):
    colleague = Colleague(cluster)
    yield colleague
    colleague.close()


# What a worker says that was started by another Python.
OTHER_PYTHON = """
import sys, types
from distributed import versions
versions.sys = types.SimpleNamespace(**{**vars(sys), "version_info": (3, 99, 1, "final", 0)})
"""


def test_what_can_not_be_pushed_to_is_refused_before_anything_is_sent(cluster, src, pushing, colleague):
    push = pushing.push
    assert push().startswith("no worker yet")

    alone = cluster.work()
    cluster.until_joined(1)
    assert push().startswith("1 of 1 workers on ")
    imported = "client.submit(lambda: __import__('only_here').V, pure=False).result()"
    assert colleague.ask("client.submit(lambda: __import__('not_ahead').__name__).result()") == "'not_ahead'"
    assert colleague.ask(imported) == "1"
    (src / "only_here.py").write_text("V = 2\n")
    colleague.ask("scattered = client.scatter(7)")
    said = push()
    assert said.startswith("refused: a restart of the workers would lose int-")
    assert said.endswith(", which no other can take: add a worker, gather or unpublish it, or use --lose-data")
    assert (colleague.ask("client.gather(scattered)"), colleague.ask(imported)) == ("7", "1")
    assert push(lose_data=True).endswith(" · 1 restarted")
    assert colleague.ask(imported) == "2"
    cluster.end(alone)

    bare = cluster.work("--no-nanny")
    cluster.until_joined(3)
    assert push().startswith("refused: no nanny restarts tcp://127.0.0.1:")
    cluster.end(bare)

    preload = cluster.folder / "other_python.py"
    preload.write_text(OTHER_PYTHON)
    cluster.work("--preload", preload)
    cluster.until_joined(4)
    assert re.match(r"refused: Python 3\.99 on tcp://\S+, 3\.\d+ here: use the same on both", push())


#: Has the scheduler take its time to connect to workers, and say that it does.
LATE = """
def late(dask_scheduler):
    import asyncio
    connect = dask_scheduler.rpc.connect
    async def connected(address, **how):
        dask_scheduler.connecting = True
        await asyncio.sleep(1)
        return await connect(address, **how)
    dask_scheduler.rpc.connect = connected
"""


def test_a_worker_that_ends_as_it_is_asked_is_not_waited_for(cluster, pushing, colleague):
    cluster.work("--nworkers", "2")
    cluster.until_joined(2)
    pid = int(colleague.ask("min(client.run(os.getpid).values())"))
    colleague.ask(LATE + "client.run_on_scheduler(late)")
    begun = time.monotonic()
    pushing.begin()
    is_connecting = "client.run_on_scheduler(lambda dask_scheduler: hasattr(dask_scheduler, 'connecting'))"
    eventually(lambda: colleague.ask(is_connecting) == "True")
    os.kill(pid, signal.SIGKILL)
    assert pushing.end().startswith("2 of 2 workers on ")
    assert time.monotonic() < begun + 20  # Dask tries for 30 s to connect


# In a namespace of networks: the scheduler is here, and a worker in another one, with files of its own.
APART = """
import contextlib, os, subprocess, sys
from pathlib import Path
from started_clusters import Colleague, DaskProcesses, Pushing
from waiting import eventually

folder, src = map(Path, sys.argv[1:])

def ip(line):
    subprocess.run(["ip", *line.split()], check=True)

def network(pid):
    return os.readlink(f"/proc/{pid}/ns/net")

for line in ("link set lo up", "link add here type veth peer name there", "addr add 10.77.0.1/24 dev here"):
    ip(line)
with contextlib.ExitStack() as stack:
    cluster = stack.enter_context(contextlib.closing(DaskProcesses(folder, workers=0, hides=src, host="10.77.0.1")))
    up = ["ip link set lo up", "ip addr add 10.77.0.2/24 dev there", "ip link set there up"]
    own = [*up, f"mount -t tmpfs none {folder / 'tmp'}"]
    waits = "while ! ip link show there; do sleep 0.02; done"
    worker = cluster.work(host="10.77.0.2", before=[waits, *own], apart="-mn")
    eventually(lambda: network(worker.pid) != network("self"))
    ip(f"link set there netns {worker.pid}")
    ip("link set here up")
    cluster.until_joined(1)
    pushing = stack.enter_context(contextlib.closing(Pushing(cluster, src)))
    colleague = stack.enter_context(contextlib.closing(Colleague(cluster)))
    for value in (1, 2):
        (src / "only_here.py").write_text(f"V = {value}\\n")
        print(pushing.push())
        print(colleague.ask("client.submit(lambda: __import__('only_here').V, pure=False).result()"))
"""


@pytest.mark.skipif(not can_part(), reason="needs a namespace of networks of its own: unshare -rmn, and ip link add")
def test_a_worker_with_a_network_and_files_of_its_own_gets_what_is_saved(tmp_path, src):
    (tmp_path / "cluster").mkdir()
    words = ["unshare", "-rmn", sys.executable, "-c", APART, tmp_path / "cluster", src]
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4, done.stdout
    first, one, second, two = done.stdout.splitlines()
    assert (one, two) == ("1", "2")
    assert re.fullmatch(r"1 of 1 workers on [0-9a-f]{4}", first)
    assert re.fullmatch(r"1 of 1 workers on [0-9a-f]{4} · 1 restarted", second)


# A nanny's process, and one that it forks: which modules that has, and what else differs.
FORKS = """
import asyncio, multiprocessing, os, sys, tempfile
import dask
from ipy_autorestart.cluster import on_nanny
from ipy_autorestart.cluster.carried import METHOD, OnNanny
from ipy_autorestart.cluster.dask import SOURCE

if __name__ == "__main__":
    tempfile.tempdir = sys.argv[1]
    plugin = OnNanny(SOURCE, ["fails", "wave"])
    asyncio.run(plugin.setup(None))
    print(dask.config.get(METHOD))
    if dask.config.get(METHOD) == "forkserver":
        with multiprocessing.get_context("forkserver").Pool(1) as pool:
            found = pool.apply(eval, ["[[*__import__('sys').modules], dict(__import__('os').environ)]"])
        print({"distributed", "wave", '_ipy_autorestart_cluster'}.difference(found[0]), found[1] == dict(os.environ))
        plugin.teardown(None)
        print(dask.config.get(METHOD))
        on_nanny.end_forks()
"""


@pytest.mark.parametrize(
    ("length", "said"), [(75, ["forkserver", "set() True", "spawn"]), (76, ["spawn"])], ids=["room", "none"]
)
def test_workers_are_forked_where_the_address_of_a_fork_server_has_room(tmp_path, length, said):
    (tmp_path / "fails.py").write_text("raise SystemExit('not here')\n")
    (tmp_path / "wave.py").touch()
    (tmp_path / "forks.py").write_text(FORKS)
    with tempfile.TemporaryDirectory(prefix="x" * (length - 13), dir="/tmp") as folder:
        words = [sys.executable, tmp_path / "forks.py", folder]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout.splitlines(), done.stderr) == (said, "")


# A scheduler that takes its time for a restart, as it copies data first, and one that says nothing at all.
SLOW = """
import asyncio
from ipy_autorestart.cluster import dask
from ipy_autorestart.cluster.policy import CantPush
from ipy_autorestart.cluster.tree import read_tree

dask.ANSWERS_MAX, dask.LOOKED_AT_CLIENT = 0.2, 0.05

class Client:
    status, id, asked = "running", "i", 0
    async def run_on_scheduler(self, function, *args):
        self.asked += 1
        if function.func.__name__ == "restart":
            while self.asked < 12:  # takes longer than an answer may
                await asyncio.sleep(0.01)
        elif self.silent:
            await asyncio.sleep(60)
        return {}, {"w": "its nanny"}, []

for Client.silent in (False, True):
    try:
        print(asyncio.run(dask.DaskCluster(Client(), "p", where="here")._end(read_tree([]), ["w"], {}, [])))
    except CantPush as error:
        print(error)
"""


def test_a_scheduler_that_copies_data_is_not_taken_for_one_that_is_silent():
    done = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (
        "({'w': 'its nanny'}, [])\nthe Dask scheduler at here has not answered for 0.2 s\n",
        "",
    )


# Two tries of a push to end the first of two workers, which has data that nobody else has: what becomes of each. The
# other may end as it is to take a copy, or may have no room; and more data may be made.
TRIES = """
import asyncio
from ipy_autorestart.cluster import dask
from ipy_autorestart.cluster.policy import CantPush, Process
from ipy_autorestart.cluster.tree import read_tree

dask.LEAVES_WITHIN = 0
a, b = (Process(name=name, outdated=("pkg",)) for name in "ab")
nannies = {"a": "its nanny", "b": "the other's"}
seen = dask.Seen([a, b], Process(name="scheduler"), [], nannies)

class Client:
    status, id = "running", "i"
    async def run_on_scheduler(self, function, *args):
        match function.func.__name__:
            case "restart":
                kept = self.kept if args[2] else ["k"]
                return {}, {} if kept else {"a": "its nanny"}, kept
            case "only_copies":
                return {"k": 10}
            case "room":
                return {"b": self.room}

async def tried(room, *tries):
    Client.room = room
    cluster = dask.DaskCluster(Client(), "p", where="here")
    cluster._switched = set(nannies.values())
    for Client.kept in tries:
        try:
            print(await cluster._restart(seen, read_tree([]), (), lose_data=False), end=" ")
        except CantPush as error:
            print(str(error).partition(",")[0], end=" ")
    print()

for room, tries in (10, [["k"], []]), (10, [["k"], ["k"]]), (9, [[], []]), (10, [["l"], ["l", "m"]]):
    asyncio.run(tried(room, *tries))
"""


def test_data_is_not_called_lost_that_was_just_made_or_was_to_go_to_a_worker_that_ended():
    done = subprocess.run([sys.executable, "-c", TRIES], capture_output=True, text=True, timeout=60)
    lost = "set() a restart of the workers would lose k "
    assert done.stdout.splitlines() == ["set() {'its nanny'} ", lost, lost, "set() set() "], done.stderr


# A worker ends as it is to take a copy; Dask would try for long to connect to it.
GONE = """
import asyncio, contextlib, types
from ipy_autorestart.cluster import carried

carried.install = lambda *args, **more: {}
carried._expect = lambda scheduler: set()
carried._none_dropped = lambda scheduler: contextlib.nullcontext()
carried.only_copies = lambda *args, **more: {"k": 1}

async def gather_on_worker(address, holders):
    print(address, holders)
    del scheduler.workers[address]
    await asyncio.sleep(3600)

task = types.SimpleNamespace(key="k", who_has=[types.SimpleNamespace(address="old")])
workers = {name: types.SimpleNamespace(nanny="its nanny") for name in ("old", "other")}
scheduler = types.SimpleNamespace(workers=workers, tasks={"k": task}, gather_on_worker=gather_on_worker)
print(asyncio.run(carried.restart((), ["old"], {"other": ["k"]}, [], b"", dask_scheduler=scheduler)))
"""


def test_a_worker_that_ends_as_it_is_to_take_a_copy_is_not_waited_for():
    done = subprocess.run([sys.executable, "-c", GONE], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["other {'k': ['old']}", "({}, {}, ['k'])"], done.stderr


# A watch of another version of this package; two of one project, such as two notebooks in one folder; a killed one.
OWNERS = """
import asyncio, sys, types
from ipy_autorestart.cluster import carried, dask

class Client:
    status = "running"
    async def run_on_scheduler(self, function, *args):
        return function(*args)

sys.modules["_ipy_autorestart_cluster"] = types.SimpleNamespace(DIGEST="another", PLACES={})
print(asyncio.run(dask.DaskCluster(Client(), "ours", where="here")._at("scheduler", "leave", "ours")))

class Remote:
    enter = staticmethod(lambda *args: [])

carried.remote_of = lambda source: Remote
scheduler = types.SimpleNamespace(clients={}, handlers={}, worker_plugins={}, remove_worker=print)

def install(project, owner):
    scheduler.clients[owner] = None
    manifest = {"files": {}, "tops": ["pkg"]}
    return carried.install(("", b""), project, manifest, owner, dask_scheduler=scheduler)

def leave(project, owner):
    return carried.uninstall(project, owner, dask_scheduler=scheduler), [*scheduler.worker_plugins]

install("ours", "one"), install("ours", "two")
print(leave("ours", "two"))
print(install("theirs", "three"), [*scheduler.worker_plugins])
del scheduler.clients["one"]
print(install("theirs", "three"), [*scheduler.worker_plugins])
print(leave("theirs", "three"))
"""


def test_watches_on_one_scheduler_are_not_in_each_others_way():
    done = subprocess.run([sys.executable, "-c", OWNERS], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "None",
        "(True, ['ipy-autorestart-ours'])",
        "{'ours': ['pkg']} ['ipy-autorestart-ours']",
        "{} ['ipy-autorestart-theirs']",
        "(False, [])",
    ], done.stderr


TOKENS = """
import json, os, sys, types
from dask.base import tokenize
from ipy_autorestart.cluster._ipy_autorestart_salt import VARIABLE, dask_setup

def function(x): pass
ours, theirs = (types.ModuleType(name) for name in ("ours", "theirs"))
ours.__file__, theirs.__file__ = "/project/src/ours.py", "/elsewhere/theirs.py"
for module in (ours, theirs):
    sys.modules[module.__name__] = module
    exec("def f(x): return x\\nclass C: pass", module.__dict__)

def tokens():
    return [tokenize(function), tokenize(ours.f), tokenize(ours.C), tokenize(ours.C()), tokenize(theirs.f), tokenize(3)]

told = sys.argv[1]
before = tokens()
dask_setup(None)  # without a watch
found = [before == tokens()]
with open(told, "w") as file:
    json.dump({"version": "3f2a", "roots": ["/project/src"]}, file)
os.environ[VARIABLE] = told
dask_setup(None)
found += [[one == other for one, other in zip(before, tokens())]]
again = tokens()
dask_setup(None)  # another client
print(json.dumps([*found, again == tokens()]))
"""


def test_what_belongs_to_the_project_is_tokenized_with_its_version(tmp_path):
    command = [sys.executable, "-c", TOKENS, str(tmp_path / "told")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ours, others = [False] * 4, [True] * 2
    assert json.loads(done.stdout) == [True, [*ours, *others], True]
