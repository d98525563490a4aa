"""Pushes to real engines of ipyparallel, which don't have the project's folder: all in one life of a cluster."""

import gc
import json
import subprocess
import sys
import types

import pytest

from ipy_autorestart.cluster import on_engine
from ipy_autorestart.cluster.pusher import is_engines

#: In a process of its own: ipyparallel's client leaves descriptors open, and the engines are children.
PROGRAM = r"""
import asyncio
import json
import os
import sys
from pathlib import Path

import ipyparallel

from ipy_autorestart.cluster.engines import Engines
from ipy_autorestart.cluster.policy import CantPush
from ipy_autorestart.cluster.pusher import connect
from ipy_autorestart.cluster.tree import read_tree


def save(src, name, text):
    path = src / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


async def refused(act):
    try:
        return await act
    except CantPush as why:
        return f"refused: {why}"


async def drive(folder):
    src = folder / "src"
    found: dict[str, object] = {}
    save(src, "pkg/__init__.py", "")
    save(src, "pkg/helper.py", "K = 1\ndef g(): return K\n")
    save(src, "pkg/job.py", "from pkg.helper import K\nclass C: pass\ndef f(): return K\n")
    save(src, ".env", "SECRET=1\n")
    cluster = ipyparallel.Cluster(n=2, cluster_id="ours", profile_dir=str(folder / "profile"), log_level=40)
    client = await asyncio.to_thread(cluster.start_and_connect_sync, activate=False)
    view = client[:]
    call = view.apply_sync
    file = str(folder / "profile/security/ipcontroller-ours-client.json")

    def job():
        return call(eval, "__import__('pkg.job', fromlist='f').f()")


    pids, ids = call(os.getpid), client.ids
    view.execute("kept = [1, 2]", block=True)
    engines = await connect(file, "test")
    found["kind"] = isinstance(engines, Engines)
    engines.check()
    found["first"] = await engines.push(read_tree([str(src)]), within=20)
    found["values"] = [job()]
    # One that joins later, and a client that has seen it no sooner than the pusher has.
    found["late"] = [engines.has_late]
    await cluster.start_engines(n=1)
    async with asyncio.timeout(30):
        while not engines.has_late:
            await asyncio.sleep(0.02)
    found["late"] += [await engines.catch_up(within=20), engines.has_late]
    await asyncio.to_thread(client.wait_for_engines, 3, timeout=20)
    found["late"] += [client[client.ids[-1]].apply_sync(eval, "__import__('pkg.job', fromlist='f').f()")]
    await cluster.stop_engines(engine_set_id=list(cluster.engines)[-1])
    async with asyncio.timeout(30):
        while len(engines._client.ids) > 2 or len(client.ids) > 2:
            await asyncio.sleep(0.02)
    view.execute("from pkg.job import C; one = C(); del C", block=True)
    save(src, "pkg/helper.py", "K = 2\ndef g(): return K\n")
    save(src, "pkg/new.py", "def h(): return 'new'\n")
    found["second"] = await engines.push(read_tree([str(src)]), within=20)
    found["values"] += [job(), call(eval, "__import__('pkg.new', fromlist='h').h()")]
    save(src, "pkg/other.py", "")
    found["kept over pushes"] = await engines.push(read_tree([str(src)]), within=20)
    (src / "pkg/new.py").unlink()
    view.execute("del one", block=True)
    found["third"] = await engines.push(read_tree([str(src)]), within=20)
    found["deleted"] = call(eval, "__import__('importlib').util.find_spec('pkg.new')")
    found["stay"] = {"pids": call(os.getpid) == pids, "ids": client.ids == ids, "names": view["kept"]}
    found["secrets"] = [str(path) for path in Path(os.environ["TMPDIR"]).rglob(".env")]
    wait = f"import os, time\nwhile not os.path.exists({str(folder / 'go')!r}): time.sleep(0.02)"
    busy = client[1].execute(wait)
    save(src, "pkg/helper.py", "K = 3\ndef g(): return K\n")
    found["busy"] = await refused(engines.push(read_tree([str(src)]), within=3))
    save(folder, "go", "")
    await asyncio.to_thread(busy.get)
    found["after"] = [await engines.push(read_tree([str(src)]), within=20), job()]
    # Last, as an engine aborts what comes just behind an error.
    magics = f"%load_ext ipy_autorestart\n%watch_restart {src}"
    try:
        await asyncio.to_thread(client[0].execute(magics, silent=False).get)
    except ipyparallel.RemoteError as error:
        found["target"] = error.evalue
    await asyncio.to_thread(cluster.stop_cluster_sync)
    found["gone"] = [await refused(engines.push(read_tree([str(src)]), within=20)), engines.is_closed]
    found["nobody"] = await refused(Engines.connect(file, "test"))
    await engines.close()
    client.close()
    return found


print(json.dumps(asyncio.run(drive(Path(sys.argv[1])))))
"""


