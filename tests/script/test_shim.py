"""The shim in a run's interpreter: the script can't tell, and what it uses is reported."""

import os
import re
import subprocess
import sys

import pytest
from starting import finish, program
from waiting import eventually

from ipy_autorestart.script.pipes import ends, no_ends
from ipy_autorestart.script.run import Run, environment, spawn, start_cold

pytestmark = pytest.mark.e2e

PROBE = """
import os, sys
print(sorted(sys.modules))
print(sys.path, sys.argv, sys.orig_argv[1:], sys.flags, sys.meta_path, sys.path_hooks, sys.warnoptions)
print(sorted((n, v) for n, v in os.environ.items()))
print([n for n in map(int, os.listdir('/proc/self/fd')) if 2 < n < 100], __name__, __file__, __spec__, __builtins__)
print(sorted(globals()), sys.path_importer_cache.keys(), os.getcwd())
import subprocess
print(subprocess.run([sys.executable, '-c', 'import os, sys; print(sys.path, os.environ.get("PYTHONPATH"))'],
      capture_output=True, text=True).stdout)
"""


def start(*words, roots=()):
    return start_cold(program(*words, roots=roots))


def run_probe(folder, *command):
    run = finish(start(*command, roots=[f"{folder}/"]))
    plain = subprocess.run(
        [sys.executable, *command], env={**os.environ}, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return _masked(run.out, run.err), _masked(plain.stdout, plain.stderr)


def _masked(*texts):
    """Take out addresses, and put each word on a line of its own, to see what differs."""
    return [word for text in texts for word in re.sub(r" at 0x\w+", "", text).replace(",", " ").split()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("PYTEST_CURRENT_TEST", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "probe.py").write_text(PROBE)
    return tmp_path


@pytest.mark.parametrize("pythonpath", [None, "", "lib", f"lib{os.pathsep}other"])
@pytest.mark.parametrize("command", ["probe.py a;b ü", "-m probe", "-X dev -W error -B probe.py"])
def test_the_script_cannot_tell(folder, monkeypatch, pythonpath, command):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if pythonpath is not None:
        monkeypatch.setenv("PYTHONPATH", pythonpath)
    seen, plain = run_probe(folder, *command.split())
    assert seen == plain


def test_the_users_own_sitecustomize_still_runs(folder, monkeypatch):
    (folder / "lib").mkdir()
    (folder / "lib/sitecustomize.py").write_text("import builtins\nbuiltins.MINE = 1\n")
    (folder / "probe.py").write_text("import sys\nprint(MINE, sys.modules['sitecustomize'].__file__)\n")
    monkeypatch.setenv("PYTHONPATH", "lib")
    seen, plain = run_probe(folder, "probe.py")
    assert seen == plain
    assert seen[0] == "1"


def test_an_error_in_the_users_own_sitecustomize_is_told_as_ever(folder, monkeypatch):
    (folder / "lib").mkdir()
    (folder / "lib/sitecustomize.py").write_text("import nowhere\n")
    monkeypatch.setenv("PYTHONPATH", "lib")
    (folder / "probe.py").write_text("print('goes on')\n")
    seen, plain = run_probe(folder, "probe.py")
    assert seen == plain


def test_modules_beside_the_script_hide_nothing_from_the_shim(folder):
    for name in ("os.py", "json.py", "socket.py", "signal.py", "select.py"):
        (folder / name).write_text("MINE = 1\n")
    (folder / "probe.py").write_text("import socket\nprint(socket.MINE)\n")
    seen, plain = run_probe(folder, "probe.py")
    assert seen == plain == ["1"]


def test_lines_come_one_by_one_through_the_pipe(folder):
    (folder / "probe.py").write_text(
        "print('one', 'line')\ninput_file = open('/proc/self/stat')\nimport time\ntime.sleep(60)\n"
    )
    run = start("probe.py")
    stdout = run.streams[0]
    eventually(lambda: stdout.read())
    assert stdout.take(0, 99)[0] == "one line\n"
    run.forward(9)
    finish(run)


def used(folder, code, *flags):
    (folder / "main.py").write_text(code)
    run = finish(start(*flags, "main.py", roots=[f"{folder}/"]))
    assert not run.err
    return run.used


def names(folder, paths):
    return {os.path.relpath(path, folder) for path in paths}


def test_what_is_read_imported_and_written_is_reported(folder):
    for name in ("a.py", "b.py"):
        (folder / name).write_text("")
    for name in ("data.csv", "late.toml", "not.toml"):
        (folder / name).write_text("x")
    code = (
        "import a, os, pathlib\nopen('data.csv').read()\nos.mkdir('sub')\nos.chdir('sub')\n"
        "pathlib.Path('../late.toml').read_text()\nopen('data.csv', 'w').close()\n"
        "os.chdir('..')\nos.listdir('sub')\nos.rmdir if 0 else None\nimport shutil; shutil.rmtree('sub')\n"
    )
    for _ in range(2):  # compiled, and read from the compiled form
        report = used(folder, code)
        read = names(folder, report.read)
        assert {"main.py", "a.py", "data.csv", "late.toml", "sub"} <= read
        assert not {"b.py", "not.toml"} & read
        assert "sub/data.csv" in names(folder, report.written)


@pytest.mark.parametrize("root", ["", "env/lib/site-packages/ours"])
def test_only_the_part_below_a_root_tells_what_is_installed(folder, monkeypatch, root):
    project = folder / "site-packages/project"
    for name in ("a.py", "data.csv", "env/lib/site-packages/theirs.py", "env/lib/site-packages/ours/b.py"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("import os\nos.environ['A'] = '1'\n" if name == "a.py" else "")
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", "env/lib/site-packages")
    (project / "main.py").write_text("import theirs, ours.b, a\nopen('data.csv')\n")
    mine = {"ours/b.py"} if root else {"main.py", "a.py", "data.csv"}
    for _ in range(2):  # compiled, and read from the compiled form
        run = start("main.py", roots=[f"{project / root}/"])
        reports = run.reports
        assert not finish(run).err
        read = {os.path.relpath(path, project).removeprefix("env/lib/site-packages/") for path in reports.read_below}
        assert mine <= read
        assert read - mine <= {"ours"}
    assert reports.changes_environment == "A"
    assert any("theirs" in path for path in reports.imported)


def test_what_the_interpreters_own_environment_holds_is_not_watched(folder):
    (folder / "main.py").write_text("import json")
    run = start("main.py", roots=["/"])
    reports = run.reports
    finish(run)
    assert str(folder / "main.py") in reports.read_below
    assert any("json" in path for path in reports.imported)
    assert not any("json" in path for path in reports.read_below)


def test_what_is_written_by_rename_is_written(folder):
    (folder / "state.json").write_text("x")
    code = "import os\nopen('state.json').read()\nopen('new', 'w').close()\nos.replace('new', 'state.json')\n"
    assert "state.json" in names(folder, used(folder, code).written)


def test_what_is_moved_away_is_written_too_and_so_is_a_folder(folder):
    (folder / "job.json").write_text("x")
    (folder / "new").mkdir()
    code = "import os\nos.rename('job.json', 'done.json')\nos.rename('new', 'gen')\n"
    assert names(folder, used(folder, code).written) == {"job.json", "done.json", "new", "gen"}


def test_what_is_removed_from_an_open_folder_is_known_by_its_own_path(folder):
    """As `shutil.rmtree` and `TemporaryDirectory` do: a copy of a source there has its name."""
    (folder / "copies").mkdir()
    (folder / "copies/main.py").write_text("x")
    code = "import os, shutil, tempfile\nwith tempfile.TemporaryDirectory() as t: shutil.copy('main.py', t)\n"
    code += "shutil.rmtree('copies')\nfd = os.open('.', os.O_RDONLY)\nopen('a', 'w').close()\n"
    code += "os.rename('a', 'b', src_dir_fd=fd, dst_dir_fd=fd)\n"
    assert names(folder, used(folder, code).written) == {"copies/main.py", "a", "b"}


def test_a_data_base_is_no_source(folder):
    report = used(folder, "import sqlite3\nsqlite3.connect('app.db').execute('create table t (x)')\n")
    assert "app.db" not in names(folder, report.read)


def test_a_descriptor_that_the_script_has_taken_over_is_left_alone(folder):
    (folder / "data.csv").write_text("x")
    code = (
        "import os\nos.closerange(3, 1000)\nfd = os.open('mine', os.O_WRONLY | os.O_CREAT)\n"
        "for number in range(fd + 1, 210): os.dup2(fd, number)\nopen('data.csv').read()\n"
    )
    used(folder, code)
    assert (folder / "mine").read_text() == ""


def test_forked_children_report_too(folder):
    (folder / "data.csv").write_text("x")
    report = used(folder, "import os\nif os.fork() == 0:\n    open('data.csv').read()\n    os._exit(0)\nos.wait()\n")
    assert "data.csv" in names(folder, report.read)


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''])",
        "import os\nos.system('true')",
        "import multiprocessing as m\nif __name__ == '__main__':\n"
        "    q = m.get_context('spawn').Process(target=print)\n    q.start()\n    q.join()",
        "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', ''])",
        "import os\nos.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
        "try: open(FOLDER + '/x' * 3000)\nexcept OSError: pass",
    ],
)
def test_where_reports_may_be_incomplete_everything_counts(folder, code):
    assert used(folder, code.replace("FOLDER", repr(str(folder)))).read is None


