"""The code that is sent to the processes of a cluster, in processes that have nothing else of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipy_autorestart.cluster import remote
from ipy_autorestart.cluster.tree import read_tree

SOURCE = Path(remote.__file__)

# The text becomes a module, as on a worker; `m` has the manifests by name.
BEGIN = f"""
import json, sys, types
r = types.ModuleType("_ipy_autorestart_cluster")
exec(compile(open({str(SOURCE)!r}).read(), "remote", "exec"), r.__dict__)
m, blobs = json.load(open("manifests.json")), json.load(open("blobs.json"))
def put(name):
    r.put("p", m[name], {{one: blobs[one].encode() for one in r.missing("p", m[name])}})
    return r.enter("p", m[name])
"""


class Machine:
    """Processes that see one folder of copies and not the project."""

    def __init__(self, folder):
        self.folder, self.manifests, self.blobs = folder, {}, {}
        for name in ("machine/tmp", "project/src/pkg"):
            (folder / name).mkdir(parents=True)

    def save(self, name, *, hidden=True, **files):
        """Save files of the package, None for a deleted one; the manifest gets a name."""
        for stem, text in files.items():
            path = self.folder / f"project/src/pkg/{stem}.py"
            path.write_text(text) if text is not None else path.unlink()
        tree = read_tree([str(self.folder / "project/src")])
        manifest = tree.manifest()
        if hidden:
            manifest["origins"] = ["/nowhere"]
        self.manifests[name] = manifest
        self.blobs |= {one: text.decode() for one, text in tree.contents(manifest["files"].values()).items()}

    def run(self, code, *, machine="machine"):
        """Run code in a new process, and return what it leaves in ``out``."""
        folder = self.folder / machine
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        (folder / "manifests.json").write_text(json.dumps(self.manifests))
        (folder / "blobs.json").write_text(json.dumps(self.blobs))
        environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
        command = [sys.executable, "-I", "-c", f"{BEGIN}\n{code}\nprint(json.dumps(out))"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    machine.save("old", __init__="", a="V = 1\n", b="from pkg import a\n")
    machine.save("new", a="V = 2\n")
    return machine


def test_what_was_sent_can_be_imported_and_the_next_version_after_it(machine):
    code = """
    out = []
    put("old")
    import pkg.b, pkg.a
    out += [pkg.a.V, pkg.b.a.V, r.missing("p", m["new"]) == [m["new"]["files"]["0/src/pkg/a.py"]]]
    out += [r.probe("p", m["new"])["outdated"], put("new"), r.probe("p", m["new"])["outdated"]]
    import pkg.a
    out += [pkg.a.V, [path for path in sys.path if m["old"]["version"] in path]]
    """
    modules = ["pkg", "pkg.a", "pkg.b"]
    expected = [1, 1, True, modules, modules, [], 2, []]
    assert machine.run("\n".join(line[4:] for line in code.splitlines())) == expected


def test_a_module_that_was_deleted_is_gone(machine):
    machine.save("less", b=None)
    code = """
put("old")
import pkg.b
put("less")
try:
    import pkg.b
except ModuleNotFoundError as error:
    out = str(error)
"""
    assert machine.run(code) == "No module named 'pkg.b'"


def test_processes_of_one_machine_share_what_was_sent(machine):
    first = machine.run('put("old"); out = [r.store_id(), r.has("p", m["old"])]')
    assert machine.run('out = [r.store_id(), r.has("p", m["old"])]') == first
    assert machine.run('out = r.probe("p", m["old"])', machine="other")["store"] != first[0]
    assert machine.run('out = len(r.missing("p", m["old"]))', machine="other") == 3


def test_nothing_is_sent_where_the_folder_is_seen(machine):
    machine.save("seen", hidden=False, a="V = 3\n")
    code = """
out = [r.missing("p", m["seen"]), r.enter("p", m["seen"])]
import pkg.a
out += [pkg.a.V, pkg.a.__file__, sys.path]
"""
    missing, _, value, file, path = machine.run(code)
    assert (missing, value, file) == ([], 3, f"{machine.folder}/project/src/pkg/a.py")
    assert path[0] == f"{machine.folder}/project/src"
    assert path[-1] == f"{machine.folder}/project"  # so that what lies beside hides nothing


@pytest.mark.parametrize("watched", ["project", "project/src"])
def test_an_environment_in_the_project_is_none_of_its_code(machine, watched):
    """It often lies there; what was imported of it is to stay, and is no reason to restart a worker."""
    package = machine.folder / "project/.venv/lib/python3/site-packages/installed"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (machine.folder / "project/beside.py").touch()
    machine.manifests["seen"] = read_tree([str(machine.folder / watched)]).manifest()
    code = f"""
r.missing("p", m["seen"])
sys.path[:0] = [{str(package.parent)!r}, {str(machine.folder / "project")!r}, {str(machine.folder / "project/src")!r}]
import installed, beside, pkg.a
out = [r.probe("p", m["seen"])["outdated"], r.enter("p", m["seen"]), "installed" in sys.modules]
"""
    ours = [*(["beside"] if watched == "project" else []), "pkg", "pkg.a"]
    assert machine.run(code) == [ours, ours, True]


def test_the_folder_is_its_users_alone(machine):
    machine.run('put("old"); out = 0')
    (store,) = (machine.folder / "machine/tmp").iterdir()
    assert store.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in store.rglob("*") if path.is_file()} == {0o600}
    store.chmod(0o777)
    code = "try:\n    r.store()\nexcept PermissionError as error:\n    out = str(error)"
    assert machine.run(code) == f"{store} is not this user's alone: remove it"


def test_a_path_that_leads_out_of_the_copy_is_refused(machine):
    machine.manifests["evil"] = {**machine.manifests["old"], "version": "e" * 32}
    machine.manifests["evil"]["files"] = {"0/../../../../evil.py": next(iter(machine.blobs))}
    code = 'try:\n    put("evil")\nexcept ValueError as error:\n    out = str(error)'
    assert machine.run('put("old"); out = 0') == 0
    assert machine.run(code) == "0/../../../../evil.py lies outside"


def test_old_versions_go_unless_a_process_uses_them(machine):
    for number in range(5):
        machine.save(f"v{number}", a=f"V = {number + 10}\n")
    code = """
import os, subprocess
put("old")
for number in range(5):
    r.put("p", m[f"v{number}"], {one: blobs[one].encode() for one in r.missing("p", m[f"v{number}"])})
held = r.has("p", m["old"])
r.enter("p", m["v4"])
r._collect("p")
folder = r.store()
out = [held, r.has("p", m["old"]), len(os.listdir(folder + "/p")), len(os.listdir(folder + "/blobs"))]
"""
    assert machine.run(code) == [True, False, 2, 4]  # an empty file and b, and a of both


def test_modules_of_others_stay(machine):
    code = """
put("old")
import pkg.a, json
before = sys.modules["json"]
gone = put("new")
out = [sys.modules["json"] is before, "json" in gone, "_ipy_autorestart_cluster" in gone]
"""
    assert machine.run(code) == [True, False, False]


def test_a_copy_from_elsewhere_counts_as_outdated(machine):
    (machine.folder / "machine/pkg").mkdir()
    (machine.folder / "machine/pkg/__init__.py").write_text("")
    code = 'sys.path.insert(0, ".")\nimport pkg\nout = r.probe("p", m["new"])["outdated"]'
    assert machine.run(code) == ["pkg"]


def test_a_project_is_taken_off_the_path(machine):
    assert machine.run('put("old"); r.leave("p"); out = [one for one in sys.path if "ipy_autorestart" in one]') == []