@pytest.mark.e2e
def test_engines_run_what_is_saved_and_keep_what_they_have(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, tmp_path]
    ended = subprocess.run(command, cwd=elsewhere, stdout=subprocess.PIPE, text=True, timeout=100)
    found = json.loads(ended.stdout)
    assert found["kind"]
    assert found["first"].startswith("2 of 2 workers on ")
    not_yet, caught_up, still, value = found["late"]
    assert (not_yet, still, value) == (False, False, 1)
    assert caught_up.startswith("3 of 3 workers on ")
    # A function of a module that another one has imported; then a new module, and a deleted one.
    assert found["values"] == [[1, 1], [2, 2], ["new", "new"]]
    assert found["deleted"] == [None, None]
    # What lives on is told, as long as it does.
    assert found["second"].endswith(" · old code lives on in 0, 1: pkg.job.C; restart these engines to be sure")
    assert found["kept over pushes"].endswith("pkg.job.C; restart these engines to be sure")
    assert "lives on" not in found["third"]
    assert found["stay"] == {"pids": True, "ids": True, "names": [[1, 2], [1, 2]]}
    assert found["secrets"] == []
    # As the target of a watch one is refused, and goes on.
    assert "part of another program (IPEngine)" in found["target"]
    assert "name a script" in found["target"]
    # One that is busy, and when it no longer is; it has not done in between what nobody waits for any more.
    assert " of 2 engines lack " in found["busy"]
    assert found["busy"].endswith(": 1; busy: 1, interrupt it or give it longer")
    assert found["after"][1] == [3, 3]
    [gone, is_closed] = found["gone"]
    assert is_closed
    for why in (gone, found["nobody"]):
        assert why.startswith("refused: no controller of ipyparallel answers at ")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"registration": 4711, "interface": "tcp://127.0.0.1"}', True),
        ('{"class": "ipyparallel.cluster.cluster.Cluster"}', True),
        ('{"type": "Scheduler", "address": "tcp://127.0.0.1:8786"}', False),
        ("[]", False),
        ("no JSON", False),
    ],
)
def test_the_file_tells_whose_cluster_it_is(tmp_path, text, found):
    (tmp_path / "file.json").write_text(text)
    assert is_engines(str(tmp_path / "file.json")) is found


def test_an_address_is_no_file_of_engines():
    assert not is_engines("tcp://127.0.0.1:8786")


@pytest.fixture
def forgetful(monkeypatch):
    """What an engine knows of `remote`, for a module that is forgotten at each entrance."""
    monkeypatch.setitem(sys.modules, "ipyparallel", types.SimpleNamespace(__version__="9"))
    monkeypatch.setattr(on_engine, "REMNANTS", [])

    def enter(project, manifest):
        return [sys.modules.pop("old", types).__name__]

    return types.SimpleNamespace(
        missing=lambda project, manifest: manifest["files"],
        put=lambda project, manifest, contents: None,
        loaded=lambda project, manifest: {"old"} & set(sys.modules),
        enter=enter,
        probe=lambda project, manifest: {"outdated": []},
    )


def test_an_engine_lacks_contents_or_forgets_what_it_had_and_tells_what_lives_on(forgetful):
    old = sys.modules["old"] = types.ModuleType("old")
    exec("import os\nclass C: pass\nclass D: pass\ndef f(): pass", old.__dict__)
    kept = old.C()
    del old
    manifest = {"files": ["digest"]}
    assert on_engine.push(forgetful, "p", manifest, {})["missing"] == ["digest"]
    assert "old" in sys.modules
    said = on_engine.push(forgetful, "p", manifest, {"digest": b""})
    assert (said["missing"], said["lives_on"], said["engine"]) == ([], ["old.C"], "9")
    assert on_engine.push(forgetful, "p", manifest, {"digest": b""})["lives_on"] == ["old.C"]  # over pushes
    del kept
    gc.collect()
    assert on_engine.look(forgetful, "p", manifest)["lives_on"] == []