@pytest.mark.parametrize("flag", ["-S", "-I", "-E"])
def test_without_the_shim_everything_counts(folder, flag):
    assert used(folder, "print(1)", flag).read is None


def test_without_roots_nothing_is_reported(folder):
    (folder / "main.py").write_text("print(1)")
    assert finish(start("main.py")).used.read is None


def test_what_a_signal_handler_raises_reaches_the_script(folder):
    code = (
        "import os, signal\nclass Late(Exception): pass\ndef late(*_): raise Late\n"
        "signal.signal(signal.SIGALRM, late)\nraised = handled = 0\n"
        "def count(*_):\n    global handled\n    handled += 1\n    raise Late\nsignal.signal(signal.SIGALRM, count)\n"
        "for i in range(300):\n    try:\n        try:\n            signal.setitimer(signal.ITIMER_REAL, 0.0005)\n"
        "            for j in range(200): open(f'tmp{i}-{j}', 'w').close()\n"
        "        finally:\n            signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "    except Late:\n        raised += 1\nprint(handled > 100, raised == handled)\n"
    )
    (folder / "main.py").write_text(code)
    run = finish(start("main.py", roots=[f"{folder}/"]))
    assert (run.out, run.err) == ("True True\n", "")


def test_a_module_compiled_elsewhere_counts_as_its_source(folder):
    (folder / "a.py").write_text("V = 1\n")
    (folder / "main.py").write_text("import a\n")
    for _ in range(2):
        environment = {"PYTHONPYCACHEPREFIX": f"{folder}/cache", "PYTHONDONTWRITEBYTECODE": ""}
        run = finish(start_cold(program("main.py", roots=[f"{folder}/"], env=environment)))
        assert "a.py" in names(folder, run.used.read)


