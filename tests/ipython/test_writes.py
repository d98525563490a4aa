"""What a cell writes, in this very process."""

import os
import shutil
import subprocess
import time

import pytest

from ipy_autorestart.ipython.writes import PATHS_MAX, Audit, WatchedFiles
from ipy_autorestart.protocol.options import Options
from ipy_autorestart.protocol.request import Kernel, Request


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("V = 1\n")
    return tmp_path


def written(act):
    audit = Audit()
    audit.begin()
    act()
    paths, is_all = audit.end()
    assert is_all
    return {os.path.relpath(path) for path in paths}


def test_all_ways_of_python_to_change_a_file_are_seen(folder):
    assert written(lambda: (folder / "src/b.py").write_text("")) == {"src/b.py"}
    assert written(lambda: os.close(os.open(b"src/b.py", os.O_RDWR))) == {"src/b.py"}
    assert written(lambda: open("src/b.py", "a").close()) == {"src/b.py"}
    assert written(lambda: os.replace("src/b.py", "src/c.py")) == {"src/b.py", "src/c.py"}
    assert written(lambda: shutil.copy("src/a.py", "src/d.py")) == {"src/d.py"}
    assert written(lambda: os.symlink("a.py", "src/e.py")) == {"src/e.py"}
    assert written(lambda: os.remove("src/e.py")) == {"src/e.py"}
    assert {"src/a.py", "src/c.py", "src/d.py"} <= written(lambda: shutil.rmtree("src"))


def test_reading_and_what_python_keeps_for_itself_are_no_changes(folder):
    assert written(lambda: (folder / "src/a.py").read_text()) == set()
    (folder / "src/__pycache__").mkdir()
    assert written(lambda: open("src/__pycache__/a.pyc", "wb").close()) == set()
    assert written(lambda: os.fdopen(os.dup(1), "w").close()) == set()


def test_programs_are_noticed_and_nothing_before_or_after(folder):
    audit = Audit()
    subprocess.run(["true"], check=True)
    audit.begin()
    subprocess.run(["true"], check=True)
    assert audit.end() == ((), False)
    open("late", "w").close()
    assert audit.end() == ((), False)  # it had not begun
    audit.begin()
    assert audit.end() == ((), True)


def is_all_known(act):
    audit = Audit()
    audit.begin()
    act()
    return audit.end()[1]


def test_what_a_forked_child_writes_is_not_known(folder):
    def fork():
        if not (pid := os.fork()):
            os._exit(0)
        os.waitpid(pid, 0)

    assert not is_all_known(fork)
    assert not is_all_known(lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0))


def test_more_paths_than_are_kept_are_not_all(folder):
    def write(count):
        for number in range(count):
            open(f"{number}.txt", "w").close()

    assert is_all_known(lambda: (write(PATHS_MAX), write(1)))
    assert not is_all_known(lambda: write(PATHS_MAX + 1))


def test_a_folder_is_renamed_with_its_files(folder):
    (folder / "src/deep").mkdir()
    (folder / "src/deep/b.py").write_text("")
    files = {"src/a.py", "src/deep/b.py", "new/a.py", "new/deep/b.py"}
    assert written(lambda: os.rename("src", "new")) == {"src", "new", *files}


def test_once_it_is_gone_nothing_is_heard(folder):
    audit = Audit()
    audit.begin()
    paths = audit._paths
    del audit
    open("late", "w").close()
    assert not paths


def request(*paths, **options):
    return Request(Kernel(), paths, Options(**options), os.getcwd())


def test_what_watches_count_is_known_by_names(folder):
    os.symlink("src", folder / "link")
    watched = WatchedFiles([request("src", pattern=("*.toml",), ignore=("build",)), request("link", ignore=("build",))])
    counted = ("src/new.py", "src/a.toml", "src/deep/b.py", "link/new.py")
    others = ("other.py", "src/a.csv", "src/build/a.py", "src/a.pyc", "src", "src/.venv/a.py")
    assert [name for name in (*counted, *others) if watched.counts(str(folder / name))] == list(counted)
    assert not watched.only_code
    assert not WatchedFiles([]).counts(str(folder / "src/a.py"))


def test_a_real_path_is_looked_for_only_where_it_is_asked_for(folder):
    os.symlink("src", folder / "link")
    watched = WatchedFiles([request("src")])
    assert watched.only_code
    named = [watched.counts_by_name(str(folder / name)) for name in ("src/a.py", "link/a.py")]
    assert named == [True, False]
    assert watched.counts(str(folder / "link/a.py"))


def test_what_has_changed_since_a_moment_is_found(folder):
    (folder / "src/deep").mkdir()
    watched = WatchedFiles([request("src")])
    moment = time.time_ns()
    while not watched.changed_since(moment):  # its clock may tick later
        for name in ("src/deep/b.py", "src/deep/b.csv", "other.py"):
            (folder / name).write_text("")
    assert set(watched.changed_since(moment)) == {str(folder / "src/deep/b.py")}
    assert set(watched.changed_since(0)) == {str(folder / "src/a.py"), str(folder / "src/deep/b.py")}
