"""What is said of clusters that can't be pushed to."""

import json
import subprocess
import sys

import pytest
from started_clusters import DaskProcesses

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("dask")]

# In a process of its own: the imports of Dask would change this one for the tests of what is imported.
PUSH = """
import asyncio, json, sys
from ipy_autorestart.cluster.dask import DaskCluster
from ipy_autorestart.cluster.policy import CantPush
from ipy_autorestart.cluster.tree import read_tree
from ipy_autorestart.cluster import carried

async def push(where, root, **how):
    try:
        cluster = await DaskCluster.connect(where, "p")
        try:
            return await cluster.push(read_tree([root]), **how)
        finally:
            await cluster.close()
    except CantPush as error:
        return f"refused: {error}"

print(json.dumps(asyncio.run(push(*sys.argv[1:3], within=float(sys.argv[3])))))
"""


def push(where, root, within=20):
    done = subprocess.run(
        [sys.executable, "-c", PUSH, str(where), str(root), str(within)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def src(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/only_here.py").write_text("V = 1\n")
    return tmp_path / "src"


@pytest.fixture
def start(tmp_path):
    started = []

    def start(**how):
        folder = tmp_path / f"cluster{len(started)}"
        folder.mkdir()
        started.append(DaskProcesses(folder, **how))
        return started[-1]

    yield start
    for cluster in started:
        cluster.close()


def test_a_worker_that_nothing_restarts_is_refused_before_anything_is_sent(start, src):
    cluster = start(workers=0)
    assert push(cluster.file, src).startswith("no worker yet")
    cluster.work("--no-nanny")
    cluster.until_joined(1)
    said = push(cluster.file, src)
    assert said.startswith("refused: no nanny restarts tcp://127.0.0.1:")


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