def test_imports_from_outside_are_told_in_their_order_and_which_are_behind_a_change_of_the_environment(folder):
    code = "import json\nimport os\nos.environ['A'] = '1'\nimport decimal, fractions\n"
    (folder / "main.py").write_text(code)
    run = start("main.py", roots=[f"{folder}/"])
    reports = run.reports
    finish(run)
    names = {os.path.basename(path).split(".")[0]: path in reports.late for path in reports.imported}
    assert reports.changes_environment == "A"
    assert names["decoder"] is False
    assert names["fractions"] is True
    assert list(names).index("decoder") < list(names).index("fractions")


def test_a_program_that_skips_the_shim_hands_on_nothing_harmful(folder):
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -I "$@"\n')
    wrapper.chmod(0o755)
    (folder / "main.py").write_text(
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True))\n"
    )
    run = finish(start_cold(program("main.py", roots=[f"{folder}/"], python=str(wrapper))))
    assert "returncode=0, stdout=b'1\\n', stderr=b''" in run.out


def test_a_run_whose_supervisor_was_killed_before_it_began_does_not_begin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text("print('begun', flush=True)\n")
    what = program("main.py")
    with ends(what) as (ours, theirs):
        nothing = no_ends().reports
        os.dup2(nothing, ours.reports)  # nobody reads what the run reports
        os.close(nothing)
        variables = environment(what, theirs.others[0], others=theirs.others[1:])
        run = Run(spawn(what, theirs.stdio, theirs.others, variables), ours, lossless=False)
    found = finish(run)
    assert (found.out, found.status) == ("", 0)
