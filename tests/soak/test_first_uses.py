"""Random programs against an oracle: run again after a change, they differ nowhere before the first use."""

import json
import subprocess
import sys

import length
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120 + length.examples(60) / 5)]

#: A process that plays programs, each in forks of it: as it is, then after the change, which is compared with it.
SERVER = """
import glob, importlib, importlib.util, json, os, pathlib, shutil, sys, tempfile
from ipy_autorestart.decide.change import Change, Kind
from ipy_autorestart.ipython.uses import Uses

def look(module):
    return [getattr(module, "V", None), getattr(module, "__file__", None), list(getattr(module, "__path__", ()))]

def find(name):
    spec = importlib.util.find_spec(name)
    return spec and [spec.origin, list(spec.submodule_search_locations or ())]

ACTS = {
    "import": lambda name: (exec(f"import {name}"), look(sys.modules[name]))[1],
    "from": lambda name: exec("from {0} import {2}".format(*name.rpartition("."))),
    "import_module": lambda name: look(importlib.import_module(name)),
    "find_spec": find,
    "open": lambda path: open(path).read(),
    "os.open": lambda path: os.read(os.open(path, os.O_RDONLY), 99).decode(),
    "os.listdir": lambda path: sorted(os.listdir(path)),
    "os.walk": lambda path: sorted(map(str, os.walk(path))),
    "os.fwalk": lambda path: sorted(str(one[:3]) for one in os.fwalk(path)),
    "glob": lambda path: sorted(glob.glob(f"{path}/*")),
    "rglob": lambda path: sorted(map(str, pathlib.Path(path).rglob("*"))),
    "os.chdir": os.chdir,
}

def play(acts, note):
    sys.path[:0] = [os.getcwd(), os.getcwd() + "/lib"]
    for name, argument in acts:
        try:
            result = ACTS[name](argument)
        except (OSError, ImportError) as error:
            result = type(error).__name__
        note(json.dumps(result))

def change(top, kind, path):
    path = f"{top}/{path}"
    if kind == "new":
        if os.path.exists(path) or not os.path.isdir(os.path.dirname(path)) and os.path.exists(os.path.dirname(path)):
            return []
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, "V = 'new'")
        return [Change(path, Kind.ADDED)]
    if not os.path.exists(path):
        return []
    if kind == "changed":
        write(path, "V = 'changed'")
        return [Change(path, Kind.MODIFIED)]
    if kind == "gone":
        os.unlink(path)
        return [Change(path, Kind.DELETED)]
    folder = os.path.dirname(path)
    if folder == top:
        return []
    gone = [f"{one}/{name}" for one, _, names in os.walk(folder) for name in names]
    shutil.rmtree(folder)
    return [Change(one, Kind.DELETED) for one in gone]

def write(path, text):
    with open(path, "w") as file:
        file.write(text)

def first(asked):
    uses, results, counts = Uses(is_fresh=True), [], []
    play(asked["acts"], lambda result: (results.append(result), counts.append(len(uses))))
    known = len(uses)
    changes = change(asked["top"], *asked["change"])
    places = [place for one in changes if (place := uses.place_of(one)) is not None]
    return {"results": results, "counts": counts, "changed": bool(changes), "place": min(places, default=None)}

def again(asked):
    results = []
    play(asked["acts"], results.append)
    return {"results": results}

def forked(function, asked):
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        try:
            os.chdir(asked["top"])
            answer = function(asked)
        except BaseException:
            import traceback
            answer = {"failed": traceback.format_exc()}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        answer = json.load(file)
    os.waitpid(pid, 0)
    return answer

sys.dont_write_bytecode = True
for line in sys.stdin:
    asked = json.loads(line)
    with tempfile.TemporaryDirectory(dir=".") as top:
        asked["top"] = os.path.realpath(top)
        for path in asked["files"]:
            os.makedirs(os.path.dirname(f"{top}/{path}"), exist_ok=True)
            write(f"{top}/{path}", f"V = {path!r}")
        answers = forked(first, asked), forked(again, asked)
    print(json.dumps(answers), flush=True)
"""

FOLDERS = ["", "a", "a/b", "lib", "lib/a", "lib/a/b"]
FILES = [f"{folder}/{name}".strip("/") for folder in FOLDERS for name in ("__init__.py", "m.py", "a.py", "d.csv")][1:]
MODULES = ["m", "a", "a.m", "a.a", "a.b", "a.b.m", "a.b.a", "lib.m", "lib.a", "lib.a.m"]
PLACES = [".", "a", "a/b", "lib", "lib/a", "lib/a/b", "none"]

LISTINGS = ["os.listdir", "os.walk", "os.fwalk", "glob", "rglob"]
ACTS = st.one_of(
    st.tuples(st.sampled_from(["import", "import_module", "find_spec"]), st.sampled_from(MODULES)),
    st.tuples(st.just("from"), st.sampled_from([name for name in MODULES if "." in name])),
    st.tuples(st.sampled_from(["open", "os.open"]), st.sampled_from(FILES)),
    st.tuples(st.sampled_from([*LISTINGS, "os.chdir"]), st.sampled_from(PLACES)),
)
CHANGES = st.tuples(st.sampled_from(["new", "changed", "gone", "folder gone"]), st.sampled_from(FILES))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """That process."""
    folder = tmp_path_factory.mktemp("server")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    ) as process:
        yield process
        process.stdin.close()


def ask(server, **asked):
    server.stdin.write(json.dumps(asked) + "\n")
    server.stdin.flush()
    first, again = json.loads(server.stdout.readline())
    assert "failed" not in first, first["failed"]
    assert "failed" not in again, again["failed"]
    return first, again


@settings(max_examples=length.examples(60), database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.sampled_from(FILES)), st.lists(ACTS, min_size=1, max_size=8), CHANGES)
def test_nothing_before_the_first_use_would_be_another(server, files, acts, change):
    # Nothing is heard of a folder that was gone into, and has gone itself since: no program goes on from there.
    assume(change[0] != "folder gone" or all(name != "os.chdir" for name, _ in acts))
    first, again = ask(server, files=sorted(files), acts=acts, change=change)
    pairs = zip(first["results"], again["results"], first["counts"], strict=True)
    differ = [count for one, other, count in pairs if one != other]
    if differ:  # a copy that was made after that act has at least so many uses, and would not do
        assert first["place"] is not None
        assert first["place"] < differ[0]
